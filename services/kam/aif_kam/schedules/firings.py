"""Places the orders that are due, each due time once, whatever dies meanwhile.

1. One statement locks the schedules that are due, passing over those another replica has locked. What is due is reckoned from
   the database's clock: of several due times that have passed, the newest. It is noted as `firing_at`, the next one as
   `next_at`, and nobody else looks at the row for a while.
2. The order desk checks and stores the order; in the same transaction `firing_at` is cleared. So a due time is either ordered
   or still to be ordered, and two replicas that got to the same one, the first being slow, store one order.
3. The orchestrator is asked. An answer that does not come leaves the request `submitting`, like every order.

When the database's clock was set back, what is due next is reckoned anew: no schedule sleeps for as long as it was ahead, and
what was ordered for a time that comes again is not ordered for twice.

Without a first sign of life of the orchestrator nothing is stored: the due time is tried again until the next one overtakes it.
"""

import hashlib
from datetime import datetime
from functools import partial

import structlog
from msgspec import Struct

from aif_contracts.money import usd_text
from aif_kam.failures import FiringGone, KamFailure, KeyInFlight, Unavailable
from aif_kam.idempotency import KeyedCall
from aif_kam.orchestrator_client import OrchestratorClient
from aif_kam.order_desk import OrderDesk, Wish, WishedExecution
from aif_kam.request_store import ClientRequest, Origin
from aif_kam.request_tracker import RequestTracker
from aif_kam.schedules.fire_times import newest_due, next_due
from aif_kam.schedules.store import Due, Overlap, ScheduledOrder, ScheduleStore
from aif_kam.submissions import stored_problem
from aif_runtime.clock import rfc3339
from aif_runtime.failures import RuntimeFailure
from aif_runtime.postgres import Connection, Database
from aif_runtime.telemetry import Tracing

AT_ONCE = 16
LEASE_SECONDS = 30.0
"""Longer than an order takes to be placed; after it, another replica takes the due time of one that died."""
PUT_OFF_SECONDS = 5.0
_log = structlog.get_logger()


class Firing(Struct, frozen=True, kw_only=True):
    """A due time that is ours to order for."""

    schedule_id: str
    client_id: str
    order: ScheduledOrder
    due_at: datetime
    last_request_id: str | None


class Firings:
    def __init__(
        self,
        *,
        database: Database,
        schedules: ScheduleStore,
        desk: OrderDesk,
        tracker: RequestTracker,
        orchestrator: OrchestratorClient,
        tracing: Tracing,
    ) -> None:
        self._database = database
        self._schedules = schedules
        self._desk = desk
        self._tracker = tracker
        self._orchestrator = orchestrator
        self._tracing = tracing

    async def take(self) -> list[Firing]:
        """What is due and nobody is at, a few at most."""
        firings: list[Firing] = []
        async with self._database.transaction() as connection:
            for due in await self._schedules.lock_due(connection, AT_ONCE):
                if due.is_set_back:
                    await self._schedules.reckon(connection, due.schedule_id, _next_after_setting_back(due))
                else:
                    firings.append(await self._taken(connection, due))
        return firings

    async def fire(self, firing: Firing) -> None:
        """Order, skip, or note why not. Raises DatabaseUnavailable; then it is tried again."""
        attributes = {"aif.schedule_id": firing.schedule_id, "aif.due_at": rfc3339(firing.due_at)}
        with self._tracing.span("schedule", attributes=attributes):
            await self._fire(firing)

    async def _fire(self, firing: Firing) -> None:
        try:
            await self._orchestrator.be_there()
            if firing.order.overlap is Overlap.SKIP and await self._is_under_way(firing):
                await self._skip(firing)
                return
            await self._place(firing)
        except FiringGone:
            return
        except (Unavailable, KeyInFlight, RuntimeFailure) as away:
            _log.warning("firing_put_off", schedule_id=firing.schedule_id, code=away.code, reason=str(away))
            async with self._database.connection() as connection:
                await self._schedules.put_off(connection, firing.schedule_id, firing.due_at, PUT_OFF_SECONDS)
        except KamFailure as failure:
            _log.warning("firing_refused", schedule_id=firing.schedule_id, code=failure.code, reason=str(failure))
            async with self._database.connection() as connection:
                await self._schedules.mark_refused(connection, firing.schedule_id, firing.due_at, stored_problem(failure))

    async def _taken(self, connection: Connection, due: Due) -> Firing:
        came, missed = _come(due)
        await self._schedules.take_firing(
            connection,
            due.schedule_id,
            came,
            next_at=next_due(due.order.rhythm, came),
            missed_at=missed,
            lease_seconds=LEASE_SECONDS,
        )
        return Firing(
            schedule_id=due.schedule_id,
            client_id=due.client_id,
            order=due.order,
            due_at=came,
            last_request_id=due.last_request_id,
        )

    async def _is_under_way(self, firing: Firing) -> bool:
        if firing.last_request_id is None:
            return False
        last = await self._tracker.find(firing.last_request_id, firing.client_id)
        return not last.status.is_final

    async def _skip(self, firing: Firing) -> None:
        async with self._database.connection() as connection:
            await self._schedules.mark_skipped(connection, firing.schedule_id, firing.due_at)

    async def _place(self, firing: Firing) -> None:
        order = firing.order
        wish = Wish(
            client_id=firing.client_id,
            origin=Origin.SCHEDULE,
            message=order.message,
            urgency_level=order.urgency_level,
            workspace_id=order.workspace_id,
            schedule_id=firing.schedule_id,
        )
        execution = WishedExecution(
            template=order.selected_template,
            parameters=order.parameters,
            max_cost_usd=None if order.max_cost_usd is None else usd_text(order.max_cost_usd),
            template_version=order.template_version,
        )
        await self._desk.order(wish, execution, _call(firing), alongside=partial(self._enter, firing))

    async def _enter(self, firing: Firing, connection: Connection, request: ClientRequest) -> None:
        if not await self._schedules.mark_ordered(connection, firing.schedule_id, firing.due_at, request.request_id):
            raise FiringGone(f"{firing.schedule_id} is not to be ordered for {rfc3339(firing.due_at)} any more")


def _come(due: Due) -> tuple[datetime, datetime | None]:
    """The due time to order for, and an earlier one that it overtakes."""
    if due.next_at is not None and due.next_at <= due.seen_at:
        return newest_due(due.order.rhythm, due.next_at, due.seen_at), due.firing_at
    assert due.firing_at is not None
    return due.firing_at, None


def _next_after_setting_back(due: Due) -> datetime | None:
    """Not the time that was ordered for before it has come."""
    coming = next_due(due.order.rhythm, due.seen_at)
    return next_due(due.order.rhythm, coming) if coming is not None and coming == due.last_fired_at else coming


def _call(firing: Firing) -> KeyedCall:
    """A space keeps this key apart from those that clients choose."""
    key = f"{firing.schedule_id}@{rfc3339(firing.due_at)}"
    return KeyedCall(client_id=firing.client_id, key=f"schedule {key}", fingerprint=hashlib.sha256(key.encode()).hexdigest())
