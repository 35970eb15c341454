"""What is told of attempts that have no row yet: those under way, and those that a cancel has cut off."""

from aif_contracts.history import AttemptView
from aif_orchestrator.execution.happenings import CallBooked, CancelAsked
from aif_orchestrator.execution.offering import FREE_GRANT
from aif_orchestrator.execution.views import view
from aif_orchestrator.open_attempts import open_attempts
from support.execution_story import Story, call, pipeline, stage


def told_of(story: Story) -> list[AttemptView]:
    now = story.circumstances.at_ms
    return open_attempts(story.execution, view(story.circumstances.plan, story.execution, now), now)


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


def test_a_cancel_cuts_off_what_was_heard_of_and_leaves_no_attempt_of_what_nobody_began() -> None:
    offered, begun = Story(pipeline(stage("one")), free=True), Story(pipeline(stage("one")), free=True)
    begun.progress("one", 1, 5)

    for story in (offered, begun):
        story.later(1_000)
        story.happens(CancelAsked(reason="enough"))
        story.later(1_000)

    assert told_of(offered) == []
    [cut_off] = told_of(begun)
    assert (cut_off.outcome, cut_off.failure_code, cut_off.message) == ("failed", "cancelled", "enough")
    assert (cut_off.execution_time_ms, cut_off.ended_at) == (1_000, "2023-11-14T22:13:21.000Z")


def test_an_attempt_shows_its_own_calls_and_not_those_of_the_one_that_was_lost_before_it() -> None:
    story = Story(pipeline(stage("one")))
    story.happens(CallBooked(call=call("one", story.granted("one"), 1, "0.25")))
    story.falls_silent("one")
    story.wakes()

    story.happens(CallBooked(call=call("one", story.granted("one"), 1, "0.125")))

    assert [(each.attempt, each.metrics.cost_usd) for each in told_of(story)] == [(2, "0.125")]
