"""What a JSON Schema asks for, and what a value does wrong, in words for the person who sent it."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import msgspec

from aif_pipelines.json_values import brief
from aif_pipelines.mistakes import Mistake, did_you_mean

_TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_ANOTHER = "another value"
_DESCRIBED = frozenset(
    {"type", "const", "enum", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern"}
)
"""The keywords that `describe` has words for."""


def describe(schema: Any) -> str:
    """For example `a whole number from 1 to 5`."""
    if not isinstance(schema, dict):
        return _ANOTHER
    if "const" in schema:
        return f"exactly {brief(schema['const'])}"
    if "enum" in schema:
        return f"one of {', '.join(brief(option) for option in schema['enum'])}"
    types = schema.get("type", [])
    names = types if isinstance(types, list) else [types]
    return " or ".join(_TYPES.get(name, str(name)) + _bounds(schema, name) for name in names) or _ANOTHER


def _bounds(schema: dict[str, Any], name: str) -> str:
    match name:
        case "integer" | "number":
            return _between(schema.get("minimum"), schema.get("maximum"), "from {} to {}", "of at least {}", "of at most {}")
        case "string":
            words = _between(
                schema.get("minLength"),
                schema.get("maxLength"),
                "of {} to {} characters",
                "of at least {} characters",
                "of at most {} characters",
            )
            return words + _form(schema)
        case "array":
            return _between(
                schema.get("minItems"),
                schema.get("maxItems"),
                "of {} to {} entries",
                "of at least {} entries",
                "of at most {} entries",
            )
        case _:
            return ""


def _form(schema: dict[str, Any]) -> str:
    """A regular expression only where nothing says in words what is meant."""
    if "pattern" not in schema:
        return ""
    return " of the form that is described for it" if _meaning(schema) else f" like {schema['pattern']}"


def _meaning(schema: Any) -> str:
    """What the schema says of itself; empty when it does not."""
    said = schema.get("description") if isinstance(schema, dict) else None
    return _one_line(said.strip()) if isinstance(said, str) and said.strip() else ""


def _between(least: Any, most: Any, both: str, only_least: str, only_most: str) -> str:
    if least is not None and most is not None:
        return " " + both.format(least, most)
    if least is not None:
        return " " + only_least.format(least)
    return " " + only_most.format(most) if most is not None else ""


def value_mistakes(
    validator: jsonschema_rs.Draft202012Validator, schema: dict[str, Any], value: Any, path: str
) -> Iterator[Mistake]:
    """Everything in `value` that the schema refuses, each at the path of the field to blame."""
    for error in validator.iter_errors(value):
        yield from _worded(error, schema, path)


def _worded(error: jsonschema_rs.ValidationError, schema: dict[str, Any], path: str) -> Iterator[Mistake]:
    at = path + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.instance_path)
    asked, keyword = _asking_schema(schema, list(error.schema_path))
    field = at.rpartition(".")[2]
    details = error.kind.as_dict()
    # The kind and not the keyword: under any keyword that holds a schema may stand `false`, which only says no.
    kind = error.kind.name
    if kind == "required":
        yield _missing(asked, str(details["property"]), at)
    elif kind in ("additionalProperties", "unevaluatedProperties"):
        known = asked.get("properties", {})
        for name in details["unexpected"]:
            mend = did_you_mean(name, known, "Leave it out.")
            yield Mistake(path=f"{at}.{name}", message=f"{name} is not known here", mend=mend)
    elif kind == "falseSchema" and keyword == "additionalProperties":
        # Which of its fields it was is not told for an object that describes none.
        yield Mistake(path=at, message=f"{field} may hold no fields", mend="Send an empty object.")
    elif kind == "falseSchema":
        yield Mistake(path=at, message=f"{field} is not allowed here", mend="Leave it out.")
    elif kind == "uniqueItems" and isinstance(error.instance, list):
        yield Mistake(path=at, message=f"{field} holds {_repeated(error.instance)} more than once", mend="Keep one of them.")
    elif kind in _DESCRIBED and (wanted := describe(asked)) != _ANOTHER:
        sent = error.instance
        yield Mistake(path=at, message=f"{field} must be {wanted}; you sent {brief(sent)}", mend=_mend(asked, sent))
    else:
        yield Mistake(path=at, message=f"{field} is refused: {_one_line(error.message)}", mend=f"See its schema at {keyword}.")


def _repeated(entries: list[Any]) -> str:
    """The first entry that stood there before; not named when equal numbers are written differently."""
    seen: set[bytes] = set()
    for entry in entries:
        written = msgspec.json.encode(entry, order="sorted")
        if written in seen:
            return brief(entry)
        seen.add(written)
    return "an entry"


def _missing(asked: dict[str, Any], name: str, at: str) -> Mistake:
    described = asked.get("properties", {}).get(name)
    meaning = _meaning(described)
    mend = f"Give {describe(described)}" + (f": {meaning}" if meaning else ".")
    return Mistake(path=f"{at}.{name}", message=f"{name} is missing", mend=mend)


def _asking_schema(schema: Any, schema_path: list[str | int]) -> tuple[dict[str, Any], str]:
    """The part of the schema that refused, and its keyword."""
    *steps, keyword = schema_path
    for step in steps:
        schema = schema[str(step)] if isinstance(schema, dict) else schema[int(step)]
    return (schema if isinstance(schema, dict) else {}), str(keyword)


def _mend(asked: dict[str, Any], sent: Any) -> str:
    types = asked.get("type")
    if isinstance(sent, str) and types in ("integer", "number"):
        return "Send a number without quotes."
    if isinstance(sent, str) and types == "boolean":
        return "Send true or false without quotes."
    if types == "string" and not isinstance(sent, str):
        return "Send text in quotes."
    if types == "string" and "maxLength" in asked and len(sent) > asked["maxLength"]:
        excess = len(sent) - asked["maxLength"]
        return f"Shorten it by {excess} character{'s' if excess > 1 else ''}."
    if types == "string" and "pattern" in asked and _meaning(asked):
        return f"Send text: {_meaning(asked)}"
    return f"Send {describe(asked)}."


def _one_line(text: str) -> str:
    return text.splitlines()[0][:200]
