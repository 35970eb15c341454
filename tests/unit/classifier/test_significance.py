"""The formulas against published examples, and what holds for any data."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aif_classifier.significance import (
    at_most_by_sample,
    mean_rose_by_more_than,
    share_is_above,
    share_is_not_lower,
    share_of_sum_is_above,
    student_t_cdf,
    values_rose,
    welch,
    wilson_interval,
)

VALUES = st.lists(st.floats(min_value=-1e6, max_value=1e6), min_size=2, max_size=40)

# Hours of extra sleep under two drugs (Student 1908); R's t.test gives t = 1.8608, df = 17.776, two-sided p = 0.07939.
FIRST_DRUG = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SECOND_DRUG = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]

# Permeability of placental membrane (Hollander and Wolfe 1973, page 69): U = 35 of 50.
AT_TERM = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
EARLY = [1.15, 0.88, 0.90, 0.74, 1.21]


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_intervals_are_those_of_newcombe_1998(successes: int, trials: int, low: float, high: float) -> None:
    interval = wilson_interval(successes, trials)

    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


def test_without_trials_a_proportion_may_be_anything() -> None:
    interval = wilson_interval(0, 0)

    assert (interval.low, interval.high) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("t", "degrees_of_freedom", "share"),
    [(2.228, 10, 0.975), (2.015, 5, 0.95), (31.821, 1, 0.99), (1.96, 1e7, 0.975), (0.0, 7, 0.5), (-2.015, 5, 0.05)],
)
def test_student_t_is_that_of_the_tables(t: float, degrees_of_freedom: float, share: float) -> None:
    assert student_t_cdf(t, degrees_of_freedom) == pytest.approx(share, abs=1e-4)


def test_welch_gives_students_sleep_data_what_r_gives() -> None:
    test = welch(FIRST_DRUG, SECOND_DRUG)

    t = test.difference / test.standard_error
    assert t == pytest.approx(1.8608, abs=5e-5)
    assert test.degrees_of_freedom == pytest.approx(17.776, abs=5e-4)
    assert 2 * (1 - student_t_cdf(t, test.degrees_of_freedom)) == pytest.approx(0.07939, abs=5e-6)


def test_a_mean_that_rose_is_as_sure_as_welch_says_with_the_margin_taken_off() -> None:
    # t = (1.58 - 1) / 0.849 = 0.683 with 17.776 degrees of freedom
    assert mean_rose_by_more_than(FIRST_DRUG, SECOND_DRUG, 1.0) == pytest.approx(0.7483, abs=5e-4)


def test_mann_and_whitney_with_continuity_correction_give_hollander_and_wolfe_their_normal_value() -> None:
    # (35 - 25 - 0.5) / sqrt(10 * 5 * 16 / 12) = 1.1635
    assert values_rose(EARLY, AT_TERM) == pytest.approx(0.8777, abs=5e-5)


def test_mann_and_whitney_count_ties_half_and_shrink_the_variance() -> None:
    # U = 5.5 of 9, variance 9/12 * (7 - 30/30) = 4.5, z = 0.5 / 2.1213
    assert values_rose([1, 2, 2], [1, 2, 3]) == pytest.approx(0.5932, abs=5e-5)


def test_a_share_above_a_bound_is_an_exact_binomial_test() -> None:
    # 1 - 0.98^41 - 41 * 0.02 * 0.98^40, and the sum of 0.02^i * 0.98^(200-i) over the first six terms
    assert 1 - share_is_above(2, 41, 0.02) == pytest.approx(0.1977, abs=5e-5)
    assert share_is_above(6, 200, 0.02) == pytest.approx(0.7867, abs=5e-5)
    assert (share_is_above(0, 40, 0.02), share_is_above(40, 40, 0.02)) == (0.0, 1 - 1 / 42)


@pytest.mark.parametrize("trials", [30, 41, 60, 100, 300])
def test_a_share_that_only_reaches_the_bound_is_called_above_it_no_more_often_than_the_confidence_allows(trials: int) -> None:
    called = [hits for hits in range(trials + 1) if share_is_above(hits, trials, 0.02) >= 0.9]

    assert sum(math.comb(trials, hits) * 0.02**hits * 0.98 ** (trials - hits) for hits in called) <= 0.1


def test_a_share_of_a_sum_is_judged_by_the_ratio_estimator() -> None:
    # ratio 1/4, error sqrt(4/3 * 0.75) / 4 = 0.25, z = 0.15 / 0.25
    assert share_of_sum_is_above([1, 1, 1, 1], [True, False, False, False], 0.1) == pytest.approx(0.7257, abs=5e-5)


def test_a_share_is_not_lower_by_the_adjusted_normal_test() -> None:
    # shares 91/102 and 89/102, z = (-0.019608 + 0.05) / 0.045095 = 0.67396
    assert share_is_not_lower((90, 100), (88, 100), 0.05) == pytest.approx(0.7498, abs=5e-5)


def test_samples_that_never_vary_are_only_as_sure_as_their_size_allows() -> None:
    assert mean_rose_by_more_than([1.0] * 4, [2.0] * 4) == 1 - 1 / 10
    assert mean_rose_by_more_than([2.0] * 4, [1.0] * 4) == 0.0
    assert mean_rose_by_more_than([0.1] * 7, [0.1] * 7) == 0.5
    assert values_rose([5.0] * 4, [5.0] * 4) == 0.5


def test_the_cap_of_a_sample_lets_smaller_confidence_through() -> None:
    assert at_most_by_sample(0.6, 98) == 0.6
    assert at_most_by_sample(0.9999, 98) == 0.99


@given(st.integers(0, 10_000), st.integers(1, 10_000))
def test_a_wilson_interval_holds_the_share_and_stays_within_bounds(hits: int, more: int) -> None:
    interval = wilson_interval(hits, hits + more)

    assert 0 <= interval.low <= hits / (hits + more) <= interval.high <= 1


@given(VALUES, VALUES, st.floats(-10, 10))
def test_a_confidence_lies_between_zero_and_the_cap_of_its_sample(
    first: list[float], second: list[float], margin: float
) -> None:
    cap = 1 - 1 / (len(first) + len(second) + 2)

    assert 0 <= mean_rose_by_more_than(first, second, margin) <= cap
    assert 0 <= values_rose(first, second) <= cap


@given(VALUES, VALUES)
def test_the_order_of_the_observations_does_not_matter(first: list[float], second: list[float]) -> None:
    assert mean_rose_by_more_than(first, second) == mean_rose_by_more_than(first[::-1], sorted(second))
    assert values_rose(first, second) == values_rose(first[::-1], sorted(second))


@given(st.floats(-50, 50), st.floats(0.5, 500))
def test_student_t_is_symmetric_and_a_probability(t: float, degrees_of_freedom: float) -> None:
    below = student_t_cdf(t, degrees_of_freedom)

    assert 0 <= below <= 1
    assert math.isclose(below + student_t_cdf(-t, degrees_of_freedom), 1, abs_tol=1e-9)
