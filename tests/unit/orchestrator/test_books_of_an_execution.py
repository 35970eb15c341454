"""What an execution moves in its client's books: a reservation, charges as they come, and the rest back at the end."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from aif_contracts.events import AiGenerationCompleted
from aif_contracts.metering import Basis, CallOutcome, CostLines, Metrics, Purpose, Tokens
from aif_contracts.money import ZERO
from aif_contracts.packets import CeilingReason, QualityTier
from aif_orchestrator.execution.books import window_of
from aif_orchestrator.execution.commands import MoveAccount
from aif_orchestrator.execution.happenings import CallBooked, CallSettled, CancelAsked, ResumeAsked, TimePassed
from aif_orchestrator.execution.machine import begin
from aif_orchestrator.execution.metering import spent_by_stage
from aif_orchestrator.execution.spent import spent_by_attempt, with_attempt
from aif_orchestrator.execution.terms import EnergyPrices, on_less_energy, terms_of
from support.execution_story import Story, call, pipeline, stage

PRICES = EnergyPrices(economy=1, premium=10)
TOKENS = Tokens(prompt_tokens=10, completion_tokens=5, total_tokens=15)


def moves(story: Story) -> list[tuple[bool, str, str]]:
    """Whether it had to fit, what was spent, what was reserved."""
    found = [command for command in story.history if isinstance(command, MoveAccount)]
    return [(move.is_admission, f"{move.spent_usd.normalize():f}", f"{move.reserved_usd.normalize():f}") for move in found]


def sums(story: Story) -> tuple[Decimal, Decimal]:
    found = [command for command in story.history if isinstance(command, MoveAccount)]
    return sum((move.spent_usd for move in found), ZERO), sum((move.reserved_usd for move in found), ZERO)


def costing(amount: str) -> Metrics:
    return Metrics(cost_usd=amount, cost_lines=CostLines(ai_generation_usd=amount), tokens_used=TOKENS)


def test_what_it_may_cost_is_reserved_charged_and_given_back() -> None:
    story = Story(pipeline(stage("one", max_cost_usd="0.5"), stage("two", depends_on=("one",), max_cost_usd="0.25")))

    story.made("one", metrics=costing("0.125"))
    story.made("two", metrics=costing("0.25"))

    assert moves(story) == [(True, "0", "0.75"), (False, "0.125", "-0.125"), (False, "0.25", "-0.625")]
    assert sums(story) == (Decimal("0.375"), Decimal(0))


def test_work_that_costs_nothing_moves_nothing() -> None:
    story = Story(pipeline(stage("one")), free=True)

    story.made("one")

    assert moves(story) == []


def test_what_costs_although_it_was_free_is_charged_all_the_same() -> None:
    story = Story(pipeline(stage("one")), free=True)

    story.made("one", metrics=Metrics(cost_usd="0.0001", cost_lines=CostLines(compute_usd="0.0001")))

    assert sums(story) == (Decimal("0.0001"), Decimal(0))


def test_a_cancelled_execution_gives_everything_back_but_what_its_worker_may_still_spend() -> None:
    story = Story(pipeline(stage("one", max_cost_usd="0.5"), stage("two", max_cost_usd="0.25")))
    story.granted("one")

    story.happens(CancelAsked(reason="enough"))
    held_while_it_may_spend = sums(story)
    story.wakes()

    assert held_while_it_may_spend == (Decimal(0), Decimal("0.5"))
    assert sums(story) == (Decimal(0), Decimal(0))


def test_a_new_leg_reserves_what_the_one_before_has_left_and_has_to_fit_again() -> None:
    story = Story(pipeline(stage("one", max_cost_usd="0.5"), stage("two", depends_on=("one",), max_cost_usd="0.25")))
    story.made("one", metrics=costing("0.125"))
    story.fails("two", story.granted("two"), retryable=False)

    story.happens(ResumeAsked())

    assert moves(story)[-1] == (True, "0", "0.625")


def test_free_work_that_goes_on_asks_nothing_of_its_clients_budget() -> None:
    story = Story(pipeline(stage("one")), free=True)
    story.fails("one", 1, retryable=False)

    story.happens(ResumeAsked())

    assert story.last_packet("one").attempt == 2
    assert moves(story) == []


def test_a_leg_in_another_month_is_charged_to_that_month() -> None:
    story = Story(pipeline(stage("one", max_cost_usd="0.5")))
    first = story.execution.account.window
    story.fails("one", story.granted("one"), retryable=False)
    story.later(40 * 24 * 3_600_000)

    story.happens(ResumeAsked())

    assert story.execution.account.window != first
    assert story.execution.account.window == window_of(story.circumstances.at_ms)
    assert sums(story) == (Decimal(0), Decimal("0.5"))


@pytest.mark.parametrize("month", ["2026-01", "2026-12"])
def test_a_window_is_a_month_in_utc(month: str) -> None:
    midnight = {"2026-01": 1_767_225_600_000, "2026-12": 1_796_083_200_000}[month]

    assert window_of(midnight) == month
    assert window_of(midnight - 1) != month


def test_energy_is_taken_once_by_each_stage_that_called_a_provider() -> None:
    story = energetic("standard")

    story.happens(CallBooked(call=call("one", story.granted("one"), 1, "0.1", tokens=TOKENS)))
    assert (story.execution.account.energy_spent, story.execution.account.energy_held) == (10, 10)
    story.fails("one", 1, metrics=costing("0.1"))
    story.wakes()
    story.made("one", metrics=costing("0.1"))
    spent_by_one = story.execution.account.energy_spent
    story.made("two", metrics=Metrics(cost_usd="0"))

    assert spent_by_one == 10
    assert (story.execution.account.energy_spent, story.execution.account.energy_held) == (10, 0)


def test_a_call_that_nobody_answered_takes_energy_too() -> None:
    story = energetic("standard")
    unknown = Metrics(cost_usd=None, unanswered={"exec_1.one.1.1": "0.1"})

    story.made("one", metrics=unknown)

    assert story.execution.account.energy_spent == 10


def test_what_a_call_is_decided_to_have_cost_is_moved_in_the_books() -> None:
    story = Story(pipeline(stage("one", max_cost_usd="0.5")))
    story.made("one", metrics=Metrics(cost_usd=None, unanswered={"exec_1.one.1.1": "0.25"}))
    before = sums(story)

    story.happens(
        CallSettled(
            call_key="exec_1.one.1.1", stage_id="one", attempt=1, cost_usd="0.125", basis=Basis.STATEMENT, note="the bill"
        )
    )

    assert (before, sums(story)) == ((Decimal(0), Decimal("0.25")), (Decimal("0.125"), Decimal(0)))


def test_the_free_tier_gets_cheap_models_and_so_does_who_is_short_of_energy() -> None:
    free, standard = terms_of("free", PRICES), terms_of("standard", PRICES)

    short = on_less_energy(standard, PRICES)

    assert (free.quality, free.quality_reason, free.energy_per_stage) == (QualityTier.ECONOMY, CeilingReason.TIER, 1)
    assert (standard.quality, standard.energy_per_stage) == (None, 10)
    assert short is not None
    assert (short.quality, short.quality_reason, short.energy_per_stage) == (QualityTier.ECONOMY, CeilingReason.ENERGY, 1)
    assert on_less_energy(free, PRICES) is None


def test_each_call_that_ends_is_told_to_the_client_and_one_that_begins_is_not() -> None:
    story = Story(pipeline(stage("one")))
    ended = call("one", story.granted("one"), 1, "0.1", tokens=TOKENS, action="make")

    story.happens(CallBooked(call=replace(ended, outcome=CallOutcome.STARTED, cost_usd=None, tokens=Tokens())))
    before = [event for event in story.events() if isinstance(event, AiGenerationCompleted)]
    story.happens(CallBooked(call=ended))

    [told] = [event for event in story.events() if isinstance(event, AiGenerationCompleted)]
    assert before == []
    assert (told.action, told.model, told.provider, told.tokens_used, told.cost_usd) == (
        "make",
        "gpt-4o-mini",
        "openai",
        15,
        "0.1",
    )


def test_the_client_is_told_which_model_stepped_in_for_which_one_and_why() -> None:
    story = Story(pipeline(stage("one")))
    first = call("one", story.granted("one"), 1, "0", outcome=CallOutcome.FAILED)
    second = replace(
        call("one", 1, 2, "0.1", model="claude-sonnet-4"),
        purpose=Purpose.FALLBACK,
        fallback_from="gpt-4o-mini",
        reason="rate_limited",
    )

    story.happens(CallBooked(call=first))
    story.happens(CallBooked(call=second))

    told = [event for event in story.events() if isinstance(event, AiGenerationCompleted)]
    assert [(each.model, each.fallback_from, each.reason) for each in told] == [
        ("gpt-4o-mini", None, ""),
        ("claude-sonnet-4", "gpt-4o-mini", "rate_limited"),
    ]
    used = spent_by_stage(story.execution.stages["one"])
    assert (used.fallback_from, used.fallback_reason) == ("gpt-4o-mini", "rate_limited")


def test_an_attempt_without_a_fallback_takes_the_one_before_its_model_and_its_fallback() -> None:
    first = Metrics(provider="anthropic", model="claude-sonnet-4", fallback_from="gpt-4o-mini", fallback_reason="refused")
    before = spent_by_attempt(first)

    after = with_attempt(before, Metrics(provider="openai", model="gpt-4o-mini"))
    silent = with_attempt(before, Metrics(processing_time_ms=5))

    assert (after.model, after.fallback_from, after.fallback_reason) == ("gpt-4o-mini", None, None)
    assert (silent.model, silent.fallback_from, silent.fallback_reason) == ("claude-sonnet-4", "gpt-4o-mini", "refused")


def test_an_execution_that_holds_money_for_a_silent_worker_wakes_until_it_can_be_given_back() -> None:
    story = Story(pipeline(stage("one", optional=True), stage("two")))
    story.granted("one")
    story.made("two", metrics=costing("0.1"))
    story.happens(CancelAsked(reason="enough"))

    while (due := story.wakes_at()) is not None:
        story.later(due - story.circumstances.at_ms)
        story.happens(TimePassed())

    assert sums(story) == (Decimal("0.1"), Decimal(0))


def energetic(tier: str) -> Story:
    story = Story(pipeline(stage("one"), stage("two")))
    order = story.order
    draft = begin(order, story.circumstances, {}, "", terms_of(tier, PRICES))
    story.execution, story.commands = draft.finish(), draft.commands
    story.history = list(story.commands)
    return story
