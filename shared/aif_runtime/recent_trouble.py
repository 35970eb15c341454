"""What went wrong of late, for the health page: of that which can only be seen when somebody tries it."""

import time
from collections.abc import Callable

TOLD_SECONDS = 30.0
"""For so long a failure is told of, unless the same succeeds again."""


class RecentTrouble:
    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._words = ""
        self._until = 0.0

    @property
    def words(self) -> str | None:
        """None when there is none, or when nobody has met with it for a while."""
        return self._words if self._words and self._monotonic() < self._until else None

    def note(self, words: str) -> None:
        self._words, self._until = words, self._monotonic() + TOLD_SECONDS

    def is_over(self) -> None:
        """It has succeeded."""
        self._words = ""
