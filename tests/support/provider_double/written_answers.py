"""A provider whose answers a test writes down byte by byte, and how an adapter takes them."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from msgspec import Struct

from aif_ai.anthropic_provider import AnthropicProvider
from aif_ai.deepgram_provider import DeepgramProvider
from aif_ai.failures import AiFailure
from aif_ai.openai_provider import OpenAiProvider
from aif_ai.provider import ModelCall, Provider
from aif_ai.requests import Answer, AudioInput, CallTrace, Capability, Message, Role
from support.listeners import Unheard
from support.provider_double.http_server import HttpRequest, Reply, http_server

MODELS = {"openai": "gpt-4o-mini", "anthropic": "claude-sonnet-5-5", "deepgram": "nova-3"}
USAGE = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}


class Written(Struct, frozen=True, kw_only=True):
    """One answer."""

    body: bytes
    status: int = 200
    media_type: str = "text/event-stream"
    headers: tuple[tuple[str, str], ...] = ()
    repeated: int = 1
    """How often the body is sent."""
    stays_open: bool = False
    """True for an answer that is never ended, until the client leaves."""
    breaks_off: bool = False


class Heard(Struct, kw_only=True):
    """What came of a call."""

    trace: CallTrace
    answer: Answer | None = None
    failure: AiFailure | None = None


def provider_at(name: str, url: str, *, silence_seconds: float = 10.0, api_key: str = "sk-test") -> Provider:
    """The adapter of that name, before a provider whose URL has no path."""
    if name == "deepgram":
        return DeepgramProvider(models=("nova-3",), api_key=api_key, base_url=url, silence_seconds=silence_seconds)
    if name == "anthropic":
        return AnthropicProvider(models=("x",), api_key=api_key, base_url=url, silence_seconds=silence_seconds)
    return OpenAiProvider(name=name, models=("x",), api_key=api_key, base_url=f"{url}/v1", silence_seconds=silence_seconds)


def serving(written: Written, requests: list[HttpRequest] | None = None) -> AbstractAsyncContextManager[str]:
    """A server that gives every request this answer; yields its URL without a path."""

    async def respond(request: HttpRequest, reply: Reply) -> None:
        if requests is not None:
            requests.append(request)
        await reply.open(written.headers, status=written.status, media_type=written.media_type)
        for _ in range(written.repeated if written.body else 0):
            await reply.piece(written.body)
        if written.stays_open:
            await reply.until_client_leaves()
        elif written.breaks_off:
            reply.break_off()
        else:
            await reply.end()

    return http_server(respond)


async def told_by(
    name: str,
    written: Written,
    *,
    silence_seconds: float = 0.3,
    api_key: str = "sk-test",
    requests: list[HttpRequest] | None = None,
) -> Heard:
    """Ask the named provider once, which gives this answer."""
    async with serving(written, requests) as url:
        return await asked_at(name, url, silence_seconds=silence_seconds, api_key=api_key)


async def asked_at(name: str, url: str, *, silence_seconds: float = 0.3, api_key: str = "sk-test") -> Heard:
    """`url` is without a path."""
    provider = provider_at(name, url, silence_seconds=silence_seconds, api_key=api_key)
    heard = Heard(trace=CallTrace())
    try:
        async with asyncio.timeout(20):
            heard.answer = await provider.answer(_call(name), heard.trace, Unheard())
    except AiFailure as failure:
        heard.failure = failure
    finally:
        await provider.close()
    return heard


def events(*data: Any, done: bool = True) -> bytes:
    """An event stream of OpenAI's."""
    lines = [f"data: {each if isinstance(each, str) else json.dumps(each)}\n\n" for each in data]
    return "".join([*lines, "data: [DONE]\n\n" if done else ""]).encode()


def chunk(text: Any = None, *, finish: str | None = None, usage: Any = None) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "answer-1", "model": "gpt-4o-mini", "choices": choices, "usage": usage}


def anthropic_events(text: str, *, stop: str = "end_turn", more: Sequence[Mapping[str, Any]] = ()) -> bytes:
    """A whole answer of Anthropic's; `more` comes before its last event."""
    message = {"id": "answer-1", "model": "claude-sonnet-5-5", "usage": {"input_tokens": 20, "output_tokens": 1}}
    told: list[Mapping[str, Any]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 5}},
        *more,
        {"type": "message_stop"},
    ]
    return "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in told).encode()


def _call(name: str) -> ModelCall:
    if name == "deepgram":
        audio = AudioInput(data=bytes(6_000), media_type="audio/wav", duration_ms=6_000)
        return ModelCall(call_key="call_1", model="nova-3", capability=Capability.TRANSCRIPTION, input=audio)
    return ModelCall(
        call_key="call_1",
        model=MODELS.get(name, "local-model"),
        messages=(Message(role=Role.USER, text="List what a beginner has to know about keeping honey bees."),),
        max_output_tokens=2_000,
    )
