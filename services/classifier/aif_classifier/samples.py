"""What the analysis sees of an attempt, and how attempts are put together so that like is compared with like."""

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from msgspec import Struct

TIMEOUT = "timeout"
"""Failure code of an attempt that reached its time limit."""
WITHDRAWN = frozenset({"cancelled", "superseded", "handed_back", "not_begun", "declined"})
"""Failure codes of attempts that the factory itself ended: no verdict about the worker, though their cost counts."""

SMALL_BYTES = 4 * 1024
MEDIUM_BYTES = 64 * 1024

K = TypeVar("K")


class Sample(Struct, frozen=True, kw_only=True):
    """One ended attempt."""

    timestamp: datetime
    success: bool
    execution_time_ms: int
    model: str | None
    input_complexity: str
    cost_usd: Decimal | None
    """None when unknown."""
    quality_score: float | None
    timeout_ms: int | None
    """The time limit of the attempt; None when the record did not tell."""
    failure_code: str | None

    @property
    def is_judged(self) -> bool:
        return self.failure_code not in WITHDRAWN


class Slice(Struct, frozen=True, kw_only=True):
    """Attempts that share their settings: one action of one worker in one template."""

    worker_name: str
    action: str
    template: str


def complexity_of(input_size_bytes: int) -> str:
    """The class of an input by its size: below 4 KiB `small`, below 64 KiB `medium`, else `large`."""
    if input_size_bytes < SMALL_BYTES:
        return "small"
    return "medium" if input_size_bytes < MEDIUM_BYTES else "large"


def grouped(samples: Iterable[Sample], key: Callable[[Sample], K]) -> dict[K, list[Sample]]:
    groups: dict[K, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(key(sample), []).append(sample)
    return groups


def halves_by_time(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """The earlier and the recent half. Of an odd number the middle one belongs to the recent half."""
    ordered = sorted(samples, key=lambda sample: sample.timestamp)
    middle = len(ordered) // 2
    return ordered[:middle], ordered[middle:]


def percentile(values: Sequence[float], share: float) -> float:
    """By linear interpolation between the two nearest values, as Postgres' `percentile_cont` does. One value at least."""
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    lower = math.floor(position)
    upper = min(lower + 1, len(ordered) - 1)
    return ordered[lower] + (ordered[upper] - ordered[lower]) * (position - lower)
