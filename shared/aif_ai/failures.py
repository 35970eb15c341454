"""What can go wrong on the way to an AI answer.

AiFailure
├── RateLimited           the provider asks to slow down
├── ProviderOverloaded    the provider failed on its side
├── ProviderTimeout       no answer in time; it may have been billed
├── ProviderUnreachable   no connection, or one that broke
├── AuthenticationFailed  the key is missing, wrong or not allowed to use the model
├── Refused               the model declined to answer
├── OutputTruncated       the answer was cut off at the output limit
├── MalformedOutput       the answer broke its schema, also after corrections
├── InvalidRequest        the provider does not accept what we sent
├── ProviderNotConfigured nothing here can serve the request
├── GrantExceeded         the call could cost more than the grant has left
├── PriceUnknown          the model has no price and is not declared free
├── NoModelAllowed        the grant leaves no model that may serve the request
├── CircuitOpen           the provider has only failed lately and is left alone for a while
├── NoTimeLeft            the attempt's time is over before a call could be made
├── LedgerUnreachable     the call could not be announced, so it was not made
├── SourceTooThin         the local provider has too little text to work from
└── AudioUnreadable       the bytes are no audio that can be decoded, or more of it than is taken
"""

from aif_contracts.workers import RefusalKind


class AiFailure(Exception):
    """Root of this package's failures. `code` is stable, `retryable` says whether another try can help."""

    code = "ai_failure"
    retryable = False

    def __init__(
        self,
        message: str,
        *,
        retry_after_ms: int | None = None,
        maybe_billed: bool = False,
        retryable: bool | None = None,
        refusal: RefusalKind | None = None,
    ) -> None:
        """`retryable` where one failure differs from others of its kind; None for what holds for the kind."""
        super().__init__(message)
        self.message = message
        if retryable is not None:
            self.retryable = retryable
        self.retry_after_ms = retry_after_ms
        """What the provider asked us to wait."""
        self.maybe_billed = maybe_billed
        """True when the request reached the provider and no answer tells what it cost."""
        self.refusal = refusal
        """What the operator has to mend; None for all that passes, or is the request's."""


class RateLimited(AiFailure):
    code = "rate_limited"
    retryable = True


class ProviderOverloaded(AiFailure):
    code = "provider_overloaded"
    retryable = True


class ProviderTimeout(AiFailure):
    code = "provider_timeout"
    retryable = True


class ProviderUnreachable(AiFailure):
    code = "provider_unreachable"
    retryable = True


class AuthenticationFailed(AiFailure):
    code = "authentication"


class Refused(AiFailure):
    code = "refused"


class OutputTruncated(AiFailure):
    code = "truncated"


class MalformedOutput(AiFailure):
    code = "malformed_output"
    retryable = True


class InvalidRequest(AiFailure):
    code = "invalid_request"


class ProviderNotConfigured(AiFailure):
    code = "provider_not_configured"


class GrantExceeded(AiFailure):
    code = "grant_exceeded"


class PriceUnknown(AiFailure):
    code = "price_unknown"


class NoModelAllowed(AiFailure):
    code = "no_model_allowed"


class CircuitOpen(AiFailure):
    code = "circuit_open"
    retryable = True


class NoTimeLeft(AiFailure):
    code = "no_time_left"
    retryable = True


class LedgerUnreachable(AiFailure):
    code = "ledger_unreachable"
    retryable = True


class SourceTooThin(AiFailure):
    code = "source_too_thin"


class AudioUnreadable(AiFailure):
    code = "invalid_audio"
