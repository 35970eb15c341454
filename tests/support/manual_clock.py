"""A clock that moves when the test says so."""

from datetime import UTC, datetime, timedelta


class ManualClock:
    def __init__(self, now: datetime = datetime(2026, 5, 1, 9, 30, tzinfo=UTC)) -> None:
        self._now = now
        self._monotonic = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
