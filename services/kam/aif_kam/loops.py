"""The gateway's long-running parts besides its HTTP port: orders and events from the bus, and what has to be asked again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from aif_kam.bus_orders import REQUESTS_CONSUMER, BusOrders
from aif_kam.failures import Unavailable
from aif_kam.request_tracker import EVENTS_CONSUMER, RequestTracker
from aif_kam.submissions import Submissions
from aif_runtime.bus import Bus, Delivery
from aif_runtime.failures import RuntimeFailure

FETCH_SECONDS = 1.0
"""How long an idle consumer takes to see that the process ends."""
EVENTS_AT_ONCE = 256
ORDERS_AT_ONCE = 16
SWEEP_SECONDS = 2.0
PAUSE_SECONDS = 1.0
"""After a failure; what failed comes again."""
_log = structlog.get_logger()

T = TypeVar("T")


async def run_orders(stop: asyncio.Event, *, bus: Bus, orders: BusOrders, fetch_seconds: float = FETCH_SECONDS) -> None:
    """Orders from the bus, several at once."""

    async def take(delivery: Delivery) -> None:
        await _guarded("order", lambda: orders.take(delivery))

    deliveries = await _opened(stop, lambda: bus.open_consumer(REQUESTS_CONSUMER))
    while not stop.is_set() and deliveries is not None:

        async def step() -> None:
            batch = await deliveries.fetch(ORDERS_AT_ONCE, fetch_seconds)
            await asyncio.gather(*(take(delivery) for delivery in batch))

        if not await _guarded("orders", step):
            await _pause(stop, PAUSE_SECONDS)
    if deliveries is not None:
        await deliveries.close()


async def run_events(stop: asyncio.Event, *, bus: Bus, tracker: RequestTracker, fetch_seconds: float = FETCH_SECONDS) -> None:
    """Events from the bus to the requests that they are of."""
    deliveries = await _opened(stop, lambda: bus.open_consumer(EVENTS_CONSUMER))
    while not stop.is_set() and deliveries is not None:

        async def step() -> None:
            batch = await deliveries.fetch(EVENTS_AT_ONCE, fetch_seconds)
            if batch:
                await tracker.apply_events(batch)

        if not await _guarded("events", step):
            await _pause(stop, PAUSE_SECONDS)
    if deliveries is not None:
        await deliveries.close()


async def run_sweeps(stop: asyncio.Event, *, submissions: Submissions, tracker: RequestTracker) -> None:
    """What was submitted without an answer, and what has not been heard of for a while."""

    async def sweep() -> None:
        await submissions.sweep()

    async def reconcile() -> None:
        await tracker.reconcile()

    while not stop.is_set():
        await _guarded("sweep", sweep)
        await _guarded("reconcile", reconcile)
        await _pause(stop, SWEEP_SECONDS)


async def _guarded(what: str, step: Callable[[], Awaitable[None]]) -> bool:
    """Whether a step went well. The outermost loop: no failure of one step ends the process."""
    try:
        await step()
    except (RuntimeFailure, Unavailable) as failure:
        _log.warning("step_failed", step=what, code=failure.code, reason=str(failure))
        return False
    except Exception:  # noqa: BLE001 the outermost loop
        _log.exception("step_broke", step=what)
        return False
    return True


async def _opened(stop: asyncio.Event, open_it: Callable[[], Awaitable[T]]) -> T | None:
    """The opened thing, as soon as the broker allows; None when the process ends before."""
    while not stop.is_set():
        try:
            return await open_it()
        except RuntimeFailure as failure:
            _log.warning("consumer_not_opened", code=failure.code, reason=str(failure))
            await _pause(stop, PAUSE_SECONDS)
    return None


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
