"""Who waits for one of a process's few connections to a database, in the order in which they came.

Whoever came first goes first at each of its questions, not at the first one alone. So of a thousand callers at once those in
front are done before the others have begun; question by question, all of them would still be on their way when the time of
all is over, and have stored half of what they wanted. Who was called by nobody, as a process's own loops, came before all.
"""

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar

from aif_runtime.failures import DatabaseUnavailable

_BEFORE_ALL = 0
_arrived = ContextVar("arrived", default=_BEFORE_ALL)
_arrivals = itertools.count(1)


@contextlib.contextmanager
def arriving() -> Iterator[None]:
    """A caller has come: what is asked for in the block is asked for after all who came before."""
    with _in_place(next(_arrivals)):
        yield


@contextlib.contextmanager
def before_all() -> Iterator[None]:
    """What is asked for in the block waits behind no caller, whoever asks."""
    with _in_place(_BEFORE_ALL):
        yield


@contextlib.contextmanager
def _in_place(number: int) -> Iterator[None]:
    before = _arrived.set(number)
    try:
        yield
    finally:
        _arrived.reset(before)


class ConnectionLine:
    def __init__(
        self,
        count: int,
        *,
        standing_seconds: float,
        patience_seconds: float,
        refusal: Callable[[bool], DatabaseUnavailable],
        behind: "ConnectionLine | None" = None,
    ) -> None:
        """One that has not moved for `standing_seconds` is left, and any after `patience_seconds`; `refusal` is told whether it
        has moved. Those in front of it wait `behind` another one, so it moves while that does."""
        self._refusal = refusal
        self._behind = behind
        self._free = count
        self._standing_seconds = standing_seconds
        self._patience_seconds = patience_seconds
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        """A heap; who has given up is still in it."""
        self._number = itertools.count()
        self._moved_at = 0.0

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Raises DatabaseUnavailable."""
        await self.enter()
        try:
            yield
        finally:
            self.leave()

    async def enter(self) -> None:
        """Take a place, to be left by `leave`. Raises DatabaseUnavailable."""
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (_arrived.get(), next(self._number), turn))
        try:
            await self._until(turn)
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.leave()
            turn.cancel()
            raise

    def leave(self) -> None:
        self._moved_at = asyncio.get_running_loop().time()
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    async def _until(self, turn: "asyncio.Future[None]") -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        gives_up_at = began + self._patience_seconds
        while not turn.done():
            now = loop.time()
            left_at = min(gives_up_at, max(began, self._last_moved()) + self._standing_seconds)
            if now < left_at:
                await asyncio.wait([turn], timeout=left_at - now)
                continue
            raise self._refusal(self._last_moved() > began)

    def _last_moved(self) -> float:
        return self._moved_at if self._behind is None else max(self._moved_at, self._behind._last_moved())
