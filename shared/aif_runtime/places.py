"""Places of which there are few, for readers who would take more than they may: who finds none waits, and not for long."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aif_runtime.failures import TooManyRead


class Places:
    """In front of a database."""

    def __init__(self, count: int, *, within_seconds: float, full: str) -> None:
        """`full` says what there is too much of."""
        self._free = asyncio.Semaphore(count)
        self._within_seconds = within_seconds
        self._full = full

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Raises TooManyRead when none gets free in time."""
        try:
            async with asyncio.timeout(self._within_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise TooManyRead(self._full) from None
        try:
            yield
        finally:
            self._free.release()
