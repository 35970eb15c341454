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
        ("AIF_OPENAI_BASE_URL", "127.0.0.1:11434/v1", "http://"),
        ("AIF_OPENAI_BASE_URL", "localhost", "http://"),
        ("AIF_OPENAI_BASE_URL", "http:///v1", "a host"),
        ("AIF_OPENAI_BASE_URL", "http://localhost:port/v1", "a host"),
        ("AIF_OPENAI_BASE_URL", "http://[::1/v1", "a host"),
        ("AIF_OPENAI_BASE_URL", "http://localhost/v1?api-version=1", "a path"),
        ("AIF_ANTHROPIC_BASE_URL", " https://proxy.example", "http://"),
        ("AIF_ANTHROPIC_BASE_URL", "https://proxy.example\n/", "http://"),
    ],
)
def test_a_mistake_is_told_with_its_variable_and_its_mend(variable: str, text: str, told: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        _read(**{variable: text})

    assert variable in str(refused.value)
    assert told in str(refused.value)


@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "ANTHROPIC_API_KEY"])
@pytest.mark.parametrize("key", ["sk-secret\n", " sk-secret", "sk-se cret", "“sk-secret”", "sk-secret\r"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_told(variable: str, key: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        _read(**{variable: key})

    assert variable in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:11434/v1", "https://[::1]:8080/v1/", "https://user:word@proxy.example"])
def test_usual_addresses_of_servers_are_taken(url: str) -> None:
    assert _read(AIF_OPENAI_BASE_URL=url).model_access().openai_base_url == url


def test_the_cache_can_be_turned_off() -> None:
    bus = MemoryBus(MemoryBroker())

    assert _read().opened_cache(bus) is not None
    assert _read(AIF_RESPONSE_CACHE="no").opened_cache(bus) is None
