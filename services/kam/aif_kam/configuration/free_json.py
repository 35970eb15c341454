"""Limits of JSON objects that clients fill as they like."""

from typing import Any

import msgspec

from aif_kam.failures import invalid

MOST_BYTES = 16 * 1024
DEEPEST = 8


def check_free_json(field: str, value: dict[str, Any]) -> None:
    """Raises InvalidInput for an object that is too large, or nested too deeply to be shown."""
    size_bytes = len(msgspec.json.encode(value))
    if size_bytes > MOST_BYTES:
        raise invalid(field, f"has {size_bytes} bytes as JSON", f"send at most {MOST_BYTES}")
    if _depth(value) > DEEPEST:
        raise invalid(field, f"is nested more than {DEEPEST} levels deep", "flatten it")


def _depth(value: Any) -> int:
    """Counted level by level, so that the nesting of what is counted costs no stack."""
    depth, level = 0, [value]
    while level := [inner for each in level if isinstance(each, (dict, list)) for inner in _members(each)]:
        depth += 1
    return depth


def _members(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value
