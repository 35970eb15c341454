"""The database's clock is set back: nothing sleeps for as long as it was ahead."""

import pytest

from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_orchestrator.execution.happenings import ClockSetBack, PauseAsked, ResumeAsked, TimePassed
from aif_pipelines.definition import Compensation
from support.execution_story import START_MS, Story, deliverable, pipeline, stage

DAY_MS = 86_400_000
ONE = pipeline(stage("one"), outputs=(deliverable("one"),))


def set_back(story: Story) -> Story:
    """By a day, and the execution is told."""
    story.later(-DAY_MS)
    story.happens(ClockSetBack())
    return story


def sleeps_ms(story: Story) -> int:
    due = story.wakes_at()
    assert due is not None
    return due - story.circumstances.at_ms


def test_a_retry_comes_within_its_longest_backoff() -> None:
    story = Story(ONE)
    story.fails("one", story.granted("one"))

    set_back(story)

    assert sleeps_ms(story) <= 32_000
    story.wakes()
    assert [packet.stage_id for packet in story.packets()] == ["one"]


def test_a_worker_that_was_lost_is_missed_after_one_lease() -> None:
    story = Story(ONE)
    story.granted("one")

    set_back(story)

    assert sleeps_ms(story) <= 32_000
    story.wakes()
    assert story.attempts() == [("one", 1, "worker_lost")]


def test_a_packet_that_nobody_took_is_sent_again() -> None:
    story = set_back(Story(ONE))

    assert sleeps_ms(story) <= 62_000
    story.wakes()
    assert story.stage("one").dispatches == 2


def test_an_execution_has_no_more_than_all_its_time() -> None:
    story = set_back(Story(ONE))

    assert story.execution.deadline_at - story.circumstances.at_ms == 600_000


def test_a_pause_that_began_at_a_time_to_come_takes_nothing_from_the_deadline() -> None:
    story = Story(ONE)
    story.later(100_000)
    story.happens(PauseAsked(reason="lunch"))
    set_back(story)

    story.happens(ResumeAsked())
    story.happens(TimePassed())

    assert story.execution.status is ExecutionStatus.RUNNING
    assert story.execution.deadline_at > story.circumstances.at_ms


def test_who_goes_on_before_it_was_told_loses_no_time_either() -> None:
    story = Story(ONE)
    story.happens(PauseAsked(reason="lunch"))
    story.later(-DAY_MS)

    story.happens(ResumeAsked())

    assert story.execution.deadline_at == START_MS + 600_000


def test_what_is_undone_has_no_more_than_its_time() -> None:
    undone = stage("one", compensate=Compensation(worker="maker", action="unmake"))
    story = Story(pipeline(undone, stage("two", depends_on=("one",)), outputs=(deliverable("two"),)))
    story.made("one")
    story.fails("two", story.granted("two"), retryable=False)
    assert story.execution.status is ExecutionStatus.COMPENSATING

    set_back(story)

    assert story.execution.compensate_until == story.circumstances.at_ms + 3_600_000


def test_the_money_of_a_worker_that_never_reports_is_free_in_time() -> None:
    story = Story(ONE, max_cost_usd="1")
    story.granted("one")
    story.falls_silent("one")
    assert story.stage("one").silent

    set_back(story)
    story.later(102_000)
    story.happens(TimePassed())

    assert not story.stage("one").silent


def test_an_attempt_under_way_goes_on_and_its_times_are_none_to_come() -> None:
    story = Story(ONE)
    attempt = story.granted("one")

    set_back(story)
    story.later(1000)
    story.completes("one", attempt)

    assert story.execution.status is ExecutionStatus.COMPLETED
    assert story.attempts() == [("one", 1, "success")]
    assert story.stage("one").started_at == story.circumstances.at_ms - 1000


def test_a_start_at_a_time_of_day_stays_where_it_is() -> None:
    story = Story(ONE, start_at="2023-11-14T23:13:20Z")
    before = story.execution

    set_back(story)

    assert story.execution == before


@pytest.mark.parametrize("status", [StageStatus.QUEUED, StageStatus.RUNNING, StageStatus.RETRYING])
def test_who_is_told_without_need_is_not_changed(status: StageStatus) -> None:
    story = Story(ONE)
    if status is not StageStatus.QUEUED:
        attempt = story.granted("one")
        if status is StageStatus.RETRYING:
            story.fails("one", attempt)
        else:
            story.progress("one", attempt, 50)
    assert story.stage("one").status is status
    before = story.execution

    story.later(10)
    story.happens(ClockSetBack())

    assert story.execution == before
