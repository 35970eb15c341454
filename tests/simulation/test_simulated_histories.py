"""The core lives through thousands of bad days, and every mechanism that keeps it safe is missed when it is taken out."""

from collections import Counter
from functools import partial

import pytest

from aif_contracts.orders import ExecutionStatus
from simulation.history import Outcome, live_through
from simulation.mechanisms import Mechanism
from simulation.shapes import Shapes
from simulation.sightings import RARE

SEEDS = 2_000
CAUGHT_WITHIN = 200
CAUGHT_LATER = {Mechanism.DIGESTS: 2_000}
"""Outputs have to change while a slow store is read, which few histories see."""


@pytest.fixture(scope="module")
def shapes() -> Shapes:
    return Shapes()


@pytest.fixture(scope="module")
def outcomes(shapes: Shapes) -> list[Outcome]:
    return [live_through(seed, shapes) for seed in range(SEEDS)]


def test_no_history_breaks_a_rule(outcomes: list[Outcome]) -> None:
    broken = [(outcome.seed, violation) for outcome in outcomes for violation in outcome.violations]

    assert not broken, broken[:3]


def test_where_nothing_was_meant_to_fail_nearly_everything_is_delivered(outcomes: list[Outcome]) -> None:
    ended: Counter[ExecutionStatus] = sum((outcome.ended for outcome in outcomes if not outcome.meant_failures), Counter())

    delivered = ended[ExecutionStatus.COMPLETED] + ended[ExecutionStatus.PARTIALLY_COMPLETED]

    assert ended.total() > 350
    assert delivered > ended.total() * 98 // 100


def test_histories_see_every_kind_of_end_and_some_untold_calls(outcomes: list[Outcome]) -> None:
    ended: Counter[ExecutionStatus] = sum((outcome.ended for outcome in outcomes), Counter())

    assert {status for status in ExecutionStatus if status.is_final} == set(ended)
    assert min(ended.values()) > 50
    assert any(outcome.untold_calls for outcome in outcomes)


def test_three_hundred_histories_see_everything_that_may_happen(outcomes: list[Outcome]) -> None:
    seen: Counter[str] = sum((outcome.seen for outcome in outcomes[:300]), Counter())

    assert not set(RARE) - set(seen)


@pytest.mark.parametrize("mechanism", Mechanism)
def test_a_missing_mechanism_is_noticed(mechanism: Mechanism, shapes: Shapes) -> None:
    live = partial(live_through, shapes=shapes, without=mechanism)

    histories = CAUGHT_LATER.get(mechanism, CAUGHT_WITHIN)

    noticed = any(live(seed).violations for seed in range(histories))

    assert noticed, f"{histories} histories without {mechanism} broke no rule"


def test_a_seed_tells_the_same_story_each_time(shapes: Shapes) -> None:
    first: list[str] = []
    second: list[str] = []

    live_through(11, shapes, tell=first.append)
    live_through(11, shapes, tell=second.append)

    assert len(first) > 20
    assert first == second
