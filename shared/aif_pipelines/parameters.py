"""Whether what an order says fits the template, in words for the person who ordered."""

from collections.abc import Collection, Iterator, Mapping
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

    __slots__ = ("_names", "_schema", "_validator")

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """The schema must be sound, as that of a loaded pipeline is."""
        self._schema = dict(schema)
        self._names = self._schema.get("properties", {}).keys()
        self._validator = compile_schema(self._schema)

    def check(self, values: Any) -> CheckedParameters:
        """The values may be anything a client sent."""
        if not isinstance(values, dict):
            mistake = Mistake(path=PATH, message="the parameters must be an object", mend='Send {"name": value, …}.')
            return CheckedParameters(values={}, mistakes=(mistake,))
        if unsound := _bounded(json_mistakes(values, PATH)):
            return CheckedParameters(values=values, mistakes=unsound)
        known = values if is_open_ended(self._schema) else {name: item for name, item in values.items() if name in self._names}
        filled = _filled(self._schema, known)
        refused = value_mistakes(self._validator, self._schema, filled, PATH)
        unknown = (_unknown(name, self._names) for name in values if name not in known)
        return CheckedParameters(values=filled, mistakes=_bounded(chain(unknown, refused)))


def check_parameters(schema: Mapping[str, Any], values: Any) -> CheckedParameters:
    """For a schema that is used once. It must be sound."""
    return ParameterCheck(schema).check(values)


def is_open_ended(schema: Mapping[str, Any]) -> bool:
    """Whether it allows names that it does not list."""
    return bool(schema.get("additionalProperties") or schema.get("patternProperties"))


def _unknown(name: str, names: Collection[str]) -> Mistake:
    """A misspelt parameter would otherwise be dropped in silence."""
    return Mistake(
        path=f"{PATH}.{name}",
        message=f"{name} is not a parameter of this template",
        mend=did_you_mean(name, names, "Leave it out."),
    )


def _bounded(mistakes: Iterator[Mistake]) -> tuple[Mistake, ...]:
    """The first of them: an order may hold as many as fit into a message, and each is looked at, told and stored."""
    told = tuple(islice(mistakes, MOST_MISTAKES))
    if next(mistakes, None) is None:
        return told
    return (*told, Mistake(path=PATH, message=f"more is wrong than these {MOST_MISTAKES}", mend="Mend these first."))


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
