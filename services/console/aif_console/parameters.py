"""Parameters of an order from the command line, where everything is text, and documents are files."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aif_console.failures import BadInput, RequestRefused
from aif_console.gateway.gateway import Gateway
from aif_console.gateway.pipelines import read_pipeline

SOURCE = "source"
"""The parameter that wants the id of an uploaded document."""
SOURCE_TEXT = "source_text"
"""The one that takes a document itself, in its place."""


class SourceUploads:
    """Sends each document once, however many orders name it, and none for a template or a version that there is not."""

    def __init__(self, gateway: Gateway, template: str, version: str | None) -> None:
        self._gateway = gateway
        self._template = template
        self._version = version
        self._ids: dict[Path, str] = {}

    async def id_of(self, path: Path, field: str) -> str:
        """Raises BadInput when the file cannot be read, and RequestRefused."""
        if path not in self._ids:
            content = read_file(path, field, "name a readable document")
            if not self._ids:
                await look_for(self._gateway, self._template, self._version)
            self._ids[path] = (await self._gateway.upload(path.name, content)).source_id
        return self._ids[path]


def read_file(path: Path, field: str, mend: str) -> bytes:
    """Raises BadInput."""
    try:
        return path.read_bytes()
    except OSError as refused:
        raise BadInput(field, f"{path} cannot be read: {refused.strerror}", mend) from refused


async def look_for(gateway: Gateway, template: str, version: str | None) -> None:
    """Whether there is what a document is to be sent for. Raises RequestRefused."""
    await read_pipeline(gateway, template, version)


async def schema_of(gateway: Gateway, template: str, version: str | None) -> Mapping[str, Any]:
    """What a version of a template, the newest for None, says of its parameters, by name.

    Empty when it is not offered to us: then values speak for themselves.
    """
    if version is not None:
        return await _schema_of_version(gateway, template, version)
    for offered in (await gateway.templates()).templates:
        if offered.name == template:
            properties = offered.parameters.get("properties", {})
            return properties if isinstance(properties, dict) else {}
    return {}


async def _schema_of_version(gateway: Gateway, template: str, version: str) -> Mapping[str, Any]:
    """As it is stored, where a source is a blob; an order names one by its id, or brings its text."""
    try:
        stored = await read_pipeline(gateway, template, version)
    except RequestRefused:
        return {}
    schema = stored.document.get("parameters", {})
    text = {"type": "string"}
    return {**schema.get("properties", {}), SOURCE: text, SOURCE_TEXT: text}


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
