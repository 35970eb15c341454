"""The ways in which a provider can misbehave; one is played for one call."""

import enum

from msgspec import Struct


class FaultKind(enum.StrEnum):
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    OVERLOADED = "overloaded"
    UNAUTHORIZED = "unauthorized"
    REDIRECT = "redirect"
    SILENT_BEFORE_BILLING = "silent_before_billing"
    SILENT_AFTER_BILLING = "silent_after_billing"
    TRUNCATED = "truncated"
    BROKEN_JSON = "broken_json"
    BREAKS_SCHEMA = "breaks_schema"
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
    REFUSAL = "refusal"


class Fault(Struct, frozen=True, kw_only=True):
    kind: FaultKind
    retry_after: str | None = None
    """Value of the header, for error answers."""
