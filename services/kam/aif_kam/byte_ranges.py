"""Which part of a file is asked for, and whether the caller has it already (RFC 9110, sections 13 and 14)."""

import re

from msgspec import Struct

from aif_kam.failures import RangeBeyond

_ONE_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.IGNORECASE)


class Part(Struct, frozen=True, kw_only=True):
    start: int
    stop: int
    """Behind the last byte."""


def has_copy(if_none_match: str | None, etag: str) -> bool:
    known = [each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")]
    return etag in known or "*" in known


def part_of(range_header: str | None, if_range: str | None, *, etag: str, size: int) -> Part | None:
    """None when the whole is due: nothing else was asked, it was asked in words that may be ignored (several parts, other
    units), or the file is not the one of which the caller has the beginning. Raises RangeBeyond."""
    found = _ONE_RANGE.fullmatch(range_header or "")
    if found is None or (if_range is not None and if_range.strip() != etag):
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if first and last and int(last) < int(first):
        return None
    if start >= size:
        raise RangeBeyond(size)
    return Part(start=start, stop=stop)
