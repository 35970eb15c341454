"""What a replica believes of the database's clock between two answers."""

import pytest

from aif_orchestrator.engine.database_clock import DatabaseClock
from support.manual_clock import ManualClock

NOON_MS = 1_777_636_800_000


class Line:
    """A database whose answers take their time."""

    def __init__(self) -> None:
        self.process = ManualClock()
        self.clock = DatabaseClock(self.process)

    def tells(self, at_ms: int, *, before_ms: int = 0, after_ms: int = 0) -> None:
        """Its time, so long after it was asked and so long before the answer is there."""
        asked_at = self.clock.asks()
        self.process.advance((before_ms + after_ms) / 1000)
        self.clock.seen(at_ms, asked_at)


def test_time_goes_on_between_two_answers() -> None:
    line = Line()
    line.tells(NOON_MS)

    line.process.advance(1.5)

    assert line.clock.now_ms() == NOON_MS + 1500


def test_an_answer_that_took_long_sets_nothing_back() -> None:
    line = Line()
    line.tells(NOON_MS)

    line.tells(NOON_MS + 2, before_ms=2, after_ms=60)

    assert line.clock.now_ms() == NOON_MS + 62


def test_a_quicker_answer_tells_that_it_is_later_than_was_believed() -> None:
    line = Line()
    line.tells(NOON_MS, after_ms=60)

    line.tells(NOON_MS + 61, before_ms=1)

    assert line.clock.now_ms() == NOON_MS + 61


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_database_whose_clock_was_set_is_followed(hours: int) -> None:
    line = Line()
    line.tells(NOON_MS)
    reset_ms = NOON_MS + hours * 3_600_000

    line.tells(reset_ms, before_ms=1, after_ms=5)

    assert line.clock.now_ms() == reset_ms


@pytest.mark.parametrize(("told_ms", "times"), [(-3_600_000, 1), (-11_000, 1), (-9_000, 0), (0, 0), (3_600_000, 0)])
def test_a_clock_that_was_set_back_is_noticed_and_no_other(told_ms: int, times: int) -> None:
    line = Line()
    line.tells(NOON_MS)

    line.tells(NOON_MS + told_ms)

    assert line.clock.times_set_back == times


def test_an_answer_that_took_a_minute_sets_no_clock_back() -> None:
    line = Line()
    line.tells(NOON_MS)

    line.tells(NOON_MS + 2, before_ms=2, after_ms=60_000)

    assert line.clock.times_set_back == 0
