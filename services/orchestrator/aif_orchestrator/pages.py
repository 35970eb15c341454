"""Pages of a list, small enough for one message."""

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

from aif_contracts.orders import FieldMistake, Refusal

MOST_BYTES = 700 * 1024
"""A message may have 1 MiB, and an answer has more in it than its items."""
LONGEST_NUMBER = 18
"""Digits, so that it stays a number that Postgres can compare."""

Item = TypeVar("Item", bound=Struct)


def fitting(items: Sequence[Item]) -> tuple[Item, ...]:
    """As many from the first on as one answer can hold; one at least, so that every list ends."""
    size = 0
    for count, item in enumerate(items):
        size += len(msgspec.json.encode(item))
        if size > MOST_BYTES:
            return tuple(items[: max(1, count)])
    return tuple(items)


def number_in(cursor: str | None) -> int | Refusal | None:
    """Of the item after which a page begins."""
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= LONGEST_NUMBER):
        return unknown_cursor()
    return int(cursor)


def unknown_cursor() -> Refusal:
    mistake = FieldMistake(field="cursor", message="no page gave this cursor", mend="Take next_cursor of the page before.")
    return Refusal(code="invalid_cursor", message=mistake.message, mistakes=(mistake,))
