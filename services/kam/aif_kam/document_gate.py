"""How many documents are in memory at a time: a few are read and stored, some wait for it, the others are turned away.

Those that wait are not in memory: an upload lies in its file, and texts out of orders are small.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aif_kam.uploads import too_many_documents

AT_ONCE = 2
WAITING = 50


class DocumentGate:
    def __init__(self, *, at_once: int = AT_ONCE, waiting: int = WAITING) -> None:
        self._places = at_once + waiting
        self._taken = 0
        self._slots = asyncio.Semaphore(at_once)

    @property
    def taken(self) -> int:
        """How many are inside or wait."""
        return self._taken

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """In one's turn. Raises Unavailable when too many wait."""
        if self._taken >= self._places:
            raise too_many_documents("too many documents wait to be read; try again")
        self._taken += 1
        try:
            async with self._slots:
                yield
        finally:
            self._taken -= 1
