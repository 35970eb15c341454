"""`aif schedules`: orders that repeat."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct, field
from rich.console import Console
from rich.text import Text

from aif_console.exit_codes import DONE
from aif_console.failures import BadInput
from aif_console.gateway.gateway import Gateway
from aif_console.gateway.ids import checked_id, checked_name
from aif_console.gateway.reach import Reach
from aif_console.gateway.schedules import (
    NewSchedule,
    ScheduleAnswer,
    add_schedule,
    list_schedules,
    pause_schedule,
    read_schedule,
    remove_schedule,
    replace_schedule,
    resume_schedule,
)
from aif_console.moments import local_time
from aif_console.parameters import SOURCE, SourceUploads, schema_of, typed
from aif_console.reading.columns import Columns
from aif_console.reading.hanging import rows
from aif_console.reading.json_output import print_json
from aif_console.reading.plain_text import counted, dollars, plain
from aif_contracts.money import UsdText

KIND = "sched"
LISTED_BY = "aif schedules"
HEADINGS = ("SCHEDULE", "CRON", "NEXT", "LAST", "NAME AND TEMPLATE")


class ScheduleWish(Struct, frozen=True, kw_only=True):
    """What the command line of `aif schedules add` asks for."""

    name: str
    template: str
    cron: str
    timezone: str
    texts: Mapping[str, str]
    """Parameters, as they were typed."""
    source: Path | None
    urgency: str
    overlap: str
    max_cost_usd: UsdText | None
    """Of each execution; None for the operator's limit."""
    version: str | None
    """None for the newest of the template at each due time."""


class ScheduleChange(Struct, frozen=True, kw_only=True):
    """What the command line of `aif schedules change` asks for. None leaves something as it is."""

    name: str | None = None
    template: str | None = None
    cron: str | None = None
    timezone: str | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    """Parameters to set, as they were typed; the others stay."""
    without: frozenset[str] = frozenset()
    """Parameters to leave to the template."""
    source: Path | None = None
    urgency: str | None = None
    overlap: str | None = None
    max_cost_usd: UsdText | None = None
    without_limit: bool = False
    """Back to the operator's limit."""
    version: str | None = None
    newest_version: bool = False
    """Back to the newest version at each due time."""

    def check(self) -> None:
        """Raises BadInput for what changes nothing, or cannot be meant."""
        if self == ScheduleChange():
            raise BadInput("change", "nothing is to be changed", "name what, such as --cron; `aif schedules change --help`")
        if self.template is not None:
            checked_name(self.template, "--template")
        both = sorted(self.without & ({*self.texts} | ({SOURCE} if self.source is not None else set())))
        if both:
            raise BadInput("--without", f"{both[0]} is given, too", "keep one of them")
        if self.without_limit and self.max_cost_usd is not None:
            raise BadInput("--no-max-cost", "--max-cost is given, too", "keep one of them")
        if self.newest_version and self.version is not None:
            raise BadInput("--newest-version", "--version is given, too", "keep one of them")

    def version_after(self, before: ScheduleAnswer) -> str | None:
        """A version is one of its template: with another template it is the newest, unless one is named."""
        if self.newest_version or self.version is not None:
            return self.version
        return before.template_version if self.template in (None, before.selected_template) else None


async def run_schedules(reach: Reach, console: Console, *, limit: int, as_json: bool) -> int:
    """The newest ones."""
    async with Gateway(reach.url, reach.key) as gateway:
        page = await list_schedules(gateway, limit=limit)
    if as_json:
        print_json(console, page)
    elif not page.schedules:
        _say(console, "there is no schedule")
    else:
        console.print(Columns(HEADINGS, (_cells(schedule) for schedule in page.schedules)), soft_wrap=True)
    return DONE


async def run_show_schedule(schedule_id: str, reach: Reach, console: Console, *, as_json: bool) -> int:
    """One of them, with how it went so far."""
    async with Gateway(reach.url, reach.key) as gateway:
        schedule = await read_schedule(gateway, checked_id(schedule_id, KIND, LISTED_BY))
    if as_json:
        print_json(console, schedule)
    else:
        console.print(rows(_facts(schedule)), soft_wrap=True)
    return DONE


async def run_add_schedule(wish: ScheduleWish, reach: Reach, console: Console, *, as_json: bool) -> int:
    """Check it like an order and keep it."""
    async with Gateway(reach.url, reach.key) as gateway:
        parameters = typed(wish.texts, await schema_of(gateway, checked_name(wish.template, "TEMPLATE"), wish.version))
        if wish.source is not None:
            uploads = SourceUploads(gateway, wish.template, wish.version)
            parameters[SOURCE] = await uploads.id_of(wish.source, "--source")
        schedule = await add_schedule(
            gateway,
            NewSchedule(
                name=wish.name,
                selected_template=wish.template,
                parameters=parameters,
                cron=wish.cron,
                timezone=wish.timezone,
                urgency_level=wish.urgency,
                message=wish.name,
                overlap=wish.overlap,
                max_cost_usd=wish.max_cost_usd,
                template_version=wish.version,
            ),
        )
    return _told(schedule, console, as_json=as_json)


async def run_change_schedule(
    schedule_id: str, change: ScheduleChange, reach: Reach, console: Console, *, as_json: bool
) -> int:
    """Another order or rhythm; what is not named stays as it is."""
    change.check()
    async with Gateway(reach.url, reach.key) as gateway:
        before = await read_schedule(gateway, checked_id(schedule_id, KIND, LISTED_BY))
        template, version = _chosen(change.template, before.selected_template), change.version_after(before)
        parameters = {name: value for name, value in before.parameters.items() if name not in change.without}
        if change.texts:
            parameters |= typed(change.texts, await schema_of(gateway, template, version))
        if change.source is not None:
            uploads = SourceUploads(gateway, template, version)
            parameters[SOURCE] = await uploads.id_of(change.source, "--source")
        name = _chosen(change.name, before.name)
        schedule = await replace_schedule(
            gateway,
            schedule_id,
            NewSchedule(
                name=name,
                selected_template=template,
                parameters=parameters,
                cron=_chosen(change.cron, before.cron),
                timezone=_chosen(change.timezone, before.timezone),
                urgency_level=_chosen(change.urgency, before.urgency_level),
                message=name if before.message == before.name else before.message,
                overlap=_chosen(change.overlap, before.overlap),
                max_cost_usd=None if change.without_limit else change.max_cost_usd or before.max_cost_usd,
                template_version=version,
                workspace_id=before.workspace_id,
            ),
        )
    return _told(schedule, console, as_json=as_json)


async def run_pause_schedule(schedule_id: str, reach: Reach, console: Console, *, as_json: bool) -> int:
    """Order nothing until it is resumed."""
    async with Gateway(reach.url, reach.key) as gateway:
        schedule = await pause_schedule(gateway, checked_id(schedule_id, KIND, LISTED_BY))
    return _told(schedule, console, as_json=as_json)


async def run_resume_schedule(schedule_id: str, reach: Reach, console: Console, *, as_json: bool) -> int:
    """Go on from now."""
    async with Gateway(reach.url, reach.key) as gateway:
        schedule = await resume_schedule(gateway, checked_id(schedule_id, KIND, LISTED_BY))
    return _told(schedule, console, as_json=as_json)


async def run_remove_schedule(schedule_id: str, reach: Reach, console: Console, *, as_json: bool) -> int:
    """Its requests stay."""
    async with Gateway(reach.url, reach.key) as gateway:
        schedule = await remove_schedule(gateway, checked_id(schedule_id, KIND, LISTED_BY))
    if as_json:
        print_json(console, schedule)
    else:
        _say(console, f"{schedule.schedule_id} ({schedule.name}) is removed; what it ordered stays")
    return DONE


def _chosen(new: str | None, old: str) -> str:
    return old if new is None else new


def _told(schedule: ScheduleAnswer, console: Console, *, as_json: bool) -> int:
    if as_json:
        print_json(console, schedule)
    else:
        when = f", next at {local_time(schedule.next_at)}" if schedule.next_at is not None else ""
        _say(console, f"{schedule.schedule_id} ({schedule.name}) is {schedule.status}{when}")
    return DONE


def _cells(schedule: ScheduleAnswer) -> tuple[str, ...]:
    return (
        schedule.schedule_id,
        f"{schedule.cron} {schedule.timezone}",
        schedule.status if schedule.next_at is None else local_time(schedule.next_at)[:16],
        schedule.last_outcome or "",
        f"{schedule.name}: {schedule.selected_template}",
    )


def _facts(schedule: ScheduleAnswer) -> list[tuple[str, str]]:
    problem = schedule.last_problem
    return [
        ("Schedule", f"{schedule.schedule_id}, {schedule.status}"),
        ("Name", schedule.name),
        ("Template", f"{schedule.selected_template} {schedule.template_version or ''}".strip()),
        ("Parameters", msgspec.json.encode(schedule.parameters).decode()),
        ("Cron", f"{schedule.cron} in {schedule.timezone}; overlapping orders: {schedule.overlap}"),
        ("Limit", "" if schedule.max_cost_usd is None else f"{dollars(schedule.max_cost_usd)} for each order"),
        ("Next", local_time(schedule.next_at)),
        ("Last", f"{local_time(schedule.last_fired_at)} {schedule.last_request_id or ''}".strip()),
        ("Outcome", schedule.last_outcome or ""),
        ("Problem", "" if problem is None else f"{problem.code}: {problem.message}"),
        ("So far", f"{counted(schedule.fired_count, 'order')}, {schedule.skipped_count} skipped"),
    ]


def _say(console: Console, words: str) -> None:
    console.print(Text(plain(words)), soft_wrap=True)
