"""What an operator and a client switch at run time, and whose word goes first."""

from typing import Any

import msgspec
import pytest

from aif_ai.configuration_assembly import Configured, open_configuration
from aif_ai.model_switches import ModelSwitches, Switches
from aif_contracts import subjects
from aif_contracts.packets import Context
from aif_prices.book import PriceBook
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from support.manual_clock import ManualClock

ACME = Context(client_id="acme")
GENERAL = {
    "orchestrator_primary_model": "gpt-4o-mini",
    "orchestrator_fallback_model": "claude-sonnet-4",
    "orchestrator_enable_fallback": True,
}
PRICES = {"prices": [{"provider": "openai", "model": "gpt-4o-mini", "rates": {"input": "9.5", "output": "19"}}]}


class Rig:
    """A process that has read this configuration."""

    def __init__(self) -> None:
        self.bus = MemoryBus(MemoryBroker())
        self.clock = ManualClock()

    async def opened(self, values: Any, ai_settings: dict[str, Any] | None = None) -> Configured:
        await self._put("system", {"values": values})
        if ai_settings is not None:
            await self._put("client.acme.ai_settings", ai_settings)
        return await open_configuration(self.bus, self.clock, origin="content_granulator", free_models=("llama3.2",))

    async def _put(self, entry: str, content: Any) -> None:
        written = msgspec.json.encode({"revision": 1, "content": content})
        await self.bus.put_entry(subjects.BUCKET_CONFIG, entry, written)


def price_of(book: PriceBook | None, model: str) -> str | None:
    assert book is not None
    price = book.price("openai", model, ManualClock().now().date())
    return None if price is None else str(price.rates.input)


@pytest.mark.parametrize(
    ("values", "settings", "expected"),
    [
        pytest.param({}, {}, (None, None, None), id="nothing is set"),
        pytest.param(GENERAL, {}, ("gpt-4o-mini", "claude-sonnet-4", True), id="the general word"),
        pytest.param(
            GENERAL | {"agent.structure_course.primary_model": "gpt-4o"},
            {"preferred_models": ["claude-haiku"]},
            ("gpt-4o", "claude-sonnet-4", True),
            id="the action's before the client's",
        ),
        pytest.param(
            GENERAL,
            {"preferred_models": ["claude-haiku", "gpt-4o"]},
            ("claude-haiku", "gpt-4o", True),
            id="the client's before the general",
        ),
        pytest.param(
            GENERAL | {"agent.research_topic.primary_model": "gpt-4o", "agent.research_topic.enable_fallback": False},
            {},
            ("gpt-4o-mini", "claude-sonnet-4", True),
            id="another action's word is not this one's",
        ),
        pytest.param(
            GENERAL | {"agent.structure_course.enable_fallback": False},
            {"enable_fallback": True},
            ("gpt-4o-mini", "claude-sonnet-4", False),
            id="no fallback for the action",
        ),
        pytest.param(
            GENERAL | {"orchestrator_enable_fallback": False, "agent.structure_course.enable_fallback": True},
            {},
            ("gpt-4o-mini", "claude-sonnet-4", True),
            id="fallback for this action alone",
        ),
        pytest.param(
            GENERAL, {"enable_fallback": False}, ("gpt-4o-mini", "claude-sonnet-4", False), id="the client wants no fallback"
        ),
        pytest.param(
            GENERAL | {"agent.structure_course.fallback_model": None},
            {"preferred_models": ["claude-haiku", "gpt-4o"]},
            ("claude-haiku", None, False),
            id="the action's fallback model is removed",
        ),
        pytest.param(
            GENERAL | {"orchestrator_fallback_model": None, "agent.structure_course.fallback_model": "gpt-4o"},
            {},
            ("gpt-4o-mini", "gpt-4o", True),
            id="removed for all actions but this one",
        ),
    ],
)
async def test_whose_word_goes_first(
    values: dict[str, Any], settings: dict[str, Any], expected: tuple[str | None, str | None, bool | None]
) -> None:
    switches: ModelSwitches = (await Rig().opened(values, settings)).switches

    found = await switches.switches("structure_course", ACME)

    assert found == Switches(primary_model=expected[0], fallback_model=expected[1], enable_fallback=expected[2])


async def test_a_value_that_cannot_be_used_is_as_if_it_were_not_set() -> None:
    values = GENERAL | {
        "agent.structure_course.primary_model": 4,
        "agent.structure_course.enable_fallback": "no",
        "provider_requests_per_minute.openai": 0,
        "prices": {"prices": [{"provider": "openai", "model": "gpt-4o-mini", "rates": {"input": "-1"}}]},
    }
    switches = (await Rig().opened(values)).switches

    assert await switches.switches("structure_course", ACME) == Switches(
        primary_model="gpt-4o-mini", fallback_model="claude-sonnet-4", enable_fallback=True
    )
    assert switches.requests_per_minute("openai") is None
    assert switches.prices() is None


@pytest.mark.parametrize("values", ["nonsense", [], 4, None])
async def test_a_configuration_that_is_none_switches_nothing(values: Any) -> None:
    switches = (await Rig().opened(values)).switches

    assert await switches.switches("structure_course", ACME) == Switches()
    assert (switches.requests_per_minute("openai"), switches.prices()) == (None, None)


async def test_only_what_the_operator_names_may_be_outside_of_the_settings() -> None:
    values = GENERAL | {"agent.structure_course.primary_model": "gpt-4o", "agent.structure_quiz.primary_model": "o3"}
    switches: ModelSwitches = (await Rig().opened(values, {"preferred_models": ["gpt-5.5-pro"]})).switches

    assert switches.named_by_operator("structure_course") == ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4")


async def test_requests_per_minute_are_each_providers_own() -> None:
    switches = (await Rig().opened({"provider_requests_per_minute.openai": 90})).switches

    assert (switches.requests_per_minute("openai"), switches.requests_per_minute("anthropic")) == (90, None)


async def test_the_operators_prices_stand_before_the_shipped_ones_until_they_are_unset() -> None:
    rig = Rig()
    configured = await rig.opened({"prices": PRICES})

    book = configured.switches.prices()

    assert (price_of(book, "gpt-4o-mini"), price_of(book, "gpt-4o")) == ("9.5", "2.5")
    assert book is not None
    free = book.price("openai_compatible", "llama3.2", rig.clock.now().date())
    assert free is not None
    assert free.version == "free"
    assert configured.switches.prices() is book
    await rig.opened({})
    await configured.entries.refresh_system()
    assert configured.switches.prices() is None


async def test_without_a_broker_nothing_is_switched() -> None:
    broker = MemoryBroker()
    broker.go_down()

    configured = await open_configuration(MemoryBus(broker), ManualClock(), origin="content_granulator")

    assert await configured.switches.switches("structure_course", ACME) == Switches()
