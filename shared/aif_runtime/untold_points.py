"""Points of progress that an attempt has passed before it tells of itself for the first time."""

from collections.abc import Callable

from msgspec import Struct

from aif_contracts.reports import MOST_POINTS, ProgressPoint


class _Passed(Struct, frozen=True):
    percent: int
    message: str
    at: float


class UntoldPoints:
    """Keeps all of a few; of many every second one, then every fourth, and so on."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._passed: list[_Passed] = []
        self._newest: tuple[int, str] | None = None
        self._count = 0
        self._every = 1

    def pass_by(self, percent: int, message: str) -> None:
        if (percent, message) == self._newest:
            return
        self._newest = (percent, message)
        if self._count % self._every == 0:
            self._passed.append(_Passed(percent, message, self._monotonic()))
        self._count += 1
        if len(self._passed) > MOST_POINTS:
            del self._passed[1::2]
            self._every *= 2

    def taken(self, sendable: Callable[[str], str]) -> tuple[ProgressPoint, ...]:
        """All of them, to be told now, and never again."""
        now = self._monotonic()
        passed, self._passed = self._passed, []
        return tuple(
            ProgressPoint(percent=each.percent, message=sendable(each.message), ago_ms=round((now - each.at) * 1000))
            for each in passed
        )
