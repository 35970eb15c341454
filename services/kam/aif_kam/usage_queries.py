"""Questions about usage as they stand in an address: times, dimensions, filters."""

import re
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from aif_contracts.orders import FieldMistake
from aif_contracts.usage import MONTH_PATTERN, UsageDimension, UsageFilter, UsageOrder, UsageQuery
from aif_kam.failures import InvalidInput, invalid
from aif_runtime.clock import rfc3339

MOST_DIMENSIONS = 3
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MONTH = re.compile(MONTH_PATTERN)


class AskedUsage(Struct, frozen=True, kw_only=True):
    """As it was written."""

    client_id: str | None
    since: str | None
    until: str | None
    group_by: str
    where: UsageFilter = UsageFilter()
    order: UsageOrder = UsageOrder.KEY
    cursor: str | None = None
    limit: int = 100


def usage_query(asked: AskedUsage, *, now: datetime) -> UsageQuery:
    """Without times it is this month up to now. Raises InvalidInput with all wrong fields."""
    mistakes: list[FieldMistake] = []
    dimensions = _dimensions(asked.group_by, mistakes)
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    # The next second, so that what has just been written is in it.
    default_until = now + timedelta(seconds=1)
    since = _moment("from", asked.since, today.replace(day=1), mistakes)
    until = _moment("to", asked.until, default_until, mistakes)
    if mistakes:
        raise InvalidInput("; ".join(f"{each.field}: {each.message}" for each in mistakes), mistakes=mistakes)
    return UsageQuery(
        client_id=asked.client_id,
        since=since,
        until=until,
        group_by=dimensions,
        where=asked.where,
        order=asked.order,
        cursor=asked.cursor,
        limit=asked.limit,
    )


def named_month(text: str | None, *, now: datetime) -> str:
    """As 2026-11; the current one when none is named. Raises InvalidInput."""
    if text is None:
        return now.astimezone(UTC).strftime("%Y-%m")
    if _MONTH.fullmatch(text) is None:
        raise invalid("month", f"{text[:40]!r} is no month", "write it as 2026-11")
    return text


def _dimensions(text: str, mistakes: list[FieldMistake]) -> tuple[UsageDimension, ...]:
    names = [name.strip() for name in text.split(",")]
    known = {each.value: each for each in UsageDimension}
    unknown = [name for name in names if name not in known]
    if unknown or len(set(names)) < len(names) or len(names) > MOST_DIMENSIONS:
        wrong = f"{unknown[0][:40]!r} is nothing to group by" if unknown else f"{text[:80]!r} are not up to three different"
        mistakes.append(FieldMistake(field="group_by", message=wrong, mend=f"use one to three of {', '.join(known)}"))
        return ()
    return tuple(known[name] for name in names)


def _moment(field: str, text: str | None, default: datetime, mistakes: list[FieldMistake]) -> str:
    if text is None:
        return rfc3339(default)
    # A `+` in an address arrives as a space.
    written = text.replace(" ", "+") if not _DAY.fullmatch(text) else f"{text}T00:00:00+00:00"
    try:
        return rfc3339(datetime.fromisoformat(written))
    except (ValueError, OverflowError):
        mend = "write a day as 2026-11-21, or a time with an offset as 2026-11-21T09:00:00Z"
        mistakes.append(FieldMistake(field=field, message=f"{text[:40]!r} is no time", mend=mend))
        return ""
