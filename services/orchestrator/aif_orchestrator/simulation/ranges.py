"""Quantiles of samples, by linear interpolation."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TypeVar

from aif_contracts.money import usd_text
from aif_contracts.simulation import MsRange, UsdRange

_SMALLEST = Decimal("0.000000000001")
_TEN = 10

Amount = TypeVar("Amount", int, Decimal)


def tenth_part(samples: Sequence[Amount], tenths: int) -> Decimal:
    """The amount below which so many tenths of what comes next are expected to lie. Needs one sample at least.

    The k-th of n ordered samples stands at k/(n+1): that is the expected share of the next ones below it, whatever their
    distribution. With samples placed from 0 to 1, the interval from P10 to P90 of a few samples would hold too few.
    """
    ordered = sorted(samples)
    place = Decimal(tenths * (len(ordered) + 1)) / _TEN
    if place <= 1:
        return Decimal(ordered[0])
    if place >= len(ordered):
        return Decimal(ordered[-1])
    below = int(place)
    return ordered[below - 1] + (place - below) * (ordered[below] - ordered[below - 1])


def usd_range(samples: Sequence[Decimal]) -> UsdRange:
    """Of no samples at all: nothing."""
    if not samples:
        return UsdRange(p10="0", p50="0", p90="0")
    p10, p50, p90 = (usd_text(tenth_part(samples, tenths).quantize(_SMALLEST)) for tenths in (1, 5, 9))
    return UsdRange(p10=p10, p50=p50, p90=p90)


def ms_range(samples: Sequence[int]) -> MsRange:
    """Of no samples at all: nothing."""
    if not samples:
        return MsRange(p10=0, p50=0, p90=0)
    p10, p50, p90 = (round(tenth_part(samples, tenths)) for tenths in (1, 5, 9))
    return MsRange(p10=p10, p50=p50, p90=p90)
