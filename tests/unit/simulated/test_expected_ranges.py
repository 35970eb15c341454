"""Quantiles of a few samples: of what comes next, eight in ten are to lie between the tenth part and the ninetieth."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from aif_contracts.simulation import MsRange, UsdRange
from aif_orchestrator.simulation.ranges import ms_range, tenth_part, usd_range


def test_between_two_samples_it_is_interpolated() -> None:
    assert ms_range([10, 20, 30, 40]) == MsRange(p10=10, p50=25, p90=40)
    assert tenth_part([Decimal(value) for value in range(1, 20)], 1) == 2
    assert tenth_part([Decimal(value) for value in range(1, 20)], 9) == 18
    assert tenth_part([10, 20, 30, 40, 50, 60, 70, 80, 90, 100], 1) == 11


def test_nothing_is_nothing() -> None:
    assert usd_range([]) == UsdRange(p10="0", p50="0", p90="0")
    assert ms_range([]) == MsRange(p10=0, p50=0, p90=0)


@given(st.lists(st.decimals("0", "1000", places=6), min_size=1, max_size=60))
def test_ranges_are_ordered_and_within_the_samples(samples: list[Decimal]) -> None:
    p10, p50, p90 = (tenth_part(samples, tenths) for tenths in (1, 5, 9))

    assert min(samples) <= p10 <= p50 <= p90 <= max(samples)


def test_of_nine_samples_the_range_holds_eight_tenths_of_what_follows() -> None:
    # Ten values in every order: nine are seen, the tenth comes next. It lies within in eight cases of ten, ends counted half.
    values = [Decimal(value) for value in range(10)]
    within = 0
    for left_out in values:
        seen = [value for value in values if value != left_out]
        within += tenth_part(seen, 1) <= left_out <= tenth_part(seen, 9)

    assert within == 8
