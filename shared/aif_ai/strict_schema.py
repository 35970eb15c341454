"""One JSON Schema, said in the smaller language that each provider accepts.

Both providers want every object closed. OpenAI wants every property required; what was optional may then be null, and the
nulls are taken out of the answer again. Bounds that a provider refuses are left out here and checked by us afterwards, on
the whole schema.
"""

import enum
from collections import OrderedDict
from typing import Any

import msgspec

_MOST_KEPT = 64


class Dialect(enum.StrEnum):
    OPENAI = "openai"
    ANTHROPIC = "anthropic"


_DROPPED = {
    Dialect.OPENAI: frozenset({"title", "default", "examples", "minLength", "maxLength", "$schema"}),
    Dialect.ANTHROPIC: frozenset(
        {
            "title", "default", "examples", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum",
            "exclusiveMaximum", "multipleOf", "maxItems", "minItems", "uniqueItems", "pattern", "$schema",
        }
    ),
}  # fmt: skip
_NAMED = ("properties", "$defs", "definitions")


def translate(schema: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    """The schema for a provider; the given one is left as it is."""
    root = _inlined_root(schema)
    translated: dict[str, Any] = _node(root, dialect)
    return translated


class TranslatedSchemas:
    """Keeps the translations of the schemas it met last: translating costs far more than finding one again."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._kept: OrderedDict[bytes, msgspec.Raw] = OrderedDict()

    def of(self, schema: dict[str, Any]) -> msgspec.Raw:
        """The translation, as JSON."""
        key = msgspec.json.encode(schema)
        translated = self._kept.get(key)
        if translated is None:
            translated = msgspec.Raw(msgspec.json.encode(translate(schema, self._dialect)))
            self._kept[key] = translated
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return translated


def without_nulls(value: Any) -> Any:
    """The value without properties that are null: how OpenAI's dialect says that an optional one is absent."""
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value]
    return value


def _inlined_root(schema: dict[str, Any]) -> dict[str, Any]:
    """Providers want an object at the root; msgspec writes a reference there."""
    ref = schema.get("$ref")
    if not isinstance(ref, str):
        return schema
    return {**schema["$defs"][ref.removeprefix("#/$defs/")], "$defs": schema["$defs"]}


def _node(node: Any, dialect: Dialect) -> Any:
    if isinstance(node, list):
        return [_node(inner, dialect) for inner in node]
    if not isinstance(node, dict):
        return node
    kept: dict[str, Any] = {}
    for key, value in node.items():
        if key in _DROPPED[dialect]:
            continue
        if key in _NAMED:
            kept[key] = {name: _node(inner, dialect) for name, inner in value.items()}
        elif key in ("enum", "const", "required"):
            kept[key] = value
        else:
            kept[key] = _node(value, dialect)
    if "properties" in kept:
        kept["additionalProperties"] = False
        if dialect is Dialect.OPENAI:
            required = set(kept.get("required", ()))
            kept["properties"] = {
                name: inner if name in required else _nullable(inner) for name, inner in kept["properties"].items()
            }
            kept["required"] = list(kept["properties"])
    return kept


def _nullable(node: dict[str, Any]) -> dict[str, Any]:
    if node.get("type") == "null" or any(option.get("type") == "null" for option in node.get("anyOf", ())):
        return node
    return {"anyOf": [node, {"type": "null"}]}
