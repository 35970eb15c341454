"""What a stage has used, in one flat row: it is written to the journal at each step, and kept in memory for each stage.

Sums run over it; the metrics that it is made of, and that clients see, have parts of their own for tokens, times and resources.
A cost that is unknown stays unknown: the known part is a lower bound and says so.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal

from msgspec import Struct, field
from msgspec.structs import asdict, astuple, replace

from aif_contracts.metering import CostLines, Metrics, ProviderCall, ResourceUsage, TimeBreakdown, Tokens
from aif_contracts.money import ZERO, UsdText, usd, usd_text


class Spent(Struct, frozen=True, array_like=True, gc=False):
    """The figures of metrics, under their names there. Amounts are in their shortest form.

    Written without names, which would be most of its bytes, and made by position, which for so many fields is much quicker
    than by name. Nothing in it leads back to it, so the garbage collector need not look at it.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    ai_generation_ms: int = 0
    validation_ms: int = 0
    storage_ms: int = 0
    processing_time_ms: int = 0
    api_calls: int = 0
    kv_operations: int = 0
    r2_operations: int = 0
    cpu_time_ms: int = 0
    memory_mb: int = 0
    ai_generation_usd: UsdText = "0"
    api_calls_usd: UsdText = "0"
    storage_usd: UsdText = "0"
    compute_usd: UsdText = "0"
    saved_usd: UsdText = "0"
    cost_usd: UsdText | None = "0"
    provider: str | None = None
    model: str | None = None
    fallback_from: str | None = None
    fallback_reason: str | None = None
    unanswered: dict[str, UsdText] = field(default_factory=dict)


NOTHING = Spent()
_NO_COST = CostLines()
_FREE = ("0", "0", "0", "0")
_NAMES = Spent.__struct_fields__
_MEMORY = _NAMES.index("memory_mb")
_COUNTS = slice(0, _MEMORY)
_COST = _NAMES.index("cost_usd")
_AMOUNTS = slice(_MEMORY + 1, _COST)


def with_attempt(total: Spent, metrics: Metrics) -> Spent:
    """The sum with what an attempt used; the very same object when that is nothing."""
    more = spent_by_attempt(metrics)
    if more == NOTHING:
        return total
    return more if total == NOTHING else plus(total, more)


def plus(total: Spent, more: Spent) -> Spent:
    """The sum of two; memory is the larger peak, provider, model and fallback are the newer ones."""
    newer = more if more.provider is not None or more.model is not None else total
    return Spent(
        total.prompt_tokens + more.prompt_tokens,
        total.completion_tokens + more.completion_tokens,
        total.total_tokens + more.total_tokens,
        total.cache_read_tokens + more.cache_read_tokens,
        total.cache_write_tokens + more.cache_write_tokens,
        total.reasoning_tokens + more.reasoning_tokens,
        total.ai_generation_ms + more.ai_generation_ms,
        total.validation_ms + more.validation_ms,
        total.storage_ms + more.storage_ms,
        total.processing_time_ms + more.processing_time_ms,
        total.api_calls + more.api_calls,
        total.kv_operations + more.kv_operations,
        total.r2_operations + more.r2_operations,
        total.cpu_time_ms + more.cpu_time_ms,
        max(total.memory_mb, more.memory_mb),
        _add_amounts(total.ai_generation_usd, more.ai_generation_usd),
        _add_amounts(total.api_calls_usd, more.api_calls_usd),
        _add_amounts(total.storage_usd, more.storage_usd),
        _add_amounts(total.compute_usd, more.compute_usd),
        _add_amounts(total.saved_usd, more.saved_usd),
        None if total.cost_usd is None or more.cost_usd is None else _add_amounts(total.cost_usd, more.cost_usd),
        more.provider or total.provider,
        more.model or total.model,
        newer.fallback_from,
        newer.fallback_reason,
        {**total.unanswered, **more.unanswered} if more.unanswered else total.unanswered,
    )


def spent_by_attempt(metrics: Metrics) -> Spent:
    """A fallback without what it fell back to is none."""
    tokens, times, resources, lines = metrics.tokens_used, metrics.breakdown, metrics.resource_usage, metrics.cost_lines
    has_model = metrics.provider is not None or metrics.model is not None
    ai, api_calls, storage, compute = _FREE if lines == _NO_COST else map(_shortest, astuple(lines))
    return Spent(
        tokens.prompt_tokens,
        tokens.completion_tokens,
        tokens.total_tokens,
        tokens.cache_read_tokens,
        tokens.cache_write_tokens,
        tokens.reasoning_tokens,
        times.ai_generation_ms,
        times.validation_ms,
        times.storage_ms,
        metrics.processing_time_ms,
        resources.api_calls,
        resources.kv_operations,
        resources.r2_operations,
        resources.cpu_time_ms,
        resources.memory_mb,
        ai,
        api_calls,
        storage,
        compute,
        _shortest(metrics.saved_usd),
        None if metrics.cost_usd is None else _shortest(metrics.cost_usd),
        metrics.provider,
        metrics.model,
        metrics.fallback_from if has_model else None,
        metrics.fallback_reason if has_model else None,
        metrics.unanswered,
    )


def with_tokens(spent: Spent, *, more: Iterable[Tokens], less: Iterable[Tokens]) -> Spent:
    """The very same object when that changes nothing."""
    counts = Counter[str]()
    for tokens in more:
        counts.update(asdict(tokens))
    for tokens in less:
        counts.subtract(asdict(tokens))
    changes = {name: getattr(spent, name) + count for name, count in counts.items() if count}
    return replace(spent, **changes) if changes else spent


def total_of(parts: Sequence[Spent]) -> Spent:
    """Of many at once: their counts, amounts and largest peak, and nothing of models and of single calls."""
    if not parts:
        return NOTHING
    columns = tuple(zip(*map(astuple, parts), strict=True))
    cost = None if None in columns[_COST] else _sum_text(columns[_COST])
    figures = [*map(sum, columns[_COUNTS]), max(columns[_MEMORY]), *map(_sum_text, columns[_AMOUNTS]), cost]
    return Spent(*figures)


def spent_on_call(call: ProviderCall) -> Spent:
    return spent_by_attempt(
        Metrics(
            tokens_used=call.tokens,
            provider=call.provider,
            model=call.model,
            fallback_from=call.fallback_from,
            fallback_reason=call.reason if call.fallback_from is not None else None,
            cost_usd=call.cost_usd,
            cost_lines=CostLines(ai_generation_usd=call.cost_usd or "0"),
            unanswered={} if call.cost_usd is not None else {call.call_key: call.upper_bound_usd or "0"},
            saved_usd=call.saved_usd or "0",
            breakdown=TimeBreakdown(ai_generation_ms=call.latency_ms),
            resource_usage=ResourceUsage(api_calls=1),
        )
    )


def metrics_of(spent: Spent) -> Metrics:
    """As clients see it."""
    return Metrics(
        tokens_used=tokens_of(spent),
        provider=spent.provider,
        model=spent.model,
        fallback_from=spent.fallback_from,
        fallback_reason=spent.fallback_reason,
        cost_usd=spent.cost_usd,
        cost_lines=cost_lines_of(spent),
        unanswered=spent.unanswered,
        saved_usd=spent.saved_usd,
        processing_time_ms=spent.processing_time_ms,
        breakdown=time_breakdown_of(spent),
        resource_usage=resource_usage_of(spent),
    )


def tokens_of(spent: Spent) -> Tokens:
    return Tokens(
        prompt_tokens=spent.prompt_tokens,
        completion_tokens=spent.completion_tokens,
        total_tokens=spent.total_tokens,
        cache_read_tokens=spent.cache_read_tokens,
        cache_write_tokens=spent.cache_write_tokens,
        reasoning_tokens=spent.reasoning_tokens,
    )


def cost_lines_of(spent: Spent) -> CostLines:
    return CostLines(
        ai_generation_usd=spent.ai_generation_usd,
        api_calls_usd=spent.api_calls_usd,
        storage_usd=spent.storage_usd,
        compute_usd=spent.compute_usd,
    )


def time_breakdown_of(spent: Spent) -> TimeBreakdown:
    return TimeBreakdown(
        ai_generation_ms=spent.ai_generation_ms, validation_ms=spent.validation_ms, storage_ms=spent.storage_ms
    )


def resource_usage_of(spent: Spent) -> ResourceUsage:
    return ResourceUsage(
        api_calls=spent.api_calls,
        kv_operations=spent.kv_operations,
        r2_operations=spent.r2_operations,
        cpu_time_ms=spent.cpu_time_ms,
        memory_mb=spent.memory_mb,
    )


def known_cost_of(spent: Spent) -> Decimal:
    """In USD; a lower bound when the cost as a whole is unknown."""
    return usd(spent.cost_usd) if spent.cost_usd is not None else sum_of_lines(spent)


def known_cost_of_all(parts: Iterable[Spent]) -> Decimal:
    total = ZERO
    for part in parts:
        if part.cost_usd != "0":
            total += known_cost_of(part)
    return total


def sum_of_lines(spent: Spent) -> Decimal:
    """In USD."""
    return sum_usd((spent.ai_generation_usd, spent.api_calls_usd, spent.storage_usd, spent.compute_usd))


def sum_usd(amounts: Iterable[str]) -> Decimal:
    total = ZERO
    for amount in amounts:
        if amount != "0":
            total += usd(amount)
    return total


def _sum_text(amounts: Sequence[UsdText]) -> UsdText:
    return "0" if amounts.count("0") == len(amounts) else usd_text(sum_usd(amounts))


def _add_amounts(total: UsdText, more: UsdText) -> UsdText:
    return total if more == "0" else usd_text(usd(total) + usd(more))


def _shortest(amount: UsdText) -> UsdText:
    """Of all texts of an amount; nearly always it is that already."""
    if amount == "0":
        return "0"
    is_shortest = amount[-1] != "0" and (amount[0] != "0" or amount[1] == ".")
    return amount if is_shortest else usd_text(usd(amount))
