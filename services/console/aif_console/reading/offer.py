"""What can be ordered, and with which parameters."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from aif_console.reading.hanging import rows
from aif_console.reading.plain_text import plain
from aif_contracts.orders import TemplateView


def rendered_template(template: TemplateView) -> RenderableType:
    whose = "" if template.owner is None else f"  of {template.owner} alone"
    return Group(
        Text.assemble((plain(f"{template.name} {template.version}"), "bold"), plain(whose)),
        rows((("", template.description),)),
        rendered_parameters(template.parameters),
        Text(""),
    )


def rendered_parameters(schema: Mapping[str, Any]) -> RenderableType:
    """The properties of a JSON Schema, one a line."""
    properties = schema.get("properties", {})
    required = set(schema.get("required", ()))
    return rows(
        (f"  {name}", _parameter_words(each, is_required=name in required))
        for name, each in properties.items()
        if isinstance(each, dict)
    )


def _parameter_words(schema: dict[str, object], *, is_required: bool) -> str:
    kind = str(schema.get("type", "always " + str(schema["const"]) if "const" in schema else "anything"))
    low, high = schema.get("minimum"), schema.get("maximum")
    span = f" {low} to {high}" if low is not None and high is not None else ""
    default = f", default {schema['default']}" if "default" in schema else ""
    return f"{kind}{span}{', required' if is_required else default}. {schema.get('description', '')}"
