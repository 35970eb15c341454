"""The shapes of HTTP bodies about schedules."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from aif_contracts.money import UsdText, usd_text
from aif_contracts.orders import ClientId, Name, Version
from aif_contracts.packets import Priority
from aif_kam.payloads import MaxCost, Message, request_path
from aif_kam.request_store import StoredProblem
from aif_kam.schedules.store import Outcome, Overlap, Schedule
from aif_runtime.clock import rfc3339


class ScheduleWish(Struct, frozen=True, kw_only=True):
    """An order and its rhythm; for a new schedule, or in place of what one was."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    selected_template: Name
    cron: Annotated[str, Meta(max_length=200)]
    """Five fields: minute, hour, day of month, month, day of week."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """As an order's. A `source_text` is stored once, and named by its id from then on."""
    timezone: Annotated[str, Meta(max_length=64)] = "UTC"
    """Name in the IANA database; it says when the clocks change."""
    urgency_level: Priority = Priority.NORMAL
    message: Message = ""
    overlap: Overlap = Overlap.SKIP
    """`skip`: not ordered while the execution before has not ended."""
    workspace_id: ClientId | None = None
    max_cost_usd: MaxCost | None = None
    """Of each execution."""
    template_version: Version | None = None
    """Left out, it is the newest at each due time."""
    client_id: ClientId | None = None
    """The key's own client when left out; an admin key names one for a new schedule."""


class ScheduleView(Struct, frozen=True, kw_only=True):
    schedule_id: str
    client_id: str
    name: str
    status: Literal["active", "paused"]
    selected_template: str
    template_version: str | None
    """None for the newest at each due time."""
    parameters: dict[str, Any]
    cron: str
    timezone: str
    urgency_level: Priority
    message: str
    overlap: Overlap
    workspace_id: str | None
    max_cost_usd: UsdText | None
    """What each execution may spend; None for the operator's limit."""
    next_at: str | None
    """None while paused."""
    last_outcome: Outcome | None
    """What came of the newest due time."""
    last_fired_at: str | None
    """The newest due time that was ordered."""
    last_request_id: str | None
    last_execution_id: str | None
    last_skipped_at: str | None
    last_problem: StoredProblem | None
    """Why the newest order was refused."""
    fired_count: int
    skipped_count: int
    """Due times without an order: the execution before had not ended, or the orchestrator was away until the next one."""
    created_at: str
    updated_at: str
    links: dict[str, str]


class SchedulePage(Struct, frozen=True, kw_only=True):
    schedules: tuple[ScheduleView, ...]
    next_cursor: str | None


def schedule_path(schedule_id: str) -> str:
    return f"/api/kam/schedules/{schedule_id}"


def schedule_view(schedule: Schedule) -> ScheduleView:
    order, history = schedule.order, schedule.history
    links = {"self": schedule_path(schedule.schedule_id)}
    if history.last_request_id is not None:
        links["last_request"] = request_path(history.last_request_id)
    return ScheduleView(
        schedule_id=schedule.schedule_id,
        client_id=schedule.client_id,
        name=order.name,
        status="active" if schedule.paused_at is None else "paused",
        selected_template=order.selected_template,
        template_version=order.template_version,
        parameters=order.parameters,
        cron=order.rhythm.cron,
        timezone=order.rhythm.timezone,
        urgency_level=order.urgency_level,
        message=order.message,
        overlap=order.overlap,
        workspace_id=order.workspace_id,
        max_cost_usd=None if order.max_cost_usd is None else usd_text(order.max_cost_usd),
        next_at=None if schedule.next_at is None else rfc3339(schedule.next_at),
        last_outcome=history.last_outcome,
        last_fired_at=None if history.last_fired_at is None else rfc3339(history.last_fired_at),
        last_request_id=history.last_request_id,
        last_execution_id=history.last_execution_id,
        last_skipped_at=None if history.last_skipped_at is None else rfc3339(history.last_skipped_at),
        last_problem=history.last_problem,
        fired_count=history.fired_count,
        skipped_count=history.skipped_count,
        created_at=rfc3339(schedule.created_at),
        updated_at=rfc3339(schedule.updated_at),
        links=links,
    )
