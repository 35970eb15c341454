"""What an operator may say about models in the environment."""

import pytest

from aif_ai.model_settings import ModelSettings
from aif_contracts.packets import QualityTier
from aif_runtime.failures import SettingsInvalid
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.settings import load_settings


def _read(**variables: str) -> ModelSettings:
    return load_settings(ModelSettings, variables)


def test_tiers_rates_and_fallbacks_reach_the_door() -> None:
    access = _read(
        AIF_MODEL_QUALITY="my-model=economy,ours:70b=premium",
        AIF_PROVIDER_REQUESTS_PER_MINUTE="openai=500",
        AIF_MAX_FALLBACKS="0",
        AIF_PROVIDER_TIMEOUT_SECONDS="12",
    ).model_access()

    assert access.quality_overrides == {"my-model": QualityTier.ECONOMY, "ours:70b": QualityTier.PREMIUM}
    assert access.requests_per_minute == {"openai": 500}
    assert (access.policy.max_fallbacks, access.policy.call_timeout_seconds) == (0, 12.0)


@pytest.mark.parametrize(
    ("variable", "text", "told"),
    [
        ("AIF_MODEL_QUALITY", "my-model=cheap", "economy, standard, premium"),
        ("AIF_MODEL_QUALITY", "my-model", "write name=value"),
        ("AIF_PROVIDER_REQUESTS_PER_MINUTE", "openai=0", "above 0"),
        ("AIF_PROVIDER_REQUESTS_PER_MINUTE", "openai=1.5", "above 0"),
        ("AIF_PROVIDER_REQUESTS_PER_MINUTE", "=500", "write name=value"),
    ],
)
def test_a_mistake_is_told_with_its_variable_and_its_mend(variable: str, text: str, told: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        _read(**{variable: text})

    assert variable in str(refused.value)
    assert told in str(refused.value)


def test_the_cache_can_be_turned_off() -> None:
    bus = MemoryBus(MemoryBroker())

    assert _read().opened_cache(bus) is not None
    assert _read(AIF_RESPONSE_CACHE="no").opened_cache(bus) is None
