"""The ledger against a provider's statement: every way in which they can differ is told by its name."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aif_console.reconciliation.by_day import compare_days
from aif_console.reconciliation.by_request import compare_requests
from aif_console.reconciliation.differences import Comparison, DifferenceKind
from aif_console.reconciliation.sides import LedgerCall, Period, StatementDay, StatementEntry, family
from aif_console.reconciliation.usage import NOTHING, Usage

FIRST, LAST = date(2026, 11, 10), date(2026, 11, 12)
PERIOD = Period(first=FIRST, last=LAST)
NOON = datetime(2026, 11, 11, 12, tzinfo=UTC)
THE_DAY = date(2026, 11, 11)
MIDNIGHT = datetime(2026, 11, 12, tzinfo=UTC)
MODEL = "gpt-5-mini"


def call(
    number: int, usage: Usage = NOTHING, *, at: datetime = NOON, cost: str | None = "0.5", is_estimate: bool = False
) -> LedgerCall:
    return LedgerCall(
        call_key=f"exec_1.a.1.{number}",
        model=MODEL,
        at=at,
        usage=usage,
        cost_usd=None if cost is None else Decimal(cost),
        response_id=None if cost is None else f"answer-{number}",
        is_estimate=is_estimate,
    )


def doubtful(number: int, *, at: datetime = NOON) -> LedgerCall:
    return call(number, at=at, cost=None)


def entry(number: int, usage: Usage, *, at: datetime = NOON, cost: str | None = None, again: bool = False) -> StatementEntry:
    return StatementEntry(
        model=MODEL,
        at=at,
        usage=usage,
        response_id=f"answer-{number}{'-again' if again else ''}",
        call_key=f"exec_1.a.1.{number}",
        cost_usd=None if cost is None else Decimal(cost),
    )


def billed(usage: Usage, *, day: date = THE_DAY, requests: int | None = None, cost: str | None = None) -> StatementDay:
    return StatementDay(day=day, model=MODEL, usage=usage, requests=requests, cost_usd=None if cost is None else Decimal(cost))


def tokens(input_tokens: int, output: int = 10) -> Usage:
    return Usage(input=input_tokens, output=output)


def kinds(comparison: Comparison) -> list[tuple[str, tuple[str, ...]]]:
    return [(each.kind.value, tuple(key[-1] for key in each.call_keys)) for each in comparison.differences]


def resolved(comparison: Comparison) -> list[tuple[str, bool, Usage]]:
    return [(each.call_key[-1], each.billed, each.usage) for each in comparison.resolutions]


class TestByRequest:
    def test_what_agrees_is_no_difference(self) -> None:
        found = compare_requests([call(1, tokens(5)), call(2, tokens(7))], [entry(2, tokens(7)), entry(1, tokens(5))], PERIOD)

        assert (found.calls, found.ledger, found.provider) == (2, Usage(input=12, output=20), Usage(input=12, output=20))
        assert (list(found.differences), list(found.resolutions)) == ([], [])

    def test_without_our_key_the_answers_id_tells(self) -> None:
        strange = StatementEntry(model=MODEL, at=NOON, usage=tokens(5), response_id="answer-1")

        assert kinds(compare_requests([call(1, tokens(5))], [strange], PERIOD)) == []

    def test_a_call_that_the_ledger_does_not_have(self) -> None:
        assert kinds(compare_requests([], [entry(1, tokens(5))], PERIOD)) == [("missing_in_ledger", ("1",))]

    def test_a_call_that_the_provider_does_not_have(self) -> None:
        assert kinds(compare_requests([call(1, tokens(5))], [], PERIOD)) == [("missing_at_provider", ("1",))]

    def test_a_call_that_was_billed_twice(self) -> None:
        entries = [entry(1, tokens(5), again=True), entry(1, tokens(5))]

        found = compare_requests([call(1, tokens(5))], entries, PERIOD)

        assert kinds(found) == [("duplicate", ("1",))]
        assert found.differences[0].response_id == "answer-1-again"
        assert found.differences[0].usage == tokens(5)

    def test_an_answer_that_the_ledger_has_twice(self) -> None:
        twin = LedgerCall(
            call_key="exec_1.a.1.2", model=MODEL, at=NOON, usage=tokens(5), cost_usd=Decimal(1), response_id="answer-1"
        )

        found = compare_requests([call(1, tokens(5)), twin], [entry(1, tokens(5))], PERIOD)

        assert kinds(found) == [("duplicate", ("1", "2"))]
        assert found.differences[0].usage == Usage(input=-5, output=-10)

    def test_other_tokens_and_another_price_are_told_apart(self) -> None:
        calls = [call(1, tokens(5)), call(2, tokens(5))]
        entries = [entry(1, tokens(8), cost="0.5"), entry(2, tokens(5), cost="0.75")]

        found = compare_requests(calls, entries, PERIOD)

        assert kinds(found) == [("price_difference", ("2",)), ("token_difference", ("1",))]
        assert [each.cost_usd for each in found.differences] == ["0.25", "0"]
        assert found.differences[1].usage == Usage(input=3)

    def test_a_call_of_the_other_day_is_nothing_that_is_missing(self) -> None:
        found = compare_requests(
            [call(1, tokens(5), at=MIDNIGHT - timedelta(seconds=2))],
            [entry(1, tokens(5), at=MIDNIGHT + timedelta(seconds=1))],
            PERIOD,
        )

        assert kinds(found) == [("time_bucket", ("1",))]
        assert not found.differences[0].is_off

    def test_a_call_in_doubt_is_resolved_by_what_was_billed_or_was_not(self) -> None:
        found = compare_requests([doubtful(1), doubtful(2)], [entry(1, tokens(5), cost="0.25")], PERIOD)

        assert kinds(found) == [("in_doubt_resolved", ("1",)), ("in_doubt_resolved", ("2",))]
        assert resolved(found) == [("1", True, tokens(5)), ("2", False, NOTHING)]
        assert found.resolutions[0].cost_usd == Decimal("0.25")

    def test_an_estimate_is_corrected(self) -> None:
        estimated = call(1, cost="2", is_estimate=True)

        found = compare_requests([estimated], [entry(1, tokens(5), cost="0.25")], PERIOD)

        assert resolved(found) == [("1", True, tokens(5))]
        assert found.differences[0].cost_usd == "-1.75"

    def test_a_doubtful_call_at_the_very_end_waits_for_the_next_statement(self) -> None:
        late = datetime(2026, 11, 12, 23, 30, tzinfo=UTC)

        found = compare_requests([doubtful(1, at=late)], [], PERIOD)

        assert kinds(found) == [("in_doubt", ("1",))]
        assert resolved(found) == []

    def test_what_lies_around_the_period_is_matched_and_not_told(self) -> None:
        before = datetime(2026, 11, 9, 23, 59, tzinfo=UTC)

        found = compare_requests([call(1, tokens(5), at=before)], [entry(1, tokens(5), at=before)], PERIOD)

        assert (found.calls, found.provider, kinds(found)) == (0, NOTHING, [])


class TestByDay:
    def test_what_agrees_is_no_difference(self) -> None:
        found = compare_days([call(1, tokens(5)), call(2, tokens(7))], [billed(Usage(input=12, output=20), cost="1.0")], PERIOD)

        assert kinds(found) == []

    def test_a_day_that_the_ledger_does_not_have(self) -> None:
        assert kinds(compare_days([], [billed(tokens(5))], PERIOD)) == [("missing_in_ledger", ())]

    def test_a_day_that_the_provider_does_not_have(self) -> None:
        found = compare_days([call(1, tokens(5)), call(2, tokens(6))], [], PERIOD)

        assert kinds(found) == [("missing_at_provider", ("1", "2"))]

    def test_tokens_that_are_exactly_those_of_a_call_name_it(self) -> None:
        calls = [call(1, tokens(5)), call(2, tokens(7, 3))]

        twice = compare_days(calls, [billed(tokens(5) + tokens(7, 3) + tokens(7, 3), requests=3)], PERIOD)
        gone = compare_days(calls, [billed(tokens(5), requests=1)], PERIOD)

        assert kinds(twice) == [("duplicate", ("2",))]
        assert kinds(gone) == [("missing_at_provider", ("2",))]

    def test_more_requests_with_other_tokens_are_calls_that_the_ledger_misses(self) -> None:
        found = compare_days([call(1, tokens(5))], [billed(tokens(50), requests=2)], PERIOD)

        assert kinds(found) == [("missing_in_ledger", ())]

    def test_as_many_requests_with_other_tokens(self) -> None:
        found = compare_days([call(1, tokens(5))], [billed(tokens(6), requests=1)], PERIOD)

        assert kinds(found) == [("token_difference", ())]
        assert found.differences[0].usage == Usage(input=1)

    def test_the_same_tokens_at_another_price(self) -> None:
        found = compare_days([call(1, tokens(5))], [billed(tokens(5), cost="0.75")], PERIOD)

        assert kinds(found) == [("price_difference", ())]
        assert found.differences[0].cost_usd == "0.25"

    def test_a_price_that_is_off_by_less_than_a_number_can_hold_is_none(self) -> None:
        assert kinds(compare_days([call(1, tokens(5))], [billed(tokens(5), cost="0.50000000001")], PERIOD)) == []

    @pytest.mark.parametrize("seconds", [-5, 5])
    def test_a_call_near_midnight_that_stands_on_the_other_day(self, seconds: int) -> None:
        near = call(1, tokens(5), at=MIDNIGHT + timedelta(seconds=seconds))
        others = [call(2, tokens(70)), call(3, tokens(90), at=MIDNIGHT + timedelta(hours=9))]
        mine, theirs = (11, 12) if seconds < 0 else (12, 11)
        own = {11: tokens(70), 12: tokens(90)}
        statement = [
            billed(own[mine], day=date(2026, 11, mine)),
            billed(own[theirs] + tokens(5), day=date(2026, 11, theirs)),
        ]

        found = compare_days([near, *others], statement, PERIOD)

        assert kinds(found) == [("time_bucket", ("1",))]

    @pytest.mark.parametrize("at", [datetime(2026, 11, 9, 23, 59, tzinfo=UTC), datetime(2026, 11, 13, 0, 1, tzinfo=UTC)])
    def test_a_call_from_outside_that_the_provider_counts_inside(self, at: datetime) -> None:
        day = FIRST if at.day == 9 else LAST

        found = compare_days([call(1, tokens(5), at=at)], [billed(tokens(5), day=day)], PERIOD)

        assert kinds(found) == [("time_bucket", ("1",))]

    def test_a_call_from_inside_that_the_provider_counts_outside(self) -> None:
        late = datetime(2026, 11, 12, 23, 59, tzinfo=UTC)

        found = compare_days([call(1, tokens(5), at=late)], [], PERIOD)

        assert kinds(found) == [("time_bucket", ("1",))]

    def test_a_call_at_noon_is_not_taken_for_one_of_the_other_day(self) -> None:
        statement = [billed(tokens(5), day=date(2026, 11, 12))]

        found = compare_days([call(1, tokens(5))], statement, PERIOD)

        assert kinds(found) == [("missing_at_provider", ("1",)), ("missing_in_ledger", ())]

    def test_the_one_call_in_doubt_has_used_what_is_too_much(self) -> None:
        found = compare_days(
            [call(1, tokens(5)), doubtful(2)], [billed(tokens(5) + tokens(8), requests=2, cost="0.625")], PERIOD
        )

        assert kinds(found) == [("in_doubt_resolved", ("2",))]
        assert resolved(found) == [("2", True, tokens(8))]
        assert found.resolutions[0].cost_usd == Decimal("0.125")

    def test_when_nothing_is_too_much_no_call_in_doubt_was_billed(self) -> None:
        found = compare_days([call(1, tokens(5)), doubtful(2), doubtful(3)], [billed(tokens(5), requests=1)], PERIOD)

        assert resolved(found) == [("2", False, NOTHING), ("3", False, NOTHING)]

    def test_of_several_in_doubt_nobody_can_say_which_was_billed(self) -> None:
        found = compare_days([doubtful(1), doubtful(2)], [billed(tokens(8), requests=1)], PERIOD)

        assert kinds(found) == [("in_doubt", ("1", "2"))]
        assert resolved(found) == []

    def test_a_call_in_doubt_near_midnight_is_not_settled_while_the_other_day_has_too_much(self) -> None:
        near = doubtful(1, at=MIDNIGHT - timedelta(seconds=3))

        found = compare_days([near], [billed(tokens(8), day=date(2026, 11, 12))], PERIOD)

        assert kinds(found) == [("in_doubt", ("1",)), ("missing_in_ledger", ())]
        assert resolved(found) == []


def test_versions_of_a_model_are_one_family() -> None:
    assert family("gpt-4o-mini-2024-07-18") == family("gpt-4o-mini-latest") == family("gpt-4o-mini") == "gpt-4o-mini"
    assert family("claude-sonnet-4-5-20250929") == "claude-sonnet-4-5"


USAGES = st.builds(
    Usage,
    input=st.integers(1, 5_000),
    cache_read=st.integers(0, 500),
    cache_write=st.integers(0, 500),
    output=st.integers(1, 5_000),
)
MOMENTS = st.integers(0, 3 * 86_400 - 1).map(lambda seconds: datetime(2026, 11, 10, tzinfo=UTC) + timedelta(seconds=seconds))


@st.composite
def calls_of_a_period(draw: st.DrawFn) -> list[LedgerCall]:
    drawn = draw(st.lists(st.tuples(USAGES, MOMENTS), max_size=12))
    return [call(number, usage, at=at) for number, (usage, at) in enumerate(drawn)]


def summed(calls: Sequence[LedgerCall]) -> list[StatementDay]:
    days = sorted({each.day for each in calls})
    return [
        billed(
            sum((each.usage for each in calls if each.day == day), NOTHING),
            day=day,
            requests=sum(each.day == day for each in calls),
        )
        for day in days
    ]


@given(calls_of_a_period())
def test_a_true_statement_never_differs(calls: list[LedgerCall]) -> None:
    assert list(compare_days(calls, summed(calls), PERIOD).differences) == []
    entries = [entry(number, each.usage, at=each.at) for number, each in enumerate(calls)]
    assert list(compare_requests(calls, entries, PERIOD).differences) == []


@given(calls_of_a_period(), st.data())
def test_what_is_told_by_request_adds_up_to_what_differs(calls: list[LedgerCall], data: st.DataObject) -> None:
    entries = [entry(number, each.usage, at=each.at) for number, each in enumerate(calls)]
    kept = [each for each in entries if data.draw(st.booleans())]
    known = [each for each in calls if data.draw(st.booleans())]

    found = compare_requests(known, kept, PERIOD)

    assert sum((each.usage for each in found.differences), NOTHING) == found.provider - found.ledger


@given(calls_of_a_period(), st.data())
def test_what_is_told_by_day_adds_up_to_what_differs(calls: list[LedgerCall], data: st.DataObject) -> None:
    kept = [each for each in calls if data.draw(st.booleans())]
    known = [each for each in calls if data.draw(st.booleans())]

    found = compare_days(known, summed(kept), PERIOD)

    moved = {key for each in found.differences if each.kind is DifferenceKind.TIME_BUCKET for key in each.call_keys}
    at_the_edges = [each for each in known if each.call_key in moved]
    told = sum((each.usage for each in found.differences), NOTHING)
    if not at_the_edges:
        assert told == found.provider - found.ledger


@given(calls_of_a_period().filter(bool), st.data())
def test_one_call_in_doubt_is_never_charged_with_another_ones_tokens(calls: list[LedgerCall], data: st.DataObject) -> None:
    """Whatever is resolved as billed has the tokens that it truly used."""
    number = data.draw(st.integers(0, len(calls) - 1))
    was_billed = data.draw(st.booleans())
    ledger = [doubtful(n, at=each.at) if n == number else each for n, each in enumerate(calls)]
    true = calls if was_billed else [each for n, each in enumerate(calls) if n != number]

    found = compare_days(ledger, summed(true), PERIOD)

    for each in found.resolutions:
        assert each.call_key == calls[number].call_key
        assert each.billed is was_billed
        assert each.usage == (calls[number].usage if was_billed else NOTHING)
