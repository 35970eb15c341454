"""What an attempt used: tokens, time, resources, money. Failed attempts report it too."""

import enum

from msgspec import Struct, field

from aif_contracts.money import UsdText


class Tokens(Struct, frozen=True, kw_only=True):
    """Tokens of one provider call, or the sum over an attempt.

    `prompt_tokens` counts every input token, cached ones included; `completion_tokens` every output token, reasoning
    included. The finer fields are parts of those two, never additions to them.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


class TimeBreakdown(Struct, frozen=True, kw_only=True):
    """Where the wall time of an attempt went, in milliseconds. The parts need not add up to the whole."""

    ai_generation_ms: int = 0
    validation_ms: int = 0
    storage_ms: int = 0


class ResourceUsage(Struct, frozen=True, kw_only=True):
    api_calls: int = 0
    """Provider calls, whatever their end. Local providers are not called over a network and count too."""
    kv_operations: int = 0
    r2_operations: int = 0
    """Object store reads and writes."""
    cpu_time_ms: int = 0
    """CPU time of this attempt alone, never wall time."""
    memory_mb: int = 0
    """Peak resident memory of the worker process."""


class CostLines(Struct, frozen=True, kw_only=True):
    """One attempt's cost by kind; `cost_usd` of the metrics is their sum."""

    ai_generation_usd: UsdText = "0"
    api_calls_usd: UsdText = "0"
    storage_usd: UsdText = "0"
    compute_usd: UsdText = "0"


class Metrics(Struct, frozen=True, kw_only=True):
    """The measured side of one attempt."""

    tokens_used: Tokens = field(default_factory=Tokens)
    provider: str | None = None
    """Provider that made the output, for example `local_extractive`; None when none was reached."""
    model: str | None = None
    cost_usd: UsdText | None = "0"
    """None when a provider call's price is unknown; never 0 in its place."""
    cost_lines: CostLines = field(default_factory=CostLines)
    processing_time_ms: int = 0
    breakdown: TimeBreakdown = field(default_factory=TimeBreakdown)
    resource_usage: ResourceUsage = field(default_factory=ResourceUsage)


class CallOutcome(enum.StrEnum):
    ANSWERED = "answered"
    FAILED = "failed"
    """The provider answered with an error and bills nothing."""
    TRUNCATED = "truncated"
    """Answered, but cut off at the output limit: billed, not usable."""
    REJECTED = "rejected"
    """Answered, but the output broke its schema: billed, not usable."""
    CANCELLED = "cancelled"
    IN_DOUBT = "in_doubt"
    """No answer arrived. The provider may have billed up to `upper_bound_usd`."""


class ProviderCall(Struct, frozen=True, kw_only=True):
    """One call to one provider; the smallest thing that costs money. Published on the usage subject as soon as it ends."""

    call_key: str
    """Unique: `<execution>.<stage>.<attempt>.<number>`. Settled once under this key, whatever is delivered twice."""
    execution_id: str
    client_id: str
    stage_id: str
    attempt: int
    worker_name: str
    provider: str
    model: str
    purpose: str
    """Why it was made: `first_try`, `retry`, `correction` or `fallback`."""
    outcome: CallOutcome
    tokens: Tokens = field(default_factory=Tokens)
    cost_usd: UsdText | None = None
    """None when unknown: the model has no price, or no usage arrived."""
    upper_bound_usd: UsdText | None = None
    """What the call can have cost at most, for calls without usage."""
    price_version: str | None = None
    response_id: str | None = None
    """The provider's own id of the answer, to find it on the bill."""
    latency_ms: int = 0
    error: str | None = None
