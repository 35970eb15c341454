"""HTTP statuses, error bodies and broken connections of providers, in our own words. Shared by all adapters."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

from aif_ai.failures import (
    AiFailure,
    AuthenticationFailed,
    InvalidRequest,
    MalformedOutput,
    ProviderOverloaded,
    ProviderTimeout,
    ProviderUnreachable,
    RateLimited,
)
from aif_contracts.workers import RefusalKind

_LONGEST_MESSAGE = 300
_LONGEST_WAIT_SECONDS = 3_600.0
_GAVE_UP_WAITING = frozenset({408, 499, 504, 524})
"""Said by whoever stands between us and the model, which may go on working and bill it."""
_NO_CREDIT = frozenset({"insufficient_quota", "billing_error", "billing_hard_limit_reached"})
_NO_CREDIT_IN_WORDS = "credit balance is too low"
"""Anthropic says it with status 400, of which most are the request's fault."""
_STATUS_OF_ERROR = {
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "requests": 429,
    "tokens": 429,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "billing_error": 402,
    "insufficient_quota": 402,
    "invalid_request_error": 400,
    "not_found_error": 404,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""For errors that come without a status of their own; all others count as the provider's fault."""


@contextmanager
def client_being_made(provider: str) -> Iterator[None]:
    """Around the making of a client. Raises InvalidRequest for whatever in the configuration keeps it from being made."""
    import httpx2

    try:
        yield
    except (ImportError, OSError, ValueError, httpx2.InvalidURL) as error:
        raise InvalidRequest(
            f"no client for {provider} can be made: {error}. Check its key, its base URL, and the variables for proxies and "
            "certificates, such as ALL_PROXY and SSL_CERT_FILE"
        ) from error


def failure_of_status(
    provider: str, status: int, message: str, headers: Mapping[str, str], *, code: str | None = None
) -> AiFailure:
    """What an error answer means. The provider answered, so nothing is billed, except where somebody else answered for it."""
    said = f"{provider} answered {status}: {message[:_LONGEST_MESSAGE]}"
    wait_ms = retry_after_ms(headers)
    if status in _GAVE_UP_WAITING:
        return ProviderTimeout(said, retry_after_ms=wait_ms, maybe_billed=True)
    if status == 402 or code in _NO_CREDIT or (status == 400 and _NO_CREDIT_IN_WORDS in message):
        return AuthenticationFailed(
            f"{said}. The account has no credit left; pay in, or use another provider", refusal=RefusalKind.CREDIT
        )
    if status == 429:
        return RateLimited(said, retry_after_ms=wait_ms)
    if status in (401, 403):
        refusal = RefusalKind.KEY if status == 401 else RefusalKind.PERMISSION
        return AuthenticationFailed(f"{said}. Check the key and what it is allowed to use", refusal=refusal)
    if status >= 500:
        return ProviderOverloaded(said, retry_after_ms=wait_ms)
    if status == 404:
        return InvalidRequest(
            f"{said}. Check the model's name, and the base URL where one is set", refusal=RefusalKind.UNKNOWN_MODEL
        )
    return InvalidRequest(said)


def failure_in_place_of_answer(provider: str, error: Any) -> AiFailure:
    """What an error means that comes with status 200, as the whole body or in the middle of a stream.

    The model may have worked before it, so that only the bill can tell what it cost.
    """
    said = error if isinstance(error, dict) else {"message": str(error)}
    code = said.get("code")
    codes = [code for code in (code, said.get("type")) if isinstance(code, str)]
    status = next((_STATUS_OF_ERROR[code] for code in codes if code in _STATUS_OF_ERROR), 500)
    if type(code) is int and 400 <= code < 600:
        # vLLM and OpenRouter say here what would have been the status.
        status = code
    failure = failure_of_status(provider, status, str(said.get("message", "")), {}, code=next(iter(codes), None))
    failure.maybe_billed = True
    return failure


def failure_of_connection(provider: str, cause: BaseException) -> AiFailure:
    """What a connection means that could not be made, broke, or went silent; `cause` is what httpx2 raised."""
    import httpx2

    from aif_ai.bounded_answers import UnboundedAnswer

    if isinstance(cause, UnboundedAnswer):
        return MalformedOutput(f"{provider} sent what nobody asked for: {cause}", maybe_billed=True)
    if isinstance(cause, httpx2.ConnectTimeout | httpx2.PoolTimeout):
        return ProviderTimeout(f"no connection to {provider} in time")
    if isinstance(cause, httpx2.LocalProtocolError | httpx2.InvalidURL | UnicodeEncodeError):
        # What it says in full can hold the key.
        return InvalidRequest(
            f"no request to {provider} can be made: check its key and its base URL for characters that have no place there"
        )
    if isinstance(cause, httpx2.ConnectError | httpx2.ProxyError | httpx2.UnsupportedProtocol):
        return ProviderUnreachable(f"no connection to {provider}: {cause}")
    if isinstance(cause, httpx2.TimeoutException):
        return ProviderTimeout(f"{provider} fell silent", maybe_billed=True)
    return ProviderUnreachable(f"the connection to {provider} broke: {cause}", maybe_billed=True)


def retry_after_ms(headers: Mapping[str, str]) -> int | None:
    """The wait that the provider asks for, at most an hour; None when it says none. A date is understood by the provider's own
    clock, which stands in the header `date`."""
    for name, unit_ms in (("retry-after-ms", 1), ("retry-after", 1_000)):
        try:
            wait_ms = float(headers.get(name, "")) * unit_ms
        except ValueError:
            continue
        if wait_ms >= 0:
            return int(min(wait_ms, _LONGEST_WAIT_SECONDS * 1_000))
    return _until_date_ms(headers)


def _until_date_ms(headers: Mapping[str, str]) -> int | None:
    try:
        until, now = (parsedate_to_datetime(headers.get(name, "")) for name in ("retry-after", "date"))
        seconds = (until - now).total_seconds()
    except (TypeError, ValueError):
        # No date, or one with a zone beside one without.
        return None
    return int(min(max(0.0, seconds), _LONGEST_WAIT_SECONDS) * 1_000)
