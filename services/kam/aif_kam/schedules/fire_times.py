"""When a schedule is due: a cron expression in a time zone.

Five fields as Debian's cron reads them, and with them its way through changes of the clock: what is due at a fixed time that
the change leaps over is due right after it; what falls into the hour that comes twice is due once. What is due at least every
hour goes by elapsed time. All moments here are in UTC.
"""

import zoneinfo
from datetime import UTC, datetime, timedelta

from cronsim import CronSim, CronSimError
from msgspec import Struct

from aif_contracts.orders import FieldMistake
from aif_kam.failures import InvalidInput
from aif_kam.time_zones import zone_mistake

FIELDS = 5
_MEND = "write five fields: minute hour day-of-month month day-of-week, for example 30 6 * * MON-FRI"
_SHORTEST_PAUSE = timedelta(seconds=30)
"""Less than there is between two due times."""


class Rhythm(Struct, frozen=True, kw_only=True):
    """What has been checked: an expression that is due some day, in a zone that exists."""

    cron: str
    timezone: str


def checked_rhythm(cron: str, timezone: str, *, now: datetime) -> Rhythm:
    """Raises InvalidInput naming `cron` and `timezone`."""
    normal = " ".join(cron.split())
    mistakes = [wrong for wrong in (_cron_mistake(normal, now), zone_mistake(timezone)) if wrong is not None]
    if mistakes:
        raise InvalidInput("; ".join(f"{mistake.field}: {mistake.message}" for mistake in mistakes), mistakes=mistakes)
    return Rhythm(cron=normal, timezone=timezone)


def next_due(rhythm: Rhythm, after: datetime) -> datetime | None:
    """The first due time after a moment, None when there is none within fifty years."""
    return _first(rhythm.cron, after, zoneinfo.ZoneInfo(rhythm.timezone))


def newest_due(rhythm: Rhythm, first: datetime, now: datetime) -> datetime:
    """The newest due time up to now, given one that has passed."""
    newest, silent = first, now
    # Nothing is due after `silent` up to now: halve what lies between, so that a long outage costs no more than a short one.
    while silent - newest > _SHORTEST_PAUSE:
        middle = newest + (silent - newest) / 2
        due = next_due(rhythm, middle)
        if due is not None and due <= now:
            newest = due
        else:
            silent = middle
    return newest


def _first(cron: str, after: datetime, zone: zoneinfo.ZoneInfo) -> datetime | None:
    start = after
    while True:
        seen: datetime | None = None
        for local in CronSim(_once_a_day(cron), start.astimezone(zone)):
            due = local.astimezone(UTC)
            # In the hour that comes twice, the same wall time may lie behind us.
            if due > after:
                return due
            if seen is not None and due <= seen:
                # Where a clock is put back in the middle of an hour, the library goes round in the hour before for ever.
                break
            seen = due
        else:
            return None
        start = _before_next_hour(start, zone)


def _before_next_hour(moment: datetime, zone: zoneinfo.ZoneInfo) -> datetime:
    """The last second of an hour of the wall clock, later than the moment."""
    local = moment.astimezone(zone)
    seconds = 3599 - 60 * local.minute - local.second
    return moment.replace(microsecond=0) + timedelta(seconds=seconds or 3600)


def _once_a_day(cron: str) -> str:
    """`*/24` hours, or more, are midnight. A step goes by elapsed time, which would miss midnight where a change of the clock
    takes half an hour."""
    fields = cron.split()
    if (step := fields[1].removeprefix("*/")) != fields[1] and step.isdecimal() and int(step) >= 24:
        fields[1] = "0"
    return " ".join(fields)


def _cron_mistake(cron: str, now: datetime) -> FieldMistake | None:
    count = len(cron.split())
    if count != FIELDS:
        return _no_cron(f"{cron[:60]!r} has {count} fields, but five are due")
    try:
        due = _first(cron, now, zoneinfo.ZoneInfo("UTC"))
    except CronSimError as wrong:
        return _no_cron(f"{cron[:60]!r} cannot be read: {str(wrong).lower()}")
    return None if due is not None else _no_cron(f"{cron[:60]!r} is not due within the next fifty years")


def _no_cron(message: str) -> FieldMistake:
    return FieldMistake(field="cron", message=message, mend=_MEND)
