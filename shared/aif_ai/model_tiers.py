"""Which quality tier a model is of: by the operator's word, by its name, by words that its makers put into names."""

import re
from collections.abc import Mapping

from aif_contracts.packets import QualityTier

_DATE = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|latest)$")

KNOWN: Mapping[str, QualityTier] = {
    "gpt-4o-mini": QualityTier.ECONOMY,
    "gpt-4o": QualityTier.STANDARD,
    "gpt-4.1": QualityTier.STANDARD,
    "gpt-5": QualityTier.STANDARD,
    "gpt-5.4": QualityTier.STANDARD,
    "gpt-5.5": QualityTier.PREMIUM,
    "gpt-5.6-sol": QualityTier.PREMIUM,
    "gpt-5.6-terra": QualityTier.STANDARD,
    "gpt-6-sol": QualityTier.STANDARD,
    "gpt-6.1-sol": QualityTier.STANDARD,
    "o1": QualityTier.PREMIUM,
    "o3": QualityTier.STANDARD,
    "o3-mini": QualityTier.ECONOMY,
    "o4-mini": QualityTier.ECONOMY,
}
"""Models whose names alone do not tell, without the date at the end of a name."""

_ECONOMY_WORDS = frozenset({"mini", "nano", "haiku", "luna", "lite", "flash", "small", "tiny", "base"})
_PREMIUM_WORDS = frozenset({"pro", "opus", "fable", "astra", "ultra", "large"})


def quality_of(model: str, *, overrides: Mapping[str, QualityTier], is_free: bool) -> QualityTier:
    """A model that costs nothing is of the cheapest tier, whatever its name says. Unknown names are of the middle one."""
    name = _DATE.sub("", model)
    told = overrides.get(model) or overrides.get(name)
    if told is not None:
        return told
    if is_free:
        return QualityTier.ECONOMY
    known = KNOWN.get(name)
    if known is not None:
        return known
    words = set(re.split(r"[^a-z]+", name.lower()))
    if words & _ECONOMY_WORDS:
        return QualityTier.ECONOMY
    return QualityTier.PREMIUM if words & _PREMIUM_WORDS else QualityTier.STANDARD


RANK: Mapping[QualityTier, int] = {QualityTier.ECONOMY: 0, QualityTier.STANDARD: 1, QualityTier.PREMIUM: 2}
"""Higher is better."""
