"""How long something may take."""

from collections.abc import Callable


class TimeLimit:
    """So many seconds from its beginning, which is now, or when it is begun anew."""

    __slots__ = ("_monotonic", "_seconds", "began_at")

    def __init__(self, seconds: float, *, monotonic: Callable[[], float]) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self.begin()

    def begin(self) -> None:
        self.began_at = self._monotonic()

    def seconds_left(self) -> float:
        """Below 0 when it is over."""
        return self.began_at + self._seconds - self._monotonic()
