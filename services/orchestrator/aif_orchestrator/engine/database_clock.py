"""The database's clock, kept running between two looks at it by this process's monotonic clock.

Deadlines and leases are judged by one clock, the database's, however many replicas there are. A step cannot ask it before it
has something to store, so it is remembered from the last answer; wall clocks of this machine play no part.

The database's clock may be set, too. Forwards, whatever is timed comes early; backwards, it would come late by as much.
"""

from aif_runtime.clock import Clock

LEAST_STEP_MS = 10_000
"""Whoever sleeps for so much longer suffers no harm."""


class DatabaseClock:
    def __init__(self, clock: Clock) -> None:
        self._monotonic = clock.monotonic
        self._seen_ms: int | None = None
        self._seen_at = 0.0
        self.times_set_back = 0
        """How often the database told a time well before the one that it had to be."""

    @property
    def is_known(self) -> bool:
        return self._seen_ms is not None

    def asks(self) -> float:
        """Seconds of this process's clock, for `seen`: the database is about to be asked."""
        return self._monotonic()

    def seen(self, at_ms: int, asked_at: float) -> None:
        """The database has told its time, at some moment since it was asked.

        What is remembered stays if it can be true: an answer that took long would set it back by as much, and between two
        times of one execution there would be less than its work has taken.
        """
        answered_at = self._monotonic()
        if self._seen_ms is not None and at_ms <= self.now_ms() <= at_ms + (answered_at - asked_at) * 1000:
            return
        if self._seen_ms is not None and at_ms + (answered_at - asked_at) * 1000 + LEAST_STEP_MS < self.now_ms():
            self.times_set_back += 1
        self._seen_ms, self._seen_at = at_ms, answered_at

    def now_ms(self) -> int:
        """Milliseconds since 1970. Only after it was seen once."""
        assert self._seen_ms is not None, "the database has not told its time yet"
        return self._seen_ms + int((self._monotonic() - self._seen_at) * 1000)
