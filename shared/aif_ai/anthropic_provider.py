"""Anthropic's messages by its official SDK."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw, Struct

from aif_ai.failures import InvalidRequest, ProviderUnreachable, Refused
from aif_ai.provider import Listener, ModelCall, Offer
from aif_ai.requests import Answer, CallTrace, Capability, Finish, Role
from aif_ai.sdk_streams import complete_all_the_same, http_client, pass_on, sdk_events
from aif_ai.strict_schema import Dialect, TranslatedSchemas
from aif_ai.told_usage import credible_tokens, is_same_model
from aif_ai.transport_failures import client_being_made, failure_in_place_of_answer
from aif_contracts.metering import Tokens

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

ANTHROPIC = "anthropic"
ANTHROPIC_URL = "https://api.anthropic.com"
_CUT_OFF = frozenset({"max_tokens", "model_context_window_exceeded"})
_NO_USAGE = Raw(b"null")


class AnthropicProvider:
    def __init__(
        self, *, models: tuple[str, ...], api_key: str, base_url: str | None = None, silence_seconds: float = 60.0
    ) -> None:
        self.name = ANTHROPIC
        self.offers = (Offer(capability=Capability.LLM_GENERATION, models=models, continues=True),)
        self._api_key = api_key
        self._base_url = base_url
        self._silence_seconds = silence_seconds
        """A stream that says nothing for so long is given up."""
        self._client: AsyncAnthropic | None = None
        self._schemas = TranslatedSchemas(Dialect.ANTHROPIC)

    async def open(self) -> None:
        """Import the SDK and make its client, so that the first call need not. Raises InvalidRequest."""
        await asyncio.to_thread(self._connected)

    async def answer(self, call: ModelCall, trace: CallTrace, heard: Listener) -> Answer:
        # The SDK takes almost two seconds and 65 MB to import; a process without a key never pays for it.
        import anthropic

        client, body, reading = self._connected(), self._body(call), _Reading()
        events: AsyncGenerator[_Event, None] = sdk_events(
            client,
            "/v1/messages",
            body,
            decode=_event,
            last=_LAST_EVENT,
            call=call,
            provider=self.name,
            sdk=anthropic,
            trace=trace,
        )
        with complete_all_the_same(lambda: reading.stop is not None):
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, _Failed):
                        raise failure_in_place_of_answer(self.name, event.error)
                    text = reading.take(event)
                    trace.response_id = trace.response_id or reading.response_id
                    if reading.stop is not None:
                        # Some servers count along; only what is told at the end is what is billed.
                        trace.tokens = credible_tokens(reading.tokens, call)
                    if text:
                        await pass_on(text, call, trace, heard, provider=self.name)
        if not is_same_model(call.model, reading.model or call.model):
            # It is priced as the model that was asked, and nobody knows what another one costs.
            trace.tokens = None
        if reading.stop is None:
            # A stream that is cut off cleanly raises nothing in the SDK.
            raise ProviderUnreachable(f"{self.name} ended its answer before it was complete", maybe_billed=True)
        if reading.stop == "refusal":
            raise Refused("the model declined to answer")
        return Answer(text="".join(reading.pieces), finish=Finish.TRUNCATED if reading.stop in _CUT_OFF else Finish.COMPLETE)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _body(self, call: ModelCall) -> bytes:
        request: dict[str, Any] = {
            "model": call.model,
            "max_tokens": call.max_output_tokens,
            "messages": [{"role": m.role.value, "content": m.text} for m in call.messages if m.role is not Role.SYSTEM],
            "stream": True,
        }
        system = "\n\n".join(m.text for m in call.messages if m.role is Role.SYSTEM)
        if system:
            request["system"] = system
        if call.schema is not None:
            request["output_config"] = {"format": {"type": "json_schema", "schema": self._schemas.of(call.schema)}}
        return msgspec.json.encode(request)

    def _connected(self) -> "AsyncAnthropic":
        import anthropic

        if self._client is None:
            try:
                with client_being_made(self.name):
                    self._client = anthropic.AsyncAnthropic(
                        api_key=self._api_key,
                        # Without one the SDK takes what an environment variable of its own says, and nobody knows its prices.
                        base_url=self._base_url or ANTHROPIC_URL,
                        max_retries=0,
                        http_client=http_client(silence_seconds=self._silence_seconds),
                    )
            except anthropic.AnthropicError as error:
                raise InvalidRequest(f"the Anthropic client cannot be made: {error}") from error
        return self._client


class _OutputDetails(Struct, frozen=True, kw_only=True):
    thinking_tokens: int | None = None


class _Counts(Struct, frozen=True, kw_only=True):
    """Input tokens leave out the cached ones here."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None


class _Message(Struct, frozen=True, kw_only=True):
    id: str | None = None
    model: str | None = None
    usage: Raw = _NO_USAGE


class _Opened(Struct, frozen=True, kw_only=True):
    message: _Message


class _Delta(Struct, frozen=True, kw_only=True):
    type: str
    text: str = ""
    """Of deltas of the type `text_delta`."""


class _Written(Struct, frozen=True, kw_only=True):
    delta: _Delta


class _Stop(Struct, frozen=True, kw_only=True):
    stop_reason: str | None = None


class _Closed(Struct, frozen=True, kw_only=True):
    delta: _Stop
    usage: Raw = _NO_USAGE


class _Failed(Struct, frozen=True, kw_only=True):
    error: Any = None


class _Other(Struct, frozen=True, kw_only=True):
    """An event that tells nothing of the answer; its type tells which of the others it is, or that it is none."""

    type: str


_Event = _Opened | _Written | _Closed | _Failed | _Other
_LAST_EVENT: _Event = _Other(type="message_stop")
_OTHER = msgspec.json.Decoder(_Other)
_EVENTS: Mapping[str, msgspec.json.Decoder[_Event]] = {
    "message_start": msgspec.json.Decoder(_Opened),
    "content_block_delta": msgspec.json.Decoder(_Written),
    "message_delta": msgspec.json.Decoder(_Closed),
    "error": msgspec.json.Decoder(_Failed),
}
_COUNTS = msgspec.json.Decoder(_Counts | None)


def _event(data: bytes) -> _Event:
    """Raises ValueError for what is none."""
    event = _OTHER.decode(data)
    decoder = _EVENTS.get(event.type)
    return event if decoder is None else decoder.decode(data)


class _Reading:
    """What the events have told so far."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.stop: str | None = None
        self.response_id: str | None = None
        self.model: str | None = None
        self.tokens: Tokens | None = None
        self._opening = _NO_USAGE

    def take(self, event: _Event) -> str:
        """The text of one event."""
        match event:
            case _Opened(message=message):
                self.response_id, self.model, self._opening = message.id, message.model, message.usage
            case _Written(delta=delta) if delta.type == "text_delta":
                self.pieces.append(delta.text)
                return delta.text
            case _Closed():
                self.stop = event.delta.stop_reason or self.stop
                if event.usage != _NO_USAGE:
                    self.tokens = _tokens(self._opening, event.usage)
        return ""


def _tokens(opening: Raw, closing: Raw) -> Tokens | None:
    """Input tokens leave out the cached ones here, so that they are added. The closing counts are totals and win.

    None for counts that are missing or no counts.
    """
    try:
        opened, closed = _COUNTS.decode(opening), _COUNTS.decode(closing)
    except msgspec.ValidationError:
        return None
    if opened is None or closed is None:
        return None

    def count(name: str) -> int | None:
        value: int | None = getattr(closed, name)
        return value if value is not None else getattr(opened, name)

    plain, output = count("input_tokens"), count("output_tokens")
    read, written = count("cache_read_input_tokens") or 0, count("cache_creation_input_tokens") or 0
    if plain is None or output is None or min(plain, read, written) < 0:
        return None
    details = closed.output_tokens_details or opened.output_tokens_details
    return Tokens(
        prompt_tokens=plain + read + written,
        completion_tokens=output,
        total_tokens=plain + read + written + output,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=(details.thinking_tokens if details else None) or 0,
    )
