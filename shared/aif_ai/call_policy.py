"""What follows a failure: the same model again, another model, another provider, or nothing."""

import enum

from msgspec import Struct

from aif_ai.failures import (
    AiFailure,
    AudioUnreadable,
    AuthenticationFailed,
    CircuitOpen,
    GrantExceeded,
    InvalidRequest,
    LedgerUnreachable,
    MalformedOutput,
    NoTimeLeft,
    OutputTruncated,
    PriceUnknown,
    ProviderNotConfigured,
    ProviderOverloaded,
    ProviderTimeout,
    ProviderUnreachable,
    RateLimited,
    Refused,
    SourceTooThin,
)


class CallPolicy(Struct, frozen=True, kw_only=True):
    """Bounds of one generation. What an operator may set is in the settings of the worker."""

    most_tries: int = 3
    """Of one question to one model, the first included."""
    most_corrections: int = 2
    """Times that a model is told what was wrong with its answer."""
    max_fallbacks: int = 1
    """Models after the first one, when neither the grant nor the configuration says more."""
    backoff_seconds: float = 1.0
    """The wait before the second try is up to this, and up to twice as much before each further one."""
    longest_backoff_seconds: float = 20.0
    call_timeout_seconds: float = 300.0
    failures_to_open: int = 5
    """Failures in a row after which a provider is left alone."""
    open_seconds: float = 15.0
    longest_open_seconds: float = 240.0
    reserve_seconds: float = 2.0
    """Of an attempt's time, kept for what comes after the last call; at most a tenth of what is left."""


class Then(enum.Enum):
    """What may be tried when a model has failed for good."""

    OTHER_MODEL = enum.auto()
    OTHER_PROVIDER = enum.auto()
    STOP = enum.auto()


class Reaction(Struct, frozen=True, kw_only=True):
    again: bool
    """The same question to the same model may succeed."""
    then: Then


_AGAIN = Reaction(again=True, then=Then.OTHER_MODEL)
_OTHER_MODEL = Reaction(again=False, then=Then.OTHER_MODEL)
_OTHER_PROVIDER = Reaction(again=False, then=Then.OTHER_PROVIDER)
_STOP = Reaction(again=False, then=Then.STOP)

REACTIONS: dict[type[AiFailure], Reaction] = {
    RateLimited: _AGAIN,
    ProviderOverloaded: _AGAIN,
    ProviderTimeout: _AGAIN,
    ProviderUnreachable: _AGAIN,
    MalformedOutput: _AGAIN,
    Refused: _OTHER_MODEL,
    GrantExceeded: _OTHER_MODEL,  # a cheaper one may fit
    PriceUnknown: _OTHER_MODEL,
    ProviderNotConfigured: _OTHER_MODEL,  # a local one that cannot do this
    SourceTooThin: _OTHER_MODEL,
    AudioUnreadable: _OTHER_PROVIDER,  # another decoder may read it
    AuthenticationFailed: _OTHER_PROVIDER,  # the key is the provider's
    InvalidRequest: _OTHER_PROVIDER,  # another dialect may say it well
    CircuitOpen: _OTHER_PROVIDER,
    NoTimeLeft: _OTHER_MODEL,  # its share was used up, the others' was not
    OutputTruncated: _STOP,  # another model would be cut off at the same limit
    LedgerUnreachable: _STOP,
}
"""One row for each failure that a call can end with."""


def wait_before_retry(policy: CallPolicy, failure: AiFailure, *, tries: int, chance: float) -> float:
    """Seconds after so many tries. `chance` from 0 to 1 spreads those who failed together (full jitter).

    What the provider asks for is kept, and only ever stretched, by up to a tenth.
    """
    if failure.retry_after_ms is not None:
        return failure.retry_after_ms / 1_000 * (1 + chance / 10)
    longest = min(policy.longest_backoff_seconds, policy.backoff_seconds * 2.0 ** (tries - 1))
    return longest * chance


def share_of_time(policy: CallPolicy, left_seconds: float, *, others_follow: bool) -> float:
    """Seconds that one model may use, its retries included: half of what is left when another may have to take over, all
    of it otherwise."""
    usable = left_seconds - min(policy.reserve_seconds, left_seconds / 10)
    return usable / 2 if others_follow else usable
