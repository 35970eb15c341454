"""What is configured is what the door offers."""

import subprocess
import sys

import pytest

from aif_ai.anthropic_provider import AnthropicProvider
from aif_ai.assembly import ModelAccess, open_door
from aif_ai.call_policy import CallPolicy
from aif_ai.failures import InvalidRequest, ProviderUnreachable
from aif_ai.openai_provider import OpenAiProvider
from aif_ai.provider import ModelCall, Offer
from aif_ai.requests import CallTrace, Capability, Message, Role
from aif_contracts.packets import QualityTier
from aif_contracts.workers import ModelDescription, ProviderDescription
from aif_runtime.clock import SystemClock
from support.door_rig import DoorRig, ScriptedProvider, ask
from support.listeners import Unheard
from support.provider_double.http_server import HttpRequest
from support.provider_double.written_answers import Written, serving

_OPENED = """
import asyncio, sys
from aif_ai.assembly import ModelAccess, open_door
from aif_runtime.clock import SystemClock

door = open_door(ModelAccess({access}), SystemClock())
before = {{name for name in ("openai", "anthropic") if name in sys.modules}}
asyncio.run(door.open())
print(sorted(before), sorted(name for name in ("openai", "anthropic") if name in sys.modules))
"""


def _providers(access: ModelAccess, capability: Capability) -> tuple[str, ...]:
    return open_door(access, SystemClock()).registry.providers_for(capability)


def test_without_a_key_only_the_extractive_provider_is_there() -> None:
    door = open_door(ModelAccess(openai_models=("gpt-4o-mini",), anthropic_models=("claude-sonnet-5-5",)), SystemClock())

    assert door.models == ()
    assert door.registry.capabilities == (Capability.STRUCTURING, Capability.RESEARCH)
    assert door.health() == ()


def test_keys_bring_their_providers_openai_first() -> None:
    access = ModelAccess(
        openai_api_key="sk-1",
        openai_models=("gpt-4o-mini",),
        anthropic_api_key="sk-2",
        anthropic_models=("claude-sonnet-5-5",),
        deepgram_api_key="dg",
        deepgram_models=("nova-3",),
    )

    door = open_door(access, SystemClock())

    assert door.models == ("gpt-4o-mini", "claude-sonnet-5-5", "nova-3")
    assert door.language_models == ("gpt-4o-mini", "claude-sonnet-5-5")
    assert _providers(access, Capability.TRANSCRIPTION_DIARIZATION) == ("deepgram",)
    assert [health.provider for health in door.health()] == ["openai", "anthropic", "deepgram"]


@pytest.mark.parametrize(
    ("base_url", "name"),
    [
        (None, "openai"),
        ("https://api.openai.com/v1", "openai"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("http://127.0.0.1:11434/v1", "openai_compatible"),
    ],
)
def test_a_server_is_booked_under_the_name_whose_prices_it_has(base_url: str | None, name: str) -> None:
    access = ModelAccess(openai_api_key="sk-1", openai_base_url=base_url, openai_models=("some-model",))

    assert _providers(access, Capability.LLM_GENERATION) == (name,)


def test_the_providers_are_told_with_their_models_and_tiers_and_without_their_keys() -> None:
    access = ModelAccess(
        openai_api_key="sk-secret",
        openai_models=("gpt-4o-mini", "gpt-4o"),
        quality_overrides={"gpt-4o": QualityTier.PREMIUM},
    )

    openai, extractive = open_door(access, SystemClock()).providers()

    assert openai == ProviderDescription(
        name="openai",
        is_local=False,
        capabilities=("llm_generation",),
        models=(
            ModelDescription(name="gpt-4o-mini", quality=QualityTier.ECONOMY),
            ModelDescription(name="gpt-4o", quality=QualityTier.PREMIUM),
        ),
    )
    assert (extractive.name, extractive.is_local) == ("local_extractive", True)


async def test_a_provider_that_is_left_alone_is_told_so() -> None:
    failing = ScriptedProvider("openai", "gpt-4o-mini", steps=(ProviderUnreachable("gone"),))
    rig = DoorRig(failing, policy=CallPolicy(most_tries=1, failures_to_open=1))
    with pytest.raises(ProviderUnreachable):
        await rig.door.generate(ask(), rig.ledger)

    assert [(each.name, each.circuit) for each in rig.door.providers()] == [("openai", "open"), ("local_extractive", "closed")]


def test_local_providers_are_added_by_whoever_has_them_and_have_no_gate() -> None:
    rules = Offer(capability=Capability.SUMMARIZATION, models=("summary-1",), local=True)

    door = open_door(ModelAccess(), SystemClock(), local=(ScriptedProvider("local_rules", rules),))

    assert door.registry.providers_for(Capability.SUMMARIZATION) == ("local_rules",)
    assert (door.models, door.health()) == ((), ())


@pytest.mark.parametrize(
    ("access", "imported"),
    [
        ("", []),
        ("openai_api_key='sk-1', openai_models=('gpt-4o-mini',)", ["openai"]),
        ("anthropic_api_key='sk-2', anthropic_models=('claude-sonnet-5-5',)", ["anthropic"]),
    ],
    ids=["no key", "OpenAI", "Anthropic"],
)
def test_an_opened_door_has_imported_the_sdks_of_its_keys_and_no_others(access: str, imported: list[str]) -> None:
    program = _OPENED.format(access=access)

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == f"[] {imported}"


@pytest.mark.parametrize("variable", ["OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"])
async def test_an_address_in_a_variable_of_an_sdk_gets_no_key_of_ours(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[HttpRequest] = []

    async with serving(Written(body=b""), requests) as elsewhere:
        monkeypatch.setenv(variable, elsewhere)
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        for provider in (
            OpenAiProvider(name="openai", models=("x",), api_key="sk-test"),
            AnthropicProvider(models=("x",), api_key="sk-test"),
        ):
            call = ModelCall(call_key="call_1", model="x", messages=(Message(role=Role.USER, text="Hi"),), max_output_tokens=9)
            with pytest.raises(ProviderUnreachable):
                await provider.answer(call, CallTrace(), Unheard())
            await provider.close()

    assert requests == []


async def test_a_client_that_cannot_be_made_does_not_keep_the_door_from_opening() -> None:
    class Broken(ScriptedProvider):
        async def open(self) -> None:
            raise InvalidRequest("no such address")

    opened: list[str] = []

    class Fine(ScriptedProvider):
        async def open(self) -> None:
            opened.append(self.name)

    await DoorRig(Broken("openai", "gpt-4o-mini"), Fine("anthropic", "claude-sonnet-5-5")).door.open()

    assert opened == ["anthropic"]
