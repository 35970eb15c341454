"""The money of an execution: reserved before an attempt begins, given back by its report, never passed."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from aif_contracts.events import CostIncurred
from aif_contracts.metering import Basis, CallOutcome, CostLines, Metrics, ProviderCall, Tokens
from aif_contracts.money import usd_text
from aif_contracts.packets import Granted, Later, Superseded
from aif_orchestrator.execution.allowance import allowance_of
from aif_orchestrator.execution.commands import SettleCall
from aif_orchestrator.execution.happenings import CallBooked, CallSettled, TimePassed
from aif_pipelines.definition import AddStage, Compensation, Fail, RetryStage
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


def test_who_waits_for_the_last_word_of_a_silent_worker_is_told_when_it_must_have_come() -> None:
    story = cheap(limit="1", stages=1)
    story.granted("stage_1")
    story.wakes()
    assert story.wakes_at() == story.circumstances.at_ms + 5_000

    story.later(4_400)

    assert story.claim("stage_1") == Later(
        retry_after_ms=600, reason="the execution's budget is reserved by its other attempts"
    )


def test_a_stage_whose_lost_attempt_still_holds_the_money_is_offered_while_the_next_worker_waits() -> None:
    story = cheap(limit="1", stages=1)
    story.granted("stage_1")
    story.later(story.circumstances.patience.lease_ms)

    answer = story.claim("stage_1", by="worker_b", is_first_delivery=False)

    assert isinstance(answer, Later)
    assert story.stage("stage_1").due_at == story.circumstances.at_ms + story.circumstances.patience.unclaimed_ms


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


def test_the_reservation_of_a_silent_worker_stays_until_its_last_word_must_have_come() -> None:
    story = cheap(limit="1.5", stages=1)
    story.granted("stage_1")
    story.wakes()

    assert granted_usd(story, "stage_1") == "0.5"
    story.later(5_000)
    story.happens(TimePassed())
    assert remaining(story) == 1


def test_of_a_silent_worker_the_calls_stay_that_it_had_announced() -> None:
    story = cheap(limit="1.5", stages=1)
    story.granted("stage_1")
    story.happens(CallBooked(call=call("stage_1", 1, 1, "0.1")))
    story.happens(CallBooked(call=announced("stage_1", 1, 2, "0.3")))
    story.wakes()
    story.later(5_000)

    story.happens(TimePassed())

    allowance = allowance_of(story.execution, story.execution.stages.values())
    assert (allowance.spent, allowance.reserved) == (Decimal("0.1"), Decimal("0.3"))


def test_a_late_report_of_a_silent_worker_counts_with_what_it_says() -> None:
    story = cheap(limit="1.5", stages=1)
    story.granted("stage_1")
    story.happens(CallBooked(call=announced("stage_1", 1, 1, "0.3")))
    story.wakes()
    story.granted("stage_1")

    story.completes("stage_1", 1, metrics=Metrics(cost_usd="0.2"), calls=(call("stage_1", 1, 1, "0.2"),))
    assert remaining(story) == Decimal("0.8")
    story.completes("stage_1", 2, metrics=Metrics(cost_usd="0.1"))
    assert remaining(story) == Decimal("1.2")


def test_a_stage_may_cost_as_much_as_two_attempts_unless_it_says_otherwise() -> None:
    defaults = Story(pipeline(stage("one"), stage("two")))
    own = Story(pipeline(stage("one", max_cost_usd="0.4"), stage("two")))

    assert defaults.execution.max_cost_usd == "4"
    assert own.execution.max_cost_usd == "2.4"
    assert granted_usd(own, "one") == "0.4"


def test_when_a_stage_has_spent_its_own_limit_it_ends_and_says_so() -> None:
    story = Story(pipeline(stage("one", max_cost_usd="0.4", optional=True), stage("two")))

    story.fails("one", story.granted("one"), metrics=Metrics(cost_usd="0.4"))
    story.wakes()

    assert story.claim("one") == Superseded()
    assert story.stage("one").reason == "nothing is left of the 0.4 USD that one may spend"


def test_what_rules_may_add_and_repeat_is_part_of_what_is_reserved() -> None:
    again = RetryStage(condition="one.quality_score < 0.5", max_retries=2)
    more = AddStage(condition="one.element_count > 3", stage=stage("extra"), max_times=3)

    story = Story(pipeline(stage("one", rules=(again, more))))

    assert story.execution.max_cost_usd == "10"


@pytest.mark.parametrize("is_blocked", [False, True])
def test_free_work_whose_worker_the_registry_does_not_know_yet_is_not_refused_for_money(is_blocked: bool) -> None:
    story = cheap(limit="1", stages=2)
    story.made("stage_1", metrics=Metrics(cost_usd="1"))
    known = replace(story.circumstances, free_actions=frozenset({("maker", "make")}))
    story.circumstances = replace(known, free_actions=frozenset(), live_workers=frozenset(), is_blocked=is_blocked)

    answer = story.claim("stage_2")
    assert answer == Later(retry_after_ms=1000, reason="its worker is not in the registry yet")

    story.circumstances = known
    assert granted_usd(story, "stage_2") == "0"


@pytest.mark.parametrize("is_blocked", [False, True])
def test_what_was_ordered_as_free_is_done_without_money_when_its_worker_has_begun_to_cost_something(is_blocked: bool) -> None:
    story = Story(pipeline(stage("one"), stage("two", depends_on=("one",))), free=True)
    story.circumstances = replace(story.circumstances, free_actions=frozenset(), is_blocked=is_blocked)
    story.made("one")

    answer = story.claim("two")

    assert isinstance(answer, Granted)
    assert (answer.grant.models, answer.grant.max_cost_usd) == ((), "0")
    assert story.execution.max_cost_usd == "0"


def test_an_operators_limit_bounds_what_is_reserved() -> None:
    story = Story(pipeline(*(stage(f"stage_{number}") for number in range(20))))

    assert story.execution.max_cost_usd == "25"


def test_nothing_that_costs_money_begins_for_a_client_whose_budget_was_lowered_below_what_is_spent() -> None:
    story = cheap(stages=1)
    story.circumstances = replace(story.circumstances, is_blocked=True)

    assert story.claim("stage_1") == Superseded()
    assert story.execution.failure_code == "budget_exceeded"


def test_a_call_that_cost_more_than_was_reserved_counts_with_all_it_cost() -> None:
    story = cheap(limit="3", stages=2)
    story.granted("stage_1")

    story.happens(CallBooked(call=call("stage_1", 1, 1, "1.75")))

    assert remaining(story) == Decimal("1.25")


def test_work_that_costs_nothing_reserves_nothing() -> None:
    story = Story(pipeline(stage("one")), free=True, max_cost_usd="1")

    story.wakes()
    story.claim("one")

    assert (story.execution.max_cost_usd, remaining(story)) == ("0", Decimal(0))


@pytest.mark.parametrize(("spent", "fails"), [("0.4", False), ("0.6", True)])
def test_rules_see_what_is_left(spent: str, fails: bool) -> None:
    rule = Fail(condition="budget.remaining_usd < 0.5", message="Too little is left.")
    story = Story(pipeline(stage("one", rules=(rule,))), max_cost_usd="1")

    story.made("one", metrics=Metrics(cost_usd=spent))

    assert (story.execution.failure_code == "failed_by_rule") is fails


def test_what_a_call_without_an_answer_may_have_cost_stays_reserved() -> None:
    story = cheap(limit="3", stages=2)
    doubtful(story, "stage_1")

    assert remaining(story) == Decimal("2.15")


@pytest.mark.parametrize("cost", ["0", "0.4", "0.6"])
def test_what_a_call_without_an_answer_has_cost_can_be_decided_and_corrected(cost: str) -> None:
    story = cheap(limit="3", stages=2)
    doubtful(story, "stage_1")

    story.happens(settled("stage_1", "0.6", Basis.ESTIMATE))
    story.happens(settled("stage_1", cost, Basis.STATEMENT))

    spent = story.stage("stage_1").spent
    assert remaining(story) == Decimal("2.75") - Decimal(cost)
    assert (spent.cost_usd, spent.unanswered) == (usd_text(Decimal("0.25") + Decimal(cost)), {})


def test_a_decision_that_was_made_while_the_worker_was_silent_outlasts_its_late_report() -> None:
    story = cheap(limit="3", stages=2)
    attempt = story.granted("stage_1")
    story.happens(CallBooked(call=announced("stage_1", attempt, 1, "0.6")))
    story.happens(settled("stage_1", "0.5", Basis.STATEMENT, number=1))

    story.fails("stage_1", attempt, metrics=Metrics(cost_usd=None, unanswered={f"exec_1.stage_1.{attempt}.1": "0.6"}))

    assert remaining(story) == Decimal("2.5")


def test_a_decision_that_was_made_before_a_call_ended_without_an_answer_can_still_be_corrected() -> None:
    story = cheap(limit="3", stages=2)
    attempt = story.granted("stage_1")
    begun = announced("stage_1", attempt, 1, "0.6")
    story.happens(CallBooked(call=begun))
    story.happens(settled("stage_1", "0.5", Basis.ESTIMATE, number=1))
    story.happens(CallBooked(call=replace(begun, outcome=CallOutcome.IN_DOUBT, basis=Basis.USAGE)))

    story.happens(settled("stage_1", "0.4", Basis.STATEMENT, number=1))

    [waiting] = story.stage("stage_1").unreported_calls
    assert (waiting.cost_usd, waiting.basis) == ("0.4", Basis.STATEMENT)


@pytest.mark.parametrize("stage_id", ["stage_1", "stage_9"])
def test_a_call_that_nobody_knows_cannot_be_settled(stage_id: str) -> None:
    story = cheap(limit="3", stages=2)

    assert story.happens(settled(stage_id, "0.5", Basis.STATEMENT, number=1)) == []


def test_the_end_of_a_call_replaces_its_announcement_and_nothing_replaces_its_end() -> None:
    story = cheap(limit="3", stages=2)
    attempt = story.granted("stage_1")
    end = call("stage_1", attempt, 1, "0.2")

    for told in (announced("stage_1", attempt, 1, "0.6"), end, announced("stage_1", attempt, 1, "0.6"), end):
        story.happens(CallBooked(call=told))

    assert story.stage("stage_1").unreported_calls == (end,)
    assert [event.cost_usd for event in story.events() if isinstance(event, CostIncurred)] == ["0.2"]


def doubtful(story: Story, stage_id: str) -> None:
    """An attempt that knows of 0.25 USD, and of a call without an answer that can have cost 0.6."""
    attempt = story.granted(stage_id)
    known = CostLines(ai_generation_usd="0.25")
    metrics = Metrics(cost_usd=None, cost_lines=known, unanswered={f"exec_1.{stage_id}.1.2": "0.6"})
    story.fails(stage_id, attempt, metrics=metrics)


def settled(stage_id: str, cost: str, basis: Basis, *, number: int = 2) -> CallSettled:
    return CallSettled(
        call_key=f"exec_1.{stage_id}.1.{number}", stage_id=stage_id, attempt=1, cost_usd=cost, basis=basis, note="by hand"
    )


def announced(stage_id: str, attempt: int, number: int, bound: str) -> ProviderCall:
    told = call(stage_id, attempt, number, "0")
    return replace(told, outcome=CallOutcome.STARTED, cost_usd=None, upper_bound_usd=bound, tokens=Tokens())


def test_free_work_of_a_client_whose_budget_is_passed_goes_on() -> None:
    story = Story(pipeline(stage("one")), free=True)
    story.wakes()
    story.circumstances = replace(story.circumstances, is_blocked=True)

    assert isinstance(story.claim("one"), Granted)


def test_a_call_that_is_told_of_again_after_its_end_changes_nothing() -> None:
    story = Story(pipeline(stage("one")))
    attempt = story.granted("one")
    ended = call("one", attempt, 1, "0.1")
    story.happens(CallBooked(call=ended))
    calls = story.stage("one").unreported_calls

    for again in (ended, announced("one", attempt, 1, "0.3")):
        story.happens(CallBooked(call=again))

    assert story.stage("one").unreported_calls == calls
    assert story.event_types().count("AI_GENERATION_COMPLETED") == 1


def test_what_is_decided_of_a_call_is_charged_to_that_call_and_noted_with_it() -> None:
    story = Story(pipeline(stage("one")))
    attempt = story.granted("one")
    for number in (1, 2):
        story.happens(CallBooked(call=announced("one", attempt, number, "0.3")))
    key = f"exec_1.one.{attempt}.2"

    story.happens(
        CallSettled(call_key=key, stage_id="one", attempt=attempt, cost_usd="0.2", basis=Basis.STATEMENT, note="nobody knows")
    )

    assert [each.cost_usd for each in story.stage("one").unreported_calls] == [None, "0.2"]
    assert SettleCall(call_key=key, cost_usd="0.2", basis=Basis.STATEMENT, note="nobody knows") in story.commands


def test_the_undoing_of_a_stage_is_part_of_what_its_execution_may_cost_once() -> None:
    undo = Compensation(worker="cleaner", action="remove")

    assert Story(pipeline(stage("one", compensate=undo))).execution.max_cost_usd == "4"


def test_a_decision_that_is_corrected_is_told_by_the_difference_and_one_that_is_repeated_by_nothing() -> None:
    story = Story(pipeline(stage("one")))
    attempt = story.granted("one")
    story.happens(CallBooked(call=announced("one", attempt, 1, "0.3")))

    for cost in ("0.2", "0.05", "0.05"):
        story.happens(decided(attempt, cost))

    assert [data.cost_usd for data in story.events() if isinstance(data, CostIncurred)] == ["0.2", "-0.15"]


def test_a_call_whose_answer_has_come_costs_what_it_says_whatever_is_decided() -> None:
    story = Story(pipeline(stage("one")))
    attempt = story.granted("one")
    story.happens(CallBooked(call=replace(call("one", attempt, 1, "0.1"), basis=Basis.USAGE)))

    story.happens(decided(attempt, "0.2"))

    assert [each.cost_usd for each in story.stage("one").unreported_calls] == ["0.1"]


def test_a_call_that_costs_nothing_is_no_cost() -> None:
    story = Story(pipeline(stage("one")))

    story.happens(CallBooked(call=call("one", story.granted("one"), 1, "0")))

    assert "COST_INCURRED" not in story.event_types()


def decided(attempt: int, cost_usd: str) -> CallSettled:
    key = f"exec_1.one.{attempt}.1"
    return CallSettled(call_key=key, stage_id="one", attempt=attempt, cost_usd=cost_usd, basis=Basis.STATEMENT, note="the bill")
