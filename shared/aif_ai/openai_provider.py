"""OpenAI's chat completions by its official SDK, and every server that speaks the same: Ollama, vLLM, llama.cpp and others."""

import json
from typing import TYPE_CHECKING, Any

from aif_ai.answer_size import longest_answer
from aif_ai.failures import InvalidRequest, MalformedOutput, ProviderTimeout, ProviderUnreachable, Refused
from aif_ai.provider import Listener, ModelCall, Offer
from aif_ai.requests import Answer, CallTrace, Capability, Finish
from aif_ai.strict_schema import Dialect, translate
from aif_ai.transport_failures import failure_of_status
from aif_contracts.metering import Tokens

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OPENAI = "openai"
COMPATIBLE = "openai_compatible"
_CONNECT_SECONDS = 5.0
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
        import httpx2
        import openai

        try:
            return await self._answer(call, trace, heard)
        except openai.APIStatusError as error:
            trace.sent = False
            raise failure_of_status(self.name, error.status_code, error.message, error.response.headers) from error
        except openai.APITimeoutError as error:
            trace.sent = not isinstance(error.__cause__, httpx2.ConnectTimeout | httpx2.PoolTimeout)
            raise ProviderTimeout(f"{self.name} did not answer in time", maybe_billed=trace.sent) from error
        except openai.APIConnectionError as error:
            trace.sent = not isinstance(error.__cause__, httpx2.ConnectError)
            raise ProviderUnreachable(
                f"no connection to {self.name}: {error.__cause__ or error}", maybe_billed=trace.sent
            ) from error
        except httpx2.TimeoutException as error:
            raise ProviderTimeout(f"{self.name} fell silent in the middle of its answer", maybe_billed=True) from error
        except httpx2.TransportError as error:
            raise ProviderUnreachable(f"the connection to {self.name} broke: {error}", maybe_billed=True) from error
        except json.JSONDecodeError as error:
            raise MalformedOutput(f"{self.name} sent a piece of its answer that is no JSON", maybe_billed=True) from error
        except openai.APIError as error:
            raise ProviderUnreachable(f"{self.name} broke off its answer: {error.message}", maybe_billed=True) from error

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _answer(self, call: ModelCall, trace: CallTrace, heard: Listener) -> Answer:
        pieces: list[str] = []
        refusal: list[str] = []
        finish: str | None = None
        client = self._connected()
        trace.sent = True
        stream = await client.chat.completions.create(**self._request(call))
        async with stream:
            async for chunk in stream:
                trace.response_id = trace.response_id or chunk.id
                if chunk.usage is not None:
                    trace.tokens = _tokens(chunk.usage)
                for choice in chunk.choices:
                    finish = choice.finish_reason or finish
                    refusal.append(choice.delta.refusal or "")
                    if choice.delta.content:
                        pieces.append(choice.delta.content)
                        trace.characters += len(choice.delta.content)
                        if trace.characters > longest_answer(call.max_output_tokens):
                            raise MalformedOutput(f"{self.name} sent far more than it was asked for", maybe_billed=True)
                        await heard(choice.delta.content)
        if finish is None:
            # A stream that is cut off cleanly raises nothing in the SDK.
            raise ProviderUnreachable(f"{self.name} ended its answer before it was complete", maybe_billed=trace.tokens is None)
        if any(refusal) or finish == "content_filter":
            raise Refused(f"the model declined: {''.join(refusal)[:300] or 'content filter'}")
        return Answer(text="".join(pieces), finish=Finish.TRUNCATED if finish == "length" else Finish.COMPLETE)

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
        import httpx2
        import openai

        if self._client is None:
            timeout = httpx2.Timeout(self._silence_seconds, connect=_CONNECT_SECONDS)
            try:
                self._client = openai.AsyncOpenAI(
                    api_key=self._api_key,
                    base_url=self._base_url,
                    max_retries=0,
                    timeout=timeout,
                    http_client=httpx2.AsyncClient(timeout=timeout, follow_redirects=False),
                )
            except openai.OpenAIError as error:
                raise InvalidRequest(f"the OpenAI client cannot be made: {error}") from error
        return self._client


def _tokens(usage: Any) -> Tokens | None:
    """Prompt tokens include the cached ones here, completion tokens the reasoning. Impossible counts are no counts."""
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    in_detail, out_detail = usage.prompt_tokens_details, usage.completion_tokens_details
    read = (in_detail.cached_tokens if in_detail else None) or 0
    written = (getattr(in_detail, "cache_write_tokens", None) if in_detail else None) or 0
    reasoning = (out_detail.reasoning_tokens if out_detail else None) or 0
    counts = (prompt, completion, read, written, reasoning)
    if any(not isinstance(count, int) or count < 0 for count in counts) or read + written > prompt:
        return None
    return Tokens(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
    )
