"""Schedules: orders that are placed again and again."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from aif_console.gateway.answers import WhyNot
from aif_console.gateway.gateway import Gateway, once, without_none
from aif_contracts.money import UsdText

SCHEDULES = "/api/kam/schedules"


class NewSchedule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """As it is sent."""

    name: str
    selected_template: str
    parameters: Mapping[str, Any]
    cron: str
    timezone: str
    urgency_level: str
    message: str
    overlap: str
    """`skip`: not ordered while the execution before has not ended; `allow`: ordered all the same."""
    max_cost_usd: UsdText | None = None
    """What each execution may spend; None for the operator's limit."""
    template_version: str | None = None
    """None for the newest at each due time."""
    workspace_id: str | None = None


class ScheduleAnswer(Struct, frozen=True, kw_only=True):
    schedule_id: str
    name: str
    status: str
    selected_template: str
    parameters: dict[str, Any]
    cron: str
    timezone: str
    overlap: str
    urgency_level: str = "normal"
    message: str = ""
    template_version: str | None = None
    workspace_id: str | None = None
    max_cost_usd: UsdText | None = None
    next_at: str | None = None
    """None while paused."""
    last_outcome: str | None = None
    last_fired_at: str | None = None
    last_request_id: str | None = None
    last_execution_id: str | None = None
    last_problem: WhyNot | None = None
    fired_count: int = 0
    skipped_count: int = 0


class SchedulePage(Struct, frozen=True, kw_only=True):
    schedules: tuple[ScheduleAnswer, ...]
    next_cursor: str | None = None


async def list_schedules(gateway: Gateway, *, limit: int) -> SchedulePage:
    """Newest first."""
    return await gateway.ask("GET", SCHEDULES, SchedulePage, params=without_none(limit=limit))


async def read_schedule(gateway: Gateway, schedule_id: str) -> ScheduleAnswer:
    return await gateway.ask("GET", f"{SCHEDULES}/{schedule_id}", ScheduleAnswer)


async def add_schedule(gateway: Gateway, schedule: NewSchedule) -> ScheduleAnswer:
    """One schedule, however often it has to be sent."""
    return await gateway.ask("POST", SCHEDULES, ScheduleAnswer, headers=once(), json=_body(schedule))


async def replace_schedule(gateway: Gateway, schedule_id: str, schedule: NewSchedule) -> ScheduleAnswer:
    """In place of what it was; what is due next is reckoned anew."""
    return await gateway.ask("PUT", f"{SCHEDULES}/{schedule_id}", ScheduleAnswer, json=_body(schedule))


async def pause_schedule(gateway: Gateway, schedule_id: str) -> ScheduleAnswer:
    return await gateway.ask("POST", f"{SCHEDULES}/{schedule_id}/pause", ScheduleAnswer, headers=once())


async def resume_schedule(gateway: Gateway, schedule_id: str) -> ScheduleAnswer:
    """From now on; what was due meanwhile is not made up for."""
    return await gateway.ask("POST", f"{SCHEDULES}/{schedule_id}/resume", ScheduleAnswer, headers=once())


async def remove_schedule(gateway: Gateway, schedule_id: str) -> ScheduleAnswer:
    """Its requests stay."""
    return await gateway.ask("DELETE", f"{SCHEDULES}/{schedule_id}", ScheduleAnswer)


def _body(schedule: NewSchedule) -> Any:
    return msgspec.to_builtins(schedule)
