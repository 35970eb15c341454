"""A circuit breaker: a provider that only fails is left alone for a while, then tried with one call.

closed ── so many failures in a row ──> open ── its time is over ──> half open, one call on trial
   ^                                     ^                              │        │
   └───────── that call succeeds ────────┼──────────────────────────────┘        │
                                         └────── it fails: open, twice as long ──┘
"""

from aif_contracts.workers import CircuitState


class AdmittedCall:
    """One call that may be made; it is known again by what it is."""


class Circuit:
    """Of one provider. Time comes in as monotonic seconds; it waits for nothing."""

    def __init__(self, *, failures_to_open: int, open_seconds: float, longest_open_seconds: float) -> None:
        self._failures_to_open = failures_to_open
        self._open_seconds = open_seconds
        self._longest_open_seconds = longest_open_seconds
        self.failures_in_a_row = 0
        self._times_opened = 0
        self._closed_again_at: float | None = None
        self._on_trial: AdmittedCall | None = None

    def admit(self, now: float) -> AdmittedCall | None:
        """A call that may be made now, None when none may. When half open it is the trial: say how it went, or give it up."""
        call = AdmittedCall()
        if self._closed_again_at is None:
            return call
        if self._on_trial is not None or now < self._closed_again_at:
            return None
        self._on_trial = call
        return call

    def succeeded(self) -> None:
        """Whichever call it was: the provider answers."""
        self.failures_in_a_row = 0
        self._times_opened = 0
        self._closed_again_at = None
        self._on_trial = None

    def failed(self, now: float, call: AdmittedCall) -> None:
        self.failures_in_a_row += 1
        is_trial = self._on_trial is call
        if self._closed_again_at is not None and not is_trial:
            # A call from before the circuit opened; it is known already that nothing works.
            return
        if is_trial or self.failures_in_a_row >= self._failures_to_open:
            seconds = min(self._longest_open_seconds, self._open_seconds * 2.0**self._times_opened)
            self._closed_again_at = now + seconds
            self._times_opened = min(self._times_opened + 1, 30)
            self._on_trial = None

    def give_up(self, call: AdmittedCall) -> None:
        """It ended without saying anything of the provider. If it was on trial, the next one is."""
        if self._on_trial is call:
            self._on_trial = None

    def state(self, now: float) -> CircuitState:
        if self._closed_again_at is None:
            return CircuitState.CLOSED
        return CircuitState.OPEN if now < self._closed_again_at else CircuitState.HALF_OPEN

    def seconds_left_open(self, now: float) -> float:
        """Until a call may be tried; 0 when one may now."""
        return 0.0 if self._closed_again_at is None else max(0.0, self._closed_again_at - now)
