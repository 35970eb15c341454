"""The ways in which a provider can misbehave; one is played for one call."""

import enum
from random import Random

from msgspec import Struct


class FaultKind(enum.StrEnum):
    RATE_LIMITED = "rate_limited"
    NO_CREDIT = "no_credit"
    """The account's money is used up."""
    SERVER_ERROR = "server_error"
    UNAVAILABLE = "unavailable"
    OVERLOADED = "overloaded"
    UNAUTHORIZED = "unauthorized"
    CONTEXT_TOO_LONG = "context_too_long"
    REDIRECT = "redirect"
    SILENT_BEFORE_BILLING = "silent_before_billing"
    SILENT_AFTER_BILLING = "silent_after_billing"
    RESET_BEFORE_ANSWER = "reset_before_answer"
    """The connection is reset after billing, before a byte of the answer."""
    TRUNCATED = "truncated"
    BROKEN_JSON = "broken_json"
    BREAKS_SCHEMA = "breaks_schema"
    SLOW_STREAM = "slow_stream"
    """All of the answer, a few bytes at a time."""
    HELD_STREAM = "held_stream"
    """Sends the first half, then nothing until the client goes away."""
    HELD_UNTIL_RELEASED = "held_until_released"
    """Sends the first half, and the rest when the test says so."""
    RESET = "reset"
    """The connection breaks in the middle of the answer."""
    CUT_OFF = "cut_off"
    """The stream ends orderly but before its last pieces."""
    ERROR_EVENT = "error_event"
    """The provider says in the middle of the stream that it failed."""
    CORRUPT_CHUNK = "corrupt_chunk"
    NO_USAGE = "no_usage"
    NEGATIVE_USAGE = "negative_usage"
    HUGE_USAGE = "huge_usage"
    """More tokens than the request can have had."""
    CONTRADICTORY_USAGE = "contradictory_usage"
    """Parts that are more than their whole."""
    LYING_USAGE = "lying_usage"
    """Nothing wrong to be seen, and not what is billed."""
    WRONG_MODEL = "wrong_model"
    """Another, cheaper model answers, names itself, and is billed."""
    ERROR_BODY = "error_body"
    """Status 200, and an error in place of the answer."""
    WEB_PAGE = "web_page"
    """Status 200, and the page of some proxy in place of the answer."""
    GZIP_BOMB = "gzip_bomb"
    """A hundred kilobytes that unpack to a hundred megabytes."""
    HUGE_BODY = "huge_body"
    """A hundred megabytes without an end of line."""
    HUGE_ERROR = "huge_error"
    """A server error with a body of a hundred megabytes."""
    REFUSAL = "refusal"


class Fault(Struct, frozen=True, kw_only=True):
    kind: FaultKind
    retry_after: str | None = None
    """Value of the header, for error answers."""


class FaultMix(Struct, frozen=True, kw_only=True):
    """Faults by chance. A call's fate hangs on its name alone, so that a seed plays the same whatever the order of calls."""

    seed: int
    shares: tuple[tuple[Fault, float], ...]
    """Each with its probability; together at most 1."""

    def drawn(self, call: str) -> Fault | None:
        left = Random(f"{self.seed}:{call}").random()
        for fault, share in self.shares:
            left -= share
            if left < 0:
                return fault
        return None
