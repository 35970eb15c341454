"""Provider calls in the books of an execution: announced, ended, decided about, reported, in any order."""

from decimal import Decimal

import pytest

from aif_contracts.events import CostIncurred
from aif_contracts.metering import Basis, CallOutcome, CostLines, Metrics, ProviderCall, Tokens
from aif_contracts.packets import Later
from aif_orchestrator.execution.allowance import Allowance, allowance_of
from aif_orchestrator.execution.happenings import CallBooked, CallSettled, TimePassed
from aif_orchestrator.execution.metering import known_cost
from support.execution_story import Story, call, pipeline, stage


def test_an_attempt_that_was_lost_to_a_claim_ends_once_although_the_claimant_has_to_wait_for_money() -> None:
    story = two_stages(limit="2")
    story.granted("one")
    story.granted("two")
    story.later(30_000)

    answer = story.claim("one", by="worker_b")
    story.wakes()

    assert isinstance(answer, Later)
    assert [each for each in story.attempts() if each[0] == "one"] == [("one", 1, "worker_lost")]


def test_who_waited_for_what_a_lost_attempt_had_reserved_gets_the_next_attempt() -> None:
    story = two_stages(limit="2")
    story.granted("one")
    story.granted("two")
    story.later(30_000)
    story.claim("one", by="worker_b")
    story.later(5_000)

    assert story.granted("one", by="worker_b") == 2


def test_a_call_that_is_announced_before_the_end_of_the_one_before_is_heard_of_takes_nothing_more() -> None:
    story = two_stages(limit="1")
    attempt = story.granted("one")

    for number in (1, 2):
        story.happens(CallBooked(call=announced(attempt, number, "0.6")))

    assert (allowance(story).spent, allowance(story).reserved) == (Decimal(0), Decimal(1))


def test_the_total_that_is_told_holds_the_calls_of_attempts_under_way() -> None:
    story = two_stages(limit="3")

    for stage_id, cost in (("one", "0.2"), ("two", "0.3")):
        story.happens(CallBooked(call=call(stage_id, story.granted(stage_id), 1, cost)))

    assert [event.total_cost_usd for event in story.events() if isinstance(event, CostIncurred)] == ["0.2", "0.5"]


def test_an_end_without_an_answer_leaves_what_was_decided_meanwhile() -> None:
    story = two_stages(limit="3")
    attempt = story.granted("one")
    story.happens(CallBooked(call=announced(attempt, 1, "0.6")))
    story.happens(decided(attempt, "0.5"))
    story.falls_silent("one")
    story.later(5_000)

    story.happens(CallBooked(call=call("one", attempt, 1, None, outcome=CallOutcome.IN_DOUBT, upper_bound_usd="0.6")))
    story.wakes()

    assert (allowance(story).spent, allowance(story).reserved) == (Decimal("0.5"), Decimal(0))


@pytest.mark.parametrize("cost", ["0", "0.4", "0.5", "0.6"])
def test_an_answer_corrects_what_was_decided_and_the_difference_is_told(cost: str) -> None:
    story = two_stages(limit="3")
    attempt = story.granted("one")
    story.happens(CallBooked(call=announced(attempt, 1, "0.6")))
    story.happens(decided(attempt, "0.5"))

    story.happens(CallBooked(call=call("one", attempt, 1, cost)))

    assert known_cost(story.stage("one")) == Decimal(cost)
    assert told(story) == Decimal(cost)


def test_a_late_report_tells_nothing_of_a_cost_that_was_decided_before() -> None:
    story = two_stages(limit="3")
    attempt = story.granted("one")
    story.happens(CallBooked(call=announced(attempt, 1, "0.6")))
    story.happens(decided(attempt, "0.5"))

    known = CostLines(ai_generation_usd="0.25")
    unanswered = {f"exec_1.one.{attempt}.1": "0.6"}
    story.fails("one", attempt, metrics=Metrics(cost_usd=None, cost_lines=known, unanswered=unanswered))

    assert allowance(story).spent == Decimal("0.75")
    assert told(story) == Decimal("0.75")


def test_the_reservation_of_an_attempt_that_overran_its_time_stays_for_a_lease_after_it_was_last_confirmed() -> None:
    story = two_stages(limit="3")
    attempt = story.granted("one")
    for _ in range(4):
        story.later(16_000)
        story.progress("one", attempt, 50)

    story.later(1_000)
    story.happens(TimePassed())
    story.later(29_000 + 4_999)
    story.happens(TimePassed())

    assert story.attempts() == [("one", 1, "timeout")]
    assert allowance(story).reserved == 1
    story.later(1)
    story.happens(TimePassed())
    assert allowance(story).reserved == 0


def two_stages(*, limit: str) -> Story:
    """Each attempt may cost 1 USD, all of them together `limit`."""
    return Story(pipeline(stage("one"), stage("two")), max_cost_usd=limit)


def allowance(story: Story) -> Allowance:
    return allowance_of(story.execution, story.execution.stages.values())


def told(story: Story) -> Decimal:
    """The sum of what the execution's events say was incurred."""
    return sum((Decimal(event.cost_usd or "0") for event in story.events() if isinstance(event, CostIncurred)), Decimal(0))


def announced(attempt: int, number: int, bound: str) -> ProviderCall:
    return call("one", attempt, number, None, outcome=CallOutcome.STARTED, upper_bound_usd=bound, tokens=Tokens())


def decided(attempt: int, cost: str) -> CallSettled:
    return CallSettled(
        call_key=f"exec_1.one.{attempt}.1",
        stage_id="one",
        attempt=attempt,
        cost_usd=cost,
        basis=Basis.STATEMENT,
        note="by hand",
    )
