"""Entries that the broker should have dropped and has not.

A broker that was killed can bring back entries whose time to live was over, and then keep them for good: a worker that died
long ago would pass for alive. So their times are compared here, by the broker's own clock alone, which the newest entry shows.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from aif_runtime.nats_direct import Latest

STORED_AT = "Nats-Time-Stamp"
"""Header of a stored message, by the broker's clock."""
TIME_TO_LIVE = "Nats-TTL"
_DURATION = re.compile(r"(\d+)(ms|s|m|h)?")
_UNITS = {"ms": timedelta(milliseconds=1), None: timedelta(seconds=1), "s": timedelta(seconds=1)}
_UNITS |= {"m": timedelta(minutes=1), "h": timedelta(hours=1)}


def without_overdue(entries: Sequence[Latest]) -> list[Latest]:
    """Those whose time was not over when the newest of them was written. One without a time to live, or with one that is not
    understood, stays."""
    if not entries:
        return []
    newest = max(_stored_at(entry) for entry in entries)
    return [entry for entry in entries if not _is_overdue(entry, newest)]


def _is_overdue(entry: Latest, now: datetime) -> bool:
    lives = _DURATION.fullmatch(entry.headers.get(TIME_TO_LIVE, ""))
    return lives is not None and now - _stored_at(entry) > int(lives[1]) * _UNITS[lives[2]]


def _stored_at(entry: Latest) -> datetime:
    return msgspec.convert(entry.headers[STORED_AT], datetime)
