"""What can be done here, by whom, how well, for how much: read from the providers' offers."""

from datetime import date
from decimal import Decimal

import pytest

from aif_ai.call_costs import estimate
from aif_ai.failures import InvalidRequest
from aif_ai.model_switches import Switches
from aif_ai.model_tiers import quality_of
from aif_ai.provider import Offer
from aif_ai.registry import CapabilityRegistry, CostUnit
from aif_ai.requests import AudioInput, Capability, TextInput
from aif_contracts.packets import Grant, QualityTier
from aif_prices.book import PriceBook, shipped_prices
from support.door_rig import DoorRig, Says, ScriptedProvider, SetSwitches, ask

DAY = date(2026, 11, 21)
BOOK = PriceBook(shipped_prices(), free_models=("home",))


def _registry() -> CapabilityRegistry:
    speech = Offer(capability=Capability.TRANSCRIPTION, models=("nova-3",))
    local_speech = Offer(capability=Capability.TRANSCRIPTION, models=("speech-1",), quality=QualityTier.ECONOMY, local=True)
    return CapabilityRegistry(
        (
            ScriptedProvider("local_speech", local_speech),
            ScriptedProvider("openai", "gpt-4o-mini", "gpt-5.5-pro"),
            ScriptedProvider("anthropic", "claude-sonnet-5-5"),
            ScriptedProvider("openai_compatible", "home"),
            ScriptedProvider("deepgram", speech),
        ),
        quality_overrides={"gpt-4o-mini": QualityTier.STANDARD},
    )


def test_a_capability_names_its_providers() -> None:
    registry = _registry()

    assert registry.capabilities == (Capability.LLM_GENERATION, Capability.TRANSCRIPTION)
    assert registry.providers_for(Capability.TRANSCRIPTION) == ("local_speech", "deepgram")
    assert registry.providers_for(Capability.PII_REDACTION) == ()


def test_candidates_carry_price_tier_and_unit() -> None:
    found = {c.model: c for c in _registry().candidates(Capability.LLM_GENERATION, BOOK, DAY)}

    assert {model: (c.quality, c.is_free) for model, c in found.items()} == {
        "gpt-4o-mini": (QualityTier.STANDARD, False),
        "gpt-5.5-pro": (QualityTier.PREMIUM, False),
        "claude-sonnet-5-5": (QualityTier.STANDARD, False),
        "home": (QualityTier.ECONOMY, True),
    }
    assert {c.cost_unit for c in found.values()} == {CostUnit.TOKEN}
    assert [c.cost_unit for c in _registry().candidates(Capability.TRANSCRIPTION, BOOK, DAY)] == [CostUnit.AUDIO_MINUTE] * 2


@pytest.mark.parametrize(
    ("primary", "max_fallbacks", "chain"),
    [
        ("anthropic", 2, ["claude-sonnet-5-5", "gpt-4o-mini", "home"]),
        ("openai", 0, ["gpt-4o-mini"]),
        ("openai", 9, ["gpt-4o-mini", "claude-sonnet-5-5", "home"]),
        ("nobody", 1, ["gpt-4o-mini", "claude-sonnet-5-5"]),
    ],
)
def test_a_chain_begins_with_the_primary_and_has_one_model_of_each_provider(
    primary: str, max_fallbacks: int, chain: list[str]
) -> None:
    built = _registry().build_fallback_chain(Capability.LLM_GENERATION, primary, max_fallbacks, prices=BOOK, on=DAY)

    assert [candidate.model for candidate in built] == chain


def test_in_a_chain_local_providers_come_last_unless_one_is_the_primary() -> None:
    registry = _registry()

    paid_first = registry.build_fallback_chain(Capability.TRANSCRIPTION, "deepgram", 1, prices=BOOK, on=DAY)
    local_first = registry.build_fallback_chain(Capability.TRANSCRIPTION, "local_speech", 1, prices=BOOK, on=DAY)

    assert [c.model for c in paid_first] == ["nova-3", "speech-1"]
    assert [c.model for c in local_first] == ["speech-1", "nova-3"]


def test_an_estimate_is_likely_in_the_middle_and_bounded_above() -> None:
    mini = _registry().candidates(Capability.LLM_GENERATION, BOOK, DAY)[0]

    told = estimate(ask(max_output_tokens=1_000), mini)

    # 27 characters are 6 tokens at 0.15, half of the limit is 500 tokens at 0.60 dollars for a million.
    assert (told.unit, told.likely_usd) == (CostUnit.TOKEN, Decimal("0.0003009"))
    assert told.at_most_usd is not None
    assert told.at_most_usd > Decimal("0.0009")


def test_an_estimate_of_audio_goes_by_its_length() -> None:
    nova = _registry().candidates(Capability.TRANSCRIPTION, BOOK, DAY)[1]
    minute = AudioInput(data=b"", media_type="audio/wav", duration_ms=60_000)
    hour = AudioInput(data=b"", media_type="audio/wav", duration_ms=3_600_000)

    costs = [
        estimate(ask(capability=Capability.TRANSCRIPTION, messages=(), input=audio), nova).likely_usd
        for audio in (minute, hour)
    ]

    assert costs == [Decimal("0.0043"), Decimal("0.258")]


def test_a_model_without_a_price_has_no_estimate() -> None:
    unknown = CapabilityRegistry((ScriptedProvider("openai", "nobody-knows"),), quality_overrides={})

    told = estimate(ask(), unknown.candidates(Capability.LLM_GENERATION, BOOK, DAY)[0])

    assert (told.likely_usd, told.at_most_usd) == (None, None)


@pytest.mark.parametrize(
    ("model", "tier"),
    [
        ("gpt-4o-mini-2024-07-18", QualityTier.ECONOMY),
        ("claude-haiku-5-5", QualityTier.ECONOMY),
        ("gpt-6-luna", QualityTier.ECONOMY),
        ("claude-opus-4-8", QualityTier.PREMIUM),
        ("o3-pro", QualityTier.PREMIUM),
        ("claude-sonnet-4-0", QualityTier.STANDARD),
        ("never-heard-of", QualityTier.STANDARD),
    ],
)
def test_tiers_follow_names(model: str, tier: QualityTier) -> None:
    assert quality_of(model, overrides={}, is_free=False) is tier


async def test_a_model_that_the_operator_names_is_reached_through_a_provider_that_has_a_price_for_it() -> None:
    switches = SetSwitches(Switches(primary_model="gpt-4o"))
    switches.operators = ("gpt-4o",)
    rig = DoorRig(ScriptedProvider("openai", "gpt-4o-mini"), switches=switches)

    generation = await rig.door.generate(ask(), rig.ledger)

    assert generation.model == "gpt-4o"


async def test_a_model_that_the_operator_names_and_nobody_offers_is_told_of_and_others_serve() -> None:
    switches = SetSwitches(Switches(primary_model="gpt-9"))
    switches.operators = ("gpt-9", "gpt-4o-mini")
    rig = DoorRig(ScriptedProvider("openai", "gpt-4o-mini"), switches=switches)

    generation = await rig.door.generate(ask(), rig.ledger)

    assert (generation.model, switches.missed) == ("gpt-4o-mini", [("ask", "gpt-9")])


async def test_a_model_that_only_a_client_prefers_has_to_be_in_the_settings() -> None:
    preferred = Switches(primary_model="gpt-5.5-pro", fallback_model="gpt-4o")
    rig = DoorRig(ScriptedProvider("openai", "gpt-4o-mini", "gpt-4o"), switches=SetSwitches(preferred))

    generation = await rig.door.generate(ask(), rig.ledger)

    assert generation.model == "gpt-4o"


async def test_a_capability_may_be_served_by_its_own_provider_or_by_a_language_model() -> None:
    rules = ScriptedProvider(
        "local_rules",
        Offer(capability=Capability.SUMMARIZATION, models=("summary-1",), quality=QualityTier.ECONOMY, local=True),
        steps=(Says(text='"short"', tokens=None),),
    )
    model = ScriptedProvider("openai", "gpt-4o-mini", steps=(Says(text='"shorter"'),))
    rig = DoorRig(model, rules, grant=Grant())
    request = ask(capability=Capability.SUMMARIZATION, input=TextInput(text="A long text."), schema={"type": "string"})

    by_model = await rig.door.generate(request, rig.ledger)
    rig.assignment.grant = Grant(models=())
    by_rules = await rig.door.generate(request, rig.ledger)

    assert (by_model.output, by_model.is_local) == (b'"shorter"', False)
    assert (by_rules.output, by_rules.is_local, by_rules.cost_usd) == (b'"short"', True, Decimal(0))
    assert rules.asked[0].input == TextInput(text="A long text.")
    assert (rules.asked[0].capability, model.asked[0].capability) == (Capability.SUMMARIZATION, Capability.LLM_GENERATION)


async def test_a_local_provider_takes_over_when_the_paid_one_refuses() -> None:
    paid = ScriptedProvider(
        "deepgram", Offer(capability=Capability.TRANSCRIPTION, models=("nova-3",)), steps=(InvalidRequest("400"),)
    )
    local = ScriptedProvider(
        "local_speech", Offer(capability=Capability.TRANSCRIPTION, models=("speech-1",), local=True), steps=(Says(tokens=None),)
    )
    rig = DoorRig(paid, local)
    audio = AudioInput(data=b"RIFF", media_type="audio/wav")

    generation = await rig.door.generate(ask(capability=Capability.TRANSCRIPTION, messages=(), input=audio), rig.ledger)

    assert (generation.provider, generation.fallback_reason) == ("local_speech", "invalid_request")


async def test_the_tuned_output_limit_is_what_the_model_is_told() -> None:
    provider = ScriptedProvider("openai", "gpt-4o-mini")
    rig = DoorRig(provider, grant=Grant(parameters={"max_output_tokens": 77}))

    await rig.door.generate(ask(), rig.ledger)

    assert provider.asked[0].max_output_tokens == 77


@pytest.mark.parametrize("value", [0, -1, "many", 1.5, True])
async def test_a_tuned_limit_that_is_no_count_is_refused_by_its_field(value: object) -> None:
    rig = DoorRig(ScriptedProvider("openai", "gpt-4o-mini"), grant=Grant(parameters={"max_output_tokens": value}))

    with pytest.raises(InvalidRequest, match=r"grant\.parameters\.max_output_tokens"):
        await rig.door.generate(ask(), rig.ledger)
