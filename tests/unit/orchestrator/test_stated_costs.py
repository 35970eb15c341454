"""A worker tells what an attempt cost by its report, by the report's lines and by each call; they may contradict each other."""

from decimal import Decimal

import pytest

from aif_contracts.events import CostIncurred, StepCompleted
from aif_contracts.metering import Basis, CostLines, Metrics
from aif_orchestrator.execution.commands import RecordAttempt, TellAudit, TellBeyondGrant, TellContradiction
from aif_orchestrator.execution.happenings import CallBooked, CallSettled, TimePassed
from aif_orchestrator.execution.metering import execution_totals
from support.execution_story import Story, call, pipeline, stage


def cost(story: Story) -> str:
    return execution_totals(story.execution, story.circumstances.at_ms).cost_usd


def contradictions(story: Story) -> list[TellContradiction]:
    return [command for command in story.history if isinstance(command, TellContradiction)]


def with_a_call(amount: str) -> Story:
    story = Story(pipeline(stage("one")))
    attempt = story.granted("one")
    story.happens(CallBooked(call=call("one", attempt, 1, amount)))
    return story


def of_calls(amount: str) -> Metrics:
    return Metrics(cost_usd=amount, cost_lines=CostLines(ai_generation_usd=amount))


def test_a_report_that_hides_what_its_booked_calls_cost_is_charged_with_them_and_told() -> None:
    story = with_a_call("0.75")

    story.completes("one", 1, metrics=of_calls("0"))

    [told] = contradictions(story)
    [completed] = [event for event in story.events() if isinstance(event, StepCompleted)]
    [recorded] = [command.record.metrics for command in story.history if isinstance(command, RecordAttempt)]
    assert (told.stage_id, told.attempt, told.worker_name) == ("one", 1, "maker")
    assert told.message == (
        "the report says 0 USD, its lines 0 USD with 0 USD for calls, and the calls that were booked 0.75 USD: "
        "the most of it is charged"
    )
    assert (cost(story), completed.cost_usd) == ("0.75", "0.75")
    assert (recorded.cost_usd, recorded.cost_lines) == ("0.75", CostLines(ai_generation_usd="0.75"))
    assert [event.cost_usd for event in story.events() if isinstance(event, CostIncurred)] == ["0.75"]
    assert Decimal(story.execution.account.spent) == Decimal("0.75")


def test_a_failure_that_hides_what_its_booked_calls_cost_is_charged_with_them() -> None:
    story = with_a_call("0.75")

    story.fails("one", 1, metrics=of_calls("0.5"))

    assert cost(story) == "0.75"
    assert len(contradictions(story)) == 1


def test_a_late_report_that_hides_what_its_booked_calls_cost_is_charged_with_them() -> None:
    story = with_a_call("0.75")
    story.falls_silent("one")

    story.completes("one", 1, metrics=of_calls("0"))
    story.completes("one", 1, metrics=of_calls("0"))

    assert cost(story) == "0.75"
    assert len(contradictions(story)) == 1


@pytest.mark.parametrize(
    ("said", "lines", "charged"),
    [
        ("0.1", CostLines(ai_generation_usd="0.25", compute_usd="0.5"), "0.75"),
        ("2", CostLines(ai_generation_usd="0.25", compute_usd="0.5"), "2"),
        (None, CostLines(compute_usd="0.5"), "0.75"),
    ],
    ids=["less than its lines", "more than its lines", "unknown, and lines without the call"],
)
def test_of_a_report_and_its_lines_the_most_is_charged_and_it_is_told(said: str | None, lines: CostLines, charged: str) -> None:
    story = with_a_call("0.25")

    story.completes("one", 1, metrics=Metrics(cost_usd=said, cost_lines=lines))

    assert cost(story) == charged
    assert len(contradictions(story)) == 1


@pytest.mark.parametrize(
    ("said", "charged"),
    [("2", "2"), ("0.25", "0.25"), (None, "0.25")],
    ids=["more than its calls", "as much as its calls", "unknown"],
)
def test_a_report_without_lines_is_no_contradiction_and_its_cost_is_that_of_calls(said: str | None, charged: str) -> None:
    story = with_a_call("0.25")

    story.completes("one", 1, metrics=Metrics(cost_usd=said))

    [recorded] = [command.record.metrics for command in story.history if isinstance(command, RecordAttempt)]
    assert cost(story) == charged
    assert (recorded.cost_usd, recorded.cost_lines) == (said, CostLines(ai_generation_usd=charged))
    assert contradictions(story) == []


def test_a_report_without_lines_that_says_less_than_its_booked_calls_is_charged_with_them_and_told() -> None:
    story = with_a_call("0.75")

    story.completes("one", 1, metrics=Metrics(cost_usd="0.5"))

    assert cost(story) == "0.75"
    assert len(contradictions(story)) == 1


def test_costs_beside_the_calls_and_calls_that_are_not_booked_yet_are_no_contradiction() -> None:
    story = with_a_call("0.25")

    lines = CostLines(ai_generation_usd="1.25", api_calls_usd="0.01", storage_usd="0.02", compute_usd="0.03")
    story.completes("one", 1, metrics=Metrics(cost_usd="1.310", cost_lines=lines))

    assert cost(story) == "1.31"
    assert contradictions(story) == []


def test_what_was_decided_about_a_call_that_its_report_says_nothing_of_is_charged_and_no_contradiction() -> None:
    story = with_a_call("0.25")
    story.happens(CallBooked(call=call("one", 1, 2, None, upper_bound_usd="5")))
    key = "exec_1.one.1.2"
    decided = CallSettled(call_key=key, stage_id="one", attempt=1, cost_usd="5", basis=Basis.ESTIMATE, note="nobody knows")
    story.happens(decided)

    story.completes("one", 1, metrics=of_calls("0.5"))

    assert cost(story) == "5.25"
    assert contradictions(story) == []


def test_a_booked_call_that_the_report_knows_no_cost_of_is_charged_once() -> None:
    story = with_a_call("0.25")

    story.completes("one", 1, metrics=Metrics(cost_usd=None, unanswered={"exec_1.one.1.1": "0.6"}))

    assert cost(story) == "0.25"


def beyond_grants(story: Story) -> list[tuple[int, str, str]]:
    """Attempts, with what they are charged and were granted."""
    told = [command for command in story.history if isinstance(command, TellBeyondGrant)]
    return [(each.attempt, each.charged_usd, each.granted_usd) for each in told]


def test_a_cost_beyond_what_was_granted_is_charged_and_told_with_both_amounts() -> None:
    story = Story(pipeline(stage("one")))
    story.granted("one")

    story.completes("one", 1, metrics=of_calls("99999999"))
    story.completes("one", 1, metrics=of_calls("99999999"))

    assert cost(story) == "99999999"
    assert contradictions(story) == []
    assert beyond_grants(story) == [(1, "99999999", "1")]
    [entry] = [command.entry for command in story.history if isinstance(command, TellAudit)]
    assert (entry.audit_id, entry.action, entry.severity) == ("beyond.exec_1.one.1", "COST_BEYOND_GRANT", "critical")
    assert (entry.actor, entry.client_id, entry.execution_id) == ("worker:maker", "acme", "exec_1")
    assert entry.details == {
        "stage_id": "one",
        "attempt": 1,
        "charged_usd": "99999999",
        "granted_usd": "1",
        "provider": None,
        "model": None,
    }


@pytest.mark.parametrize(
    ("metrics", "told"),
    [
        (of_calls("1"), []),
        (of_calls("1.000001"), [(1, "1.000001", "1")]),
        (Metrics(cost_usd="1.5"), [(1, "1.5", "1")]),
        (Metrics(cost_usd="5", cost_lines=CostLines(ai_generation_usd="1", compute_usd="4")), []),
    ],
    ids=["all of it", "a little more", "without lines", "at the operator's own rates"],
)
def test_only_what_calls_cost_is_held_against_the_grant(metrics: Metrics, told: list[tuple[int, str, str]]) -> None:
    story = Story(pipeline(stage("one")))
    story.granted("one")

    story.fails("one", 1, metrics=metrics)

    assert beyond_grants(story) == told


def test_an_attempt_that_was_granted_no_money_and_says_that_its_calls_cost_some_is_told() -> None:
    story = Story(pipeline(stage("one")), free=True)

    story.completes("one", 1, metrics=of_calls("0.25"))

    assert beyond_grants(story) == [(1, "0.25", "0")]


def test_a_late_report_is_held_against_what_was_reserved_or_any_attempt_may_cost() -> None:
    story = Story(pipeline(stage("one"), timeout_seconds=10_000.0))
    story.granted("one")
    story.falls_silent("one")
    story.later(3_600_000)
    story.happens(TimePassed())

    story.fails("one", 1, metrics=of_calls("0.75"))
    kept = beyond_grants(story)
    story.granted("one", by="worker_b")
    story.falls_silent("one")
    story.fails("one", 2, metrics=of_calls("1.25"))

    assert story.stage("one").settled == (1, 2)
    assert (kept, beyond_grants(story)) == ([], [(2, "1.25", "1")])
