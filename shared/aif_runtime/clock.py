"""Time as a passed-in thing: wall time for people and records, monotonic time for every duration."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """Wall time in UTC. It may jump; nothing is decided by comparing two machines' wall times."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever rise, from an arbitrary start. For durations and time limits."""
        ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    monotonic = staticmethod(time.monotonic)


def rfc3339(moment: datetime) -> str:
    """The wire and log form of a moment: UTC with milliseconds, for example `2026-05-01T09:30:00.125Z`.

    Raises ValueError for a moment without a time zone.
    """
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone has no place on the wire")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
