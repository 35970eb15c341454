"""The API's description as a page to read: every operation, field and answer of the OpenAPI document. No script, nothing from
elsewhere; what is long is folded, and a link into a fold opens it and shows its head, which stands above the link's place."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from aif_kam.landing import STYLE, policy_of

_REFERENCE = "#/components/schemas/"
_METHODS = ("get", "post", "put", "patch", "delete")
_LIMITS = {"minimum": "≥", "maximum": "≤", "minLength": "length ≥", "maxLength": "length ≤", "maxItems": "items ≤"}
_STYLE = (
    STYLE
    + """
main { max-width: 60rem } h2 { margin-top: 2.6rem } nav a { margin-right: .9rem; white-space: nowrap }
details { border-top: 1px solid var(--line) } details[open] { padding-bottom: 1.2rem }
details > div { scroll-margin-top: 3.5rem }
summary { padding: .5rem 0; cursor: pointer; overflow-wrap: anywhere } summary span { color: var(--soft) }
summary b { display: inline-block; min-width: 4.2rem; font: 600 13px ui-monospace, monospace; color: var(--link) }
h3 { margin: 1.1rem 0 .3rem; font-size: .95rem } table { width: 100%; border-collapse: collapse; table-layout: fixed }
td { padding: .35rem .6rem .35rem 0; border-top: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere }
td:first-child { width: 30% } td:nth-child(2) { width: 28% } td:last-child { color: var(--soft) }
td code { font-size: 13px } i { color: var(--link); font-style: normal }
@media (max-width: 34rem) {
  table, tbody, tr, td { display: block } td, td:first-child, td:nth-child(2) { width: auto; border: 0; padding: 0 }
  tr { border-top: 1px solid var(--line); padding: .35rem 0 } summary span { display: block }
}
"""
)
CONTENT_SECURITY_POLICY = policy_of(_STYLE)


def api_page(described: Mapping[str, Any]) -> str:
    """The OpenAPI document as HTML, in its own order: it begins with requests."""
    information, schemas = described["info"], described["components"]["schemas"]
    tags: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = {}
    for each in _operations(described):
        tags.setdefault(_tag(each), []).append(each)
    links = " ".join(f'<a href="#{escape(tag)}">{escape(tag)}</a>' for tag in (*tags, "fields"))
    operations = "".join(
        f'<h2 id="{escape(tag)}">{escape(tag)}</h2>' + "".join(_operation(*each) for each in group)
        for tag, group in tags.items()
    )
    fields = "".join(_schema(name, schema) for name, schema in schemas.items())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(information["title"])}: the API</title><link rel="icon" href="data:,"><style>{_STYLE}</style>
</head>
<body><main>
<h1>{escape(information["title"])}: the API</h1>
<p>Version {escape(information["version"])}. {_words(information["description"])}</p>
<p>Send your key in the header <code>X-API-Key</code>. For programs the same is at <a href="/schema">/schema</a>, OpenAPI
{escape(described["openapi"])}. <a href="/">Back to the first page</a>.</p>
<nav><p>{links}</p></nav>
{operations}
<h2 id="fields">fields</h2>
{fields}
</main></body>
</html>
"""


def _operations(described: Mapping[str, Any]) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in described["paths"].items():
        yield from ((method, path, methods[method]) for method in _METHODS if method in methods)


def _tag(operation: tuple[str, str, Mapping[str, Any]]) -> str:
    return str(operation[2].get("tags", ["operations"])[0])


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parameters = [
        (each["name"], each["schema"], f"{each['in']}. {each.get('description', '')}", each.get("required", False))
        for each in operation.get("parameters", ())
    ]
    bodies = [
        (kind, content["schema"], "", True) for kind, content in operation.get("requestBody", {}).get("content", {}).items()
    ]
    answers = [
        (f"{status} {kind}".strip(), schema, answer["description"], False)
        for status, answer in operation.get("responses", {}).items()
        for kind, schema in _contents(answer)
    ]
    parts = (("Parameters", parameters), ("Body", bodies), ("Answers", answers))
    tables = "".join(f"<h3>{title}</h3>{_table(rows)}" for title, rows in parts if rows)
    return (
        f"<details><summary><b>{method.upper()}</b> <code>{escape(path)}</code> <span>{_words(operation.get('summary', ''))}"
        f'</span></summary><div id="{escape(operation["operationId"])}"></div>{tables}</details>'
    )


def _contents(answer: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Media types and schemas; JSON need not be named."""
    found = [(kind, content.get("schema", {})) for kind, content in answer.get("content", {}).items()]
    return [("" if kind.endswith("json") else kind, schema) for kind, schema in found] or [("", {})]


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = [
        (field, kind, kind.get("description", ""), field in required) for field, kind in schema.get("properties", {}).items()
    ]
    content = _table(rows) if rows else f"<p>{_kind(schema)}</p>"
    said = f"<p>{_words(schema['description'])}</p>" if "description" in schema else ""
    anchor = f'<div id="{escape(name)}"></div>'
    return f"<details><summary><code>{escape(name)}</code></summary>{anchor}{said}{content}</details>"


def _table(rows: Iterable[tuple[str, Mapping[str, Any], str, bool]]) -> str:
    """Name, kind and words of each; what must be there has a mark."""
    lines = (
        f"<tr><td><code>{escape(name)}</code>{' <i>required</i>' if is_required else ''}</td>"
        f"<td>{_kind(schema)}</td><td>{_words(words)}</td></tr>"
        for name, schema, words, is_required in rows
    )
    return f"<table><tbody>{''.join(lines)}</tbody></table>"


def _kind(schema: Mapping[str, Any]) -> str:
    """A schema in a few words, with links to those that have a name."""
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(_REFERENCE))
        return f'<a href="#{name}"><code>{name}</code></a>'
    for several in ("oneOf", "anyOf", "allOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(_kind(each) for each in schema[several])) + _limits(schema)
    if "enum" in schema or "const" in schema:
        return " · ".join(f"<code>{escape(str(each))}</code>" for each in schema.get("enum", [schema.get("const")]))
    kinds = schema.get("type", "")
    if kinds == "array":
        return f"list of {_kind(schema.get('items') or {}) or 'anything'}" + _limits(schema)
    if kinds == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_kind(schema['additionalProperties']) or 'anything'}" + _limits(schema)
    return escape(" or ".join([kinds] if isinstance(kinds, str) else kinds)) + _limits(schema)


def _limits(schema: Mapping[str, Any]) -> str:
    found = [f"{sign} {schema[name]}" for name, sign in _LIMITS.items() if schema.get(name) is not None]
    if schema.get("default") not in (None, ""):
        found.append(f"default {schema['default']}")
    return escape("".join(f", {each}" for each in found))


def _words(text: str) -> str:
    """What stands between backticks is code."""
    parts = escape(text).split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))
