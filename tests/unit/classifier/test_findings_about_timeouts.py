import pytest
from msgspec.structs import replace

from aif_classifier.findings import Thresholds
from aif_classifier.samples import Sample
from aif_classifier.timeouts import about_timeout, limit_for_share, limit_in_force, rounded_up
from aif_contracts.performance import RecommendationType
from support.performance_samples import GRANULATION, failure, one_a_minute, sample

THRESHOLDS = Thresholds()


def test_a_limit_that_many_attempts_reach_while_successes_crowd_below_it_is_to_be_raised() -> None:
    attempts = [
        *[sample(execution_time_ms=4000)] * 90,
        *[sample(execution_time_ms=8000)] * 90,
        *[failure("timeout", execution_time_ms=10_000)] * 20,
    ]

    finding = about_timeout(GRANULATION, attempts, THRESHOLDS)

    # median 8000, sigma = ln(10/8) / 1.28155 = 0.17412, 8000 * e^(0.17412 * 2.32635) = 11,995 ms
    assert finding is not None
    assert finding.insight_key == "timeout_too_short/content_granulator/granulate/course"
    assert finding.recommendation_type is RecommendationType.RELIABILITY
    assert (finding.parameter, finding.current_value, finding.recommended_value) == ("timeout", "10s", "12s")
    assert finding.expected_improvement == "timeouts from 10.0 % to about 1.0 % of the attempts"
    assert finding.confidence_score == pytest.approx(1 - 1 / 202)
    assert finding.sample_size == 200
    assert finding.evidence["timeouts"] == 20


def test_attempts_that_hang_though_successes_are_fast_are_to_be_cut_off_sooner() -> None:
    attempts = [*[sample(execution_time_ms=1000)] * 180, *[failure("timeout", execution_time_ms=10_000)] * 20]

    finding = about_timeout(GRANULATION, attempts, THRESHOLDS)

    assert finding is not None
    assert finding.insight_key == "attempts_hang/content_granulator/granulate/course"
    assert (finding.current_value, finding.recommended_value) == ("10s", "2s")
    assert finding.expected_improvement == "-8000 ms for each attempt that hangs"
    assert finding.description.endswith("lower the stage's timeout to 2s, so that the next attempt begins sooner.")


def test_what_a_limit_at_its_highest_would_leave_is_not_promised() -> None:
    attempts = [*[sample(execution_time_ms=9500)] * 40, *[failure("timeout", execution_time_ms=10_000)] * 60]

    finding = about_timeout(GRANULATION, attempts, THRESHOLDS)

    assert finding is not None
    assert finding.recommended_value == "40s"
    assert finding.expected_improvement == "timeouts from 60.0 % to fewer, how few is not known"


def test_a_limit_is_never_lowered_to_nothing_nor_raised_beyond_a_day() -> None:
    at_once = [sample(execution_time_ms=0)] * 300
    half_a_day = [sample(execution_time_ms=43_000_000), failure("timeout", execution_time_ms=43_200_000)] * 50

    lowered = about_timeout(GRANULATION, at_once, THRESHOLDS)
    raised = about_timeout(GRANULATION, [replace(s, timeout_ms=43_200_000) for s in half_a_day], THRESHOLDS)

    assert lowered is not None
    assert lowered.recommended_value == "0.1s"
    assert raised is not None
    assert raised.recommended_value == "86400s"


def test_attempts_that_timed_out_in_no_time_tell_no_limit() -> None:
    attempts = [*[sample(execution_time_ms=0)] * 60, *[failure("timeout", execution_time_ms=0)] * 40]

    assert about_timeout(GRANULATION, [replace(s, timeout_ms=None) for s in attempts], THRESHOLDS) is None


def test_a_limit_that_nothing_comes_near_is_to_be_lowered() -> None:
    attempts = [sample(execution_time_ms=900, timeout_ms=120_000)] * 300

    finding = about_timeout(GRANULATION, attempts, THRESHOLDS)

    assert finding is not None
    assert finding.recommendation_type is RecommendationType.SPEED
    assert (finding.current_value, finding.recommended_value) == ("120s", "1.8s")
    assert finding.confidence_score == pytest.approx(0.95096, abs=5e-6)  # 1 - 0.99^300


def test_two_timeouts_among_two_hundred_are_tolerated() -> None:
    attempts = [*[sample(execution_time_ms=8000)] * 198, *[failure("timeout", execution_time_ms=10_000)] * 2]

    assert about_timeout(GRANULATION, attempts, THRESHOLDS) is None


def test_too_few_attempts_say_nothing() -> None:
    attempts = [*[sample(execution_time_ms=8000)] * 20, *[failure("timeout", execution_time_ms=10_000)] * 9]

    assert about_timeout(GRANULATION, attempts, THRESHOLDS) is None


def test_only_attempts_under_the_limit_now_in_force_are_judged() -> None:
    before = [failure("timeout", execution_time_ms=5000, timeout_ms=5000)] * 100
    since = [sample(execution_time_ms=8000, timeout_ms=20_000)] * 50

    assert about_timeout(GRANULATION, one_a_minute([*before, *since]), THRESHOLDS) is None


def test_other_failures_do_not_tell_how_long_an_attempt_takes() -> None:
    attempts = [*[sample(execution_time_ms=8000)] * 25, *[failure("schema_broken", execution_time_ms=10_000)] * 25]

    assert about_timeout(GRANULATION, attempts, THRESHOLDS) is None


@pytest.mark.parametrize(
    ("attempts", "limit_ms"),
    [
        ([sample(timeout_ms=5000), sample(timeout_ms=7000)], 7000),
        ([failure("timeout", timeout_ms=None, execution_time_ms=ms) for ms in (9990, 10_000, 10_030)], 10_000),
        ([sample(timeout_ms=None)], None),
        ([], None),
    ],
)
def test_the_limit_is_the_newest_told_else_where_attempts_timed_out(attempts: list[Sample], limit_ms: int | None) -> None:
    assert limit_in_force(one_a_minute(attempts)) == limit_ms


def test_a_log_normal_tail_is_read_off_its_median_and_the_share_that_finished() -> None:
    # z(0.977) = 1.99539, sigma = ln(4) / 1.99539 = 0.694749, 1000 * e^(0.694749 * 2.326348) = 5034
    assert limit_for_share([1000] * 977, 23, 4000, 0.99) == pytest.approx(5034, abs=2)


def test_a_limit_is_never_raised_above_its_fourfold() -> None:
    assert limit_for_share([100] * 60, 40, 10_000, 0.99) == 40_000
    assert limit_for_share([9000] * 50, 50, 10_000, 0.99) == 40_000
    assert limit_for_share([7000] * 2501, 2499, 10_000, 0.99) == 40_000


@pytest.mark.parametrize(("milliseconds", "rounded"), [(47_312, 48_000), (48_000, 48_000), (9_901, 10_000), (1_234, 1_300)])
def test_limits_are_round_numbers(milliseconds: int, rounded: int) -> None:
    assert rounded_up(milliseconds) == rounded
