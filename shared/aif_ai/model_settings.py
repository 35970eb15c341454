"""Settings of a worker that may ask language models: the same variables for every such worker."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

from aif_ai.assembly import ModelAccess
from aif_ai.bus_response_cache import BusResponseCache
from aif_ai.call_policy import CallPolicy
from aif_ai.response_cache import ResponseCache
from aif_contracts.packets import QualityTier
from aif_runtime.bus import Bus
from aif_runtime.settings import Secret
from aif_runtime.worker_settings import WorkerSettings

_KEY = re.compile(r"[!-~]+")


class ModelSettings(WorkerSettings, frozen=True, kw_only=True):
    openai_api_key: Annotated[Secret | None, Meta(description="Key for OpenAI's models", extra={"env": "OPENAI_API_KEY"})] = (
        None
    )
    openai_base_url: Annotated[
        str | None,
        Meta(description="URL of an OpenAI-compatible server (Ollama, vLLM, llama.cpp), for example http://127.0.0.1:11434/v1"),
    ] = None
    openai_models: Annotated[
        tuple[str, ...], Meta(description="Models to use at OpenAI or the compatible server, the preferred one first")
    ] = ("gpt-4o-mini",)
    anthropic_api_key: Annotated[
        Secret | None, Meta(description="Key for Anthropic's models", extra={"env": "ANTHROPIC_API_KEY"})
    ] = None
    anthropic_base_url: Annotated[str | None, Meta(description="Another address for Anthropic's API, for a proxy")] = None
    anthropic_models: Annotated[tuple[str, ...], Meta(description="Models to use at Anthropic, the preferred one first")] = (
        "claude-sonnet-5-5",
    )
    free_models: Annotated[
        tuple[str, ...], Meta(description="Models that cost nothing, such as those on a server of your own")
    ] = ()
    model_quality: Annotated[
        tuple[str, ...],
        Meta(description="Tiers of models whose names do not tell, as model=economy, model=standard or model=premium"),
    ] = ()
    provider_requests_per_minute: Annotated[
        tuple[str, ...],
        Meta(description="Most requests per minute of this process, as provider=number, for example openai=500"),
    ] = ()
    max_fallbacks: Annotated[
        int, Meta(ge=0, le=10, description="Other models tried when one fails, where an order does not say more; 0 for none")
    ] = 1
    response_cache: Annotated[
        bool, Meta(description="Keep the answers of models, and give them again where a pipeline's stage allows it")
    ] = True
    provider_timeout_seconds: Annotated[float, Meta(gt=0, le=3600, description="Longest that one provider call may take")] = (
        300.0
    )
    provider_silence_seconds: Annotated[
        float, Meta(gt=0, le=600, description="Longest that a provider may say nothing during a call")
    ] = 60.0
    source_budget_characters: Annotated[
        int, Meta(ge=1_000, le=2_000_000, description="Characters of a source that go into a model's prompt")
    ] = 200_000

    def __post_init__(self) -> None:
        super().__post_init__()
        _tiers(self.model_quality)
        _rates(self.provider_requests_per_minute)
        check_key("OPENAI_API_KEY", self.openai_api_key)
        check_key("ANTHROPIC_API_KEY", self.anthropic_api_key)
        check_base_url("AIF_OPENAI_BASE_URL", self.openai_base_url)
        check_base_url("AIF_ANTHROPIC_BASE_URL", self.anthropic_base_url)

    def model_access(self) -> ModelAccess:
        """What the AI layer may reach."""
        return ModelAccess(
            openai_api_key=self.openai_api_key.reveal() if self.openai_api_key else None,
            openai_base_url=self.openai_base_url,
            openai_models=self.openai_models,
            anthropic_api_key=self.anthropic_api_key.reveal() if self.anthropic_api_key else None,
            anthropic_base_url=self.anthropic_base_url,
            anthropic_models=self.anthropic_models,
            free_models=self.free_models,
            policy=CallPolicy(call_timeout_seconds=self.provider_timeout_seconds, max_fallbacks=self.max_fallbacks),
            silence_seconds=self.provider_silence_seconds,
            quality_overrides=_tiers(self.model_quality),
            requests_per_minute=_rates(self.provider_requests_per_minute),
        )

    def opened_cache(self, bus: Bus) -> ResponseCache | None:
        """Where answers are kept for all replicas; None when the operator wants none kept."""
        return BusResponseCache(bus) if self.response_cache else None


def check_key(variable: str, key: Secret | None) -> None:
    """Raises ValueError for a key that no header can carry, without telling it."""
    if key is not None and _KEY.fullmatch(key.reveal()) is None:
        raise ValueError(
            f"{variable} holds a space, the end of a line or a sign that is not ASCII, which no key does: copy it again, alone"
        )


def check_base_url(variable: str, url: str | None) -> None:
    """Raises ValueError for what is no address that a path can be put behind."""
    if url is None:
        return
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # by the port, or by brackets of an address
        is_usable = False
    if not is_usable or parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise ValueError(
            f"{variable} is {url!r}: write http:// or https://, a host, and a path where there is one, for example "
            "http://127.0.0.1:11434/v1"
        )


def _tiers(entries: tuple[str, ...]) -> dict[str, QualityTier]:
    tiers: dict[str, QualityTier] = {}
    for model, value in _pairs("AIF_MODEL_QUALITY", entries):
        try:
            tiers[model] = QualityTier(value)
        except ValueError as wrong:
            known = ", ".join(tier.value for tier in QualityTier)
            raise ValueError(f"AIF_MODEL_QUALITY says {value!r} for {model}: use one of {known}") from wrong
    return tiers


def _rates(entries: tuple[str, ...]) -> dict[str, int]:
    rates: dict[str, int] = {}
    for provider, value in _pairs("AIF_PROVIDER_REQUESTS_PER_MINUTE", entries):
        if not value.isdecimal() or int(value) == 0:
            raise ValueError(
                f"AIF_PROVIDER_REQUESTS_PER_MINUTE says {value!r} for {provider}: a whole number above 0 is needed"
            )
        rates[provider] = int(value)
    return rates


def _pairs(variable: str, entries: tuple[str, ...]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for entry in entries:
        name, sign, value = (part.strip() for part in entry.rpartition("="))
        if not name or not sign or not value:
            raise ValueError(f"{variable} has the entry {entry!r}: write name=value, with commas between the entries")
        pairs.append((name, value))
    return pairs
