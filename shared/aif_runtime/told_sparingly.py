"""Complaints about what others send, who may send it ten thousand times a second: logged at once, and then now and then."""

import time
from collections.abc import Callable

PAUSE_SECONDS = 10.0


class ToldSparingly:
    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._untold: dict[str, int] = {}
        self._silent_until: dict[str, float] = {}

    def times(self, event: str) -> int:
        """How often it has happened since it was told of, this time included; 0 while it is too early to tell of it again.

        The events have to be few, names of ours and nothing that others choose."""
        self._untold[event] = self._untold.get(event, 0) + 1
        now = self._monotonic()
        if now < self._silent_until.get(event, now):
            return 0
        self._silent_until[event] = now + PAUSE_SECONDS
        return self._untold.pop(event)
