"""A figure that was measured a few times."""

import statistics
from collections.abc import Iterable

from msgspec import Struct


class Spread(Struct, frozen=True):
    median: float
    least: float
    most: float

    def __str__(self) -> str:
        if self.least == self.most:
            return figure(self.median)
        return f"{figure(self.median)} ({figure(self.least)} to {figure(self.most)})"


def spread(values: Iterable[float]) -> Spread:
    listed = list(values)
    return Spread(statistics.median(listed), min(listed), max(listed))


def middle_half(values: Iterable[float]) -> Spread:
    """Of many: the median, and between what half of them lie. What the machine did beside some of them is not in it."""
    listed = list(values)
    first, median, third = statistics.quantiles(listed, n=4) if len(listed) > 1 else [listed[0]] * 3
    return Spread(median, first, third)


def figure(value: float) -> str:
    """With three digits, or all before the point."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"
