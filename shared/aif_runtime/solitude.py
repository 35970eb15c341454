"""Attempts that have their process for themselves.

An attempt whose predecessors took their workers down shall not take others with it. Everything that is under way is in company.
An attempt that is to be alone leaves the company and waits until nobody else is in it; several of them take turns. Whoever
begins new work looks at `is_wanted` first, so that the company ends. Nobody waits for one that waits, so nobody waits for ever.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Solitude:
    """One for each process, shared by its workers."""

    def __init__(self) -> None:
        self.begins = asyncio.Event()
        """Set while an attempt is alone or waits for it."""
        self.is_over = asyncio.Event()
        """Set while none is or does."""
        self.is_over.set()
        self._in_company = 0
        self._turns: deque[asyncio.Future[None]] = deque()
        """The first one is alone once it is done."""

    @property
    def is_wanted(self) -> bool:
        """True while an attempt is alone or waits for it: begin nothing new."""
        return bool(self._turns)

    def join_company(self) -> None:
        """Before anything that may be an attempt; not while solitude is wanted."""
        self._in_company += 1

    def leave_company(self) -> None:
        self._in_company -= 1
        self._next_turn()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """For somebody in company, who leaves it meanwhile. Wanted from now on; it begins when nothing else is under way."""
        turn = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        self.is_over.clear()
        self.begins.set()
        self.leave_company()
        try:
            await turn
            yield
        finally:
            self._turns.remove(turn)
            self.join_company()
            if not self._turns:
                self.begins.clear()
                self.is_over.set()

    def _next_turn(self) -> None:
        if self._turns and not self._in_company and not self._turns[0].done():
            self._turns[0].set_result(None)
