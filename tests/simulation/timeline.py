"""Simulated time: whatever will happen, in order, with all chance drawn from one seed."""

import heapq
import random
from collections.abc import Callable
from typing import Any

START_MS = 1_700_000_000_000
NEXT_MONTH_MS = 1_701_388_800_000
"""The first of December 2023, UTC."""


class Timeline:
    """Times are milliseconds. Two acts at the same time happen in the order in which they were planned."""

    def __init__(self, seed: int, tell: Callable[[str], None] | None = None) -> None:
        self.chance = random.Random(seed)
        self.began_at = self.now = self._any_beginning()
        self.acts = 0
        """Acts so far."""
        self._tell = tell
        self._planned = 0
        self._plan: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []

    def after(self, delay_ms: int, act: Callable[..., None], *given: Any) -> None:
        self._planned += 1
        heapq.heappush(self._plan, (self.now + delay_ms, self._planned, act, given))

    def run(self, *, most_acts: int) -> bool:
        """Until nothing is planned any more; False when so many acts were not enough."""
        plan = self._plan
        while plan and self.acts < most_acts:
            self.now, _, act, given = heapq.heappop(plan)
            self.acts += 1
            act(*given)
        return not plan

    def happens(self, probability: float) -> bool:
        return probability > 0 and self.chance.random() < probability

    def between(self, least: int, most: int) -> int:
        return least + int(self.chance.random() * (most - least + 1))

    def _any_beginning(self) -> int:
        """Now and then within the last minutes of a month."""
        return NEXT_MONTH_MS - self.between(0, 120_000) if self.happens(0.1) else START_MS

    @property
    def is_traced(self) -> bool:
        return self._tell is not None

    def note(self, text: str) -> None:
        if self._tell is not None:
            self._tell(f"{(self.now - self.began_at) / 1000:>10.3f} s  {text}")
