import pytest

from aif_classifier.findings import Thresholds
from aif_classifier.regressions import about_quality, about_speed
from aif_classifier.samples import Sample
from aif_contracts.performance import RecommendationType
from support.performance_samples import GRANULATION, failure, one_a_minute, sample

THRESHOLDS = Thresholds()


def test_quality_that_fell_from_one_half_to_the_next_is_told_with_both_means() -> None:
    attempts = one_a_minute([*_of_quality(0.90), *_of_quality(0.80)])

    finding = about_quality(GRANULATION, "medium", attempts, THRESHOLDS)

    assert finding is not None
    assert finding.recommendation_type is RecommendationType.QUALITY
    assert finding.confidence_score == pytest.approx(1 - 1 / 82)
    assert (finding.current_value, finding.recommended_value) == ("0.800", "0.900")
    assert finding.expected_improvement == "+0.100 quality score"
    assert "before 2026-05-01 00:40 UTC" in finding.description


def test_a_change_after_the_middle_is_not_said_to_lie_before_it() -> None:
    attempts = one_a_minute([*_of_quality(0.90), *_of_quality(0.90)[:20], *_of_quality(0.60)[:20]])

    finding = about_quality(GRANULATION, "medium", attempts, THRESHOLDS)

    assert finding is not None
    assert finding.description.endswith(
        "look for what changed between 2026-05-01 00:00 and 2026-05-01 01:19 UTC, and take it back."
    )


def test_a_drop_of_quality_within_the_margin_is_not_told() -> None:
    attempts = one_a_minute([*_of_quality(0.90), *_of_quality(0.885)])

    assert about_quality(GRANULATION, "medium", attempts, THRESHOLDS) is None


def test_quality_that_rose_is_not_told() -> None:
    attempts = one_a_minute([*_of_quality(0.80), *_of_quality(0.90)])

    assert about_quality(GRANULATION, "medium", attempts, THRESHOLDS) is None


def test_quality_that_nobody_measured_is_not_told() -> None:
    attempts = one_a_minute([sample(quality_score=None)] * 100)

    assert about_quality(GRANULATION, "medium", attempts, THRESHOLDS) is None


def test_successes_that_take_half_as_long_again_are_told_with_both_medians() -> None:
    attempts = one_a_minute([sample(execution_time_ms=ms) for ms in (*range(1000, 1041), *range(1500, 1541))])

    finding = about_speed(GRANULATION, "medium", attempts, THRESHOLDS)

    assert finding is not None
    assert finding.recommendation_type is RecommendationType.SPEED
    assert finding.confidence_score == pytest.approx(1 - 1 / 84)
    assert (finding.current_value, finding.recommended_value) == ("1520 ms", "1020 ms")
    assert finding.expected_improvement == "-32.9 % time"


def test_failures_that_take_long_are_no_slowdown() -> None:
    attempts = one_a_minute([*[sample()] * 80, *[failure("timeout", execution_time_ms=9000)] * 80])

    assert about_speed(GRANULATION, "medium", attempts, THRESHOLDS) is None


def test_a_slowdown_that_may_be_chance_is_not_told() -> None:
    scattered = [500, 3000] * 20
    attempts = one_a_minute([sample(execution_time_ms=ms) for ms in (*scattered, *scattered[:-2], 3000, 3000)])

    assert about_speed(GRANULATION, "medium", attempts, THRESHOLDS) is None


def _of_quality(middle: float) -> list[Sample]:
    """Forty successes, two hundredths around the middle."""
    return [sample(quality_score=middle + (0.02 if i % 2 else -0.02)) for i in range(40)]
