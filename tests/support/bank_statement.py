"""Thousands of provider calls through the real door, with every fault mixed in; then the ledger is held against the bill.

Providers fail in all ways that the double knows, clients cancel, workers die between a call and its report, tries are
repeated, answers corrected and models changed. The ledger sees nothing but what the door tells it. The bill is read from
the double over HTTP, call by call.
"""

import asyncio
import io
import wave
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from random import Random

import httpx
import msgspec
from msgspec import Struct

from aif_ai.anthropic_provider import AnthropicProvider
from aif_ai.attempt_ledger import AttemptLedger
from aif_ai.call_policy import CallPolicy
from aif_ai.deepgram_provider import DeepgramProvider
from aif_ai.door import Door
from aif_ai.failures import AiFailure, CircuitOpen
from aif_ai.openai_provider import OPENAI, OpenAiProvider
from aif_ai.requests import AudioInput, Capability, GenerationRequest, Message, Role
from aif_contracts.metering import ProviderCall
from aif_contracts.packets import Grant
from aif_prices.book import PriceBook, shipped_prices
from support.ledger_book import BookedAssignment, LedgerBook, is_settled
from support.provider_double.bill import BillEntry
from support.provider_double.faults import Fault, FaultKind, FaultMix
from support.provider_double.server import ProviderDouble, provider_double
from support.skipping_clock import SkippingClock

AT_ONCE = 32
SILENCE_SECONDS = 0.4
CALL_SECONDS = 1.0
CANCELLED_SHARE = 0.06
DEAD_WORKER_SHARE = 0.02
_SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "points": {"type": "array", "items": {"type": "string"}}},
    "required": ["title", "points"],
    "additionalProperties": False,
}
_SUBJECTS = ("honey bees", "sourdough", "tides", "glaciers", "the abacus", "looms", "sundials", "kites")

Reaches = Callable[[ProviderCall], bool]


def mixed_faults(seed: int, *, liars: bool = True) -> FaultMix:
    """Every fault, the usual ones often. About one call in three goes wrong."""
    shares: list[tuple[Fault, float]] = [
        (Fault(kind=FaultKind.RATE_LIMITED), 0.02),
        (Fault(kind=FaultKind.RATE_LIMITED, retry_after="2"), 0.02),
        (Fault(kind=FaultKind.GZIP_BOMB), 0.0005),
        (Fault(kind=FaultKind.HUGE_BODY), 0.001),
        (Fault(kind=FaultKind.HUGE_ERROR), 0.001),
        (Fault(kind=FaultKind.LYING_USAGE), 0.005 if liars else 0.0),
    ]
    often = (FaultKind.SERVER_ERROR, FaultKind.UNAVAILABLE, FaultKind.OVERLOADED, FaultKind.RESET, FaultKind.BREAKS_SCHEMA)
    played_by_tests = {FaultKind.HELD_UNTIL_RELEASED}
    named = {fault.kind for fault, _ in shares} | played_by_tests
    rest = [kind for kind in FaultKind if kind not in named]
    shares += [(Fault(kind=kind), 0.015 if kind in often else 0.01) for kind in rest]
    return FaultMix(seed=seed, shares=tuple(shares))


class Trade(Struct, frozen=True, kw_only=True):
    """What was booked and what was billed."""

    ledger: LedgerBook
    bill: dict[str, BillEntry]
    """By call key; each is on it once."""
    lied_about: frozenset[str]
    """Keys of calls whose answers told plausible usage that was not what was billed."""
    unnamed: int
    """Billed calls that came without a name of the client's."""
    billed_twice: int
    ends: Counter[str]
    """Of generations: `answered`, `cancelled`, or the code of the failure."""
    faults: Counter[str]
    """Of the calls that were made."""

    def unsettled(self) -> list[ProviderCall]:
        return [row for row in self.ledger.rows.values() if not is_settled(row)]


async def trade(*, calls: int, seed: int, reaches: Reaches = lambda _: True, liars: bool = True) -> Trade:
    """At least so many calls. `reaches` says which ends get to the ledger from workers that live."""
    async with provider_double() as double:
        double.mix = mixed_faults(seed, liars=liars)
        double.hidden_usage_seed = seed
        clock = SkippingClock()
        door = _door(double.url, clock)
        ledger, ends = LedgerBook(), Counter[str]()
        numbers = iter(range(1_000_000))

        async def client() -> None:
            while len(ledger.rows) < calls:
                number = next(numbers)
                ends[await _generation(door, ledger, clock, number, Random(f"{seed}:{number}"), reaches)] += 1

        try:
            async with asyncio.TaskGroup() as clients:
                for _ in range(AT_ONCE):
                    clients.create_task(client())
        finally:
            await door.close()
        entries = await _read_bill(double.url)
        return _sorted_out(double, ledger, entries, ends)


async def _generation(
    door: Door, ledger: LedgerBook, clock: SkippingClock, number: int, random: Random, reaches: Reaches
) -> str:
    dies = random.random() < DEAD_WORKER_SHARE
    assignment = BookedAssignment(ledger, number=number, grant=_grant(random), reaches=lambda call: not dies and reaches(call))
    generating = asyncio.create_task(door.generate(_request(random), AttemptLedger(assignment)))
    if random.random() < CANCELLED_SHARE:
        for _ in range(random.randrange(40)):
            await asyncio.sleep(0)
        generating.cancel()
    try:
        await generating
    except asyncio.CancelledError:
        return "cancelled"
    except CircuitOpen as failure:
        clock.skip((failure.retry_after_ms or 0) / 1_000)
        return failure.code
    except AiFailure as failure:
        return failure.code
    return "answered"


def _door(url: str, clock: SkippingClock) -> Door:
    return Door(
        providers=[
            OpenAiProvider(
                name=OPENAI,
                models=("gpt-4o-mini", "gpt-4o"),
                api_key="sk-test",
                base_url=f"{url}/v1",
                silence_seconds=SILENCE_SECONDS,
            ),
            AnthropicProvider(
                models=("claude-sonnet-5-5", "claude-haiku-4-5"),
                api_key="sk-ant-test",
                base_url=url,
                silence_seconds=SILENCE_SECONDS,
            ),
            DeepgramProvider(models=("nova-3",), api_key="key", base_url=url, silence_seconds=SILENCE_SECONDS),
        ],
        prices=PriceBook(shipped_prices()),
        clock=clock,
        policy=CallPolicy(call_timeout_seconds=CALL_SECONDS, max_fallbacks=2),
        sleep=clock.sleep,
    )


def _grant(random: Random) -> Grant:
    prefer = random.choice((("openai",), ("anthropic",), ("anthropic", "openai")))
    return Grant(prefer_providers=prefer, max_cost_usd=random.choice(("0", "5")))


def _request(random: Random) -> GenerationRequest:
    if random.random() < 0.15:
        return GenerationRequest(
            capability=random.choice((Capability.TRANSCRIPTION, Capability.TRANSCRIPTION_DIARIZATION)),
            action="transcribe",
            input=_audio(random),
        )
    subject = random.choice(_SUBJECTS)
    return GenerationRequest(
        capability=Capability.LLM_GENERATION,
        action="ask",
        messages=(
            Message(role=Role.SYSTEM, text="Answer in JSON."),
            Message(role=Role.USER, text=f"List {random.randrange(2, 90)} things that a beginner has to know about {subject}."),
        ),
        max_output_tokens=1_500,
        schema_name="points",
        schema=_SCHEMA if random.random() < 0.7 else None,
    )


def _audio(random: Random) -> AudioInput:
    content, length_ms = io.BytesIO(), random.randrange(400, 9_000)
    with wave.open(content, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(1)
        writer.setframerate(1_000)
        writer.writeframes(bytes(length_ms))
    return AudioInput(
        data=content.getvalue(), media_type="audio/wav", duration_ms=random.choice((None, length_ms)), language="en"
    )


async def _read_bill(url: str) -> list[BillEntry]:
    async with httpx.AsyncClient() as client:
        return msgspec.json.decode((await client.get(f"{url}/bill")).raise_for_status().content, type=list[BillEntry])


def _sorted_out(double: ProviderDouble, ledger: LedgerBook, entries: list[BillEntry], ends: Counter[str]) -> Trade:
    assert double.mix is not None
    drawn = {key: fault.kind for key in ledger.rows if (fault := double.mix.drawn(key)) is not None}
    bill = {entry.client_request_id: entry for entry in entries if entry.client_request_id is not None}
    unnamed = sum(entry.client_request_id is None for entry in entries)
    return Trade(
        ledger=ledger,
        bill=bill,
        lied_about=frozenset(key for key, kind in drawn.items() if kind is FaultKind.LYING_USAGE and key in bill),
        unnamed=unnamed,
        billed_twice=len(entries) - unnamed - len(bill),
        ends=ends,
        faults=Counter(str(kind) for kind in drawn.values()),
    )


def total_usd(trade: Trade) -> tuple[Decimal, Decimal]:
    """Of the ledger, where all is settled, and of the bill."""
    booked = sum((Decimal(row.cost_usd or "0") for row in trade.ledger.rows.values()), Decimal(0))
    return booked, sum((entry.cost_usd for entry in trade.bill.values()), Decimal(0))
