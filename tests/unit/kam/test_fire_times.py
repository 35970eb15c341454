"""When a schedule is due: never in the past, always later, and right through changes of the clock."""

import contextlib
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aif_kam.failures import InvalidInput
from aif_kam.schedules.fire_times import Rhythm, checked_rhythm, newest_due, next_due

NOW = datetime(2026, 5, 1, 9, 30, tzinfo=UTC)


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    spans = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    steps = st.integers(1, 30).map(lambda step: f"*/{step}")
    lists = st.lists(number.map(str), min_size=2, max_size=4).map(",".join)
    return st.one_of(st.just("*"), number.map(str), spans, steps, lists)


CRONS = st.tuples(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 7)).map(" ".join)
ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "America/Sao_Paulo",
        "Africa/Cairo",
        "Asia/Kolkata",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Asia/Beirut",
        "America/Havana",
    ]
)
MOMENTS = st.timedeltas(timedelta(), timedelta(days=9000)).map(lambda since: datetime(2010, 1, 1, tzinfo=UTC) + since)


@settings(max_examples=400, deadline=None)
@given(CRONS, ZONES, MOMENTS)
def test_due_times_are_never_in_the_past_and_rise_strictly(cron: str, zone: str, moment: datetime) -> None:
    rhythm, due = Rhythm(cron=cron, timezone=zone), moment

    for _ in range(6):
        following = next_due(rhythm, due)
        if following is None:
            return
        assert following > due
        assert following.second == following.microsecond == 0
        due = following


CHANGES_OF_THE_CLOCK = st.sampled_from(
    [
        ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
        ("America/Havana", datetime(2026, 11, 1, 5, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
        ("Pacific/Chatham", datetime(2026, 4, 4, 14, tzinfo=UTC)),
        ("Asia/Beirut", datetime(2026, 3, 28, 22, tzinfo=UTC)),
        ("America/Sao_Paulo", datetime(2018, 11, 4, 3, tzinfo=UTC)),
    ]
)
NIGHTLY = st.tuples(field(0, 59), field(0, 3)).map(lambda pair: f"{pair[0]} {pair[1]} * * *")


def test_where_the_clock_is_put_back_in_the_middle_of_an_hour_the_next_hour_that_is_meant_is_found() -> None:
    """On Chatham the clock goes from 03:45 back to 02:45 at 14:00 UTC, and comes to 03:00 once more at 14:15."""
    rhythm = Rhythm(cron="*/2 3 * * *", timezone="Pacific/Chatham")
    due = [datetime(2026, 4, 4, 13, 57, tzinfo=UTC)]

    for _ in range(3):
        following = next_due(rhythm, due[-1])
        assert following is not None
        due.append(following)

    assert [each.strftime("%H:%M") for each in due] == ["13:57", "13:59", "14:15", "14:17"]


@settings(max_examples=600, deadline=None)
@given(NIGHTLY, CHANGES_OF_THE_CLOCK, st.integers(-240, 240))
def test_nor_do_they_around_a_change_of_the_clock(cron: str, change: tuple[str, datetime], minutes: int) -> None:
    zone, moment = change
    due = moment + timedelta(minutes=minutes)

    for _ in range(4):
        following = next_due(Rhythm(cron=cron, timezone=zone), due)
        assert following is not None
        assert due < following <= due + timedelta(hours=27)
        due = following


@settings(max_examples=200, deadline=None)
@given(CRONS, ZONES, MOMENTS, st.timedeltas(timedelta(), timedelta(days=3)))
def test_the_newest_due_time_is_the_last_of_all_that_have_passed(
    cron: str, zone: str, moment: datetime, gap: timedelta
) -> None:
    rhythm = Rhythm(cron=cron, timezone=zone)
    first = next_due(rhythm, moment)
    if first is None:
        return
    now = first + gap

    newest = newest_due(rhythm, first, now)

    assert first <= newest <= now
    following = next_due(rhythm, newest)
    assert following is None or following > now


def test_a_year_without_a_gateway_costs_no_walk_over_half_a_million_minutes() -> None:
    every_minute = Rhythm(cron="* * * * *", timezone="UTC")

    assert newest_due(every_minute, NOW - timedelta(days=365), NOW) == NOW


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("0 */24 * * *", "Australia/Lord_Howe", "2026-04-04T15:00:00Z", "2026-04-05T13:30:00Z"),
        ("0 6 * * *", "Europe/Berlin", "2026-05-01T09:30:00Z", "2026-05-02T04:00:00Z"),
        ("0 6 * * *", "Europe/Berlin", "2026-12-01T09:30:00Z", "2026-12-02T05:00:00Z"),
        ("*/20 * * * *", "UTC", "2026-05-01T09:40:00Z", "2026-05-01T10:00:00Z"),
        ("0 0 29 2 *", "UTC", "2026-05-01T09:30:00Z", "2028-02-29T00:00:00Z"),
        ("0 9 1 * MON", "UTC", "2026-05-01T09:30:00Z", "2026-05-04T09:00:00Z"),
        # The clocks leap from 2 to 3: what was due at 02:30 is due at 03:00, right after the leap.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),
        # The hour from 2 to 3 comes twice: due in the first, not in the second.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
        # Asked in the second 02:10, the 02:30 of the first pass lies behind.
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-26T01:30:00Z"),
        # Frequent ones go by elapsed time, through both passes.
        ("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"),
        ("*/30 * * * *", "Europe/Berlin", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"),
    ],
)
def test_due_times_follow_the_wall_clock_of_the_zone(cron: str, zone: str, after: str, expected: str) -> None:
    assert next_due(Rhythm(cron=cron, timezone=zone), datetime.fromisoformat(after)) == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    ("cron", "zone", "named", "saying"),
    [
        ("* * * *", "UTC", ["cron"], "'* * * *' has 4 fields, but five are due"),
        ("0 * * * * *", "UTC", ["cron"], "has 6 fields, but five are due"),
        ("", "UTC", ["cron"], "has 0 fields"),
        ("61 * * * *", "UTC", ["cron"], "cannot be read: bad minute"),
        ("0 25 * * *", "UTC", ["cron"], "bad hour"),
        ("0 0 30 2 *", "UTC", ["cron"], "bad day-of-month"),
        ("* * */20 * 1L", "UTC", ["cron"], "is not due within the next fifty years"),
        ("@daily", "UTC", ["cron"], "has 1 fields"),
        ("0 6 * * *", "Europe/Berlim", ["timezone"], "'Europe/Berlim' is no time zone"),
        ("0 6 * * *", "localtime", ["timezone"], "is no time zone"),
        ("0 6 * * *", "Factory", ["timezone"], "is no time zone"),
        ("0 6 * * *", "Europe", ["timezone"], "is no time zone"),
        ("0 6 * * *", "../../etc/passwd", ["timezone"], "is no time zone"),
        ("x", "y", ["cron", "timezone"], "is no time zone"),
    ],
)
def test_a_rhythm_that_cannot_be_kept_is_refused_with_field_and_mend(
    cron: str, zone: str, named: list[str], saying: str
) -> None:
    with pytest.raises(InvalidInput, match=re.escape(saying)) as refused:
        checked_rhythm(cron, zone, now=NOW)

    assert [mistake.field for mistake in refused.value.mistakes] == named
    assert all(mistake.mend for mistake in refused.value.mistakes)


@pytest.mark.parametrize(
    ("zone", "mend"),
    [
        ("Europe/Berlim", "did you mean Europe/Berlin?"),
        ("locaItime", "name a zone of the IANA database, for example Europe/Berlin or UTC"),
    ],
)
def test_a_misspelt_zone_is_answered_with_one_that_can_be_meant(zone: str, mend: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked_rhythm("0 6 * * *", zone, now=NOW)

    assert refused.value.mistakes[0].mend == mend


@settings(max_examples=300, deadline=None)
@given(st.text("0123456789*/-,LW#? MONJAN", max_size=30), st.text(max_size=20))
def test_no_text_gives_anything_but_a_rhythm_or_a_refusal(cron: str, zone: str) -> None:
    with contextlib.suppress(InvalidInput):
        rhythm = checked_rhythm(cron, "UTC", now=NOW)
        assert next_due(rhythm, NOW) is not None
    with contextlib.suppress(InvalidInput):
        checked_rhythm("0 6 * * *", zone, now=NOW)
