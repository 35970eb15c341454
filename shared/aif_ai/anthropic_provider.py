"""Anthropic's messages by its official SDK."""

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from aif_ai.answer_size import longest_answer
from aif_ai.failures import InvalidRequest, MalformedOutput, ProviderUnreachable, Refused
from aif_ai.provider import Listener, ModelCall, Offer
from aif_ai.requests import Answer, CallTrace, Capability, Finish, Role
from aif_ai.sdk_streams import http_client, malformed_event, sdk_events
from aif_ai.strict_schema import Dialect, translate
from aif_ai.told_usage import credible_tokens, is_same_model
from aif_contracts.metering import Tokens

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

ANTHROPIC = "anthropic"
_CUT_OFF = frozenset({"max_tokens", "model_context_window_exceeded"})


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

    async def answer(self, call: ModelCall, trace: CallTrace, heard: Listener) -> Answer:
        # The SDK takes almost two seconds and 65 MB to import; a process that uses no model never pays for it.
        import anthropic

        client, request, reading = self._connected(), _request(call), _Reading()
        events = sdk_events(client.messages.create, request, call=call, provider=self.name, sdk=anthropic, trace=trace)
        async with aclosing(events):
            async for event in events:
                try:
                    text = reading.take(event)
                except (AttributeError, TypeError) as error:
                    malformed_event(self.name, error)
                trace.response_id = trace.response_id or reading.response_id
                if reading.tokens is not None and reading.stop is not None:
                    # Some servers count along; only what is told at the end is what is billed.
                    trace.tokens = credible_tokens(reading.tokens, call)
                if text:
                    trace.characters += len(text)
                    if trace.characters > longest_answer(call.max_output_tokens):
                        raise MalformedOutput(f"{self.name} sent far more than it was asked for", maybe_billed=True)
                    await heard(text)
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

    def _connected(self) -> "AsyncAnthropic":
        import anthropic

        if self._client is None:
            try:
                self._client = anthropic.AsyncAnthropic(
                    api_key=self._api_key,
                    base_url=self._base_url,
                    max_retries=0,
                    http_client=http_client(silence_seconds=self._silence_seconds),
                )
            except anthropic.AnthropicError as error:
                raise InvalidRequest(f"the Anthropic client cannot be made: {error}") from error
        return self._client


class _Reading:
    """What the events have told so far. The SDK checks no shapes: `take` raises AttributeError or
    TypeError for foreign ones."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.stop: str | None = None
        self.response_id: str | None = None
        self.model: str | None = None
        self.tokens: Tokens | None = None
        self._opening: Any = None

    def take(self, event: Any) -> str:
        """The text of one event."""
        if event.type == "message_start":
            self.response_id, self.model = _text(event.message.id), _text(event.message.model)
            self._opening = event.message.usage
        elif event.type == "content_block_delta" and event.delta.type == "text_delta":
            self.pieces.append(_text(event.delta.text))
            return self.pieces[-1]
        elif event.type == "message_delta":
            self.stop = _text(event.delta.stop_reason) or self.stop
            self.tokens = _tokens(self._opening, event.usage)
        return ""


def _request(call: ModelCall) -> dict[str, Any]:
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
        request["output_config"] = {"format": {"type": "json_schema", "schema": translate(call.schema, Dialect.ANTHROPIC)}}
    return request


def _text(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} in place of text")
    return value or ""


def _tokens(opening: Any, closing: Any) -> Tokens | None:
    """Input tokens leave out the cached ones here, so that they are added. The closing counts are totals and win."""
    if opening is None or closing is None:
        return None

    def count(name: str) -> Any:
        value = getattr(closing, name, None)
        return value if value is not None else getattr(opening, name, None)

    plain, output = count("input_tokens"), count("output_tokens")
    read, written = count("cache_read_input_tokens") or 0, count("cache_creation_input_tokens") or 0
    if plain is None or output is None or min(plain, read, written) < 0:
        return None
    details = count("output_tokens_details")
    return Tokens(
        prompt_tokens=plain + read + written,
        completion_tokens=output,
        total_tokens=plain + read + written + output,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=(details.thinking_tokens if details else None) or 0,
    )
