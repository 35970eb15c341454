"""Times on the command line: `2026-05-01T09:00`, `09:00`, `2h`."""

import re
from datetime import datetime, time, timedelta, tzinfo

from aif_console.failures import BadInput
from aif_runtime.clock import rfc3339

_SPAN = re.compile(r"\+?(\d{1,4})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_TIME_OF_DAY = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")

MEND = "write a time such as 2026-05-01T09:00, 2026-05-01T09:00+02:00 or 09:00, a day as 2026-05-01, or a span as 2h or 7d"


def past_moment(text: str | None, option: str, now: datetime, zone: tzinfo | None = None) -> str | None:
    """A time as the wire wants it; `2h` is two hours ago. None stays None. Raises BadInput."""
    return None if text is None else rfc3339(_read(text, option, now, zone, direction=-1))


def coming_moment(
    text: str | None, option: str, now: datetime, zone: tzinfo | None = None, *, left_out: str = "begin at once"
) -> str | None:
    """A time as the wire wants it; `2h` is in two hours, `09:00` today or, when that is over, tomorrow. Raises BadInput, for a
    time that is over, too, and says what comes of it when it is `left_out`."""
    if text is None:
        return None
    moment = _read(text, option, now, zone, direction=1)
    if _TIME_OF_DAY.fullmatch(text.strip()) and moment < now:
        moment = _local(moment.astimezone(zone).replace(tzinfo=None) + timedelta(days=1), zone)
    if moment < now:
        raise BadInput(option, f"{text!r} is over", f"name a time to come, or leave it out to {left_out}")
    return rfc3339(moment)


def span_seconds(text: str, option: str) -> int:
    """`30m` as seconds; 0 needs no unit. Raises BadInput."""
    span = _SPAN.fullmatch(text.strip())
    if span is None and text.strip() != "0":
        raise BadInput(option, f"{text!r} is no span of time", "write it as 30m, 12h or 7d, or 0")
    return 0 if span is None else int(timedelta(**{_UNITS[span.group(2)]: int(span.group(1))}).total_seconds())


def local_time(text: str | None, zone: tzinfo | None = None) -> str:
    """A time from the wire for a reader here; nothing for None."""
    if text is None:
        return ""
    try:
        return datetime.fromisoformat(text).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return text


def _read(text: str, option: str, now: datetime, zone: tzinfo | None, *, direction: int) -> datetime:
    """A time without an offset is one of `zone`; None is the zone of this machine."""
    stripped = text.strip()
    span = _SPAN.fullmatch(stripped)
    try:
        if span is not None:
            return now + direction * timedelta(**{_UNITS[span.group(2)]: int(span.group(1))})
        if _TIME_OF_DAY.fullmatch(stripped):
            return _local(datetime.combine(now.astimezone(zone).date(), time.fromisoformat(stripped.zfill(5))), zone)
        moment = datetime.fromisoformat(stripped)
        return _local(moment, zone) if moment.tzinfo is None else moment
    except (ValueError, OverflowError) as wrong:
        raise BadInput(option, f"{text!r} is no time", MEND) from wrong


def _local(moment: datetime, zone: tzinfo | None) -> datetime:
    return moment.astimezone() if zone is None else moment.replace(tzinfo=zone)
