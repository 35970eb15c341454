"""The channels as a document for programs: AsyncAPI 3.0, the schemas in it made from the message structs.

https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from aif_contracts.channels import CHANNELS, PARAMETERS, Channel
from aif_contracts.field_docs import field_docs, in_words_of_json

_JSON = "application/json"
_SCHEMAS = "#/components/schemas/"
_TOKEN = re.compile(r"\{(\w+)\}")
_ABOUT = (
    "What travels over NATS between the factory, the systems that order from it, and its workers. "
    "`action` is the factory's: it receives orders and sends events. "
    "`x-stream` is the JetStream stream in which a message is stored. "
    "Readers ignore fields that they do not know. Messages may come twice."
)


def asyncapi_document(version: str) -> dict[str, Any]:
    """The whole description; `version` is the factory's."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "AI Factory", "version": version, "description": _ABOUT},
        "defaultContentType": _JSON,
        "channels": {name: described for channel in CHANNELS for name, described in _channels_of(channel)},
        "operations": {_operation_name(channel): _operation(channel) for channel in CHANNELS},
        "components": {"schemas": _schemas()},
    }


def _channels_of(channel: Channel) -> Iterator[tuple[str, dict[str, Any]]]:
    tokens = _TOKEN.findall(channel.address)
    described: dict[str, Any] = {
        "address": channel.address,
        "description": channel.summary,
        "parameters": {token: {"description": PARAMETERS[token]} for token in tokens},
        "messages": {channel.name: _message(channel.name, channel.message, channel)},
    }
    if channel.stream is not None:
        described["x-stream"] = channel.stream
    yield channel.name, described
    if channel.answer is not UNSET:
        name = _answer_name(channel)
        # The asker chooses the subject.
        yield name, {"address": None, "messages": {name: _message(name, channel.answer, None)}}


def _message(name: str, content: Any, channel: Channel | None) -> dict[str, Any]:
    described: dict[str, Any] = {"name": name, "payload": _payload(content, channel)}
    if channel is not None and channel.headers:
        described["headers"] = {
            "type": "object",
            "properties": {header: {"type": "string", "description": words} for header, words in channel.headers},
        }
    return described


def _payload(content: Any, channel: Channel | None) -> dict[str, Any]:
    if content is None:
        return {"type": "string", "maxLength": 0}
    (schema,), _ = msgspec.json.schema_components([content], ref_template=f"{_SCHEMAS}{{name}}")
    if channel is not None and channel.most is not None:
        schema["maxItems"] = channel.most
    _adapt(schema)
    return schema


def _operation(channel: Channel) -> dict[str, Any]:
    described: dict[str, Any] = {
        "action": channel.direction.value,
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "summary": channel.summary,
        "tags": [{"name": channel.partner.value}],
        "messages": [{"$ref": f"#/channels/{channel.name}/messages/{channel.name}"}],
    }
    if channel.answer is not UNSET:
        name = _answer_name(channel)
        described["reply"] = {
            "address": {"location": "$message.header#/reply", "description": "The reply subject of the question"},
            "channel": {"$ref": f"#/channels/{name}"},
            "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
        }
        described["description"] = f"Answer: {channel.answer_summary}."
    return described


def _operation_name(channel: Channel) -> str:
    return f"{channel.direction.value}_{channel.name}"


def _answer_name(channel: Channel) -> str:
    return f"{channel.name}_answer"


def _schemas() -> dict[str, Any]:
    contents = [
        content
        for channel in CHANNELS
        for content in (channel.message, channel.answer)
        if content is not None and content is not UNSET
    ]
    _, schemas = msgspec.json.schema_components(contents, ref_template=f"{_SCHEMAS}{{name}}")
    structs = {
        struct.__name__: struct for content in contents for struct in _structs_of(msgspec.inspect.type_info(content), set())
    }
    for name, schema in schemas.items():
        _adapt(schema)
        if name in structs:
            _add_words(schema, structs[name])
    return schemas


def _structs_of(kind: Any, seen: set[type[Struct]]) -> Iterator[type[Struct]]:
    """The structs that a type is made of, in any depth."""
    if isinstance(kind, msgspec.inspect.StructType):
        if kind.cls in seen:
            return
        seen.add(kind.cls)
        yield kind.cls
        for field in kind.fields:
            yield from _structs_of(field.type, seen)
        return
    for name in ("types", "item_types"):
        for inner in getattr(kind, name, ()):
            yield from _structs_of(inner, seen)
    for name in ("type", "item_type", "key_type", "value_type"):
        if hasattr(kind, name):
            yield from _structs_of(getattr(kind, name), seen)


def _add_words(schema: dict[str, Any], struct: type[Struct]) -> None:
    docs = field_docs(struct)
    names: Mapping[str, str] = {field.name: field.encode_name for field in msgspec.structs.fields(struct)}
    for name, words in docs.items():
        described = schema["properties"][names[name]]
        if "$ref" in described:
            # What stands beside a reference does not count.
            schema["properties"][names[name]] = {"allOf": [described], "description": words}
        else:
            # What all of its kind are stands behind, as `US dollars as decimal text`.
            described["description"] = " ".join((words, described["description"])) if "description" in described else words


def _adapt(schema: Any) -> None:
    """A discriminator is OpenAPI's word for what each variant's own tag says as well; texts are one line each."""
    if isinstance(schema, dict):
        schema.pop("discriminator", None)
        if isinstance(schema.get("description"), str):
            schema["description"] = in_words_of_json(schema["description"])
        for inner in schema.values():
            _adapt(inner)
    elif isinstance(schema, list):
        for inner in schema:
            _adapt(inner)
