"""The gateway's long-running parts besides its HTTP port: orders and events from the bus, and what has to be asked again."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import msgspec
import structlog

from aif_contracts import subjects
from aif_contracts.pipelines import PipelinesChanged
from aif_kam.audit_outbox import AuditOutbox
from aif_kam.batches.dispatch import BatchDispatch
from aif_kam.bus_orders import REQUESTS_CONSUMER, BusOrders
from aif_kam.configuration.push import ConfigurationPush
from aif_kam.failures import Unavailable
from aif_kam.request_tracker import EVENTS_CONSUMER, RequestTracker
from aif_kam.schedules.firings import Firings
from aif_kam.source_collection import SourceCollection
from aif_kam.submissions import Submissions
from aif_kam.template_catalogue import TemplateCatalogue
from aif_runtime.bus import Bus, ConsumerSpec, Delivery
from aif_runtime.decoding import decode
from aif_runtime.failures import RuntimeFailure

FETCH_SECONDS = 1.0
"""How long an idle consumer takes to see that the process ends."""
EVENTS_AT_ONCE = 256
ORDERS_AT_ONCE = 16
SWEEP_SECONDS = 2.0
DUE_SECONDS = 1.0
"""Schedules are due on whole minutes, and ordered so much later at most."""
LOOK_SECONDS = 1.0
"""How long what another gateway left unpushed or untold, or the broker lost of the configuration, waits at most."""
PAUSE_SECONDS = 1.0
"""After a failure; what failed comes again."""
COLLECT_SECONDS = 3600.0
_CHANGED = msgspec.json.Decoder(PipelinesChanged)
_log = structlog.get_logger()


async def run_orders(stop: asyncio.Event, *, bus: Bus, orders: BusOrders, fetch_seconds: float = FETCH_SECONDS) -> None:
    """Orders from the bus, several at once."""

    async def take(batch: Sequence[Delivery]) -> None:
        await asyncio.gather(*(_guarded("order", partial(orders.take, delivery)) for delivery in batch))

    await _consume(stop, bus, REQUESTS_CONSUMER, take, at_once=ORDERS_AT_ONCE, fetch_seconds=fetch_seconds)


async def run_events(stop: asyncio.Event, *, bus: Bus, tracker: RequestTracker, fetch_seconds: float = FETCH_SECONDS) -> None:
    """Events from the bus to the requests that they are of."""
    await _consume(stop, bus, EVENTS_CONSUMER, tracker.apply_events, at_once=EVENTS_AT_ONCE, fetch_seconds=fetch_seconds)


async def run_template_news(stop: asyncio.Event, *, bus: Bus, catalogue: TemplateCatalogue) -> None:
    """What was stored through other gateways: a list that is remembered here does not have it."""

    async def follow() -> None:
        async with bus.listen(subjects.PIPELINES_CHANGED) as news:
            # What was told before has not been heard here.
            catalogue.forget(None)
            while not stop.is_set():
                if (told := await news.next(FETCH_SECONDS)) is not None:
                    catalogue.forget(decode(_CHANGED, told.payload).owner)

    while not stop.is_set():
        if not await _guarded("template_news", follow):
            await _pause(stop, PAUSE_SECONDS)


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


async def run_schedules(stop: asyncio.Event, *, firings: Firings, due_seconds: float = DUE_SECONDS) -> None:
    """What is due of the schedules, several at once."""
    found = 0

    async def fire_due() -> None:
        nonlocal found
        found = 0
        taken = await firings.take()
        await asyncio.gather(*(_guarded("firing", partial(firings.fire, firing)) for firing in taken))
        found = len(taken)

    while not stop.is_set():
        await _guarded("schedules", fire_due)
        if not found:
            await _pause(stop, due_seconds)


async def run_batches(
    stop: asyncio.Event, *, dispatch: BatchDispatch, work: asyncio.Event, sweep_seconds: float = SWEEP_SECONDS
) -> None:
    """What is to be submitted and cancelled of batches: at once when `work` is set, and what a dead gateway left, soon."""
    done = 0

    async def submit() -> None:
        nonlocal done
        done += await dispatch.submit_some()

    async def cancel() -> None:
        nonlocal done
        done += await dispatch.cancel_some()

    while not stop.is_set():
        done = 0
        work.clear()
        went_well = [await _guarded("cancel", cancel), await _guarded("submit", submit)]
        if not done or not all(went_well):
            await _pause(stop, sweep_seconds, work)


async def run_configuration(
    stop: asyncio.Event, *, push: ConfigurationPush, work: asyncio.Event, look_seconds: float = LOOK_SECONDS
) -> None:
    """What is configured to the bucket: at once when `work` is set, and what a dead gateway or the broker lost, soon."""
    while not stop.is_set():
        work.clear()
        await _guarded("configuration", push.follow)
        await _guarded("configuration_mending", push.mend)
        await _pause(stop, look_seconds, work)


async def run_audit(
    stop: asyncio.Event, *, outbox: AuditOutbox, work: asyncio.Event, look_seconds: float = LOOK_SECONDS
) -> None:
    """What was done to the audit log: at once when `work` is set, and what a dead gateway left, soon."""
    while not stop.is_set():
        work.clear()
        await _guarded("audit", outbox.tell)
        await _guarded("audit_tidying", outbox.tidy)
        await _pause(stop, look_seconds, work)


async def run_collection(stop: asyncio.Event, *, collection: SourceCollection) -> None:
    """Every hour the sources that nobody needs, in chunks with pauses."""
    has_more = False

    async def collect() -> None:
        nonlocal has_more
        has_more = False
        has_more = await collection.collect()

    while not stop.is_set():
        await _guarded("collection", collect)
        await _pause(stop, PAUSE_SECONDS if has_more else COLLECT_SECONDS)


async def _consume(
    stop: asyncio.Event,
    bus: Bus,
    spec: ConsumerSpec,
    take: Callable[[Sequence[Delivery]], Awaitable[None]],
    *,
    at_once: int,
    fetch_seconds: float,
) -> None:
    deliveries = await bus.open_consumer(spec)

    async def step() -> None:
        if batch := await deliveries.fetch(at_once, fetch_seconds):
            await take(batch)

    while not stop.is_set():
        if not await _guarded(spec.durable, step):
            await _pause(stop, PAUSE_SECONDS)
    await deliveries.close()


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


async def _pause(stop: asyncio.Event, seconds: float, work: asyncio.Event | None = None) -> None:
    """Until the time is over, the process ends, or there is work."""
    signs = [asyncio.ensure_future(event.wait()) for event in (stop, work) if event is not None]
    try:
        await asyncio.wait(signs, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for sign in signs:
            sign.cancel()
        await asyncio.gather(*signs, return_exceptions=True)
