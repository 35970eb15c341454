"""When a provider is left alone, and how fast it is asked."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aif_ai.call_policy import CallPolicy
from aif_ai.circuit import AdmittedCall, Circuit
from aif_ai.failures import CircuitOpen, ProviderOverloaded, RateLimited
from aif_ai.pace import Pace
from aif_ai.provider_gate import ProviderGate
from aif_contracts.workers import CircuitState
from support.manual_clock import ManualClock


def _opened(now: float = 0.0) -> Circuit:
    circuit = Circuit(failures_to_open=2, open_seconds=10.0, longest_open_seconds=25.0)
    _fail(circuit, now)
    _fail(circuit, now)
    return circuit


def _fail(circuit: Circuit, now: float) -> None:
    """A call that is made at that time, and fails at once."""
    call = circuit.admit(now)
    assert call is not None
    circuit.failed(now, call)


def test_failures_in_a_row_open_a_circuit_and_a_success_between_them_does_not() -> None:
    circuit = Circuit(failures_to_open=2, open_seconds=10.0, longest_open_seconds=25.0)

    _fail(circuit, 0.0)
    circuit.succeeded()
    _fail(circuit, 0.0)
    still_closed = circuit.state(0.0)
    _fail(circuit, 0.0)

    assert still_closed is CircuitState.CLOSED
    assert circuit.state(0.0) is CircuitState.OPEN
    assert circuit.admit(9.9) is None


def test_after_its_time_one_call_is_on_trial_and_no_second_one() -> None:
    circuit = _opened()

    assert circuit.state(10.0) is CircuitState.HALF_OPEN
    assert circuit.admit(10.0)
    assert circuit.admit(10.0) is None


def test_a_trial_that_succeeds_closes_the_circuit() -> None:
    circuit = _opened()
    circuit.admit(10.0)

    circuit.succeeded()

    assert circuit.state(10.0) is CircuitState.CLOSED
    assert circuit.failures_in_a_row == 0


def test_trials_that_fail_open_it_twice_as_long_up_to_a_bound() -> None:
    circuit = _opened()
    waits: list[float] = []
    now = 10.0

    for _ in range(3):
        _fail(circuit, now)
        waits.append(circuit.seconds_left_open(now))
        now += waits[-1]

    assert waits == [20.0, 25.0, 25.0]


def test_a_trial_that_says_nothing_makes_room_for_the_next() -> None:
    circuit = _opened()
    trial = circuit.admit(10.0)
    assert trial is not None

    circuit.give_up(trial)

    assert circuit.admit(10.0)


def _opened_behind_a_call() -> tuple[Circuit, AdmittedCall]:
    """An open circuit, and a call from before that is still under way."""
    circuit = Circuit(failures_to_open=2, open_seconds=10.0, longest_open_seconds=25.0)
    older = circuit.admit(0.0)
    assert older is not None
    _fail(circuit, 0.0)
    _fail(circuit, 0.0)
    return circuit, older


def test_a_late_failure_of_an_older_call_does_not_prolong_the_time() -> None:
    circuit, older = _opened_behind_a_call()

    circuit.failed(8.0, older)

    assert circuit.seconds_left_open(8.0) == 2.0


def test_an_older_call_that_says_nothing_lets_no_second_one_in_beside_the_trial() -> None:
    circuit, older = _opened_behind_a_call()
    trial = circuit.admit(10.0)

    circuit.give_up(older)

    assert trial is not None
    assert circuit.admit(10.0) is None


def test_an_older_call_that_fails_does_not_decide_the_trial() -> None:
    circuit, older = _opened_behind_a_call()
    trial = circuit.admit(10.0)

    circuit.failed(11.0, older)

    assert trial is not None
    assert circuit.state(11.0) is CircuitState.HALF_OPEN
    assert circuit.admit(11.0) is None


def test_an_older_call_that_succeeds_closes_the_circuit_and_the_trials_own_failure_is_a_first_one() -> None:
    circuit, _ = _opened_behind_a_call()
    trial = circuit.admit(10.0)
    assert trial is not None

    circuit.succeeded()
    circuit.failed(11.0, trial)

    assert circuit.state(11.0) is CircuitState.CLOSED
    assert circuit.failures_in_a_row == 1


def test_after_a_success_the_next_time_alone_is_as_short_as_the_first() -> None:
    circuit = _opened()
    _fail(circuit, 10.0)
    circuit.succeeded()

    _fail(circuit, 40.0)
    _fail(circuit, 40.0)

    assert circuit.seconds_left_open(40.0) == 10.0


async def test_a_call_given_up_by_its_attempt_lets_no_second_one_in_beside_the_trial() -> None:
    clock = ManualClock()
    gate = ProviderGate(
        "openai",
        policy=CallPolicy(failures_to_open=1, open_seconds=10.0),
        clock=clock,
        sleep=asyncio.sleep,
        chance=lambda: 0.5,
        requests_per_minute=lambda: None,
    )
    older, trial = gate.passing(5.0, model="gpt-5"), gate.passing(5.0, model="gpt-5")
    await older.__aenter__()
    with pytest.raises(ProviderOverloaded):
        async with gate.passing(5.0, model="gpt-5"):
            raise ProviderOverloaded("503")
    clock.advance(10.0)
    await trial.__aenter__()

    await older.__aexit__(asyncio.CancelledError, asyncio.CancelledError(), None)

    with pytest.raises(CircuitOpen):
        await gate.passing(5.0, model="gpt-5").__aenter__()


class _PausedGate:
    """A gate whose waits are over at once; `meanwhile` happens after the first."""

    def __init__(self, meanwhile: RateLimited | None = None) -> None:
        self.clock = ManualClock()
        self.slept: list[float] = []
        self._meanwhile = meanwhile
        self._gate = ProviderGate(
            "openai",
            policy=CallPolicy(backoff_seconds=2.0, longest_backoff_seconds=5.0),
            clock=self.clock,
            sleep=self._sleep,
            chance=lambda: 0.5,
            requests_per_minute=lambda: None,
        )

    async def call(self, failure: RateLimited | None = None) -> None:
        async with self._gate.passing(60.0, model="gpt-5"):
            if failure is not None:
                raise failure

    async def paused_by(self, failure: RateLimited) -> float:
        """Seconds after a call that ends with it."""
        with pytest.raises(RateLimited):
            await self.call(failure)
        return self._gate.health().paused_for_seconds

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            await self.paused_by(meanwhile)


async def test_rate_limits_in_a_row_that_name_no_time_pause_twice_as_long_up_to_a_bound_until_a_call_succeeds() -> None:
    gate = _PausedGate()

    in_a_row = [await gate.paused_by(RateLimited("429")) for _ in range(3)]
    await gate.call()

    assert in_a_row == [2.0, 4.0, 5.0]
    assert await gate.paused_by(RateLimited("429")) == 2.0


async def test_who_waits_for_a_pause_that_becomes_longer_than_its_patience_is_told_at_once() -> None:
    gate = _PausedGate(meanwhile=RateLimited("429", retry_after_ms=59_000))
    await gate.paused_by(RateLimited("429", retry_after_ms=20_000))

    with pytest.raises(RateLimited) as told:
        await gate.call()

    assert told.value.retry_after_ms == 59_000
    assert gate.slept == [21.0]


def test_without_a_rate_nobody_waits_but_for_a_pause() -> None:
    pace = Pace()

    at_once = pace.take_place(100.0, requests_per_minute=None, patience_seconds=5.0)
    pace.pause(103.0)
    pace.pause(102.0)

    assert at_once == 0.0
    assert pace.take_place(100.0, requests_per_minute=None, patience_seconds=5.0) == 3.0
    assert pace.take_place(100.0, requests_per_minute=None, patience_seconds=2.0) is None


def test_a_tenth_of_a_minutes_requests_may_go_at_once_and_then_one_by_one() -> None:
    pace = Pace()

    waits = [pace.take_place(100.0, requests_per_minute=30, patience_seconds=60.0) for _ in range(5)]

    assert waits == [0.0, 0.0, 0.0, 2.0, 4.0]


def test_who_cannot_wait_takes_no_place_from_the_others() -> None:
    pace = Pace()
    pace.take_place(100.0, requests_per_minute=6, patience_seconds=0.0)

    refused = pace.take_place(100.0, requests_per_minute=6, patience_seconds=1.0)

    assert refused is None
    assert pace.take_place(100.0, requests_per_minute=6, patience_seconds=60.0) == 10.0


def test_after_a_pause_the_places_are_as_far_apart_as_ever() -> None:
    pace = Pace()
    pace.pause(110.0)

    waits = [pace.take_place(100.0, requests_per_minute=6, patience_seconds=60.0) for _ in range(3)]

    assert waits == [10.0, 20.0, 30.0]


@given(st.integers(1, 600), st.lists(st.floats(0, 5), min_size=1, max_size=200))
def test_no_minute_ever_sees_more_than_its_rate_and_one_burst(per_minute: int, gaps: list[float]) -> None:
    pace, now, sent = Pace(), 1_000.0, []
    for gap in gaps:
        now += gap
        wait = pace.take_place(now, requests_per_minute=per_minute, patience_seconds=1e9)
        assert wait is not None
        sent.append(now + wait)

    sent.sort()
    for first in sent:
        in_the_minute = sum(first <= moment < first + 59.999 for moment in sent)
        assert in_the_minute <= per_minute + max(1, per_minute // 10)
