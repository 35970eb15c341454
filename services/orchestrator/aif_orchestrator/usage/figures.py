"""From sums of calls to the figures that people read."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from aif_contracts.metering import Tokens
from aif_contracts.money import ZERO, usd_text
from aif_contracts.usage import UsageFigures
from aif_runtime.postgres import Record

Sums = Mapping[str, Any] | Record

_RATE_DIGITS = 6
_COUNTS = (
    "calls",
    "answered",
    "failed",
    "unusable",
    "in_doubt",
    "unanswered",
    "cached",
    "retries",
    "corrections",
    "continuations",
    "fallbacks",
    "tokens_wasted",
    "audio_ms",
    "characters",
    "unpriced",
)
_AMOUNTS = ("cost_usd", "cost_wasted_usd", "in_doubt_usd", "saved_by_cache_usd", "saved_by_downgrade_usd")


def figures_of(sums: Sums) -> UsageFigures:
    """`sums` as `report_usage` gives them; a sum of nothing is None there."""
    counts: dict[str, Any] = {name: sums[name] or 0 for name in _COUNTS}
    amounts: dict[str, Any] = {name: usd_text(sums[name] or ZERO) for name in _AMOUNTS}
    useless = counts["failed"] + counts["unusable"] + counts["unanswered"]
    told_latency = counts["answered"] + counts["failed"] + counts["unusable"]
    return UsageFigures(
        **counts,
        **amounts,
        tokens=tokens_of(sums),
        average_latency_ms=None if not told_latency else round((sums["latency_ms"] or 0) / told_latency),
        error_rate=rate(useless, counts["answered"] + useless),
        fallback_rate=rate(counts["fallbacks"], counts["calls"]),
        cache_hit_rate=rate(counts["cached"], counts["calls"] + counts["cached"]),
    )


def tokens_of(sums: Sums) -> Tokens:
    prompt, completion = sums["prompt_tokens"] or 0, sums["completion_tokens"] or 0
    return Tokens(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        cache_read_tokens=sums["cache_read_tokens"] or 0,
        cache_write_tokens=sums["cache_write_tokens"] or 0,
        reasoning_tokens=sums["reasoning_tokens"] or 0,
    )


def rate(part: int, whole: int) -> float | None:
    return None if not whole else round(part / whole, _RATE_DIGITS)


def share_of(amount: Decimal, among: int) -> Decimal | None:
    """To the millionth of a dollar: this is where a person reads it."""
    return None if not among else (amount / among).quantize(Decimal("0.000001"))
