"""Lists with bounds, as the API's description tells them."""

from typing import Any, cast

from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import KwargDefinition
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition


class BoundedTuples(OpenAPISchemaPlugin):
    """The framework takes the dots of a bounded `tuple[X, ...]` for a second type of items, so no text would be one."""

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        inner = field_definition.inner_types
        bounds = field_definition.kwarg_definition
        if not isinstance(bounds, KwargDefinition) or (bounds.min_items, bounds.max_items) == (None, None):
            return False
        return len(inner) == 2 and inner[1].annotation is Ellipsis

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:
        bounds = cast("KwargDefinition", field_definition.kwarg_definition)
        return Schema(
            type=OpenAPIType.ARRAY,
            items=schema_creator.for_field_definition(field_definition.inner_types[0]),
            min_items=bounds.min_items,
            max_items=bounds.max_items,
        )
