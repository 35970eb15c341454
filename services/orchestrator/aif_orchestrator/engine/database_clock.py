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

    def seen(self, at_ms: int) -> None:
        """The database has just told its time."""
        self._seen_ms = at_ms
        self._seen_at = self._monotonic()

    def now_ms(self) -> int:
        """Milliseconds since 1970. Only after it was seen once."""
        assert self._seen_ms is not None, "the database has not told its time yet"
        return self._seen_ms + int((self._monotonic() - self._seen_at) * 1000)
