"""One row for each call, whatever ends it; announced before it can cost anything; kept to what the grant has left."""

import asyncio
import json
from decimal import Decimal

import pytest

from aif_ai.failures import GrantExceeded, LedgerUnreachable, NoModelAllowed, NoTimeLeft, ProviderTimeout, ProviderUnreachable
from aif_ai.model_switches import Switches
from aif_ai.provider import Listener, ModelCall, Offer
from aif_ai.requests import Answer, AudioInput, CallTrace, Capability, TextInput
from aif_contracts.metering import CallOutcome, ProviderCall, Saving
from aif_contracts.packets import CeilingReason, Grant, QualityTier
from aif_prices.book import PriceBook, shipped_prices
from aif_prices.overrides import read_overrides
from aif_runtime.failures import BusUnavailable
from support.door_rig import USAGE, DoorRig, Says, ScriptedProvider, SetSwitches, ask
from support.waiting import eventually

MINI, SONNET, HAIKU = "gpt-4o-mini", "claude-sonnet-5-5", "claude-haiku-4-5"


async def _never(call: ModelCall, trace: CallTrace, heard: Listener) -> Answer:
    trace.sent = True
    await asyncio.Event().wait()
    raise AssertionError("nobody sets the event")


async def test_a_paid_call_is_announced_with_its_bound_before_the_provider_is_asked() -> None:
    async def answer(call: ModelCall, trace: CallTrace, heard: Listener) -> Answer:
        assert [row.call_key for row in rig.assignment.announced] == [call.call_key]
        trace.sent, trace.tokens = True, USAGE
        return Answer(text="fine")

    rig = DoorRig(ScriptedProvider("openai", MINI, steps=(answer,)))

    await rig.door.generate(ask(), rig.ledger)

    (announced,), (booked,) = rig.assignment.announced, rig.calls
    assert (announced.outcome, announced.cost_usd) == (CallOutcome.STARTED, None)
    assert Decimal(announced.upper_bound_usd or "0") >= Decimal(booked.cost_usd or "1")
    assert (booked.call_key, booked.outcome, booked.cost_usd) == ("exec_1.structure.1.1", CallOutcome.ANSWERED, "0.00021")
    assert (booked.action, booked.capability, booked.upper_bound_usd) == ("ask", "llm_generation", None)


async def test_a_call_that_cannot_be_announced_is_not_made_and_owes_nothing() -> None:
    provider = ScriptedProvider("openai", MINI)
    rig = DoorRig(provider)

    async def refuse(call: ProviderCall) -> None:
        raise BusUnavailable("away")

    rig.assignment.announce_call = refuse  # type: ignore[method-assign]

    with pytest.raises(LedgerUnreachable):
        await rig.door.generate(ask(), rig.ledger)

    assert provider.asked == []
    assert [(c.outcome, c.cost_usd, c.error) for c in rig.calls] == [(CallOutcome.FAILED, "0", "ledger_unreachable")]


async def test_a_free_model_is_not_announced_and_costs_nothing_even_when_it_tells_no_usage() -> None:
    rig = DoorRig(ScriptedProvider("openai_compatible", "home", steps=(Says(tokens=None),)), free_models=("home",))

    await rig.door.generate(ask(), rig.ledger)

    assert rig.assignment.announced == []
    assert [(c.outcome, c.cost_usd, c.price_version) for c in rig.calls] == [(CallOutcome.ANSWERED, "0", "free")]


async def test_an_answer_without_usage_has_an_unknown_cost_and_a_bound() -> None:
    rig = DoorRig(ScriptedProvider("openai", MINI, steps=(Says(tokens=None),)))

    await rig.door.generate(ask(), rig.ledger)

    (call,) = rig.calls
    assert call.cost_usd is None
    assert call.upper_bound_usd == rig.assignment.announced[0].upper_bound_usd


async def test_a_cancelled_call_is_in_doubt_and_booked_once() -> None:
    provider = ScriptedProvider("openai", MINI, steps=(_never,))
    rig = DoorRig(provider)
    generating = asyncio.create_task(rig.door.generate(ask(), rig.ledger))
    await eventually(lambda: provider.asked)

    generating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await generating

    assert [(c.outcome, c.cost_usd, c.error) for c in rig.calls] == [(CallOutcome.IN_DOUBT, None, "cancelled")]


async def test_a_call_cancelled_while_its_answer_is_judged_is_booked_with_its_cost() -> None:
    judging, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def check(output: bytes) -> tuple[str, ...]:
        loop.call_soon_threadsafe(judging.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(5)
        return ()

    rig = DoorRig(ScriptedProvider("openai", MINI, steps=(Says(text="x" * 20_000),)))
    generating = asyncio.create_task(rig.door.generate(ask(check=check), rig.ledger))
    await judging.wait()

    generating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await generating
    go_on.set()

    assert [(c.outcome, c.cost_usd) for c in rig.calls] == [(CallOutcome.CANCELLED, "0.00021")]


async def test_a_request_whose_own_check_is_broken_leaves_a_booked_call() -> None:
    def check(output: bytes) -> tuple[str, ...]:
        raise ZeroDivisionError

    rig = DoorRig(ScriptedProvider("openai", MINI))

    with pytest.raises(ZeroDivisionError):
        await rig.door.generate(ask(check=check), rig.ledger)

    assert [c.cost_usd for c in rig.calls] == ["0.00021"]


async def test_an_adapter_that_breaks_leaves_a_booked_call() -> None:
    async def breaks(call: ModelCall, trace: CallTrace, heard: Listener) -> Answer:
        trace.sent = True
        raise KeyError("a bug")

    rig = DoorRig(ScriptedProvider("openai", MINI, steps=(breaks,)))

    with pytest.raises(KeyError):
        await rig.door.generate(ask(), rig.ledger)

    assert [(c.outcome, c.error) for c in rig.calls] == [(CallOutcome.IN_DOUBT, "interrupted")]


async def test_a_call_that_outlasts_its_share_of_the_time_is_given_up() -> None:
    rig = DoorRig(ScriptedProvider("openai", MINI, steps=(_never,) * 3), seconds=0.05)

    with pytest.raises(ProviderTimeout):
        await rig.door.generate(ask(), rig.ledger)

    assert {(c.outcome, c.error) for c in rig.calls} == {(CallOutcome.IN_DOUBT, "provider_timeout")}


async def test_an_attempt_whose_time_is_over_asks_nobody() -> None:
    provider = ScriptedProvider("openai", MINI)
    rig = DoorRig(provider, seconds=0.0)

    with pytest.raises(NoTimeLeft):
        await rig.door.generate(ask(), rig.ledger)

    assert provider.asked == []
    assert [(c.outcome, c.cost_usd) for c in rig.calls] == [(CallOutcome.FAILED, "0")]


async def test_a_call_that_never_left_costs_nothing() -> None:
    rig = DoorRig(ScriptedProvider("openai", MINI, steps=(ProviderUnreachable("no route"),)))

    await rig.door.generate(ask(), rig.ledger)

    assert [(c.outcome, c.cost_usd) for c in rig.calls] == [(CallOutcome.FAILED, "0"), (CallOutcome.ANSWERED, "0.00021")]


async def test_a_failure_that_may_have_been_billed_is_in_doubt() -> None:
    steps = (ProviderUnreachable("reset", maybe_billed=True), Says())
    rig = DoorRig(ScriptedProvider("openai", MINI, steps=steps))

    await rig.door.generate(ask(), rig.ledger)

    assert [(c.outcome, c.cost_usd) for c in rig.calls] == [(CallOutcome.IN_DOUBT, None), (CallOutcome.ANSWERED, "0.00021")]
    assert rig.calls[0].upper_bound_usd == rig.assignment.announced[0].upper_bound_usd


async def test_what_a_call_did_not_use_is_free_for_the_next() -> None:
    """Bounded by 0.0007 dollars each, costing 0.00021: a thousandth has room for two, one after the other."""
    rig = DoorRig(ScriptedProvider("openai", MINI), grant=Grant(max_cost_usd="0.001"))
    await rig.door.generate(ask(), rig.ledger)
    await rig.door.generate(ask(), rig.ledger)

    with pytest.raises(GrantExceeded, match=r"up to 0\.\d+ USD .* 0\.00058 USD .*max_cost_usd") as told:
        await rig.door.generate(ask(), rig.ledger)

    assert len(rig.calls) == 2
    assert "grant" not in told.value.message


async def test_generations_at_once_share_what_the_grant_has_left() -> None:
    """One call is bounded by 0.0007 dollars here, so a thousandth has room for one and not for two."""
    under_way = asyncio.Event()

    async def slow(call: ModelCall, trace: CallTrace, heard: Listener) -> Answer:
        await under_way.wait()
        trace.sent, trace.tokens = True, USAGE
        return Answer(text="fine")

    provider = ScriptedProvider("openai", MINI, steps=(slow,))
    rig = DoorRig(provider, grant=Grant(max_cost_usd="0.001"))
    first = asyncio.create_task(rig.door.generate(ask(), rig.ledger))
    await eventually(lambda: provider.asked)

    with pytest.raises(GrantExceeded):
        await rig.door.generate(ask(), rig.ledger)

    under_way.set()
    await first
    assert len(provider.asked) == 1


async def test_output_tokens_of_calls_that_have_ended_count_against_the_grant() -> None:
    """Each answer has a hundred."""
    provider = ScriptedProvider("openai", MINI)
    rig = DoorRig(provider, grant=Grant(max_tokens=250))
    for _ in range(3):
        await rig.door.generate(ask(), rig.ledger)

    with pytest.raises(GrantExceeded, match="max_tokens"):
        await rig.door.generate(ask(), rig.ledger)

    assert [call.max_output_tokens for call in provider.asked] == [250, 150, 50]


async def test_output_tokens_of_calls_under_way_count_against_the_grant() -> None:
    under_way = asyncio.Event()

    async def slow(call: ModelCall, trace: CallTrace, heard: Listener) -> Answer:
        await under_way.wait()
        trace.sent, trace.tokens = True, USAGE
        return Answer(text="fine")

    provider = ScriptedProvider("openai", MINI, steps=(slow,))
    rig = DoorRig(provider, grant=Grant(max_tokens=700))
    first = asyncio.create_task(rig.door.generate(ask(), rig.ledger))
    await eventually(lambda: provider.asked)

    await rig.door.generate(ask(), rig.ledger)
    under_way.set()
    await first

    assert [call.max_output_tokens for call in provider.asked] == [500, 200]


@pytest.mark.parametrize("reason", list(CeilingReason))
async def test_a_ceiling_that_lowers_the_choice_books_what_it_saved(reason: CeilingReason) -> None:
    rig = DoorRig(
        ScriptedProvider("anthropic", SONNET, HAIKU),
        grant=Grant(quality=QualityTier.ECONOMY, quality_reason=reason),
    )

    generation = await rig.door.generate(ask(), rig.ledger)

    (call,) = rig.calls
    assert generation.model == HAIKU
    # Sonnet: 1,000 x 2 + 100 x 10 dollars for a million; Haiku: 1,000 x 1 + 100 x 5.
    assert (call.cost_usd, call.saving, call.saved_usd) == ("0.0015", Saving.DOWNGRADE, "0.0015")


async def test_a_ceiling_that_changes_nothing_saves_nothing() -> None:
    rig = DoorRig(ScriptedProvider("anthropic", HAIKU, SONNET), grant=Grant(quality=QualityTier.ECONOMY))

    await rig.door.generate(ask(), rig.ledger)

    assert [(c.saving, c.saved_usd) for c in rig.calls] == [(None, None)]


async def test_a_ceiling_that_leaves_no_model_says_what_to_configure() -> None:
    rig = DoorRig(
        ScriptedProvider("anthropic", SONNET),
        grant=Grant(quality=QualityTier.ECONOMY, quality_reason=CeilingReason.TIER),
    )

    with pytest.raises(NoModelAllowed, match=r"tier allows models of the economy tier.*AIF_MODEL_QUALITY"):
        await rig.door.generate(ask(), rig.ledger)


async def test_audio_is_paid_by_the_providers_own_measure() -> None:
    offer = Offer(capability=Capability.TRANSCRIPTION, models=("nova-3",))
    rig = DoorRig(ScriptedProvider("deepgram", offer, steps=(Says(text="{}", tokens=None, audio_ms=60_000),)))
    audio = AudioInput(data=b"RIFF", media_type="audio/wav", duration_ms=59_000)

    await rig.door.generate(ask(capability=Capability.TRANSCRIPTION, messages=(), input=audio), rig.ledger)

    (call,), (announced,) = rig.calls, rig.assignment.announced
    assert (call.audio_ms, call.outcome) == (60_000, CallOutcome.ANSWERED)
    assert Decimal("0") < Decimal(call.cost_usd or "0") <= Decimal(announced.upper_bound_usd or "0")


async def test_audio_whose_measure_did_not_arrive_has_an_unknown_cost() -> None:
    offer = Offer(capability=Capability.TRANSCRIPTION, models=("nova-3",))
    rig = DoorRig(ScriptedProvider("deepgram", offer, steps=(Says(text="{}", tokens=None),)))
    audio = AudioInput(data=b"RIFF", media_type="audio/wav")

    await rig.door.generate(ask(capability=Capability.TRANSCRIPTION, messages=(), input=audio), rig.ledger)

    assert [c.cost_usd for c in rig.calls] == [None]


def _charging_by_character(step: Says | Exception) -> DoorRig:
    """0.002 dollars a character, and half a dollar a call."""
    offer = Offer(capability=Capability.SENTIMENT_ANALYSIS, models=("moods",))
    price = {"provider": "acme", "model": "moods", "rates": {"character": "0.002", "call": "0.5"}}
    switches = SetSwitches()
    switches.book = PriceBook(shipped_prices(), overrides=read_overrides(json.dumps({"prices": [price]}).encode()))
    return DoorRig(ScriptedProvider("acme", offer, steps=(step,)), switches=switches)


async def test_what_is_charged_by_the_character_costs_by_its_text_once_it_is_answered() -> None:
    rig = _charging_by_character(Says(text="{}", tokens=None))

    await rig.door.generate(
        ask(capability=Capability.SENTIMENT_ANALYSIS, messages=(), input=TextInput(text="x" * 1_000)), rig.ledger
    )

    assert [(c.characters, c.cost_usd, c.upper_bound_usd) for c in rig.calls] == [(1_000, "2.5", None)]


async def test_a_call_that_is_charged_by_the_character_and_was_not_answered_is_in_doubt() -> None:
    rig = _charging_by_character(ProviderUnreachable("broke off", maybe_billed=True))

    await rig.door.generate(
        ask(capability=Capability.SENTIMENT_ANALYSIS, messages=(), input=TextInput(text="x" * 1_000)), rig.ledger
    )

    call, _ = rig.calls
    assert (call.outcome, call.cost_usd, call.upper_bound_usd) == (CallOutcome.IN_DOUBT, None, "2.5")


async def test_the_operators_prices_of_the_moment_are_booked() -> None:
    switches = SetSwitches(Switches(primary_model=MINI))
    rig = DoorRig(ScriptedProvider("openai", MINI), switches=switches)
    await rig.door.generate(ask(), rig.ledger)
    switches.book = PriceBook(shipped_prices(), free_models=(MINI,))

    await rig.door.generate(ask(), rig.ledger)

    assert [c.price_version for c in rig.calls][1] == "free"
