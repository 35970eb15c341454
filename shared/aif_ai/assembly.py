"""From what an operator configured to a door with its providers."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from msgspec import Struct

from aif_ai.anthropic_provider import AnthropicProvider
from aif_ai.call_policy import CallPolicy
from aif_ai.deepgram_provider import DeepgramProvider
from aif_ai.door import Door
from aif_ai.model_switches import ModelSwitches
from aif_ai.openai_provider import COMPATIBLE, OPENAI, OpenAiProvider
from aif_ai.provider import Provider
from aif_ai.response_cache import ResponseCache
from aif_contracts.packets import QualityTier
from aif_prices.book import PriceBook, shipped_prices
from aif_runtime.clock import Clock

_OPENAI_HOST = "api.openai.com"


class ModelAccess(Struct, frozen=True, kw_only=True):
    """Which models may be reached, and how. Keys and addresses come from here only, never from an order."""

    openai_api_key: str | None = None
    openai_base_url: str | None = None
    openai_models: tuple[str, ...] = ()
    anthropic_api_key: str | None = None
    anthropic_base_url: str | None = None
    anthropic_models: tuple[str, ...] = ()
    deepgram_api_key: str | None = None
    deepgram_base_url: str | None = None
    deepgram_models: tuple[str, ...] = ()
    free_models: tuple[str, ...] = ()
    policy: CallPolicy = CallPolicy()
    silence_seconds: float = 60.0
    quality_overrides: Mapping[str, QualityTier] = {}
    """Tiers of models by the operator's word."""
    requests_per_minute: Mapping[str, int] = {}
    """By provider; for those that are not named there is no limit but the provider's own."""


def open_door(
    access: ModelAccess,
    clock: Clock,
    *,
    switches: ModelSwitches | None = None,
    cache: ResponseCache | None = None,
    local: Sequence[Provider] = (),
) -> Door:
    """A door over every provider that is configured, OpenAI's first, and after them the given local ones.

    `switches` is what an operator changes at run time, `cache` where answers are kept; None for none of it.
    """
    prices = PriceBook(shipped_prices(), free_models=access.free_models)
    providers: list[Provider] = []
    if access.openai_models and (access.openai_api_key or access.openai_base_url):
        providers.append(
            OpenAiProvider(
                name=_name_at(access.openai_base_url, prices),
                models=access.openai_models,
                api_key=access.openai_api_key,
                base_url=access.openai_base_url,
                silence_seconds=access.silence_seconds,
            )
        )
    if access.anthropic_models and access.anthropic_api_key:
        providers.append(
            AnthropicProvider(
                models=access.anthropic_models,
                api_key=access.anthropic_api_key,
                base_url=access.anthropic_base_url,
                silence_seconds=access.silence_seconds,
            )
        )
    if access.deepgram_models and access.deepgram_api_key:
        providers.append(
            DeepgramProvider(
                models=access.deepgram_models,
                api_key=access.deepgram_api_key,
                base_url=access.deepgram_base_url,
                silence_seconds=access.policy.call_timeout_seconds,
            )
        )
    return Door(
        providers=(*providers, *local),
        prices=prices,
        clock=clock,
        policy=access.policy,
        switches=switches,
        cache=cache,
        quality_overrides=access.quality_overrides,
        requests_per_minute=access.requests_per_minute,
    )


def _name_at(base_url: str | None, prices: PriceBook) -> str:
    """Under which a server's calls are booked and priced."""
    if base_url is None or urlsplit(base_url).hostname == _OPENAI_HOST:
        return OPENAI
    return prices.provider_at(base_url) or COMPATIBLE
