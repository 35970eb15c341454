"""Entries that the broker should have dropped and has not.

A broker that was killed can bring back entries whose time to live was over, and then keep them for good: a worker that died
long ago would pass for alive. So their times are compared here, by the broker's own clock alone, which the entry that was
written last shows. That clock may be set: after it was set back, an earlier entry has the later time.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from aif_runtime.nats_direct import SEQUENCE, Latest

STORED_AT = "Nats-Time-Stamp"
"""Header of a stored message, by the broker's clock."""
TIME_TO_LIVE = "Nats-TTL"
_DURATION = re.compile(r"(\d+)(ms|s|m|h)?")
_UNITS = {"ms": timedelta(milliseconds=1), None: timedelta(seconds=1), "s": timedelta(seconds=1)}
_UNITS |= {"m": timedelta(minutes=1), "h": timedelta(hours=1)}


def without_overdue(entries: Sequence[Latest]) -> list[Latest]:
    """Those whose time was not over when the last of them was written. One without a time to live, or with one that is not
    understood, stays."""
    if not entries:
        return []
    now = _stored_at(max(entries, key=lambda entry: int(entry.headers[SEQUENCE])))
    return [entry for entry in entries if not _is_overdue(entry, now)]


def _is_overdue(entry: Latest, now: datetime) -> bool:
    lives = _DURATION.fullmatch(entry.headers.get(TIME_TO_LIVE, ""))
    return lives is not None and now - _stored_at(entry) > int(lives[1]) * _UNITS[lives[2]]


def _stored_at(entry: Latest) -> datetime:
    return msgspec.convert(entry.headers[STORED_AT], datetime)
