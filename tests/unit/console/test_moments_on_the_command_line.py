"""Times as people type them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from aif_console.failures import BadInput
from aif_console.moments import coming_moment, local_time, past_moment

NOW = datetime(2026, 5, 1, 9, 30, tzinfo=UTC)
SUMMER = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2h", "2026-05-01T07:30:00.000Z"),
        ("7d", "2026-04-24T09:30:00.000Z"),
        ("2026-05-01", "2026-04-30T22:00:00.000Z"),
        ("2026-05-01T08:00", "2026-05-01T06:00:00.000Z"),
        ("2026-05-01T08:00Z", "2026-05-01T08:00:00.000Z"),
        ("2026-05-01T08:00:00.5-01:00", "2026-05-01T09:00:00.500Z"),
        ("08:15", "2026-05-01T06:15:00.000Z"),
    ],
)
def test_times_of_the_past_are_read_with_the_clock_of_this_place(text: str, moment: str) -> None:
    assert past_moment(text, "--since", NOW, SUMMER) == moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2h", "2026-05-01T11:30:00.000Z"),
        ("+90m", "2026-05-01T11:00:00.000Z"),
        ("12:00", "2026-05-01T10:00:00.000Z"),
        ("9:00", "2026-05-02T07:00:00.000Z"),
    ],
)
def test_times_to_come_lie_ahead_and_a_time_of_day_that_is_over_is_tomorrows(text: str, moment: str) -> None:
    assert coming_moment(text, "--at", NOW, SUMMER) == moment


@pytest.mark.parametrize("text", ["2020-01-01", "2026-05-01", "2026-05-01T11:29", "2026-05-01T09:29:59Z"])
def test_a_time_to_come_that_is_over_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"--at: .* is over\n  -> name a time to come"):
        coming_moment(text, "--at", NOW, SUMMER)


def test_no_time_stays_none() -> None:
    assert past_moment(None, "--since", NOW) is None
    assert coming_moment(None, "--at", NOW) is None
    assert local_time(None) == ""


@pytest.mark.parametrize("text", ["", "soon", "25:00", "2026-13-01", "2 h", "1e9s"])
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(BadInput, match=r"--since: .* is no time\n  -> write a time such as"):
        past_moment(text, "--since", NOW)


def test_a_span_that_leaves_the_calendar_is_no_time() -> None:
    with pytest.raises(BadInput, match="is no time"):
        past_moment("9999d", "--since", datetime(2, 1, 1, tzinfo=UTC))


def test_times_of_the_factory_are_shown_as_they_are_here() -> None:
    assert local_time("2026-05-01T09:00:00.250Z", SUMMER) == "2026-05-01 11:00:00"
    assert local_time("whenever") == "whenever"
