"""When an execution may start: the time that an order names, checked."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from aif_kam.database_time import DatabaseTime
from aif_kam.failures import invalid

FARTHEST = timedelta(days=366)
_Moment = Annotated[datetime, Meta(tz=True)]


async def start_time(text: str | None, time: DatabaseTime, *, field: str = "start_at") -> datetime | None:
    """The moment in UTC; None for at once, which a moment in the past means too.

    Raises InvalidInput naming `field`, and DatabaseUnavailable.
    """
    if text is None:
        return None
    moment, now = moment_of(text, field=field), await time.now()
    if moment <= now:
        return None
    if moment > now + FARTHEST:
        raise invalid(field, f"{text[:40]!r} is more than a year ahead", "name a time within a year; a schedule repeats")
    return moment


def moment_of(text: str, *, field: str) -> datetime:
    """The moment in UTC that an RFC 3339 time with an offset names. Raises InvalidInput naming `field`."""
    try:
        return msgspec.convert(text, _Moment).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError) as wrong:
        raise invalid(
            field, f"{text[:40]!r} is no time with an offset", "write it like 2026-12-24T18:00:00+01:00 or 2026-12-24T17:00:00Z"
        ) from wrong
