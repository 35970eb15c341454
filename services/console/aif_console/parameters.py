"""Parameters of an order from the command line, where everything is text, and documents are files."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aif_console.failures import BadInput
from aif_console.gateway.gateway import Gateway

SOURCE = "source"
"""The parameter that wants the id of an uploaded document."""


class SourceUploads:
    """Sends each document once, however many orders name it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._ids: dict[Path, str] = {}

    async def id_of(self, path: Path, field: str) -> str:
        """Raises BadInput when the file cannot be read."""
        if path not in self._ids:
            self._ids[path] = (
                await self._gateway.upload(path.name, read_file(path, field, "name a readable document"))
            ).source_id
        return self._ids[path]


def read_file(path: Path, field: str, mend: str) -> bytes:
    """Raises BadInput."""
    try:
        return path.read_bytes()
    except OSError as refused:
        raise BadInput(field, f"{path} cannot be read: {refused.strerror}", mend) from refused


async def schema_of(gateway: Gateway, template: str) -> Mapping[str, Any]:
    """What a template says of its parameters, by name. Empty when it is not offered to us: then values speak for themselves."""
    for offered in (await gateway.templates()).templates:
        if offered.name == template:
            properties = offered.parameters.get("properties", {})
            return properties if isinstance(properties, dict) else {}
    return {}


def named_texts(pairs: Iterable[str]) -> dict[str, str]:
    """`name=value`, each name once. Raises BadInput."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise BadInput("--param", f"{pair!r} has no name or no value", "write it as --param name=value")
        if name in found:
            raise BadInput("--param", f"{name} is given twice", "give each parameter once")
        found[name] = text
    return found


def typed(texts: Mapping[str, str], properties: Mapping[str, Any]) -> dict[str, Any]:
    """Each text as the type that the template wants; the factory refuses what is none of it."""
    return {name: _value(text, properties.get(name)) for name, text in texts.items()}


def _value(text: str, schema: Any) -> Any:
    """Text stays text where text may be meant; elsewhere it is read as JSON when it is JSON."""
    kinds = schema.get("type") if isinstance(schema, dict) else None
    if kinds == "string" or (isinstance(kinds, list) and "string" in kinds):
        return text
    try:
        return json.loads(text, parse_constant=_no_number)
    except ValueError:
        return text


def _no_number(word: str) -> None:
    raise ValueError(word)
