"""OpenAI's chat completions by its official SDK, and every server that speaks the same: Ollama, vLLM, llama.cpp and others."""

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from aif_ai.answer_size import longest_answer
from aif_ai.failures import InvalidRequest, MalformedOutput, ProviderUnreachable, Refused
from aif_ai.provider import Listener, ModelCall, Offer
from aif_ai.requests import Answer, CallTrace, Capability, Finish
from aif_ai.sdk_streams import http_client, malformed_event, sdk_events
from aif_ai.strict_schema import Dialect, translate
from aif_ai.told_usage import credible_tokens, is_same_model
from aif_contracts.metering import Tokens

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OPENAI = "openai"
COMPATIBLE = "openai_compatible"
_KEY_OF_SERVERS_WITHOUT_KEYS = "not-needed"


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

    async def answer(self, call: ModelCall, trace: CallTrace, heard: Listener) -> Answer:
        # The SDK takes most of a second and 40 MB to import; a process that uses no model never pays for it.
        import openai

        client, request, reading = self._connected(), self._request(call), _Reading()
        chunks = sdk_events(client.chat.completions.create, request, call=call, provider=self.name, sdk=openai, trace=trace)
        async with aclosing(chunks):
            async for chunk in chunks:
                try:
                    text = reading.take(chunk)
                except (AttributeError, TypeError) as error:
                    malformed_event(self.name, error)
                trace.response_id = trace.response_id or reading.response_id
                if reading.tokens is not None and reading.finish is not None:
                    # Some servers count along; only what is told at the end is what is billed.
                    trace.tokens = credible_tokens(reading.tokens, call)
                if text:
                    trace.characters += len(text)
                    if trace.characters > longest_answer(call.max_output_tokens):
                        raise MalformedOutput(f"{self.name} sent far more than it was asked for", maybe_billed=True)
                    await heard(text)
        if self.name == OPENAI and not is_same_model(call.model, reading.model or call.model):
            # It is priced as the model that was asked, and nobody knows what another one costs.
            trace.tokens = None
        if reading.finish is None:
            # A stream that is cut off cleanly raises nothing in the SDK.
            raise ProviderUnreachable(f"{self.name} ended its answer before it was complete", maybe_billed=True)
        if reading.refusal or reading.finish == "content_filter":
            raise Refused(f"the model declined: {reading.refusal[:300] or 'content filter'}")
        return Answer(text="".join(reading.pieces), finish=Finish.TRUNCATED if reading.finish == "length" else Finish.COMPLETE)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _request(self, call: ModelCall) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": call.model,
            "messages": [{"role": message.role.value, "content": message.text} for message in call.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        # OpenAI's reasoning models refuse the older name; compatible servers often know only that one.
        request["max_completion_tokens" if self.name == OPENAI else "max_tokens"] = call.max_output_tokens
        if call.schema is not None:
            request["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": call.schema_name, "strict": True, "schema": translate(call.schema, Dialect.OPENAI)},
            }
        return request

    def _connected(self) -> "AsyncOpenAI":
        import openai

        if self._client is None:
            try:
                self._client = openai.AsyncOpenAI(
                    api_key=self._api_key,
                    base_url=self._base_url,
                    max_retries=0,
                    http_client=http_client(silence_seconds=self._silence_seconds),
                )
            except openai.OpenAIError as error:
                raise InvalidRequest(f"the OpenAI client cannot be made: {error}") from error
        return self._client


class _Reading:
    """What the chunks have told so far. The SDK checks no shapes: `take` raises AttributeError or
    TypeError for foreign ones."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.refusal = ""
        self.finish: str | None = None
        self.response_id: str | None = None
        self.model: str | None = None
        self.tokens: Tokens | None = None

    def take(self, chunk: Any) -> str:
        """The text of one chunk."""
        self.response_id = _text(chunk.id) or self.response_id
        self.model = _text(chunk.model) or self.model
        if chunk.usage is not None:
            self.tokens = _tokens(chunk.usage)
        new = ""
        for choice in chunk.choices:
            self.finish = _text(choice.finish_reason) or self.finish
            self.refusal = (self.refusal + _text(choice.delta.refusal))[:1_000]
            new += _text(choice.delta.content)
        if new:
            self.pieces.append(new)
        return new


def _text(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} in place of text")
    return value or ""


def _tokens(usage: Any) -> Tokens | None:
    """Prompt tokens include the cached ones here, completion tokens the reasoning and what is spoken."""
    in_detail, out_detail = getattr(usage, "prompt_tokens_details", None), getattr(usage, "completion_tokens_details", None)
    prompt, completion = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
    if prompt is None or completion is None:
        return None
    total = getattr(usage, "total_tokens", None)
    return Tokens(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion if total is None else total,
        cache_read_tokens=getattr(in_detail, "cached_tokens", None) or 0,
        cache_write_tokens=getattr(in_detail, "cache_write_tokens", None) or 0,
        reasoning_tokens=getattr(out_detail, "reasoning_tokens", None) or 0,
    )
