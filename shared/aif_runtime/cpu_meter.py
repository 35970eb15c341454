"""CPU time of one piece of async work among many in the same process.

The work's coroutine is driven step by step, and the thread's CPU clock is read around every step; while it waits, nothing
counts. Threads that it uses through `run_in_thread` count, too. Tasks that it starts itself are driven by the loop and do not.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import ContextVar
from typing import Any, Generic, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class CpuMeter:
    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0
        """So far."""

    def measure(self, work: Coroutine[Any, Any, T]) -> Awaitable[T]:
        """Await the result in place of `work`."""
        return _Measured(work, self)


_meter_here: ContextVar[CpuMeter | None] = ContextVar("aif_cpu_meter", default=None)


async def run_in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking or long computing function in a thread; its CPU time counts for the work that awaits it."""
    meter = _meter_here.get()
    result, seconds = await asyncio.to_thread(lambda: _timed(lambda: function(*args, **kwargs)))
    if meter is not None:
        meter.seconds += seconds
    if isinstance(result, _Raised):
        raise result.error
    return result


def count_cpu(seconds: float) -> None:
    """Add what a child process of the work at hand has used; without a meter nothing happens."""
    meter = _meter_here.get()
    if meter is not None:
        meter.seconds += seconds


class _Raised:
    def __init__(self, error: Exception) -> None:
        self.error = error


def _timed(function: Callable[[], T]) -> tuple[T | _Raised, float]:
    started = time.thread_time()
    try:
        result: T | _Raised = function()
    except Exception as error:  # noqa: BLE001 carried over to the caller, with its CPU time
        result = _Raised(error)
    return result, time.thread_time() - started


class _Measured(Generic[T]):
    __slots__ = ("_meter", "_work")

    def __init__(self, work: Coroutine[Any, Any, T], meter: CpuMeter) -> None:
        self._work = work
        self._meter = meter

    def __await__(self) -> Generator[Any, Any, T]:
        work, meter, clock = self._work, self._meter, time.thread_time
        token = _meter_here.set(meter)
        try:
            sent: Any = None
            thrown: BaseException | None = None
            while True:
                started = clock()
                try:
                    awaited = work.send(sent) if thrown is None else work.throw(thrown)
                except StopIteration as end:
                    return end.value  # type: ignore[no-any-return]
                finally:
                    meter.seconds += clock() - started
                sent = thrown = None
                try:
                    sent = yield awaited
                except BaseException as error:  # noqa: BLE001 whatever the loop throws in belongs to the work
                    thrown = error
        finally:
            _meter_here.reset(token)
