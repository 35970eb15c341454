"""What was used and what it cost, summed from the bill: by whom, for what, at which model, when.

Everything is counted from provider calls, attempts and executions as they are stored, so a figure here is never a sample. A
call belongs to the time when it was first told of: when it was announced, or ended. Times are UTC. The bill is kept for ever,
but executions and attempts only as long as the operator keeps them, so their figures reach back no further.
"""

import enum
from typing import Annotated

from msgspec import Meta, Struct, field

from aif_contracts.metering import CostLines, Tokens
from aif_contracts.money import UsdText
from aif_contracts.orders import ClientId, WorkerShare

MONTH_PATTERN = r"^20[0-9]{2}-(0[1-9]|1[0-2])$(?!\n)"
Month = Annotated[str, Meta(pattern=MONTH_PATTERN, description="A calendar month in UTC", examples=["2026-11"])]
Filter = Annotated[str, Meta(min_length=1, max_length=200)]


class UsageDimension(enum.StrEnum):
    """By what calls are put together."""

    CLIENT = "client"
    WORKSPACE = "workspace"
    WORKER = "worker"
    ACTION = "action"
    MODEL = "model"
    PROVIDER = "provider"
    STAGE = "stage"
    TEMPLATE = "template"
    """None once the execution is no longer kept."""
    PURPOSE = "purpose"
    OUTCOME = "outcome"
    EXECUTION = "execution"
    DAY = "day"
    """As `2026-11-21`."""
    WEEK = "week"
    """As `2026-W47`, from Monday."""
    MONTH = "month"
    """As `2026-11`."""


class UsageOrder(enum.StrEnum):
    KEY = "key"
    COST = "cost"
    """The dearest first."""
    TOKENS = "tokens"
    CALLS = "calls"


class UsageFilter(Struct, frozen=True, kw_only=True):
    """Only calls that are like this; what is None is not looked at."""

    workspace_id: Filter | None = None
    worker_name: Filter | None = None
    action: Filter | None = None
    model: Filter | None = None
    provider: Filter | None = None
    stage_id: Filter | None = None
    template: Filter | None = None
    purpose: Filter | None = None
    outcome: Filter | None = None
    execution_id: Filter | None = None


class UsageQuery(Struct, frozen=True, kw_only=True):
    """Answered with UsageReport or Refusal."""

    client_id: ClientId | None
    """None for the operator, who sees every client's."""
    since: str = field(name="from")
    """RFC 3339 with an offset; calls told of at this time and later."""
    until: str = field(name="to")
    """RFC 3339 with an offset; calls told of before this time, at most 400 days later."""
    group_by: Annotated[tuple[UsageDimension, ...], Meta(min_length=1, max_length=3)]
    where: UsageFilter = field(default_factory=UsageFilter)
    order: UsageOrder = UsageOrder.KEY
    cursor: str | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class UsageFigures(Struct, frozen=True, kw_only=True):
    """Sums over provider calls, failed ones included. Rates are shares of 1, and None where there is nothing to divide by."""

    calls: int
    """Calls that were made; answers of the response cache are not among them."""
    answered: int
    failed: int
    """The provider answered with an error, or the call was cancelled."""
    unusable: int
    """Answered and billed, but cut off or against the schema."""
    in_doubt: int
    """Begun, and nobody knows yet how they ended."""
    unanswered: int
    """No answer ever came; what they have cost was decided without one."""
    cached: int
    """Answers of the response cache."""
    retries: int
    corrections: int
    continuations: int
    fallbacks: int
    tokens: Tokens
    tokens_wasted: int
    """Of calls that gave nothing to use, and of all calls of attempts that failed."""
    audio_ms: int
    characters: int
    cost_usd: UsdText
    """What is known."""
    cost_wasted_usd: UsdText
    unpriced: int
    """Calls that ended and whose cost is unknown all the same; `cost_usd` lacks them."""
    in_doubt_usd: UsdText
    """What calls whose cost is unknown, for whatever reason, can have cost at most; not part of `cost_usd`."""
    saved_by_cache_usd: UsdText
    saved_by_downgrade_usd: UsdText
    average_latency_ms: int | None
    """Of calls that ended and were not answered by the cache."""
    error_rate: float | None
    """Calls that failed, gave nothing to use or were never answered, of all that ended."""
    fallback_rate: float | None
    """Fallbacks of all calls that were made: from what was tried, not from what came out."""
    cache_hit_rate: float | None


class UsageRow(Struct, frozen=True, kw_only=True):
    keys: tuple[str | None, ...]
    """One for each dimension, in their order; None where a call has none."""
    figures: UsageFigures


class UsageReport(Struct, frozen=True, kw_only=True):
    since: str = field(name="from")
    until: str = field(name="to")
    group_by: tuple[UsageDimension, ...]
    rows: tuple[UsageRow, ...]
    totals: UsageFigures
    """Of all rows, those of other pages included."""
    next_cursor: str | None
    """None on the last page. Each page is reckoned anew, so what happens meanwhile can move a row over its edge."""


class MonthlyUsageQuery(Struct, frozen=True, kw_only=True):
    """Answered with MonthlyUsage or Refusal."""

    client_id: ClientId | None
    """None for the operator, who sees every client's."""
    month: Month


class Efficiency(Struct, frozen=True, kw_only=True):
    """Averages over the month's executions; None while there is none to divide by."""

    avg_tokens_per_request: int | None
    avg_time_per_request_ms: int | None
    """Wall time, from acceptance to the end."""
    cost_per_deliverable_usd: UsdText | None
    """Everything that was paid, for failed executions too, by what was delivered; rounded to six decimals."""


class MonthlyUsage(Struct, frozen=True, kw_only=True):
    """What a client's month came to. Executions count in the month in which they were ordered, calls in the month in
    which they were told of."""

    month: str
    client_id: str | None
    requests: int
    """Executions ordered."""
    by_status: dict[str, int]
    deliverables: int
    monthly_tokens: int
    cost_usd: UsdText
    """The known cost of everything: the sum of `cost_lines`."""
    cost_lines: CostLines
    """AI generation from the bill; the others from the attempts that reported them."""
    wall_time_ms: int
    """Summed over executions that have ended, from acceptance to the end."""
    busy_time_ms: int
    """Summed over attempts; stages that run beside each other make it larger than wall time."""
    efficiency: Efficiency
    calls: UsageFigures
    attempts: int
    attempts_failed: int
    provider_distribution: dict[str, int]
    """Calls by provider."""
    model_distribution: dict[str, int]
    by_worker: dict[str, WorkerShare]
    attempts_failed_tokens: int = 0
    """Tokens of failed attempts; attempts that succeeded at last may have wasted some, too."""
    attempts_failed_cost_usd: UsdText = "0"
