"""From what an operator configured to a door with its providers."""

from msgspec import Struct

from aif_ai.anthropic_provider import AnthropicProvider
from aif_ai.door import Door
from aif_ai.openai_provider import COMPATIBLE, OPENAI, OpenAiProvider
from aif_ai.provider import Provider
from aif_prices.book import PriceBook, shipped_prices
from aif_runtime.clock import Clock


class ModelAccess(Struct, frozen=True, kw_only=True):
    """Which models may be reached, and how. Keys and addresses come from here only, never from an order."""

    openai_api_key: str | None = None
    openai_base_url: str | None = None
    openai_models: tuple[str, ...] = ()
    anthropic_api_key: str | None = None
    anthropic_base_url: str | None = None
    anthropic_models: tuple[str, ...] = ()
    free_models: tuple[str, ...] = ()
    call_timeout_seconds: float = 300.0
    silence_seconds: float = 60.0


def open_door(access: ModelAccess, clock: Clock) -> Door:
    """A door over every provider that is configured, OpenAI's first; over the local one alone when none is."""
    providers: list[Provider] = []
    if access.openai_models and (access.openai_api_key or access.openai_base_url):
        providers.append(
            OpenAiProvider(
                name=COMPATIBLE if access.openai_base_url else OPENAI,
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
    return Door(
        providers=providers,
        prices=PriceBook(shipped_prices(), free_models=access.free_models),
        clock=clock,
        call_timeout_seconds=access.call_timeout_seconds,
    )
