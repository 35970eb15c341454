"""Answers given again: for the same question of the same client only, checked, and never in the way."""

import asyncio

import pytest

from aif_ai.attempt_ledger import AttemptLedger
from aif_ai.bus_response_cache import BusResponseCache
from aif_ai.failures import MalformedOutput
from aif_ai.provider import ModelCall
from aif_ai.requests import AudioInput, Message, Role
from aif_ai.response_cache import CachedAnswer, MemoryResponseCache, cache_key
from aif_contracts.metering import CallOutcome, Saving, Tokens
from aif_contracts.packets import Grant, QualityTier
from aif_contracts.subjects import BUCKET_RESPONSES
from aif_runtime.failures import BusUnavailable
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from support.door_rig import DoorRig, Says, ScriptedProvider, ask

MINI = "gpt-4o-mini"
CACHED = Grant(cache=True)


def _call(**changes: object) -> ModelCall:
    fields: dict[str, object] = {
        "call_key": "any",
        "model": MINI,
        "messages": (Message(role=Role.USER, text="Why?"),),
        "schema": {"type": "object", "title": "a"},
        "max_output_tokens": 100,
    }
    return ModelCall(**{**fields, **changes})  # type: ignore[arg-type]


async def test_the_second_time_nobody_is_asked_and_the_saving_is_booked() -> None:
    provider, cache = ScriptedProvider("openai", MINI), MemoryResponseCache()
    rig = DoorRig(provider, cache=cache, grant=CACHED)
    first = await rig.door.generate(ask(), rig.ledger)

    second = await rig.door.generate(ask(), rig.ledger)

    assert (second.output, second.model, len(provider.asked)) == (first.output, MINI, 1)
    (call,) = second.calls
    assert (call.outcome, call.cost_usd, call.tokens) == (CallOutcome.CACHED, "0", Tokens())
    assert (call.saving, call.saved_usd, call.response_id) == (Saving.CACHE, "0.00021", "openai-1")
    assert call.call_key == "exec_1.structure.1.2"
    assert len(rig.assignment.announced) == 1


async def test_another_client_is_never_answered_from_it() -> None:
    provider = ScriptedProvider("openai", MINI)
    rig = DoorRig(provider, cache=MemoryResponseCache(), grant=CACHED)
    await rig.door.generate(ask(), rig.ledger)

    await rig.door.generate(ask(), AttemptLedger(rig.new_attempt(grant=CACHED, client_id="client_2")))

    assert len(provider.asked) == 2


async def test_without_the_grants_word_nothing_is_kept_or_found() -> None:
    cache = MemoryResponseCache()
    rig = DoorRig(ScriptedProvider("openai", MINI), cache=cache)

    await rig.door.generate(ask(), rig.ledger)

    assert cache.entries == {}


async def test_an_answer_that_broke_its_rules_is_not_kept() -> None:
    cache = MemoryResponseCache()
    rig = DoorRig(ScriptedProvider("openai", MINI, steps=(Says(text="[]"),) * 3), cache=cache, grant=CACHED)

    with pytest.raises(MalformedOutput):
        await rig.door.generate(ask(schema={"type": "object"}), rig.ledger)

    assert cache.entries == {}


async def test_a_kept_answer_that_breaks_the_rules_of_today_is_asked_for_anew() -> None:
    provider = ScriptedProvider("openai", MINI, steps=(Says(text="old"), Says(text="new")))
    rig = DoorRig(provider, cache=MemoryResponseCache(), grant=CACHED)
    await rig.door.generate(ask(), rig.ledger)

    again = await rig.door.generate(ask(check=lambda output: ("too old",) if output == b"old" else ()), rig.ledger)

    assert again.output == b"new"


async def test_with_a_quality_ceiling_the_saving_is_against_the_preferred_model() -> None:
    grant = Grant(cache=True, quality=QualityTier.ECONOMY)
    rig = DoorRig(
        ScriptedProvider("anthropic", "claude-sonnet-5-5", "claude-haiku-4-5"), cache=MemoryResponseCache(), grant=grant
    )
    await rig.door.generate(ask(), rig.ledger)

    hit = await rig.door.generate(ask(), rig.ledger)

    assert (hit.calls[0].saving, hit.calls[0].saved_usd) == (Saving.CACHE, "0.003")


def test_the_key_is_the_client_and_a_digest_of_all_that_decides_the_answer() -> None:
    key = cache_key("client_1", "openai", _call())
    others = [
        cache_key("client_2", "openai", _call()),
        cache_key("client_1", "azure", _call()),
        cache_key("client_1", "openai", _call(model="gpt-4o")),
        cache_key("client_1", "openai", _call(messages=(Message(role=Role.SYSTEM, text="Why?"),))),
        cache_key("client_1", "openai", _call(schema={"type": "object"})),
        cache_key("client_1", "openai", _call(schema_name="other")),
        cache_key("client_1", "openai", _call(max_output_tokens=101)),
        cache_key("client_1", "openai", _call(input=AudioInput(data=b"a", media_type="audio/wav"))),
        cache_key("client_1", "openai", _call(input=AudioInput(data=b"b", media_type="audio/wav"))),
        cache_key("client_1", "openai", _call(input=AudioInput(data=b"b", media_type="audio/wav", diarize=True))),
    ]

    assert key.startswith("client_1.")
    assert len({key, *others}) == 11
    assert key == cache_key("client_1", "openai", _call(call_key="else", schema={"title": "a", "type": "object"}))


async def test_the_bucket_keeps_answers_for_all_replicas() -> None:
    bus = MemoryBus(MemoryBroker())
    answer = CachedAnswer(text="fine", tokens=Tokens(prompt_tokens=1, total_tokens=1))

    await BusResponseCache(bus).put("client_1.abc", answer)

    assert await BusResponseCache(bus).get("client_1.abc") == answer
    assert await BusResponseCache(bus).get("client_1.abd") is None


async def test_an_entry_that_nobody_can_read_is_no_answer() -> None:
    bus = MemoryBus(MemoryBroker())
    await bus.put_entry(BUCKET_RESPONSES, "client_1.abc", b'{"text": 7}')

    assert await BusResponseCache(bus).get("client_1.abc") is None


async def test_a_broker_that_is_away_never_breaks_a_generation() -> None:
    class Away(MemoryBus):
        async def entry(self, bucket: str, key: str) -> bytes | None:
            raise BusUnavailable("away")

        async def put_entry(self, bucket: str, key: str, value: bytes, *, ttl_seconds: float | None = None) -> None:
            raise BusUnavailable("away")

    rig = DoorRig(ScriptedProvider("openai", MINI), cache=BusResponseCache(Away(MemoryBroker())), grant=CACHED)

    generation = await rig.door.generate(ask(), rig.ledger)

    assert generation.output == b"fine"


async def test_a_cache_that_does_not_answer_is_not_waited_for() -> None:
    class Silent(MemoryBus):
        async def entry(self, bucket: str, key: str) -> bytes | None:
            await asyncio.Event().wait()
            return None

    assert await BusResponseCache(Silent(MemoryBroker()), patience_seconds=0.01).get("client_1.abc") is None


async def test_an_answer_too_large_for_a_message_is_not_kept() -> None:
    bus = MemoryBus(MemoryBroker())

    await BusResponseCache(bus).put("client_1.abc", CachedAnswer(text="x" * 600_000, tokens=Tokens()))

    assert await bus.entry(BUCKET_RESPONSES, "client_1.abc") is None
