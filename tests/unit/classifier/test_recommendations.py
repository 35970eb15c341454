from datetime import timedelta
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from aif_classifier.findings import Thresholds
from aif_classifier.recommendations import findings_about
from aif_classifier.samples import Sample, complexity_of, halves_by_time, percentile
from support.performance_samples import BEGINNING, GRANULATION, failure, one_a_minute, sample

THRESHOLDS = Thresholds()

ANY_SAMPLE = st.builds(
    lambda ms, cents, quality, model, code: sample(
        execution_time_ms=ms,
        cost_usd=None if cents is None else Decimal(cents) / 100,
        quality_score=quality if code is None else None,
        model=model,
        success=code is None,
        failure_code=code,
    ),
    st.integers(0, 10_000),
    st.one_of(st.none(), st.integers(0, 50)),
    st.one_of(st.none(), st.floats(0, 1)),
    st.sampled_from([None, "gpt-large", "gpt-small"]),
    st.sampled_from([None, None, "timeout", "cancelled", "output_rejected"]),
)


def test_each_kind_of_finding_is_told_at_once_surest_first() -> None:
    good = [sample(execution_time_ms=8000, quality_score=0.9 + i % 2 * 0.02) for i in range(100)]
    bad = [sample(execution_time_ms=9800, quality_score=0.7 + i % 2 * 0.02) for i in range(100)]
    attempts = one_a_minute([*good, *bad, *[failure("timeout", execution_time_ms=10_000)] * 50])

    findings = findings_about(GRANULATION, attempts, THRESHOLDS)

    assert [finding.insight_key.split("/")[0] for finding in findings] == [
        "timeout_too_short",
        "wasted_cost",
        "quality_fell",
        "speed_fell",
    ]
    assert [f.confidence_score for f in findings] == sorted((f.confidence_score for f in findings), reverse=True)


def test_ordinary_attempts_give_no_findings() -> None:
    attempts = one_a_minute([sample(execution_time_ms=4000 + i % 5, quality_score=0.9 + i % 3 / 100) for i in range(300)])

    assert findings_about(GRANULATION, attempts, THRESHOLDS) == ()


def test_inputs_of_different_size_are_never_compared() -> None:
    small_first = [sample(input_complexity="small", quality_score=0.95, execution_time_ms=4000)] * 60
    then_large = [sample(input_complexity="large", quality_score=0.70, execution_time_ms=5000)] * 60

    assert findings_about(GRANULATION, one_a_minute([*small_first, *then_large]), THRESHOLDS) == ()


def test_cancelled_and_superseded_attempts_are_no_verdict() -> None:
    attempts = one_a_minute([*[sample()] * 40, *[failure("cancelled")] * 100, *[failure("superseded")] * 100])

    assert findings_about(GRANULATION, attempts, THRESHOLDS) == ()


@pytest.mark.parametrize("minimum_sample", [10, 1000])
def test_below_the_minimum_sample_nothing_is_recommended(minimum_sample: int) -> None:
    attempts = one_a_minute([*[sample()] * 70, *[failure("output_rejected")] * 30])

    findings = findings_about(GRANULATION, attempts, replace(THRESHOLDS, minimum_sample=minimum_sample))

    assert bool(findings) is (minimum_sample == 10)


@given(st.lists(ANY_SAMPLE, max_size=60), st.integers())
def test_findings_do_not_depend_on_the_order_in_which_attempts_are_read(samples: list[Sample], seed: int) -> None:
    eager = replace(THRESHOLDS, minimum_sample=3, minimum_confidence=0.6)
    attempts = one_a_minute(samples)
    shuffled = attempts.copy()
    Random(seed).shuffle(shuffled)

    assert findings_about(GRANULATION, shuffled, eager) == findings_about(GRANULATION, attempts, eager)


@given(st.lists(ANY_SAMPLE, max_size=60))
def test_confidence_lies_between_the_minimum_and_one_and_keys_are_unique(samples: list[Sample]) -> None:
    eager = replace(THRESHOLDS, minimum_sample=3, minimum_confidence=0.6)

    findings = findings_about(GRANULATION, one_a_minute(samples), eager)

    assert all(0.6 <= finding.confidence_score < 1 for finding in findings)
    assert len({finding.insight_key for finding in findings}) == len(findings)
    assert all(finding.sample_size >= 3 and finding.description for finding in findings)


@pytest.mark.parametrize(
    ("size", "complexity"), [(0, "small"), (4095, "small"), (4096, "medium"), (65_535, "medium"), (65_536, "large")]
)
def test_inputs_are_classed_by_their_size(size: int, complexity: str) -> None:
    assert complexity_of(size) == complexity


def test_the_middle_attempt_of_an_odd_number_belongs_to_the_recent_half() -> None:
    attempts = [sample(timestamp=BEGINNING + timedelta(hours=hour)) for hour in (3, 1, 2)]

    earlier, recent = halves_by_time(attempts)

    assert [s.timestamp.hour for s in earlier] == [1]
    assert [s.timestamp.hour for s in recent] == [2, 3]


def test_percentiles_are_interpolated() -> None:
    assert percentile([40, 10, 20, 30], 0.5) == 25
    assert percentile([40, 10, 20, 30], 0.95) == pytest.approx(38.5)
    assert percentile([7], 0.99) == 7
