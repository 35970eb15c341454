"""The database's clock, kept running between two looks at it by this process's monotonic clock.

Deadlines and leases are judged by one clock, the database's, however many replicas there are. A step cannot ask it before it
has something to store, so it is remembered from the last answer; wall clocks of this machine play no part.
"""

from aif_runtime.clock import Clock


class DatabaseClock:
    def __init__(self, clock: Clock) -> None:
        self._monotonic = clock.monotonic
        self._seen_ms: int | None = None
        self._seen_at = 0.0

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
        self._seen_ms, self._seen_at = at_ms, answered_at

    def now_ms(self) -> int:
        """Milliseconds since 1970. Only after it was seen once."""
        assert self._seen_ms is not None, "the database has not told its time yet"
        return self._seen_ms + int((self._monotonic() - self._seen_at) * 1000)
