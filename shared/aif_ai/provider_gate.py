"""What all attempts of a process share about one provider: its pace, its circuit, its health."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from msgspec import Struct

from aif_ai.call_policy import CallPolicy
from aif_ai.circuit import AdmittedCall, Circuit
from aif_ai.failures import (
    AiFailure,
    CircuitOpen,
    GrantExceeded,
    LedgerUnreachable,
    NoTimeLeft,
    PriceUnknown,
    ProviderOverloaded,
    ProviderTimeout,
    ProviderUnreachable,
    RateLimited,
)
from aif_ai.pace import Pace
from aif_ai.provider_refusals import ProviderRefusals, ToldRefusal
from aif_contracts.workers import CircuitState
from aif_runtime.clock import Clock

Sleep = Callable[[float], Awaitable[None]]
"""Lets so many seconds pass."""


_NOTHING_SENT = (GrantExceeded, PriceUnknown, NoTimeLeft, LedgerUnreachable)
"""They say nothing of the provider."""


class ProviderHealth(Struct, frozen=True, kw_only=True):
    """How a provider has done since the process began."""

    provider: str
    circuit: CircuitState
    open_for_seconds: float
    """Until it is tried again; 0 when it may be asked now."""
    paused_for_seconds: float
    """Because of its rate limit."""
    answered: int
    failed: int
    failures_in_a_row: int
    last_failure: str | None
    """Code."""
    refusals: tuple[ToldRefusal, ...] = ()


class Passage(Struct, kw_only=True):
    """One call on its way."""

    call: AdmittedCall
    model: str
    has_spoken: bool = False
    """Something of an answer has arrived: whoever speaks slowly is not ill."""


class ProviderGate:
    def __init__(
        self,
        provider: str,
        *,
        policy: CallPolicy,
        clock: Clock,
        sleep: Sleep,
        chance: Callable[[], float],
        requests_per_minute: Callable[[], int | None],
    ) -> None:
        self._chance = chance
        self._provider = provider
        self._policy = policy
        self._clock = clock
        self._sleep = sleep
        self._requests_per_minute = requests_per_minute
        self._pace = Pace()
        self._circuit = Circuit(
            failures_to_open=policy.failures_to_open,
            open_seconds=policy.open_seconds,
            longest_open_seconds=policy.longest_open_seconds,
        )
        self._answered = 0
        self._failed = 0
        self._rate_limits_in_a_row = 0
        self._last_failure: str | None = None
        self._refusals = ProviderRefusals(provider, clock)

    @asynccontextmanager
    async def passing(self, patience_seconds: float, *, model: str) -> AsyncIterator[Passage]:
        """Around one call of a model: wait for a place, then learn from how the call ends.

        Raises CircuitOpen, and RateLimited when the wait would be longer than the patience. In both cases nothing was sent.
        """
        await self._wait_for_place(patience_seconds)
        call = self._circuit.admit(self._clock.monotonic())
        if call is None:
            raise self._left_alone()
        passage = Passage(call=call, model=model)
        try:
            yield passage
        except AiFailure as failure:
            self._learn(failure, passage)
            raise
        else:
            self._well()
            self._refusals.answered(model)
        finally:
            self._circuit.give_up(call)

    def health(self) -> ProviderHealth:
        now = self._clock.monotonic()
        return ProviderHealth(
            provider=self._provider,
            circuit=self._circuit.state(now),
            open_for_seconds=self._circuit.seconds_left_open(now),
            paused_for_seconds=max(0.0, self._pace.paused_until - now),
            answered=self._answered,
            failed=self._failed,
            failures_in_a_row=self._circuit.failures_in_a_row,
            last_failure=self._last_failure,
            refusals=self._refusals.told,
        )

    async def _wait_for_place(self, patience_seconds: float) -> None:
        now = self._clock.monotonic()
        if self._circuit.seconds_left_open(now) > 0:
            raise self._left_alone()
        give_up_at = now + patience_seconds
        per_minute = self._requests_per_minute()
        wait = self._pace.take_place(now, requests_per_minute=per_minute, patience_seconds=patience_seconds)
        while wait is None or wait > 0:
            if wait is None:
                wait = self._pace.wait_seconds(now, requests_per_minute=per_minute)
                raise RateLimited(
                    f"{self._provider} may not be asked for another {wait:.1f} s, longer than this attempt can wait",
                    retry_after_ms=round(wait * 1_000),
                )
            # Those who wait for the end of the same pause do not all come back at once.
            paused = self._pace.paused_until > now
            await self._sleep(wait * (1 + self._chance() / 10) if paused else wait)
            now = self._clock.monotonic()
            # Another call may have been told to slow down in the meantime. The place is kept.
            wait = self._pace.take_place(now, requests_per_minute=None, patience_seconds=give_up_at - now)

    def _left_alone(self) -> CircuitOpen:
        left = self._circuit.seconds_left_open(self._clock.monotonic())
        return CircuitOpen(
            f"{self._provider} has failed {self._circuit.failures_in_a_row} times in a row ({self._last_failure}) and is "
            f"left alone for another {left:.0f} s",
            retry_after_ms=round(left * 1_000),
        )

    def _learn(self, failure: AiFailure, passage: Passage) -> None:
        now = self._clock.monotonic()
        self._refusals.note(failure, passage.model)
        if isinstance(failure, RateLimited):
            self._failed += 1
            self._last_failure = failure.code
            self._rate_limits_in_a_row += 1
            self._pace.pause(now + self._pause_seconds(failure))
        elif isinstance(failure, ProviderOverloaded | ProviderUnreachable | ProviderTimeout):
            self._failed += 1
            self._last_failure = failure.code
            if not (passage.has_spoken and isinstance(failure, ProviderTimeout)):
                self._circuit.failed(now, passage.call)
        elif not isinstance(failure, _NOTHING_SENT):
            # It answered, only not what was hoped for.
            self._well()

    def _pause_seconds(self, failure: RateLimited) -> float:
        if failure.retry_after_ms is not None:
            return failure.retry_after_ms / 1_000
        doublings = min(self._rate_limits_in_a_row - 1, 30)
        return min(self._policy.longest_backoff_seconds, self._policy.backoff_seconds * 2.0**doublings)

    def _well(self) -> None:
        self._answered += 1
        self._rate_limits_in_a_row = 0
        self._circuit.succeeded()
