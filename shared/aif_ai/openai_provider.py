"""OpenAI's chat completions by its official SDK, and every server that speaks the same: Ollama, vLLM, llama.cpp and others."""

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw, Struct

from aif_ai.failures import InvalidRequest, ProviderOverloaded, ProviderUnreachable, Refused
from aif_ai.provider import Listener, ModelCall, Offer
from aif_ai.requests import Answer, CallTrace, Capability, Finish
from aif_ai.sdk_streams import complete_all_the_same, http_client, pass_on, sdk_events
from aif_ai.strict_schema import Dialect, TranslatedSchemas
from aif_ai.told_usage import credible_tokens, is_same_model
from aif_ai.transport_failures import client_being_made, failure_in_place_of_answer
from aif_contracts.metering import Tokens

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OPENAI = "openai"
OPENAI_URL = "https://api.openai.com/v1"
COMPATIBLE = "openai_compatible"
_KEY_OF_SERVERS_WITHOUT_KEYS = "not-needed"
_TELL_USAGE_UNASKED = frozenset({"mistral"})
"""They refuse a request that asks for it."""
_CUT_OFF = frozenset({"length", "max_tokens", "model_length"})
"""Mistral tells the model's limit apart from that of the request."""
_BROKEN_OFF = frozenset({"error", "abort", "insufficient_system_resource"})
"""Said by Mistral, vLLM and DeepSeek where they could not end an answer."""
_LONGEST_REFUSAL = 1_000
_NO_USAGE = Raw(b"null")


class OpenAiProvider:
    """With a `base_url` it talks to a server of the operator's own, which may need no key and has prices of its own."""

    def __init__(
        self,
        *,
        name: str,
        models: tuple[str, ...],
        api_key: str | None,
        base_url: str | None = None,
        silence_seconds: float = 60.0,
    ) -> None:
        self.name = name
        """`OPENAI`, or `COMPATIBLE` for other servers."""
        self.offers = (Offer(capability=Capability.LLM_GENERATION, models=models, continues=name == OPENAI),)
        self._api_key = api_key or _KEY_OF_SERVERS_WITHOUT_KEYS
        self._base_url = base_url
        self._silence_seconds = silence_seconds
        """A stream that says nothing for so long is given up."""
        self._client: AsyncOpenAI | None = None
        self._schemas = TranslatedSchemas(Dialect.OPENAI)

    async def open(self) -> None:
        """Import the SDK and make its client, so that the first call need not. Raises InvalidRequest."""
        await asyncio.to_thread(self._connected)

    async def answer(self, call: ModelCall, trace: CallTrace, heard: Listener) -> Answer:
        # The SDK takes most of a second and 40 MB to import; a process without a key never pays for it.
        import openai

        client, body, reading = self._connected(), self._body(call), _Reading()
        chunks = sdk_events(
            client,
            "/chat/completions",
            body,
            decode=_CHUNK.decode,
            call=call,
            provider=self.name,
            sdk=openai,
            trace=trace,
        )
        with complete_all_the_same(lambda: reading.finish is not None):
            async with aclosing(chunks):
                async for chunk in chunks:
                    if chunk.error:
                        raise failure_in_place_of_answer(self.name, chunk.error)
                    text = reading.take(chunk)
                    trace.response_id = trace.response_id or reading.response_id
                    if reading.finish is not None:
                        # Some servers count along; only what is told at the end is what is billed.
                        trace.tokens = credible_tokens(reading.tokens, call)
                    if text:
                        await pass_on(text, call, trace, heard, provider=self.name)
        if self.name == OPENAI and not is_same_model(call.model, reading.model or call.model):
            # It is priced as the model that was asked, and nobody knows what another one costs.
            trace.tokens = None
        if reading.finish is None:
            # A stream that is cut off cleanly raises nothing in the SDK.
            raise ProviderUnreachable(f"{self.name} ended its answer before it was complete", maybe_billed=True)
        if reading.refusal or reading.finish == "content_filter":
            raise Refused(f"the model declined: {reading.refusal[:300] or 'content filter'}")
        if reading.finish in _BROKEN_OFF:
            raise ProviderOverloaded(f"{self.name} broke off its answer: {reading.finish}", maybe_billed=True)
        return Answer(text="".join(reading.pieces), finish=Finish.TRUNCATED if reading.finish in _CUT_OFF else Finish.COMPLETE)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _body(self, call: ModelCall) -> bytes:
        request: dict[str, Any] = {
            "model": call.model,
            "messages": [{"role": message.role.value, "content": message.text} for message in call.messages],
            "stream": True,
        }
        if self.name not in _TELL_USAGE_UNASKED:
            request["stream_options"] = {"include_usage": True}
        # OpenAI's reasoning models refuse the older name; compatible servers often know only that one.
        request["max_completion_tokens" if self.name == OPENAI else "max_tokens"] = call.max_output_tokens
        if call.schema is not None:
            request["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": call.schema_name, "strict": True, "schema": self._schemas.of(call.schema)},
            }
        return msgspec.json.encode(request)

    def _connected(self) -> "AsyncOpenAI":
        import openai

        if self._client is None:
            try:
                with client_being_made(self.name):
                    self._client = openai.AsyncOpenAI(
                        api_key=self._api_key,
                        # Without one the SDK takes what an environment variable of its own says, and nobody knows its prices.
                        base_url=self._base_url or OPENAI_URL,
                        max_retries=0,
                        http_client=http_client(silence_seconds=self._silence_seconds),
                    )
            except openai.OpenAIError as error:
                raise InvalidRequest(f"the OpenAI client cannot be made: {error}") from error
        return self._client


class _Part(Struct, frozen=True, kw_only=True):
    type: str
    text: str = ""
    """Of parts of the type `text`."""


class _Delta(Struct, frozen=True, kw_only=True):
    content: str | tuple[_Part, ...] | None = None
    """Parts where a model of Mistral's thinks aloud before it answers."""
    refusal: str | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, tuple):
            return "".join(part.text for part in self.content if part.type == "text")
        return self.content or ""


class _Choice(Struct, frozen=True, kw_only=True):
    delta: _Delta
    finish_reason: str | None = None


class _Chunk(Struct, frozen=True, kw_only=True):
    id: str | None = None
    model: str | None = None
    choices: tuple[_Choice, ...] = ()
    usage: Raw = _NO_USAGE
    error: Any = None
    """What some send in place of the rest of an answer."""


class _PromptDetails(Struct, frozen=True, kw_only=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _CompletionDetails(Struct, frozen=True, kw_only=True):
    reasoning_tokens: int | None = None


class _Usage(Struct, frozen=True, kw_only=True):
    """Prompt tokens include the cached ones here, completion tokens the reasoning, but for xAI's, and what is spoken."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


_CHUNK = msgspec.json.Decoder(_Chunk)
_USAGE = msgspec.json.Decoder(_Usage | None)


class _Reading:
    """What the chunks have told so far."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.refusal = ""
        self.finish: str | None = None
        self.response_id: str | None = None
        self.model: str | None = None
        self.tokens: Tokens | None = None

    def take(self, chunk: _Chunk) -> str:
        """The text of one chunk."""
        self.response_id = chunk.id or self.response_id
        self.model = chunk.model or self.model
        if chunk.usage != _NO_USAGE:
            self.tokens = _tokens(chunk.usage)
        new = ""
        for choice in chunk.choices:
            self.finish = choice.finish_reason or self.finish
            if choice.delta.refusal:
                self.refusal = (self.refusal + choice.delta.refusal)[:_LONGEST_REFUSAL]
            new += choice.delta.text
        if new:
            self.pieces.append(new)
        return new


def _tokens(told: Raw) -> Tokens | None:
    """None for counts that are missing or no counts."""
    try:
        usage = _USAGE.decode(told)
    except msgspec.ValidationError:
        return None
    if usage is None:
        return None
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    reasoning = (completion.reasoning_tokens if completion else None) or 0
    written = usage.completion_tokens
    if usage.total_tokens == usage.prompt_tokens + written + reasoning:
        # xAI counts the reasoning beside the completion; the total gives it away.
        written += reasoning
    return Tokens(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=written,
        total_tokens=usage.prompt_tokens + written if usage.total_tokens is None else usage.total_tokens,
        cache_read_tokens=(prompt.cached_tokens if prompt else None) or 0,
        cache_write_tokens=(prompt.cache_write_tokens if prompt else None) or 0,
        reasoning_tokens=reasoning,
    )
