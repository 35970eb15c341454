"""One record per ended attempt, from the orchestrator to the classifier; and what the classifier says about them.

Records travel together: a message holds a JSON array of those of one worker.
"""

import enum
from typing import Annotated

from msgspec import Meta, Struct

from aif_contracts.metering import Metrics
from aif_contracts.money import UsdText

MOST_RECORDS = 100
"""In one message."""
MOST_RECORDS_BYTES = 256 * 1024
"""Of several in one message, so that they fit whole into a dead letter."""


class PerformanceRecord(Struct, frozen=True, kw_only=True):
    execution_id: str
    stage_id: str
    attempt: int
    client_id: str
    worker_name: str
    action: str
    template: str
    template_version: str
    success: bool
    execution_time_ms: int
    queue_time_ms: int
    """From offered to granted, of this attempt alone."""
    metrics: Metrics
    timestamp: str
    """When the attempt ended, RFC 3339."""
    quality_score: float | None = None
    element_count: int | None = None
    input_size_bytes: int = 0
    output_size_bytes: int = 0
    failure_code: str | None = None
    timeout_ms: int | None = None
    """The time limit that the attempt had; None from a writer that does not tell."""


class RecommendationType(enum.StrEnum):
    SPEED = "speed"
    COST = "cost"
    QUALITY = "quality"
    RELIABILITY = "reliability"


class Recommendation(Struct, frozen=True, kw_only=True):
    """A measured proposal. Its confidence is computed from the measured attempts, never asked of a model."""

    recommendation_id: str
    recommendation_type: RecommendationType
    icon: str
    description: str
    """What was measured and what to change, in one or two sentences."""
    confidence: Annotated[float, Meta(ge=0, le=1)]
    parameter: str | None
    """The bounded parameter to change, for example a stage's `timeout`; None when the mend is outside the factory."""
    current_value: str | None
    recommended_value: str | None
    expected_improvement: str | None
    """As text with its unit, for example `-31 % failed attempts`; None when the data cannot say."""
    sample_size: int
    implementation_status: str = "pending"
    created_at: str = ""


class RollingFigures(Struct, frozen=True, kw_only=True):
    """Figures of one worker and action over the analysis period. Percentiles by linear interpolation."""

    worker_name: str
    action: str
    model: str | None
    attempts: int
    successes: int
    success_rate: float
    success_rate_low: float
    """Lower end of the 95 % Wilson interval."""
    success_rate_high: float
    time_ms_p50: int
    time_ms_p95: int
    queue_ms_p50: int
    tokens_mean: int
    cost_usd_mean: UsdText | None
    cost_usd_total: UsdText
    quality_mean: float | None
    failures_by_code: dict[str, int]


class WorkerInsights(Struct, frozen=True, kw_only=True):
    worker_name: str | None
    """None for all workers."""
    analysis_period: str
    performance_score: float | None
    """0 to 1, how it is computed stands in the classifier's README; None without data."""
    figures: tuple[RollingFigures, ...]
    ai_recommendations: tuple[Recommendation, ...]
    analysis_timestamp: str


class InsightsQuery(Struct, frozen=True, kw_only=True):
    worker_name: str | None = None
    analysis_period: Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,2}[hd]$(?!\n)")] = "7d"
    """Hours or days, for example `24h` or `7d`."""
