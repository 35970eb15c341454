"""JSON Schemas that people write: which ones are sound, and validators that never leave this process."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs

from aif_pipelines.mistakes import Mistake

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TYPE_MEND = "Write string, number, integer, boolean, array, object or null, or a list of these."
_PLAIN_DATA = frozenset({"const", "default", "enum", "examples"})


def schema_mistakes(schema: Any, path: str) -> list[Mistake]:
    """Why the schema cannot be used; empty when it can."""
    if found := list(_foreign_references(schema, path)):
        return found
    try:
        compile_schema(schema)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        at = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in getattr(error, "instance_path", []))
        reason = str(getattr(error, "message", error)).splitlines()[0][:300]
        return [
            Mistake(
                path=path + at,
                message=f"is not a sound JSON Schema: {reason}",
                mend=_TYPE_MEND if at.endswith(".type") else "Correct it by JSON Schema draft 2020-12.",
            )
        ]
    return []


def compile_schema(schema: Any) -> jsonschema_rs.Draft202012Validator:
    """Raises what jsonschema_rs raises for an unsound schema.

    Patterns run in an engine of linear time and nothing is ever fetched, whatever the schema says.
    """
    return jsonschema_rs.Draft202012Validator(schema, pattern_options=jsonschema_rs.RegexOptions(), offline=True)


def _foreign_references(schema: Any, path: str) -> Iterator[Mistake]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str) and not value.startswith("#"):
                yield Mistake(
                    path=f"{path}.{key}",
                    message=f"refers to {value[:100]!r}, outside this schema",
                    mend="Copy it under $defs and write #/$defs/name.",
                )
            elif key == "$schema" and isinstance(value, str) and value not in (_DRAFT, _DRAFT + "#"):
                yield Mistake(
                    path=f"{path}.$schema",
                    message="names another dialect of JSON Schema",
                    mend=f"Leave it out, or write {_DRAFT}.",
                )
            elif key == "$id" and isinstance(value, str):
                yield Mistake(
                    path=f"{path}.$id",
                    message="would change what #/… refers to",
                    mend="Leave $id out.",
                )
            elif key not in _PLAIN_DATA:
                yield from _foreign_references(value, f"{path}.{key}")
    elif isinstance(schema, list):
        for index, item in enumerate(schema):
            yield from _foreign_references(item, f"{path}[{index}]")
