"""The money of an execution: reserved before an attempt begins, given back by its report, never passed."""

from decimal import Decimal

import pytest

from aif_contracts.metering import CostLines, Metrics
from aif_contracts.packets import Granted, Later, Superseded
from aif_orchestrator.execution.allowance import allowance_of
from aif_orchestrator.execution.happenings import CallBooked
from aif_pipelines.definition import Fail
from support.execution_story import Story, call, pipeline, stage


def cheap(*, limit: str = "2.5", stages: int = 4) -> Story:
    """Attempts may cost 1 USD each, all of them together `limit`."""
    return Story(pipeline(*(stage(f"stage_{number}") for number in range(1, stages + 1))), max_cost_usd=limit)


def remaining(story: Story) -> Decimal:
    return allowance_of(story.execution, story.execution.stages.values()).remaining


def granted_usd(story: Story, stage_id: str) -> str:
    answer = story.claim(stage_id)
    assert isinstance(answer, Granted), answer
    return answer.grant.max_cost_usd


def test_each_attempt_reserves_what_it_may_cost_and_the_last_one_gets_what_is_left() -> None:
    story = cheap()

    assert [granted_usd(story, f"stage_{number}") for number in (1, 2, 3)] == ["1", "1", "0.5"]
    assert remaining(story) == 0


def test_who_finds_everything_reserved_has_to_wait() -> None:
    story = cheap()
    for number in (1, 2, 3):
        story.claim(f"stage_{number}")

    assert isinstance(story.claim("stage_4"), Later)


def test_a_report_gives_back_what_was_not_spent() -> None:
    story = cheap(limit="1")
    story.made("stage_1", metrics=Metrics(cost_usd="0.25"))

    assert granted_usd(story, "stage_2") == "0.75"


def test_when_all_is_spent_the_stage_ends_and_says_so() -> None:
    story = cheap(limit="1")
    story.made("stage_1", metrics=Metrics(cost_usd="1"))

    assert story.claim("stage_2") == Superseded()
    assert story.execution.failure_code == "budget_exceeded"
    assert story.execution.failure_message == "nothing is left of the 1 USD that the execution may spend"


def test_the_reservation_of_a_silent_worker_stays_until_it_reports() -> None:
    story = cheap(limit="1.5", stages=1)
    story.granted("stage_1")
    story.wakes()

    assert granted_usd(story, "stage_1") == "0.5"
    story.completes("stage_1", 1, metrics=Metrics(cost_usd="0.2"))
    assert remaining(story) == Decimal("0.8")
    story.completes("stage_1", 2, metrics=Metrics(cost_usd="0.1"))
    assert remaining(story) == Decimal("1.2")


def test_a_call_that_cost_more_than_was_reserved_counts_with_all_it_cost() -> None:
    story = cheap(limit="3", stages=1)
    story.granted("stage_1")

    story.happens(CallBooked(call=call("stage_1", 1, 1, "1.75")))

    assert remaining(story) == Decimal("1.25")


def test_work_that_costs_nothing_reserves_nothing() -> None:
    story = Story(pipeline(stage("one")), free=True, max_cost_usd="1")

    story.wakes()
    story.claim("one")

    assert remaining(story) == 1


@pytest.mark.parametrize(("spent", "fails"), [("0.4", False), ("0.6", True)])
def test_rules_see_what_is_left(spent: str, fails: bool) -> None:
    rule = Fail(condition="budget.remaining_usd < 0.5", message="Too little is left.")
    story = Story(pipeline(stage("one", rules=(rule,))), max_cost_usd="1")

    story.made("one", metrics=Metrics(cost_usd=spent))

    assert (story.execution.failure_code == "failed_by_rule") is fails


def test_what_a_call_without_an_answer_may_have_cost_stays_reserved() -> None:
    story = cheap(limit="3", stages=1)
    attempt = story.granted("stage_1")

    known = CostLines(ai_generation_usd="0.25")
    story.fails("stage_1", attempt, metrics=Metrics(cost_usd=None, cost_lines=known))

    assert remaining(story) == 2
