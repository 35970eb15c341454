"""A finding is what one look at the data proposes. Stored and given an id it becomes a recommendation."""

from decimal import Decimal

from msgspec import Struct

from aif_contracts.performance import RecommendationType

ICONS = {
    RecommendationType.SPEED: "🚀",
    RecommendationType.COST: "💰",
    RecommendationType.QUALITY: "🎯",
    RecommendationType.RELIABILITY: "🛡️",
}


class Finding(Struct, frozen=True, kw_only=True):
    insight_key: str
    """What it is about: while a recommendation with this key is pending, the same finding brings it up to date."""
    recommendation_type: RecommendationType
    description: str
    confidence_score: float
    sample_size: int
    parameter: str | None = None
    current_value: str | None = None
    recommended_value: str | None = None
    expected_improvement: str | None = None
    saving_usd: Decimal | None = None
    """What the change would have saved over the analysed attempts; None for findings that are not about money."""
    evidence: dict[str, str | int | float] = {}
    """The figures behind it, by name; money as text."""


class Thresholds(Struct, frozen=True, kw_only=True):
    """From where on something is worth saying."""

    minimum_sample: int = 30
    """Attempts, in each of the groups that are compared. Below it nothing is said."""
    minimum_confidence: float = 0.9
    tolerated_timeout_share: float = 0.02
    tolerated_wasted_share: float = 0.1
    """Of the cost, on attempts that failed."""
    quality_margin: float = 0.02
    """Difference of mean quality scores that matters."""
    success_margin: float = 0.05
    """Difference of success rates that matters."""
    slowdown: float = 1.2
    """Ratio of median times that matters."""
    smallest_saving: float = 0.05
    """Share of the cost per success that a cheaper model has to save."""


def percent(share: float) -> str:
    """For people: `4.2 %`."""
    return f"{share * 100:.1f} %"
