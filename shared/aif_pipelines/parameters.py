"""Whether what an order says fits the template, in words for the person who ordered."""

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

from msgspec import Struct

from aif_pipelines.json_values import json_mistakes
from aif_pipelines.mistakes import MOST_MISTAKES, Mistake, did_you_mean
from aif_pipelines.schema_words import value_mistakes
from aif_pipelines.schemas import compile_schema

PATH = "parameters"


class CheckedParameters(Struct, frozen=True, kw_only=True):
    values: dict[str, Any]
    """With the schema's defaults filled in. Only to be used when there are no mistakes."""
    mistakes: tuple[Mistake, ...]


class ParameterCheck:
    """A template's schema of parameters, compiled once for all its orders."""

    __slots__ = ("_schema", "_validator")

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """The schema must be sound, as that of a loaded pipeline is."""
        self._schema = dict(schema)
        self._validator = compile_schema(self._schema)

    def check(self, values: Any) -> CheckedParameters:
        """The values may be anything a client sent."""
        if not isinstance(values, dict):
            mistake = Mistake(path=PATH, message="the parameters must be an object", mend='Send {"name": value, …}.')
            return CheckedParameters(values={}, mistakes=(mistake,))
        if unsound := list(islice(json_mistakes(values, PATH), MOST_MISTAKES)):
            return CheckedParameters(values=values, mistakes=tuple(unsound))
        unknown = list(islice(_unknown(self._schema, values), MOST_MISTAKES))
        known = {key: value for key, value in values.items() if not any(m.path == f"{PATH}.{key}" for m in unknown)}
        filled = _filled(self._schema, known)
        refused = value_mistakes(self._validator, self._schema, filled, PATH)
        return CheckedParameters(values=filled, mistakes=tuple(islice(chain(unknown, refused), MOST_MISTAKES)))


def check_parameters(schema: Mapping[str, Any], values: Any) -> CheckedParameters:
    """For a schema that is used once. It must be sound."""
    return ParameterCheck(schema).check(values)


def is_open_ended(schema: Mapping[str, Any]) -> bool:
    """Whether an order may give parameters that the schema does not describe."""
    return bool(schema.get("additionalProperties") or schema.get("patternProperties"))


def _unknown(schema: dict[str, Any], values: dict[str, Any]) -> Iterator[Mistake]:
    """A misspelt parameter would otherwise be dropped in silence, so unknown ones are refused unless allowed by name."""
    if is_open_ended(schema):
        return
    properties = schema.get("properties", {})
    for name in values:
        if name not in properties:
            yield Mistake(
                path=f"{PATH}.{name}",
                message=f"{name} is not a parameter of this template",
                mend=did_you_mean(name, properties, "Leave it out."),
            )


def _filled(schema: Any, value: Any) -> Any:
    """Defaults filled in, and 4.0 for a whole number made 4; what does not fit the schema stays as it is."""
    if not isinstance(schema, dict):
        return value
    if schema.get("type") == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    properties = schema.get("properties")
    if not isinstance(value, dict) or not isinstance(properties, dict):
        return value
    filled = {key: _filled(properties.get(key), item) for key, item in value.items()}
    for name, described in properties.items():
        if name not in filled and isinstance(described, dict) and "default" in described:
            filled[name] = described["default"]
    return filled
