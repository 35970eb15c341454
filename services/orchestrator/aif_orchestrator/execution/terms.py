"""On what terms an order is taken: how good its models may be, and what that takes from its client's energy."""

from msgspec import Struct

from aif_contracts.packets import CeilingReason, QualityTier


class EnergyPrices(Struct, frozen=True, kw_only=True):
    """Units of energy that a stage takes when it calls a provider."""

    economy: int = 1
    """For cheap models only."""
    premium: int = 10
    """For any."""


class Terms(Struct, frozen=True, kw_only=True):
    quality: QualityTier | None = None
    """The best tier of models; None for no ceiling."""
    quality_reason: CeilingReason | None = None
    energy_per_stage: int = 0


FREE_TIER = "free"
NO_CEILING = Terms()


def terms_of(tier: str, prices: EnergyPrices) -> Terms:
    """Clients of the free tier get cheap models only."""
    if tier == FREE_TIER:
        return _economy(CeilingReason.TIER, prices)
    return Terms(energy_per_stage=prices.premium)


def on_less_energy(terms: Terms, prices: EnergyPrices) -> Terms | None:
    """The next best terms when the client's energy does not suffice; None when there are none."""
    return None if terms.quality is QualityTier.ECONOMY else _economy(CeilingReason.ENERGY, prices)


def _economy(reason: CeilingReason, prices: EnergyPrices) -> Terms:
    return Terms(quality=QualityTier.ECONOMY, quality_reason=reason, energy_per_stage=prices.economy)
