"""Anthropic's messages by its official SDK."""

import json
from typing import TYPE_CHECKING, Any

from aif_ai.answer_size import longest_answer
from aif_ai.failures import InvalidRequest, MalformedOutput, ProviderTimeout, ProviderUnreachable, Refused
from aif_ai.provider import Listener, ModelCall, Offer
from aif_ai.requests import Answer, CallTrace, Capability, Finish, Role
from aif_ai.strict_schema import Dialect, translate
from aif_ai.transport_failures import failure_of_status
from aif_contracts.metering import Tokens

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

ANTHROPIC = "anthropic"
_CONNECT_SECONDS = 5.0
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
        import httpx2

        try:
            return await self._answer(call, trace, heard)
        except anthropic.APIStatusError as error:
            # An error event in the middle of a stream arrives as a status error of a response that was 200.
            broke_off = error.response.is_success
            trace.sent = broke_off
            status = 529 if broke_off else error.status_code
            failure = failure_of_status(self.name, status, error.message, error.response.headers)
            failure.maybe_billed = broke_off
            raise failure from error
        except anthropic.APITimeoutError as error:
            trace.sent = not isinstance(error.__cause__, httpx2.ConnectTimeout | httpx2.PoolTimeout)
            raise ProviderTimeout(f"{self.name} did not answer in time", maybe_billed=trace.sent) from error
        except anthropic.APIConnectionError as error:
            trace.sent = not isinstance(error.__cause__, httpx2.ConnectError)
            raise ProviderUnreachable(
                f"no connection to {self.name}: {error.__cause__ or error}", maybe_billed=trace.sent
            ) from error
        except httpx2.TimeoutException as error:
            raise ProviderTimeout(f"{self.name} fell silent in the middle of its answer", maybe_billed=True) from error
        except httpx2.TransportError as error:
            # The SDK lets a connection that drops in the middle of a stream through as it is.
            raise ProviderUnreachable(f"the connection to {self.name} broke: {error}", maybe_billed=True) from error
        except json.JSONDecodeError as error:
            raise MalformedOutput(f"{self.name} sent a piece of its answer that is no JSON", maybe_billed=True) from error
        except anthropic.APIError as error:
            raise ProviderUnreachable(f"{self.name} broke off its answer: {error.message}", maybe_billed=True) from error

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _answer(self, call: ModelCall, trace: CallTrace, heard: Listener) -> Answer:
        pieces: list[str] = []
        opening: Any = None
        stop: str | None = None
        client = self._connected()
        trace.sent = True
        stream = await client.messages.create(**_request(call))
        async with stream:
            async for event in stream:
                if event.type == "message_start":
                    trace.response_id = event.message.id
                    opening = event.message.usage
                elif event.type == "content_block_delta" and event.delta.type == "text_delta":
                    pieces.append(event.delta.text)
                    trace.characters += len(event.delta.text)
                    if trace.characters > longest_answer(call.max_output_tokens):
                        raise MalformedOutput(f"{self.name} sent far more than it was asked for", maybe_billed=True)
                    await heard(event.delta.text)
                elif event.type == "message_delta":
                    stop = event.delta.stop_reason or stop
                    trace.tokens = _tokens(opening, event.usage)
        if stop is None:
            # A stream that is cut off cleanly raises nothing in the SDK.
            raise ProviderUnreachable(f"{self.name} ended its answer before it was complete", maybe_billed=trace.tokens is None)
        if stop == "refusal":
            raise Refused("the model declined to answer")
        return Answer(text="".join(pieces), finish=Finish.TRUNCATED if stop in _CUT_OFF else Finish.COMPLETE)

    def _connected(self) -> "AsyncAnthropic":
        import anthropic
        import httpx2

        if self._client is None:
            timeout = httpx2.Timeout(self._silence_seconds, connect=_CONNECT_SECONDS)
            try:
                self._client = anthropic.AsyncAnthropic(
                    api_key=self._api_key,
                    base_url=self._base_url,
                    max_retries=0,
                    timeout=timeout,
                    http_client=httpx2.AsyncClient(timeout=timeout, follow_redirects=False),
                )
            except anthropic.AnthropicError as error:
                raise InvalidRequest(f"the Anthropic client cannot be made: {error}") from error
        return self._client


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


def _tokens(opening: Any, closing: Any) -> Tokens | None:
    """Input tokens leave out the cached ones here, so that they are added. The closing counts are totals and win."""
    if opening is None or closing is None:
        return None

    def count(name: str) -> int | None:
        value = getattr(closing, name, None)
        return value if value is not None else getattr(opening, name, None)

    plain, output = count("input_tokens"), count("output_tokens")
    read, written = count("cache_read_input_tokens") or 0, count("cache_creation_input_tokens") or 0
    if plain is None or output is None or min(plain, output, read, written) < 0:
        return None
    prompt = plain + read + written
    return Tokens(
        prompt_tokens=prompt,
        completion_tokens=output,
        total_tokens=prompt + output,
        cache_read_tokens=read,
        cache_write_tokens=written,
    )
