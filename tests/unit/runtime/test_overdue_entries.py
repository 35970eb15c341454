"""Entries of a bucket that its broker should have dropped are known by their own times."""

from itertools import count

import pytest

from aif_runtime.nats_direct import Latest
from aif_runtime.nats_expiry import without_overdue

_written = count(1)


def entry(name: str, stored_at: str, lives: str | None = None) -> Latest:
    """Written after all that were made before."""
    headers = {"Nats-Time-Stamp": f"2026-11-21T{stored_at}.123456789Z", "Nats-Sequence": str(next(_written))}
    return Latest(subject=name, payload=b"", headers=headers if lives is None else {**headers, "Nats-TTL": lives})


@pytest.mark.parametrize("lives", ["15000ms", "15s", "15"])
def test_an_entry_is_overdue_when_a_newer_one_was_written_after_its_time(lives: str) -> None:
    entries = [entry("dead", "07:00:00", lives), entry("late", "07:00:03", lives), entry("alive", "07:00:17", lives)]

    assert [each.subject for each in without_overdue(entries)] == ["late", "alive"]


@pytest.mark.parametrize("lives", [None, "never", "1h30m", "2h"])
def test_what_lives_for_ever_for_long_or_for_a_time_that_is_not_understood_stays(lives: str | None) -> None:
    assert len(without_overdue([entry("old", "07:00:00", lives), entry("new", "08:00:00")])) == 2


def test_nobody_who_has_written_since_the_brokers_clock_was_set_back_is_overdue() -> None:
    before = entry("before", "08:00:00", "15s")
    since = [entry("first", "07:00:00", "15s"), entry("second", "07:00:05", "15s")]

    assert without_overdue([before, *since]) == [before, *since]


def test_the_clock_of_the_reader_makes_no_difference() -> None:
    alone = [entry("old", "07:00:00", "15s")]

    assert without_overdue(alone) == alone
    assert without_overdue([]) == []
