"""One question to one provider, asked in every way that is compared: by the bare SDK, through the door, through a proxy."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from aif_ai.attempt_ledger import AttemptLedger, AttemptPort
from aif_ai.door import Door
from aif_ai.openai_provider import OPENAI, OpenAiProvider
from aif_ai.strict_schema import Dialect, translate
from aif_contracts.blobs import BlobRef, StorageType
from aif_contracts.packets import Context, Control, Grant, WorkPacket
from aif_prices.book import PriceBook, shipped_prices
from aif_runtime.attempt import Attempt, Permission
from aif_runtime.clock import SystemClock
from aif_runtime.ids import id_mint
from aif_runtime.memory_blobs import MemoryBlobStore
from aif_runtime.nats_bus import NatsBus
from support.provider_double.rigs import question
from support.recording_assignment import RecordingAssignment

MODEL = "gpt-4o-mini"
KEY = "sk-bench"
_GRANT = Grant(max_cost_usd="5")
_NO_BYTES = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

Ask = Callable[[], Awaitable[object]]


@asynccontextmanager
async def provider_in_another_process(seconds_for_an_answer: float) -> AsyncIterator[str]:
    """Its URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("instant_provider.py")),
        str(seconds_for_an_answer),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30.0):
            url = (await process.stdout.readline()).decode().strip()
        yield url
    finally:
        process.stdin.close()
        await process.wait()


@asynccontextmanager
async def by_sdk(url: str, *, streams: bool = True) -> AsyncIterator[Ask]:
    """The SDK as its users use it."""
    import openai

    asked = question()
    request: dict[str, Any] = {
        "model": MODEL,
        "messages": [{"role": message.role.value, "content": message.text} for message in asked.messages],
        "max_completion_tokens": asked.max_output_tokens,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": asked.schema_name, "strict": True, "schema": translate(asked.schema or {}, Dialect.OPENAI)},
        },
    }
    streamed: dict[str, Any] = {**request, "stream": True, "stream_options": {"include_usage": True}}
    async with openai.AsyncOpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0) as client:

        async def ask_for_a_stream() -> str:
            pieces: list[str] = []
            stream = await client.chat.completions.create(**streamed)
            async with stream:
                async for chunk in stream:
                    pieces.extend(choice.delta.content or "" for choice in chunk.choices)
            return _whole("".join(pieces))

        async def ask_for_the_whole() -> str:
            answer = await client.chat.completions.create(**request)
            return _whole(answer.choices[0].message.content)

        yield ask_for_a_stream if streams else ask_for_the_whole


@asynccontextmanager
async def through_the_door(url: str, attempt: Callable[[], AttemptPort]) -> AsyncIterator[Ask]:
    """As an action does that asks once in its attempt."""
    provider = OpenAiProvider(name=OPENAI, models=(MODEL,), api_key=KEY, base_url=f"{url}/v1")
    door = Door(providers=(provider,), prices=PriceBook(shipped_prices()), clock=SystemClock())
    try:
        yield lambda: door.generate(question(), AttemptLedger(attempt()))
    finally:
        await door.close()


def in_memory() -> AttemptPort:
    """An attempt whose calls go nowhere."""
    return RecordingAssignment(grant=_GRANT)


def at_the_broker(bus: NatsBus) -> Callable[[], AttemptPort]:
    """Attempts as the worker loop makes them, whose calls are announced and recorded at the broker."""
    new_id, blobs = id_mint(), MemoryBlobStore()

    def attempt() -> AttemptPort:
        packet = WorkPacket(
            packet_id=new_id("pkt"),
            execution_id=new_id("exec"),
            stage_id="ask",
            attempt=1,
            worker_name="bench",
            action="ask",
            control=Control(),
            data_ref=BlobRef(storage_type=StorageType.INLINE, storage_key="inline", size_bytes=0, sha256=_NO_BYTES, inline=b""),
            grant=_GRANT,
            context=Context(client_id="bench"),
        )
        return Attempt(
            packet=packet,
            permission=Permission(attempt=1, grant=_GRANT, timeout_ms=60_000, asked_at=time.monotonic()),
            bus=bus,
            blobs=blobs,
            monotonic=time.monotonic,
            trace_headers={},
            lease_seconds=60.0,
        )

    return attempt


def _whole(answer: str | None) -> str:
    """Whoever is measured has to have answered."""
    assert answer is not None
    assert msgspec.json.decode(answer)["points"]
    return answer
