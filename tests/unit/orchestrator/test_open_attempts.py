"""What is told of attempts that are under way, and of those that did not come to report."""

from aif_contracts.history import AttemptView
from aif_contracts.metering import CallOutcome
from aif_contracts.performance import PerformanceRecord
from aif_orchestrator.execution.commands import RecordAttempt
from aif_orchestrator.execution.happenings import CallBooked, CancelAsked
from aif_orchestrator.execution.offering import FREE_GRANT
from aif_orchestrator.execution.views import view
from aif_orchestrator.open_attempts import open_attempts
from aif_pipelines.definition import Backoff, Retry
from support.execution_story import Story, call, pipeline, stage


def told_of(story: Story) -> list[AttemptView]:
    now = story.circumstances.at_ms
    return open_attempts(story.execution, view(story.circumstances.plan, story.execution, now), now)


def records_of(story: Story) -> list[PerformanceRecord]:
    return [command.record for command in story.history if isinstance(command, RecordAttempt)]


def test_work_that_costs_nothing_is_under_way_from_its_offer_on_and_has_waited_until_it_was_heard_of() -> None:
    story = Story(pipeline(stage("one")), free=True)
    story.later(2_000)
    [offered] = told_of(story)

    story.progress("one", 1, 5)
    story.later(1_000)
    [begun] = told_of(story)

    assert (offered.outcome, offered.grant, offered.started_at) == ("running", FREE_GRANT, None)
    assert (offered.queue_time_ms, offered.execution_time_ms) == (2_000, 0)
    assert (begun.queue_time_ms, begun.execution_time_ms) == (2_000, 1_000)


def test_an_attempt_has_not_waited_while_the_one_before_it_worked_nor_while_the_stage_paused() -> None:
    story = Story(pipeline(stage("one", retry=Retry(max_attempts=2, backoff=Backoff(initial_ms=5_000, jitter=0.0)))))
    story.later(100)
    first = story.granted("one")
    story.later(30_000)
    story.fails("one", first)
    story.later(5_000)
    story.wakes()

    story.later(200)
    second = story.granted("one")

    [under_way] = told_of(story)
    assert (under_way.attempt, under_way.queue_time_ms) == (2, 200)
    story.completes("one", second)
    assert [(each.attempt, each.queue_time_ms) for each in records_of(story)] == [(1, 100), (2, 200)]


def test_an_attempt_at_a_packet_that_came_again_has_waited_since_its_predecessor_was_found_lost() -> None:
    story = Story(pipeline(stage("one")))
    story.later(100)
    story.granted("one")
    story.later(60_000)

    story.granted("one", by="worker_b")

    assert [(each.attempt, each.queue_time_ms) for each in told_of(story)] == [(2, 0)]


def test_what_a_cancel_has_cut_off_is_under_way_no_more() -> None:
    story = Story(pipeline(stage("one")), free=True)
    story.progress("one", 1, 5)

    story.happens(CancelAsked(reason="enough"))

    assert told_of(story) == []


def test_an_attempt_that_a_failure_elsewhere_cuts_off_has_cost_what_its_calls_have() -> None:
    story = Story(pipeline(stage("one"), stage("two"), stage("three", retry=Retry(max_attempts=1))))
    answered, unanswered, failing = (story.granted(stage_id) for stage_id in ("one", "two", "three"))
    story.happens(CallBooked(call=call("one", answered, 1, "0.25")))
    story.happens(CallBooked(call=call("two", unanswered, 1, None, outcome=CallOutcome.STARTED, upper_bound_usd="0.5")))

    story.fails("three", failing)

    found = {each.stage_id: (each.failure_code, each.metrics.cost_usd) for each in records_of(story)}
    assert found == {"one": ("cancelled", "0.25"), "two": ("cancelled", None), "three": ("provider_timeout", "0")}


def test_an_attempt_that_was_lost_in_the_middle_of_a_call_has_not_cost_nothing() -> None:
    story = Story(pipeline(stage("one")))
    started = call("one", story.granted("one"), 1, None, outcome=CallOutcome.STARTED, upper_bound_usd="0.5")
    story.happens(CallBooked(call=started))

    story.falls_silent("one")

    [lost] = records_of(story)
    assert (lost.failure_code, lost.metrics.cost_usd, lost.metrics.unanswered) == (
        "worker_lost",
        None,
        {started.call_key: "0.5"},
    )


def test_an_attempt_shows_its_own_calls_and_not_those_of_the_one_that_was_lost_before_it() -> None:
    story = Story(pipeline(stage("one")))
    story.happens(CallBooked(call=call("one", story.granted("one"), 1, "0.25")))
    story.falls_silent("one")
    story.wakes()

    story.happens(CallBooked(call=call("one", story.granted("one"), 1, "0.125")))

    assert [(each.attempt, each.metrics.cost_usd) for each in told_of(story)] == [(2, "0.125")]
