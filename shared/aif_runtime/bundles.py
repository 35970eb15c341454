"""Several things in one message, as many as it may hold."""

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def in_bundles(written: Iterable[tuple[T, bytes]], *, most_bytes: int, most: int | None = None) -> list[list[tuple[T, bytes]]]:
    """Things in their order, each with what is to be sent of it. One that is too large for company goes alone."""
    bundles: list[list[tuple[T, bytes]]] = []
    room = 0
    for each in written:
        size = len(each[1])
        if not bundles or size > room or len(bundles[-1]) == most:
            bundles.append([])
            room = most_bytes
        bundles[-1].append(each)
        room -= size
    return bundles


def joined(bundle: Iterable[tuple[object, bytes]]) -> bytes:
    """As a JSON array."""
    return b"[" + b",".join([written for _, written in bundle]) + b"]"
