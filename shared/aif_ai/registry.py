"""What can be done here, by whom, how well and for how much: the providers' offers, looked at from the capabilities.

Made from the offers alone: a provider that is added is in it, and nothing here knows any provider by name.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from msgspec import Struct

from aif_ai.model_tiers import RANK, quality_of
from aif_ai.provider import Offer, Provider
from aif_ai.requests import Capability
from aif_contracts.packets import QualityTier
from aif_prices.book import FREE, FREE_VERSION, Price, PriceBook


class CostUnit(enum.StrEnum):
    """What a call's price is counted in."""

    TOKEN = "token"
    AUDIO_MINUTE = "audio_minute"
    CHARACTER = "character"
    CALL = "call"


COST_UNITS: Mapping[Capability, CostUnit] = {
    Capability.LLM_GENERATION: CostUnit.TOKEN,
    Capability.STRUCTURING: CostUnit.CALL,
    Capability.RESEARCH: CostUnit.CALL,
    Capability.TRANSCRIPTION: CostUnit.AUDIO_MINUTE,
    Capability.TRANSCRIPTION_DIARIZATION: CostUnit.AUDIO_MINUTE,
    Capability.PII_REDACTION: CostUnit.CHARACTER,
    Capability.SENTIMENT_ANALYSIS: CostUnit.CHARACTER,
    Capability.SUMMARIZATION: CostUnit.CHARACTER,
    Capability.WORKFLOW_GENERATION: CostUnit.CHARACTER,
}
"""Of an offer of the capability itself; a language model that serves another capability is paid by the token."""


class Candidate(Struct, frozen=True, kw_only=True):
    """One model of one offer, with its price of the day."""

    provider: Provider
    offer: Offer
    model: str
    quality: QualityTier
    price: Price | None
    """None when unknown: such a model is not called."""

    @property
    def is_free(self) -> bool:
        """A local one, or declared free by the operator: nothing can be owed for it."""
        return self.price is not None and self.price.version == FREE_VERSION

    @property
    def cost_unit(self) -> CostUnit:
        return COST_UNITS[self.offer.capability]


class CapabilityRegistry:
    def __init__(self, providers: Iterable[Provider], *, quality_overrides: Mapping[str, QualityTier]) -> None:
        self._providers = tuple(providers)
        self._quality_overrides = dict(quality_overrides)

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        offered = {offer.capability for provider in self._providers for offer in provider.offers}
        return tuple(capability for capability in Capability if capability in offered)

    def providers_for(self, capability: Capability) -> tuple[str, ...]:
        """Names of those that offer it, in the order in which they are configured."""
        return tuple(
            provider.name for provider in self._providers if any(offer.capability is capability for offer in provider.offers)
        )

    def candidates(self, capability: Capability, prices: PriceBook, on: date) -> list[Candidate]:
        """Every model of every offer of the capability, in the order in which they are configured."""
        return [
            self._candidate(provider, offer, model, prices, on)
            for provider in self._providers
            for offer in provider.offers
            if offer.capability is capability
            for model in offer.models
        ]

    def reachable(self, model: str, prices: PriceBook, on: date) -> Candidate | None:
        """A language model that no settings name, at the first provider for which the book has a price of it.

        So an operator can name a model at run time. None when there is no such provider.
        """
        for provider in self._providers:
            for offer in provider.offers:
                if offer.capability is Capability.LLM_GENERATION and not offer.local:
                    price = prices.price(provider.name, model, on)
                    if price is not None and price.version != FREE_VERSION:
                        return self._candidate(provider, offer, model, prices, on)
        return None

    def build_fallback_chain(
        self, capability: Capability, primary_provider: str, max_fallbacks: int, *, prices: PriceBook, on: date
    ) -> tuple[Candidate, ...]:
        """The primary provider's preferred model and up to so many others after it: its providers' in configured order,
        one model of each, local ones last. Without the primary, the others move up."""
        firsts: dict[str, Candidate] = {}
        for candidate in self.candidates(capability, prices, on):
            firsts.setdefault(candidate.provider.name, candidate)
        chain = sorted(
            firsts.values(),
            key=lambda candidate: (
                candidate.provider.name != primary_provider,
                candidate.offer.last_resort,
                candidate.offer.local,
            ),
        )
        return tuple(chain[: max_fallbacks + 1])

    def _candidate(self, provider: Provider, offer: Offer, model: str, prices: PriceBook, on: date) -> Candidate:
        price = FREE if offer.local else prices.price(provider.name, model, on)
        is_free = price is not None and price.version == FREE_VERSION
        return Candidate(
            provider=provider,
            offer=offer,
            model=model,
            quality=offer.quality or quality_of(model, overrides=self._quality_overrides, is_free=is_free),
            price=price,
        )


def within(candidates: Sequence[Candidate], ceiling: QualityTier | None) -> list[Candidate]:
    """Those that are no better than the ceiling; local ones always are."""
    if ceiling is None:
        return list(candidates)
    return [c for c in candidates if c.offer.local or RANK[c.quality] <= RANK[ceiling]]
