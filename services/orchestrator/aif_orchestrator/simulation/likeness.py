"""Which past executions are like the one that is asked about: alike in what the history itself shows to matter.

A trait matters when its ranks and those of cost or time go together more than chance makes likely (Spearman's correlation
against its spread among unrelated samples). With a handful of executions nobody can tell, and all of them count.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TypeVar

from msgspec import Struct

from aif_orchestrator.simulation.past import PastExecution

LEAST_TO_TELL = 20
"""With fewer executions no trait is trusted to matter."""
SURE = 3.0
"""Standard deviations: of ten traits that mean nothing, one passes by chance in some 5 % of cases."""
NEAREST_SHARE = 5
"""A fifth of the executions, the nearest ones, are like it."""

N = TypeVar("N", int, float, Decimal)


class Likeness(Struct, frozen=True, kw_only=True):
    alike: tuple[PastExecution, ...]
    mattering: tuple[str, ...] = ()
    """Traits that the choice was made by; empty when all executions count."""
    beyond: tuple[str, ...] = ()
    """Those of them in which the order lies outside of everything that was ever ordered."""


def find_alike(past: Sequence[PastExecution], traits: Mapping[str, float]) -> Likeness:
    if len(past) < LEAST_TO_TELL:
        return Likeness(alike=tuple(past))
    mattering = tuple(name for name in sorted(traits) if _matters(name, past))
    if not mattering:
        return Likeness(alike=tuple(past))
    ordered = {name: sorted(each.traits[name] for each in past) for name in mattering}
    wanted = max(LEAST_TO_TELL, len(past) // NEAREST_SHARE)
    nearest = sorted(past, key=lambda each: _distance(each, traits, ordered))[:wanted]
    return Likeness(
        alike=tuple(nearest),
        mattering=mattering,
        beyond=tuple(name for name in mattering if not ordered[name][0] <= traits[name] <= ordered[name][-1]),
    )


def _matters(name: str, past: Sequence[PastExecution]) -> bool:
    if any(name not in each.traits for each in past):
        return False
    values = [each.traits[name] for each in past]
    cost = _correlation(values, [each.cost_usd for each in past])
    time = _correlation(values, [each.time_ms for each in past])
    return max(abs(cost), abs(time)) * math.sqrt(len(past) - 1) >= SURE


def _distance(each: PastExecution, traits: Mapping[str, float], ordered: Mapping[str, Sequence[float]]) -> float:
    """In ranks, so that no trait's unit matters; by the trait in which the two differ most."""
    return max(abs(_rank(values, each.traits[name]) - _rank(values, traits[name])) for name, values in ordered.items())


def _rank(ordered: Sequence[N], value: N) -> float:
    """The middle of the places that the value has among the others."""
    return (bisect_left(ordered, value) + bisect_right(ordered, value)) / 2


def _correlation(one: Sequence[float], other: Sequence[N]) -> float:
    """Spearman's, from -1 to 1; 0 when one of them is the same everywhere."""
    mean = len(one) / 2
    deviations = [[rank - mean for rank in ranks] for ranks in (_ranks(one), _ranks(other))]
    spreads = [math.sqrt(sum(value * value for value in each)) for each in deviations]
    if not all(spreads):
        return 0.0
    together = sum(a * b for a, b in zip(*deviations, strict=True))
    correlation: float = together / (spreads[0] * spreads[1])
    return correlation


def _ranks(values: Sequence[N]) -> list[float]:
    ordered = sorted(values)
    return [_rank(ordered, value) for value in values]
