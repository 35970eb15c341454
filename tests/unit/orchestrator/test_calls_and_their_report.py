"""A call and the report of its attempt come in any order, more than once: the client is told once, and charged once."""

from decimal import Decimal
from itertools import permutations

import pytest
from msgspec.structs import replace

from aif_contracts.events import AiGenerationCompleted, CostIncurred
from aif_contracts.metering import Basis, CallOutcome, CostLines, Metrics, ProviderCall, Tokens
from aif_orchestrator.execution.commands import RecordCall, TellContradiction
from aif_orchestrator.execution.happenings import AttemptCompleted, CallBooked, CallSettled, Happening
from aif_orchestrator.execution.metering import execution_totals
from support.execution_story import Story, call, inline, pipeline, stage

KEY = "exec_1.one.1.1"


def test_a_call_that_its_report_names_is_told_before_the_end_and_its_own_message_changes_nothing() -> None:
    story = with_one_stage()
    ended = call("one", story.granted("one"), 1, "0.25")

    story.completes("one", 1, metrics=costing("0.25"), calls=(ended,))
    told = story.event_types()
    commands = story.happens(CallBooked(call=ended))

    assert told.count("AI_GENERATION_COMPLETED") == 1
    assert told.index("AI_GENERATION_COMPLETED") < told.index("STEP_COMPLETED")
    assert told[-1] == "WORKFLOW_COMPLETED"
    assert commands == []
    assert [each.call for each in story.history if isinstance(each, RecordCall)] == [ended]
    assert spent(story) == Decimal("0.25")


def test_a_call_that_was_booked_before_its_report_names_it_is_told_and_charged_once() -> None:
    story = with_one_stage()
    ended = call("one", story.granted("one"), 1, "0.25")

    story.happens(CallBooked(call=ended))
    story.completes("one", 1, metrics=costing("0.25"), calls=(ended,))

    assert len(generations(story)) == 1
    assert (spent(story), told_costs(story)) == (Decimal("0.25"), ["0.25"])


def test_a_call_that_comes_after_its_report_is_told_while_the_execution_goes_on() -> None:
    story = Story(pipeline(stage("one"), stage("two", depends_on=("one",))))
    ended = call("one", story.granted("one"), 1, "0.25")
    story.completes("one", 1, metrics=costing("0.25"))

    for _ in range(2):
        story.happens(CallBooked(call=ended))

    assert [(each.step_name, each.cost_usd) for each in generations(story)] == [("one", "0.25")]
    assert (spent(story), told_costs(story)) == (Decimal("0.25"), ["0.25"])


def test_a_call_that_comes_after_the_end_of_the_execution_is_kept_and_charged_and_not_told() -> None:
    story = with_one_stage()
    ended = call("one", story.granted("one"), 1, "0.25")
    story.completes("one", 1)

    story.happens(CallBooked(call=ended))

    assert story.event_types()[-1] == "WORKFLOW_COMPLETED"
    assert RecordCall(call=ended) in story.commands
    assert spent(story) == Decimal("0.25")


def test_a_worker_that_says_that_it_has_spent_nothing_and_books_a_call_later_is_charged_and_the_operator_is_told() -> None:
    story = with_one_stage()
    ended = call("one", story.granted("one"), 1, "0.75")
    story.completes("one", 1, metrics=costing("0.5"))

    for _ in range(2):
        story.happens(CallBooked(call=ended))

    [told] = [command for command in story.history if isinstance(command, TellContradiction)]
    assert told.message == f"{KEY} was booked after the report, which says 0.25 USD less than its calls cost"
    assert spent(story) == Decimal("0.75")
    assert execution_totals(story.execution, story.circumstances.at_ms).cost_lines == CostLines(ai_generation_usd="0.75")


@pytest.mark.parametrize(("cost", "told"), [("0.75", "0.25"), (None, None)])
def test_what_a_late_call_costs_beyond_its_report_is_told_once_while_the_execution_goes_on(
    cost: str | None, told: str | None
) -> None:
    story = Story(pipeline(stage("one"), stage("two", depends_on=("one",))))
    attempt = story.granted("one")
    outcome = CallOutcome.ANSWERED if cost else CallOutcome.IN_DOUBT
    story.completes("one", attempt, metrics=costing("0.5"))

    for _ in range(2):
        story.happens(CallBooked(call=call("one", attempt, 1, cost, outcome=outcome, upper_bound_usd="0.9")))

    assert told_costs(story) == ["0.5", told]


@pytest.mark.parametrize(
    ("metrics", "charged"),
    [
        (Metrics(), "0.75"),
        (Metrics(cost_usd="0.5"), "0.75"),
        (Metrics(cost_usd="2"), "2"),
        (Metrics(cost_usd="0.3", cost_lines=CostLines(ai_generation_usd="0.2", compute_usd="0.1")), "0.85"),
        (Metrics(cost_usd="2", cost_lines=CostLines(ai_generation_usd="0.2", compute_usd="0.1")), "2"),
        (Metrics(cost_usd=None, unanswered={KEY: "0.6"}), "0.75"),
        (Metrics(cost_usd=None, cost_lines=CostLines(ai_generation_usd="0.25"), unanswered={KEY: "0.6"}), "0.75"),
        (Metrics(cost_usd=None, cost_lines=CostLines(ai_generation_usd="0.5"), unanswered={KEY: "0.6"}), "1"),
    ],
)
def test_the_order_of_calls_decisions_and_report_makes_no_difference(metrics: Metrics, charged: str) -> None:
    """Of two calls one is answered after it was decided what it has cost, with 0.5 USD, the other one with 0.25."""
    for order in permutations(range(4)):
        story = with_one_stage()
        attempt = story.granted("one")
        happenings: list[Happening] = [
            CallBooked(call=announced(attempt, 1)),
            CallBooked(call=call("one", attempt, 1, "0.5")),
            CallBooked(call=call("one", attempt, 2, "0.25")),
            report(attempt, metrics),
        ]

        for place in order:
            for _ in range(2):
                story.happens(happenings[place])
            story.happens(decided(attempt, "0.6"))

        totals = execution_totals(story.execution, story.circumstances.at_ms)
        assert (spent(story), totals.cost_usd, totals.cost_is_complete) == (Decimal(charged), charged, True), order
        assert Decimal(story.execution.account.held) == 0


def test_a_call_that_was_announced_and_that_its_report_says_nothing_of_stays_in_doubt_until_it_is_decided() -> None:
    story = with_one_stage()
    attempt = story.granted("one")
    story.happens(CallBooked(call=announced(attempt, 1)))
    story.completes("one", attempt, metrics=costing("0.1"))
    doubtful = (story.execution.account.spent, story.execution.account.held)

    story.happens(decided(attempt, "0.6"))
    story.happens(decided(attempt, "0.5"))

    assert doubtful == ("0.1", "0.6")
    assert (story.execution.account.spent, story.execution.account.held) == ("0.5", "0")


def test_an_announcement_that_comes_after_the_end_of_its_call_takes_nothing_more() -> None:
    story = with_one_stage()
    attempt = story.granted("one")
    story.completes("one", attempt, metrics=costing("0.25"), calls=(call("one", attempt, 1, "0.25"),))

    assert story.happens(CallBooked(call=announced(attempt, 1))) == []


def test_an_answer_to_a_call_that_the_report_took_for_unanswered_frees_what_was_held_for_it() -> None:
    story = with_one_stage()
    attempt = story.granted("one")
    story.fails("one", attempt, metrics=Metrics(cost_usd=None, unanswered={KEY: "0.6"}), retryable=False)
    held = story.execution.account.held

    story.happens(CallBooked(call=call("one", attempt, 1, "0.25")))

    assert held == "0.6"
    assert (story.execution.account.spent, story.execution.account.held) == ("0.25", "0")


@pytest.mark.parametrize("is_decided_first", [True, False])
def test_the_tokens_of_a_call_without_an_answer_count_once_they_are_known_and_are_corrected(is_decided_first: bool) -> None:
    story = with_one_stage()
    attempt = story.granted("one")
    metrics = Metrics(tokens_used=tokens(7, 3), cost_usd=None, unanswered={KEY: "0.6"})
    story.happens(CallBooked(call=announced(attempt, 1)))
    if not is_decided_first:
        story.happens(report(attempt, metrics))
    story.happens(decided(attempt, "0.6", tokens(100, 20)))
    if is_decided_first:
        story.happens(report(attempt, metrics))
    first = execution_totals(story.execution, story.circumstances.at_ms).tokens_used

    story.happens(decided(attempt, "0.5", tokens(90, 20)))

    assert first == tokens(107, 23)
    assert execution_totals(story.execution, story.circumstances.at_ms).tokens_used == tokens(97, 23)


def test_the_tokens_of_a_late_answer_count_beside_a_report_that_took_its_call_for_unanswered() -> None:
    story = with_one_stage()
    attempt = story.granted("one")
    metrics = Metrics(tokens_used=tokens(7, 3), cost_usd=None, unanswered={KEY: "0.6"})
    story.fails("one", attempt, metrics=metrics, retryable=False)

    story.happens(CallBooked(call=call("one", attempt, 1, "0.25", tokens=tokens(100, 20))))

    assert execution_totals(story.execution, story.circumstances.at_ms).tokens_used == tokens(107, 23)


@pytest.mark.parametrize("is_named_by_its_report", [True, False])
def test_the_tokens_of_a_call_whose_worker_knew_no_price_count_once_also_when_its_cost_is_decided(
    is_named_by_its_report: bool,
) -> None:
    story = with_one_stage()
    attempt = story.granted("one")
    unpriced = call("one", attempt, 1, None, tokens=tokens(100, 20), upper_bound_usd="0.6")
    metrics = Metrics(tokens_used=tokens(100, 20), cost_usd=None, unanswered={KEY: "0.6"})

    story.completes("one", attempt, metrics=metrics, calls=(unpriced,) if is_named_by_its_report else ())
    story.happens(CallBooked(call=unpriced))
    reported = execution_totals(story.execution, story.circumstances.at_ms)
    story.happens(decided(attempt, "0.5", tokens(100, 20)))
    settled = execution_totals(story.execution, story.circumstances.at_ms)

    assert reported.tokens_used == settled.tokens_used == tokens(100, 20)
    assert (settled.cost_usd, settled.cost_is_complete) == ("0.5", True)


def with_one_stage() -> Story:
    return Story(pipeline(stage("one")))


def costing(amount: str) -> Metrics:
    return Metrics(cost_usd=amount, cost_lines=CostLines(ai_generation_usd=amount))


def tokens(prompt: int, completion: int) -> Tokens:
    return Tokens(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


def report(attempt: int, metrics: Metrics) -> AttemptCompleted:
    return AttemptCompleted(
        stage_id="one",
        attempt=attempt,
        worker_name="maker",
        output=inline({}),
        value={},
        metrics=metrics,
        quality_score=None,
        element_count=None,
        summary="",
    )


def announced(attempt: int, number: int) -> ProviderCall:
    told = call("one", attempt, number, None, outcome=CallOutcome.STARTED, upper_bound_usd="0.6")
    return replace(told, tokens=Tokens())


def decided(attempt: int, cost: str, used: Tokens | None = None) -> CallSettled:
    return CallSettled(
        call_key=KEY, stage_id="one", attempt=attempt, cost_usd=cost, basis=Basis.ESTIMATE, note="by hand", tokens=used
    )


def spent(story: Story) -> Decimal:
    return Decimal(story.execution.account.spent)


def generations(story: Story) -> list[AiGenerationCompleted]:
    return [event for event in story.events() if isinstance(event, AiGenerationCompleted)]


def told_costs(story: Story) -> list[str | None]:
    return [event.cost_usd for event in story.events() if isinstance(event, CostIncurred)]
