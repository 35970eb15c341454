"""HTTP statuses and headers of providers, in our own words. Shared by the adapters, whose SDKs raise alike."""

from collections.abc import Mapping

from aif_ai.failures import (
    AiFailure,
    AuthenticationFailed,
    InvalidRequest,
    ProviderOverloaded,
    ProviderTimeout,
    RateLimited,
)

_LONGEST_MESSAGE = 300
_LONGEST_WAIT_SECONDS = 3_600.0


def failure_of_status(provider: str, status: int, message: str, headers: Mapping[str, str]) -> AiFailure:
    """What an error answer means. The provider answered, so nothing is billed."""
    said = f"{provider} answered {status}: {message[:_LONGEST_MESSAGE]}"
    if status == 429:
        return RateLimited(said, retry_after_ms=retry_after_ms(headers))
    if status in (401, 403):
        return AuthenticationFailed(f"{said}. Check the key and what it is allowed to use")
    if status == 408:
        return ProviderTimeout(said, retry_after_ms=retry_after_ms(headers))
    if status >= 500:
        return ProviderOverloaded(said, retry_after_ms=retry_after_ms(headers))
    return InvalidRequest(said)


def retry_after_ms(headers: Mapping[str, str]) -> int | None:
    """The wait that the provider asks for, at most an hour; None when it says none or says it as a date."""
    for name, unit_ms in (("retry-after-ms", 1), ("retry-after", 1_000)):
        try:
            wait_ms = float(headers.get(name, "")) * unit_ms
        except ValueError:
            continue
        if wait_ms >= 0:
            return int(min(wait_ms, _LONGEST_WAIT_SECONDS * 1_000))
    return None
