"""What the door to the AI providers costs on top of the bare SDK call: time of one call, CPU of many.

Both sides ask the same question of the provider double, which answers at once from a process of its own, and both stream. The
door checks the answer by its schema, prices it and books it on an attempt that is kept in memory: announcing and booking at
the broker is a round trip of the network and not counted here.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from aif_ai.attempt_ledger import AttemptLedger
from aif_ai.door import Door
from aif_ai.openai_provider import OPENAI, OpenAiProvider
from aif_ai.strict_schema import Dialect, translate
from aif_contracts.packets import Grant
from aif_prices.book import PriceBook, shipped_prices
from aif_runtime.clock import SystemClock
from support.provider_double.rigs import question
from support.recording_assignment import RecordingAssignment

DOOR = "door"
MODEL = "gpt-4o-mini"
_IN_FLIGHT = 50

Say = Callable[[str], None]
Ask = Callable[[], Awaitable[object]]


class DoorScale(Struct, frozen=True, kw_only=True):
    pairs: int = 500
    """Calls of each side, in turn."""
    warm_up: int = 100
    many: int = 2_000
    """Calls of each side with 50 in flight."""


IN_SMALL = DoorScale(pairs=3, warm_up=1, many=60)


class Burst(Struct, frozen=True, kw_only=True):
    calls_per_second: float
    cpu_ms_per_call: float
    """Of this process; the provider's is not in it."""


async def door_trial(say: Say, *, in_small: bool) -> None:
    scale = IN_SMALL if in_small else DoorScale()
    async with _instant_provider() as url, _bare(url) as bare, _through_the_door(url) as through:
        say(f"{DOOR}: the same streamed call by the bare SDK and through the door, against a provider that answers at once")
        alone, with_door = await _in_turn(bare, through, scale)
        say(f"  one at a time: {alone:.2f} ms bare, {with_door:.2f} ms through the door, {with_door - alone:+.2f} ms (medians)")
        for name, ask in (("bare", bare), ("door", through)):
            burst = await _at_once(ask, scale.many)
            say(
                f"  {name}, {_IN_FLIGHT} in flight: {burst.calls_per_second:.0f} calls/s, "
                f"{burst.cpu_ms_per_call:.2f} ms CPU each, {1_000 / burst.cpu_ms_per_call:.0f} calls per CPU second"
            )


async def _in_turn(bare: Ask, through: Ask, scale: DoorScale) -> tuple[float, float]:
    """Medians in milliseconds."""
    times: dict[str, list[float]] = {"bare": [], "door": []}
    for number in range(scale.warm_up + scale.pairs):
        for name, ask in (("bare", bare), ("door", through)):
            began = time.perf_counter()
            await ask()
            if number >= scale.warm_up:
                times[name].append((time.perf_counter() - began) * 1_000)
    return statistics.median(times["bare"]), statistics.median(times["door"])


async def _at_once(ask: Ask, calls: int) -> Burst:
    left = iter(range(calls))

    async def one_after_another() -> None:
        for _ in left:
            await ask()

    began, cpu_began = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(_IN_FLIGHT):
            group.create_task(one_after_another())
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    return Burst(calls_per_second=calls / seconds, cpu_ms_per_call=cpu * 1_000 / calls)


@asynccontextmanager
async def _instant_provider() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("instant_provider.py")),
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
async def _bare(url: str) -> AsyncIterator[Ask]:
    import openai

    asked = question()
    request: dict[str, Any] = {
        "model": MODEL,
        "messages": [{"role": message.role.value, "content": message.text} for message in asked.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": asked.max_output_tokens,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": asked.schema_name, "strict": True, "schema": translate(asked.schema or {}, Dialect.OPENAI)},
        },
    }
    async with openai.AsyncOpenAI(api_key="sk-bench", base_url=f"{url}/v1", max_retries=0) as client:

        async def ask() -> str:
            pieces: list[str] = []
            stream = await client.chat.completions.create(**request)
            async with stream:
                async for chunk in stream:
                    pieces.extend(choice.delta.content or "" for choice in chunk.choices)
            return "".join(pieces)

        yield ask


@asynccontextmanager
async def _through_the_door(url: str) -> AsyncIterator[Ask]:
    provider = OpenAiProvider(name=OPENAI, models=(MODEL,), api_key="sk-bench", base_url=f"{url}/v1")
    door = Door(providers=(provider,), prices=PriceBook(shipped_prices()), clock=SystemClock())
    grant = Grant(max_cost_usd="5")
    try:
        yield lambda: door.generate(question(), AttemptLedger(RecordingAssignment(grant=grant)))
    finally:
        await door.close()
