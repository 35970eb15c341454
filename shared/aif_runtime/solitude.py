"""Attempts that have their process for themselves.

An attempt whose predecessors took their workers down shall not take others with it. Everything that is under way is in company.
An attempt that is to be alone leaves the company and waits until nobody else is in it; several of them take turns. Whoever
begins new work looks at `is_wanted` first, so that the company ends. Nobody waits for one that waits, so nobody waits for ever.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager


class Solitude:
    def __init__(self) -> None:
        self._in_company = 0
        self._turns: deque[asyncio.Future[None]] = deque()
        """The first one is alone once it is done."""

    @property
    def is_wanted(self) -> bool:
        """True while an attempt is alone or waits for it: begin nothing new."""
        return bool(self._turns)

    @contextmanager
    def company(self) -> Iterator[None]:
        """Around everything that may be an attempt; not to be entered while solitude is wanted."""
        self._in_company += 1
        try:
            yield
        finally:
            self._in_company -= 1
            self._next_turn()

    @contextmanager
    def wanted(self) -> Iterator[Awaitable[None]]:
        """Inside `company`, which is left meanwhile. What it gives is awaited to be alone, until the block ends."""
        turn = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        self._in_company -= 1
        self._next_turn()
        try:
            yield turn
        finally:
            self._turns.remove(turn)
            self._in_company += 1

    def _next_turn(self) -> None:
        if self._turns and not self._in_company and not self._turns[0].done():
            self._turns[0].set_result(None)
