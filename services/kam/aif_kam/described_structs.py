"""Structs as the API's description tells them: with what is written below them and their fields, and with every bound."""

from typing import Any

import msgspec
from litestar.openapi.spec import Reference, Schema
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition
from msgspec import Struct

from aif_contracts.field_docs import field_docs, in_words_of_json


class DescribedStructs(OpenAPISchemaPlugin):
    """The framework reads no docstring, and takes a bound of 0 for none where a field may be null."""

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        return not field_definition.is_union and field_definition.is_subclass_of(Struct)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:
        theirs = next(
            each for each in schema_creator.plugins if each is not self and each.is_plugin_supported_field(field_definition)
        )
        schema: Schema = theirs.to_openapi_schema(field_definition, schema_creator)
        struct = msgspec.inspect.type_info(field_definition.type_)
        assert isinstance(struct, msgspec.inspect.StructType)
        if words := struct.cls.__dict__.get("__doc__"):
            schema.description = in_words_of_json(words)
        docs = field_docs(struct.cls)
        for field in struct.fields:
            described = (schema.properties or {}).get(field.encode_name)
            if isinstance(described, Schema | Reference):
                # What the field is comes before what all of its kind are, as `US dollars as decimal text`.
                said = (docs.get(field.name), described.description)
                described.description = " ".join(words for words in said if words) or None
            if isinstance(described, Schema) and described.minimum is None:
                described.minimum = _least(field.type)
        return schema


def _least(kind: msgspec.inspect.Type) -> float | None:
    """The lower bound of a number that may be null."""
    kinds = kind.types if isinstance(kind, msgspec.inspect.UnionType) else ()
    return next((each.ge for each in kinds if isinstance(each, msgspec.inspect.IntType | msgspec.inspect.FloatType)), None)
