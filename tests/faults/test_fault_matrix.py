"""The short fault matrix: the trials that most failures would show in, at a small size. `make faults` plays all of it."""

import pytest

from faults.matrix import details, play, row
from faults.trial import TrialPlan

EXECUTIONS = 60
LOAD_SECONDS = 6.0
TIME_FACTOR = 5.0
"""What is slow on a busy machine is not broken."""


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        pytest.param("F01", 1, id="everything killed at random"),
        pytest.param("F03", 3, id="the broker's store deleted"),
        pytest.param("F05", 5, id="Postgres killed"),
        pytest.param("F18", 18, id="more orders than money"),
        pytest.param("F10", 10, id="everything said twice"),
    ],
)
async def test_every_accepted_order_is_done_once_and_paid_once(name: str, seed: int) -> None:
    plan = TrialPlan(seed=seed, executions=EXECUTIONS, load_seconds=LOAD_SECONDS, time_factor=TIME_FACTOR)

    played = await play(name, plan)

    assert played.is_clean, "\n".join((row(played), *details(played)))
    assert played.outcome.executions + played.outcome.denied >= EXECUTIONS
    assert played.outcome.faults > 0
