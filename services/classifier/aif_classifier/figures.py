"""Figures for people: what the database summed up, with the interval of the success rate, and one score."""

import math
from collections.abc import Sequence
from decimal import Decimal

from msgspec import Struct

from aif_classifier.samples import WITHDRAWN
from aif_classifier.significance import wilson_interval
from aif_contracts.money import usd_text
from aif_contracts.performance import RollingFigures


class FigureRow(Struct, frozen=True, kw_only=True):
    """Sums and percentiles over the attempts of one worker, action and model."""

    worker_name: str
    action: str
    model: str | None
    attempts: int
    successes: int
    time_ms_p50: float
    time_ms_p95: float
    queue_ms_p50: float
    tokens_mean: float
    cost_usd_mean: Decimal | None
    cost_usd_total: Decimal
    quality_mean: float | None
    quality_count: int
    failures_by_code: dict[str, int]

    @property
    def judged(self) -> int:
        """Attempts that say something about the worker: those that the factory itself ended do not."""
        return self.attempts - sum(count for code, count in self.failures_by_code.items() if code in WITHDRAWN)


def rolling_figures(row: FigureRow) -> RollingFigures:
    interval = wilson_interval(row.successes, row.judged)
    return RollingFigures(
        worker_name=row.worker_name,
        action=row.action,
        model=row.model,
        attempts=row.attempts,
        successes=row.successes,
        success_rate=row.successes / row.judged if row.judged else 0.0,
        success_rate_low=interval.low,
        success_rate_high=interval.high,
        time_ms_p50=round(row.time_ms_p50),
        time_ms_p95=round(row.time_ms_p95),
        queue_ms_p50=round(row.queue_ms_p50),
        tokens_mean=round(row.tokens_mean),
        cost_usd_mean=None if row.cost_usd_mean is None else usd_text(row.cost_usd_mean),
        cost_usd_total=usd_text(row.cost_usd_total),
        quality_mean=row.quality_mean,
        failures_by_code=row.failures_by_code,
    )


def performance_score(rows: Sequence[FigureRow]) -> float | None:
    """The lower end of the Wilson interval of the success rate, times the mean quality score where any was measured.

    Read it as the quality that an attempt surely delivers: few attempts, failures and poor quality all lower it. None without
    attempts to judge.
    """
    judged = sum(row.judged for row in rows)
    if judged == 0:
        return None
    reliability = wilson_interval(sum(row.successes for row in rows), judged).low
    measured = [(row.quality_mean, row.quality_count) for row in rows if row.quality_mean is not None]
    if not measured:
        return reliability
    quality = math.fsum(quality * count for quality, count in measured) / sum(count for _, count in measured)
    return reliability * quality
