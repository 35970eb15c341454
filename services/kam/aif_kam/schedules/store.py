"""Schedules in Postgres."""

import enum
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from aif_contracts.packets import Priority
from aif_kam.request_store import RequestStatus, StoredProblem
from aif_kam.schedules.fire_times import Rhythm
from aif_runtime.postgres import Connection, Record

_PARAMETERS = msgspec.json.Decoder(dict[str, Any])
_PROBLEM = msgspec.json.Decoder(StoredProblem)


class Overlap(enum.StrEnum):
    """What becomes of a due time while the execution before has not ended."""

    SKIP = "skip"
    ALLOW = "allow"


class Outcome(enum.StrEnum):
    """What came of a due time."""

    ORDERED = "ordered"
    SKIPPED = "skipped"
    """The execution before had not ended."""
    REFUSED = "refused"
    MISSED = "missed"
    """The orchestrator was away until the next one was due."""


class ScheduledOrder(Struct, frozen=True, kw_only=True):
    """What is ordered, and when."""

    name: str
    selected_template: str
    parameters: dict[str, Any]
    """As an order's, without `source_text`."""
    rhythm: Rhythm
    urgency_level: Priority
    message: str
    workspace_id: str | None
    overlap: Overlap
    max_cost_usd: Decimal | None
    template_version: str | None
    """None for the newest, whichever that is when it is due."""


class History(Struct, frozen=True, kw_only=True):
    """How it went so far."""

    last_outcome: Outcome | None
    last_fired_at: datetime | None
    last_request_id: str | None
    last_execution_id: str | None
    last_skipped_at: datetime | None
    last_problem: StoredProblem | None
    fired_count: int
    skipped_count: int


class Schedule(Struct, frozen=True, kw_only=True):
    schedule_id: str
    client_id: str
    order: ScheduledOrder
    history: History
    paused_at: datetime | None
    next_at: datetime | None
    """None while paused, and when it is not due any more within fifty years."""
    created_at: datetime
    updated_at: datetime


class Due(Struct, frozen=True, kw_only=True):
    """A schedule to look at, locked."""

    schedule_id: str
    client_id: str
    order: ScheduledOrder
    last_request_id: str | None
    next_at: datetime | None
    firing_at: datetime | None
    """Somebody began with this due time and did not end."""
    last_fired_at: datetime | None
    seen_at: datetime
    """By the database's clock."""
    is_set_back: bool
    """That clock, since `next_at` was reckoned."""


class ScheduleStore:
    def __init__(self, queries: Mapping[str, str]) -> None:
        self._sql = queries

    async def insert(
        self, connection: Connection, schedule_id: str, client_id: str, order: ScheduledOrder, next_at: datetime | None
    ) -> None:
        await connection.execute(self._sql["insert_schedule"], schedule_id, client_id, *_values(order), next_at)

    async def find(self, connection: Connection, schedule_id: str, client_id: str | None) -> Schedule | None:
        row = await connection.fetchrow(self._sql["find_schedule"], schedule_id, client_id)
        return None if row is None else _schedule(row)

    async def list_page(
        self, connection: Connection, *, client_id: str | None, before: str | None, limit: int
    ) -> list[Schedule]:
        return [_schedule(row) for row in await connection.fetch(self._sql["list_schedules"], client_id, before, limit)]

    async def replace(self, connection: Connection, schedule_id: str, order: ScheduledOrder, next_at: datetime | None) -> None:
        await connection.execute(self._sql["replace_schedule"], schedule_id, *_values(order), next_at)

    async def pause(self, connection: Connection, schedule_id: str) -> None:
        await connection.execute(self._sql["pause_schedule"], schedule_id)

    async def resume(self, connection: Connection, schedule_id: str, next_at: datetime | None) -> None:
        await connection.execute(self._sql["resume_schedule"], schedule_id, next_at)

    async def delete(self, connection: Connection, schedule_id: str) -> None:
        await connection.execute(self._sql["delete_schedule"], schedule_id)

    async def lock_due(self, connection: Connection, limit: int) -> list[Due]:
        return [_due(row) for row in await connection.fetch(self._sql["lock_due_schedules"], limit)]

    async def take_firing(
        self,
        connection: Connection,
        schedule_id: str,
        due_at: datetime,
        *,
        next_at: datetime | None,
        missed_at: datetime | None,
        lease_seconds: float,
    ) -> None:
        await connection.execute(self._sql["take_firing"], schedule_id, due_at, next_at, lease_seconds, missed_at)

    async def reckon(self, connection: Connection, schedule_id: str, next_at: datetime | None) -> None:
        await connection.execute(self._sql["reckon_schedule"], schedule_id, next_at)

    async def mark_ordered(self, connection: Connection, schedule_id: str, due_at: datetime, request_id: str) -> bool:
        """False when the due time is not to be ordered any more."""
        return await connection.fetchval(self._sql["mark_ordered"], schedule_id, due_at, request_id) is not None

    async def mark_skipped(self, connection: Connection, schedule_id: str, due_at: datetime) -> None:
        await connection.execute(self._sql["mark_skipped"], schedule_id, due_at)

    async def mark_refused(self, connection: Connection, schedule_id: str, due_at: datetime, problem: StoredProblem) -> None:
        await connection.execute(self._sql["mark_firing_refused"], schedule_id, due_at, msgspec.json.encode(problem))

    async def put_off(self, connection: Connection, schedule_id: str, due_at: datetime, seconds: float) -> None:
        await connection.execute(self._sql["put_off_firing"], schedule_id, due_at, seconds)


def _values(order: ScheduledOrder) -> Sequence[Any]:
    return (
        order.name,
        order.selected_template,
        msgspec.json.encode(order.parameters),
        order.rhythm.cron,
        order.rhythm.timezone,
        order.urgency_level,
        order.message,
        order.workspace_id,
        order.overlap,
        order.max_cost_usd,
        order.template_version,
    )


def _order(row: Record) -> ScheduledOrder:
    return ScheduledOrder(
        name=row["name"],
        selected_template=row["selected_template"],
        parameters=_PARAMETERS.decode(row["parameters"]),
        rhythm=Rhythm(cron=row["cron"], timezone=row["timezone"]),
        urgency_level=Priority(row["urgency_level"]),
        message=row["message"],
        workspace_id=row["workspace_id"],
        overlap=Overlap(row["overlap"]),
        max_cost_usd=row["max_cost_usd"],
        template_version=row["template_version"],
    )


def _schedule(row: Record) -> Schedule:
    return Schedule(
        schedule_id=row["schedule_id"],
        client_id=row["client_id"],
        order=_order(row),
        history=_history(row),
        paused_at=row["paused_at"],
        next_at=row["next_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _history(row: Record) -> History:
    outcome, problem = row["last_outcome"], row["last_problem"]
    if outcome == Outcome.ORDERED and row["last_request_status"] == RequestStatus.REFUSED:
        # The orchestrator's no, which may have come long after the order was placed.
        outcome, problem = Outcome.REFUSED, row["last_request_problem"]
    return History(
        last_outcome=None if outcome is None else Outcome(outcome),
        last_fired_at=row["last_fired_at"],
        last_request_id=row["last_request_id"],
        last_execution_id=row["last_execution_id"],
        last_skipped_at=row["last_skipped_at"],
        last_problem=None if problem is None else _PROBLEM.decode(problem),
        fired_count=row["fired_count"],
        skipped_count=row["skipped_count"],
    )


def _due(row: Record) -> Due:
    return Due(
        schedule_id=row["schedule_id"],
        client_id=row["client_id"],
        order=_order(row),
        last_request_id=row["last_request_id"],
        next_at=row["next_at"],
        firing_at=row["firing_at"],
        last_fired_at=row["last_fired_at"],
        seen_at=row["seen_at"],
        is_set_back=row["is_set_back"],
    )
