"""One side of the comparison: something that executions can be ordered from, and the processes that it consists of."""

import asyncio
import time
from collections.abc import Mapping
from typing import Protocol

from load.pipelines import Shape

ENDS_WITHIN_SECONDS = 120.0


class Side(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def pids(self) -> Mapping[str, int]:
        """Of its own processes and of the servers, by what they are."""
        ...

    async def execute(self, shape: Shape, seconds: float) -> float:
        """Milliseconds from the order until its end is known here. `seconds` is how long a stage sleeps, if it does."""
        ...


class Ends:
    """Who waits for the end of which execution."""

    def __init__(self) -> None:
        self._awaited: dict[str, asyncio.Future[float]] = {}

    def expect(self, execution_id: str) -> "asyncio.Future[float]":
        """Of a time as `perf_counter` tells it."""
        awaited = self._awaited[execution_id] = asyncio.get_running_loop().create_future()
        return awaited

    def ended(self, execution_id: str) -> None:
        awaited = self._awaited.pop(execution_id, None)
        if awaited is not None and not awaited.done():
            awaited.set_result(time.perf_counter())


async def until_end(awaited: "asyncio.Future[float]", execution_id: str) -> float:
    try:
        async with asyncio.timeout(ENDS_WITHIN_SECONDS):
            return await awaited
    except TimeoutError as late:
        raise NotEnded(execution_id) from late


class NotEnded(Exception):
    def __init__(self, execution_id: str) -> None:
        super().__init__(f"{execution_id} has not ended within {ENDS_WITHIN_SECONDS:g} s")
