"""Event streams over the official SDKs, with every failure in our own words.

OpenAI's and Anthropic's SDK come out of the same generator: their clients take the same arguments, their errors have the same
names. What is alike is here; what a provider says in its events is in its adapter.

The SDK has the connections, addresses, keys and headers, and reads error answers. What it would make of a request and of each
event is left out: those objects take more time of the processor than all the rest of a call.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from aif_ai.answer_size import longest_answer
from aif_ai.event_stream import EventStreamDecoder
from aif_ai.failures import MalformedOutput, ProviderTimeout, ProviderUnreachable
from aif_ai.provider import ModelCall
from aif_ai.requests import CallTrace
from aif_ai.transport_failures import failure_in_place_of_answer, failure_of_connection, failure_of_status

if TYPE_CHECKING:
    import httpx2

_CONNECT_SECONDS = 5.0
_MOST_BYTES_OF_AN_EVENT = 4_194_304
_MOST_CONNECTIONS = 1_000
_LONGEST_REQUEST_ID = 512
_LAST_DATA = b"[DONE]"
_SECONDS_FOR_THE_REST = 0.1

Event = TypeVar("Event")


class SdkClient(Protocol):
    """What is used of an SDK's client."""

    async def post(self, path: str, *, cast_to: Any, content: bytes, options: Any, stream: Any, stream_cls: Any) -> Any: ...


def http_client(*, silence_seconds: float) -> "httpx2.AsyncClient":
    """For an SDK: follows no redirects, gives up a server that says nothing for so long, bounds what an answer may take."""
    import httpx2

    from aif_ai.bounded_answers import ACCEPTED_ENCODING, bounded

    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(silence_seconds, connect=_CONNECT_SECONDS),
        limits=httpx2.Limits(max_connections=_MOST_CONNECTIONS, max_keepalive_connections=100),
        follow_redirects=False,
        headers=ACCEPTED_ENCODING,
        event_hooks={"response": [bounded(_MOST_BYTES_OF_AN_EVENT, streams=True)]},
    )


async def sdk_events(
    client: SdkClient,
    path: str,
    body: bytes,
    *,
    decode: Callable[[bytes], Event],
    last: Event | None = None,
    call: ModelCall,
    provider: str,
    sdk: ModuleType,
    trace: CallTrace,
) -> AsyncGenerator[Event, None]:
    """The events of the stream that `body` asks for. Close it when you leave early. Raises leaves of AiFailure only.

    `decode` raises ValueError for data that is no event of the provider's. Nothing is read after an event that is as `last`.
    """
    import httpx2

    trace.sent = True
    events = EventStreamDecoder()
    try:
        response: httpx2.Response = await client.post(
            path,
            content=body,
            options={"headers": _request_id(call)},
            cast_to=httpx2.Response,
            stream=True,
            stream_cls=sdk.AsyncStream[Any],
        )
        async with aclosing(response), aclosing(response.aiter_raw()) as parts:
            await _refuse_other_bodies(response, provider)
            async for part in parts:
                for data in events.ended_by(part):
                    if data.startswith(_LAST_DATA):
                        await _to_the_end(parts)
                        return
                    event = decode(data)
                    yield event
                    if event == last:
                        await _to_the_end(parts)
                        return
    except sdk.APIStatusError as error:
        raise _of_status(error, provider, trace) from error
    except sdk.APIConnectionError as error:
        failure = failure_of_connection(provider, error.__cause__ or error)
        trace.sent = failure.maybe_billed
        raise failure from error
    except httpx2.TransportError as error:
        raise failure_of_connection(provider, error) from error
    except UnicodeEncodeError as error:
        failure = failure_of_connection(provider, error)
        trace.sent = failure.maybe_billed
        raise failure from error
    except (ValueError, RecursionError) as error:
        # Broken JSON, broken UTF-8, numbers without end, brackets without end, or JSON of another shape.
        raise MalformedOutput(f"{provider} sent a piece of its answer that its API does not have", maybe_billed=True) from error


async def pass_on(
    text: str, call: ModelCall, trace: CallTrace, heard: Callable[[str], Awaitable[None]], *, provider: str
) -> None:
    """What an answer has grown by, to who listens. Raises MalformedOutput when it is far longer than was asked for."""
    trace.characters += len(text)
    if trace.characters > longest_answer(call.max_output_tokens):
        raise MalformedOutput(f"{provider} sent far more than it was asked for", maybe_billed=True)
    await heard(text)


@contextmanager
def complete_all_the_same(is_complete: Callable[[], bool]) -> Iterator[None]:
    """Around the reading of a stream: a connection that breaks, or falls silent, after the answer's end takes nothing away."""
    try:
        yield
    except (ProviderTimeout, ProviderUnreachable):
        if not is_complete():
            raise


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
    code = (body.get("code") or body.get("type")) if isinstance(body, dict) else None
    message = body.get("message") if isinstance(body, dict) else None
    said = str(message or body or error.message)
    failure = failure_of_status(
        provider, error.status_code, said, error.response.headers, code=code if isinstance(code, str) else None
    )
    trace.sent = failure.maybe_billed
    return failure


async def _refuse_other_bodies(response: "httpx2.Response", provider: str) -> None:
    """The SDKs look for events in whatever comes and find none in a page or in an error."""
    from aif_ai.bounded_answers import is_no_stream

    if not is_no_stream(response):
        return
    body = await response.aread()
    try:
        said = msgspec.json.decode(body)
    except msgspec.DecodeError:
        said = None
    if isinstance(said, dict) and said.get("error"):
        raise failure_in_place_of_answer(provider, said["error"])
    raise MalformedOutput(
        f"{provider} answered with {response.headers['content-type']} where a stream was asked for", maybe_billed=True
    )


async def _to_the_end(parts: AsyncGenerator[bytes, None]) -> None:
    """A connection can only be used again when its last answer was read to the end, which mostly is there already."""
    import httpx2

    with suppress(TimeoutError, httpx2.TransportError):
        async with asyncio.timeout(_SECONDS_FOR_THE_REST):
            async for _ in parts:
                pass
