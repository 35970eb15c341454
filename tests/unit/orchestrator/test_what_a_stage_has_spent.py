"""The flat figures of a stage: metrics go in, sums run over them, and metrics come out again."""

import msgspec
import pytest
from msgspec.structs import replace

from aif_contracts.metering import CostLines, Metrics, ResourceUsage, TimeBreakdown, Tokens
from aif_orchestrator.execution.spent import NOTHING, Spent, metrics_of, plus, spent_by_attempt, total_of, with_attempt

PARTS = {"tokens_used": Tokens, "cost_lines": CostLines, "breakdown": TimeBreakdown, "resource_usage": ResourceUsage}
FIRST = Metrics(
    tokens_used=Tokens(
        prompt_tokens=1,
        completion_tokens=2,
        total_tokens=3,
        cache_read_tokens=4,
        cache_write_tokens=5,
        reasoning_tokens=6,
    ),
    provider="openai",
    model="gpt-5-mini",
    fallback_from="gpt-5",
    fallback_reason="rate_limited",
    cost_usd="1.07",
    cost_lines=CostLines(ai_generation_usd="0.11", api_calls_usd="0.22", storage_usd="0.33", compute_usd="0.41"),
    unanswered={"exec_1.one.1.1": "0.002"},
    saved_usd="0.55",
    processing_time_ms=7,
    breakdown=TimeBreakdown(ai_generation_ms=8, validation_ms=9, storage_ms=10),
    resource_usage=ResourceUsage(api_calls=11, kv_operations=12, r2_operations=13, cpu_time_ms=14, memory_mb=15),
)
SECOND = Metrics(
    tokens_used=Tokens(
        prompt_tokens=100,
        completion_tokens=200,
        total_tokens=300,
        cache_read_tokens=400,
        cache_write_tokens=500,
        reasoning_tokens=600,
    ),
    provider="anthropic",
    cost_usd="0.93",
    cost_lines=CostLines(ai_generation_usd="0.09", api_calls_usd="0.18", storage_usd="0.27", compute_usd="0.39"),
    unanswered={"exec_1.one.2.1": "0.003"},
    saved_usd="0.45",
    processing_time_ms=700,
    breakdown=TimeBreakdown(ai_generation_ms=800, validation_ms=900, storage_ms=1000),
    resource_usage=ResourceUsage(api_calls=1100, kv_operations=1200, r2_operations=1300, cpu_time_ms=1400, memory_mb=14),
)
BOTH = Metrics(
    tokens_used=Tokens(
        prompt_tokens=101,
        completion_tokens=202,
        total_tokens=303,
        cache_read_tokens=404,
        cache_write_tokens=505,
        reasoning_tokens=606,
    ),
    provider="anthropic",
    model="gpt-5-mini",
    cost_usd="2",
    cost_lines=CostLines(ai_generation_usd="0.2", api_calls_usd="0.4", storage_usd="0.6", compute_usd="0.8"),
    unanswered={"exec_1.one.1.1": "0.002", "exec_1.one.2.1": "0.003"},
    saved_usd="1",
    processing_time_ms=707,
    breakdown=TimeBreakdown(ai_generation_ms=808, validation_ms=909, storage_ms=1010),
    resource_usage=ResourceUsage(api_calls=1111, kv_operations=1212, r2_operations=1313, cpu_time_ms=1414, memory_mb=15),
)


def test_it_has_every_figure_of_metrics() -> None:
    whole = [name for name in Metrics.__struct_fields__ if name not in PARTS]

    names = [*whole, *(name for part in PARTS.values() for name in part.__struct_fields__)]

    assert sorted(Spent.__struct_fields__) == sorted(names)


@pytest.mark.parametrize("metrics", [FIRST, SECOND, Metrics(), Metrics(provider="local_extractive", cost_usd=None)])
def test_metrics_come_out_as_they_went_in(metrics: Metrics) -> None:
    assert metrics_of(with_attempt(NOTHING, metrics)) == metrics


def test_it_is_read_as_it_was_written() -> None:
    spent = spent_by_attempt(FIRST)

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(spent), type=Spent) == spent


def test_attempts_add_up_and_the_newer_one_names_what_made_the_output() -> None:
    assert metrics_of(with_attempt(spent_by_attempt(FIRST), SECOND)) == BOTH


def test_many_add_up_at_once_to_figures_that_name_no_model_and_no_call() -> None:
    of_all = replace(BOTH, provider=None, model=None, unanswered={})

    assert metrics_of(total_of([spent_by_attempt(FIRST), NOTHING, spent_by_attempt(SECOND)])) == of_all
    assert total_of([]) == NOTHING


def test_a_cost_that_is_unknown_once_stays_unknown() -> None:
    known, unknown = spent_by_attempt(FIRST), spent_by_attempt(replace(SECOND, cost_usd=None))

    for total in (plus(known, unknown), plus(unknown, known), total_of([known, unknown]), total_of([unknown, known])):
        assert (total.cost_usd, total.ai_generation_usd) == (None, "0.2")


def test_an_attempt_that_used_nothing_leaves_the_sum_as_it_is() -> None:
    spent = spent_by_attempt(FIRST)

    assert with_attempt(spent, Metrics()) is spent
    assert with_attempt(NOTHING, Metrics(cost_usd="0.00")) is NOTHING


def test_a_fallback_is_not_told_without_what_was_fallen_back_to() -> None:
    spent = spent_by_attempt(Metrics(fallback_from="gpt-5", fallback_reason="rate_limited", processing_time_ms=1))

    assert (spent.fallback_from, spent.fallback_reason) == (None, None)


@pytest.mark.parametrize(
    ("text", "shortest"),
    [
        ("0.0", "0"),
        ("00", "0"),
        ("0.10", "0.1"),
        ("05", "5"),
        ("00.5", "0.5"),
        ("10", "10"),
        ("1.0", "1"),
        ("0.000000000001", "0.000000000001"),
        ("999999999999.999999999999", "999999999999.999999999999"),
    ],
)
def test_amounts_are_kept_in_their_shortest_form(text: str, shortest: str) -> None:
    lines = CostLines(ai_generation_usd=text, api_calls_usd=text, storage_usd=text, compute_usd=text)

    spent = spent_by_attempt(Metrics(cost_usd=text, saved_usd=text, cost_lines=lines))

    assert {spent.cost_usd, spent.saved_usd, spent.ai_generation_usd, spent.compute_usd} == {shortest}
