"""What an attempt used: tokens, time, resources, money. Failed attempts report it too."""

import enum
from typing import Annotated

from msgspec import Meta, Struct, field

from aif_contracts.money import UsdText

Count = Annotated[int, Meta(ge=0, le=10**12)]
"""Nothing is used less than not at all, and sums of many have to stay exact in every language."""
AttemptNumber = Annotated[int, Meta(ge=1, le=2**31 - 1)]
"""Of a stage; the first is 1."""


class Tokens(Struct, frozen=True, kw_only=True):
    """Tokens of one provider call, or the sum over an attempt.

    `prompt_tokens` counts every input token, cached ones included; `completion_tokens` every output token, reasoning
    included. The finer fields are parts of those two, never additions to them.
    """

    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    total_tokens: Count = 0
    cache_read_tokens: Count = 0
    cache_write_tokens: Count = 0
    reasoning_tokens: Count = 0


class TimeBreakdown(Struct, frozen=True, kw_only=True):
    """Where the wall time of an attempt went, in milliseconds. The parts need not add up to the whole."""

    ai_generation_ms: Count = 0
    validation_ms: Count = 0
    storage_ms: Count = 0


class ResourceUsage(Struct, frozen=True, kw_only=True):
    api_calls: Count = 0
    """Provider calls, whatever their end. Local providers are not called over a network and count too."""
    kv_operations: Count = 0
    r2_operations: Count = 0
    """Object store reads and writes."""
    cpu_time_ms: Count = 0
    """CPU time of this attempt alone, never wall time."""
    memory_mb: Count = 0
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
    fallback_from: str | None = None
    """The model that was to make the output and failed; None when the first one made it."""
    fallback_reason: str | None = None
    """Code of its failure."""
    cost_usd: UsdText | None = "0"
    """None when a provider call's price is unknown; never 0 in its place."""
    cost_lines: CostLines = field(default_factory=CostLines)
    unanswered: dict[str, UsdText] = field(default_factory=dict)
    """What each call without an answer can have cost at most, by its key. It is not part of `cost_usd`, which is None then."""
    saved_usd: UsdText = "0"
    """What the response cache and cheaper models saved."""
    processing_time_ms: Count = 0
    breakdown: TimeBreakdown = field(default_factory=TimeBreakdown)
    resource_usage: ResourceUsage = field(default_factory=ResourceUsage)


class Purpose(enum.StrEnum):
    """Why a provider call was made."""

    FIRST_TRY = "first_try"
    RETRY = "retry"
    """The same again, after a failure that may pass."""
    CORRECTION = "correction"
    """The answer before broke its schema or its rules, and the model was told."""
    CONTINUATION = "continuation"
    """The answer before was cut off at the output limit."""
    FALLBACK = "fallback"
    """Another model, because the one before failed."""


class Saving(enum.StrEnum):
    CACHE = "cache"
    DOWNGRADE = "downgrade"
    """A cheaper model than the one preferred, because of the client's tier or its energy."""


class CallOutcome(enum.StrEnum):
    STARTED = "started"
    """Announced before the provider is asked. A later message under the same key says how it ended; when none comes, its worker
    was lost and the call is in doubt."""
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
    CACHED = "cached"
    """Answered by the response cache; nobody was called."""


class Basis(enum.StrEnum):
    """What a call's cost rests on."""

    USAGE = "usage"
    """On the usage that the provider told with its answer, or on its telling of an error."""
    ESTIMATE = "estimate"
    """On its upper bound, because no answer came and nobody could say more in time."""
    STATEMENT = "statement"
    """On the provider's bill."""


class ProviderCall(Struct, frozen=True, kw_only=True):
    """One call to one provider; the smallest thing that costs money.

    Published on the usage subject twice: as `started` before a provider that costs money is asked, and as soon as it ends.
    """

    call_key: str
    """Unique: `<execution>.<stage>.<attempt>.<number>`. Settled once under this key, whatever is delivered twice."""
    execution_id: str
    client_id: str
    stage_id: str
    attempt: AttemptNumber
    worker_name: str
    provider: str
    model: str
    purpose: Purpose
    outcome: CallOutcome
    reason: str = ""
    """Code of the failure that a retry, a correction or a fallback follows."""
    fallback_from: str | None = None
    """The model that failed before, for a fallback."""
    workspace_id: str | None = None
    action: str = ""
    """The worker's action."""
    capability: str = ""
    tokens: Tokens = field(default_factory=Tokens)
    audio_ms: Count = 0
    """Length of the audio that was transcribed."""
    characters: Count = 0
    """Characters that were worked through, for providers that charge by them."""
    cost_usd: UsdText | None = None
    """None when unknown: the model has no price, or no usage arrived."""
    upper_bound_usd: UsdText | None = None
    """What the call can have cost at most, for calls without usage."""
    basis: Basis = Basis.USAGE
    price_version: str | None = None
    saved_usd: UsdText | None = None
    """Against the same call to the model that was preferred, and without the cache; None when nothing was saved."""
    saving: Saving | None = None
    response_id: str | None = None
    """The provider's own id of the answer, to find it on the bill."""
    latency_ms: Count = 0
    error: str | None = None
