"""Event streams of the official SDKs, with every failure in our own words.

OpenAI's and Anthropic's SDK come out of the same generator: their clients take the same arguments, their streams have the
same parts, their errors the same names. What is alike is here; what a provider says in its events is in its adapter.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Never

import msgspec

from aif_ai.failures import MalformedOutput
from aif_ai.provider import ModelCall
from aif_ai.requests import CallTrace
from aif_ai.transport_failures import failure_in_place_of_answer, failure_of_connection, failure_of_status

if TYPE_CHECKING:
    import httpx2

_CONNECT_SECONDS = 5.0
_MOST_BYTES_OF_AN_EVENT = 4_194_304
_MOST_CONNECTIONS = 1_000
_LONGEST_REQUEST_ID = 512
_NOT_A_STREAM = ("application/json", "text/html")


def http_client(*, silence_seconds: float) -> "httpx2.AsyncClient":
    """For an SDK: follows no redirects, gives up a server that says nothing for so long, bounds what an answer may take."""
    import httpx2

    from aif_ai.bounded_answers import ACCEPTED_ENCODING, bounded

    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(silence_seconds, connect=_CONNECT_SECONDS),
        limits=httpx2.Limits(max_connections=_MOST_CONNECTIONS, max_keepalive_connections=100),
        follow_redirects=False,
        headers=ACCEPTED_ENCODING,
        event_hooks={"response": [bounded(_MOST_BYTES_OF_AN_EVENT)]},
    )


async def sdk_events(
    create: Callable[..., Awaitable[Any]],
    request: dict[str, Any],
    *,
    call: ModelCall,
    provider: str,
    sdk: ModuleType,
    trace: CallTrace,
) -> AsyncGenerator[Any, None]:
    """The events of the stream that `create` opens. Close it when you leave early. Raises leaves of AiFailure only."""
    import httpx2

    trace.sent = True
    try:
        stream = await create(**request, extra_headers=_request_id(call))
        async with stream:
            await _refuse_other_bodies(stream.response, provider)
            async for event in stream:
                yield event
    except sdk.APIStatusError as error:
        raise _of_status(error, provider, trace) from error
    except sdk.APIConnectionError as error:
        failure = failure_of_connection(provider, error.__cause__ or error)
        trace.sent = failure.maybe_billed
        raise failure from error
    except sdk.APIError as error:
        raise failure_in_place_of_answer(provider, error.body or error.message) from error
    except (ValueError, RecursionError) as error:
        # Broken JSON, broken UTF-8, numbers without end, brackets without end.
        raise MalformedOutput(f"{provider} sent a piece of its answer that is no JSON", maybe_billed=True) from error
    except httpx2.TransportError as error:
        # Anthropic's SDK lets what happens in the middle of a stream through as it is.
        raise failure_of_connection(provider, error) from error


def malformed_event(provider: str, error: Exception) -> Never:
    raise MalformedOutput(f"{provider} sent an event of another shape than its API has", maybe_billed=True) from error


def _request_id(call: ModelCall) -> dict[str, str]:
    """The call's key as the client's own request id, by which the provider's support can find it.

    OpenAI documents the header, in ASCII and at most 512 characters long. Others ignore it; a proxy in between can log it.
    """
    key = call.call_key
    if not key.isascii() or not 0 < len(key) <= _LONGEST_REQUEST_ID:
        return {}
    return {"X-Client-Request-Id": key}


def _of_status(error: Any, provider: str, trace: CallTrace) -> Exception:
    body = error.body.get("error", error.body) if isinstance(error.body, dict) else error.body
    if error.response.is_success:
        # An error event in the middle of a stream arrives as a status error of a response that was 200.
        return failure_in_place_of_answer(provider, body)
    code = (body.get("code") or body.get("type")) if isinstance(body, dict) else None
    message = body.get("message") if isinstance(body, dict) else None
    failure = failure_of_status(provider, error.status_code, str(message or error.message), error.response.headers, code=code)
    trace.sent = failure.maybe_billed
    return failure


async def _refuse_other_bodies(response: "httpx2.Response", provider: str) -> None:
    """The SDKs look for events in whatever comes and find none in a page or in an error."""
    content_type = response.headers.get("content-type", "")
    if not content_type.startswith(_NOT_A_STREAM):
        return
    body = await response.aread()
    try:
        said = msgspec.json.decode(body)
    except msgspec.DecodeError:
        said = None
    if isinstance(said, dict) and said.get("error"):
        raise failure_in_place_of_answer(provider, said["error"])
    raise MalformedOutput(f"{provider} answered with {content_type} where a stream was asked for", maybe_billed=True)
