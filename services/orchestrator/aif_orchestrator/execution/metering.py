"""Sums of what was used. A cost that is unknown stays unknown: the known part is a lower bound and says so."""

from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal

from aif_contracts.events import Totals
from aif_contracts.metering import CostLines, Metrics, ProviderCall, ResourceUsage, TimeBreakdown, Tokens
from aif_contracts.money import ZERO, usd, usd_text
from aif_contracts.orders import Breakdown, WorkerShare
from aif_orchestrator.execution.state import Execution, StageRun

_NO_METRICS = Metrics()
_NO_COST = CostLines()
_NO_TOKENS = Tokens()
_NO_TIMES = TimeBreakdown()
_NO_RESOURCES = ResourceUsage()


def add_metrics(total: Metrics, more: Metrics) -> Metrics:
    """The sum of two attempts' metrics; memory is the larger peak, provider, model and fallback are the newer ones."""
    if more == _NO_METRICS:
        return total
    if total == _NO_METRICS and _is_plain(more):
        return more
    newer = more if more.provider is not None or more.model is not None else total
    return Metrics(
        tokens_used=add_tokens(total.tokens_used, more.tokens_used),
        provider=more.provider or total.provider,
        model=more.model or total.model,
        fallback_from=newer.fallback_from,
        fallback_reason=newer.fallback_reason,
        cost_usd=_add_costs(total.cost_usd, more.cost_usd),
        cost_lines=_add_lines(total.cost_lines, more.cost_lines),
        unanswered={**total.unanswered, **more.unanswered} if more.unanswered else total.unanswered,
        saved_usd=_add_amounts(total.saved_usd, more.saved_usd),
        processing_time_ms=total.processing_time_ms + more.processing_time_ms,
        breakdown=_add_times(total.breakdown, more.breakdown),
        resource_usage=_add_resources(total.resource_usage, more.resource_usage),
    )


def _is_plain(metrics: Metrics) -> bool:
    """Whether a sum of nothing and these is these: no amount that has to be written anew, no fallback without its provider."""
    return (
        metrics.cost_usd in ("0", None)
        and metrics.saved_usd == "0"
        and metrics.fallback_from is None
        and metrics.fallback_reason is None
        and metrics.cost_lines == _NO_COST
    )


def stage_metrics(run: StageRun) -> Metrics:
    """What the stage has used: reported attempts, and the calls of attempts that never reported."""
    if not run.unreported_calls:
        return run.spent
    total = run.spent
    for call in run.unreported_calls:
        total = add_metrics(total, metrics_of_call(call))
    return total


def metrics_of_call(call: ProviderCall) -> Metrics:
    """A single call as metrics."""
    return Metrics(
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


def execution_totals(execution: Execution, at_ms: int) -> Totals:
    tokens, lines, times, resources = _NO_TOKENS, _NO_COST, _NO_TIMES, _NO_RESOURCES
    attempts = busy_ms = 0
    complete = True
    known = in_doubt = ZERO
    for run in execution.stages.values():
        attempts += run.attempt
        used = stage_metrics(run)
        if used.cost_usd is None:
            complete = False
        if used.cost_usd != "0":
            known += known_cost_of(used)
        if used.unanswered:
            in_doubt += sum_usd(used.unanswered.values())
        tokens = add_tokens(tokens, used.tokens_used)
        lines = _add_lines(lines, used.cost_lines)
        times = _add_times(times, used.breakdown)
        resources = _add_resources(resources, used.resource_usage)
        busy_ms += used.processing_time_ms
    ended_at = execution.ended_at if execution.ended_at is not None else at_ms
    return Totals(
        tokens_used=tokens,
        cost_usd=usd_text(known),
        cost_is_complete=complete,
        in_doubt_usd=usd_text(in_doubt),
        cost_lines=lines,
        wall_time_ms=max(0, ended_at - execution.created_at),
        busy_time_ms=busy_ms,
        breakdown=times,
        resource_usage=resources,
        attempts=attempts,
    )


def breakdown_of(execution: Execution, worker_of: Callable[[str, StageRun], str]) -> Breakdown:
    """The totals by worker and by what was paid for. `worker_of` names the worker of a stage and its run."""
    by_worker: dict[str, Metrics] = {}
    attempts: Counter[str] = Counter()
    costs: dict[str, Decimal] = {}
    lines = _NO_COST
    for stage_id, run in execution.stages.items():
        if run.attempt == 0:
            continue
        worker = worker_of(stage_id, run)
        used = stage_metrics(run)
        by_worker[worker] = add_metrics(by_worker.get(worker, Metrics()), used)
        attempts[worker] += run.attempt
        costs[worker] = costs.get(worker, ZERO) + known_cost(run)
        lines = _add_lines(lines, used.cost_lines)
    return Breakdown(
        by_worker={
            worker: WorkerShare(
                attempts=attempts[worker],
                tokens_used=used.tokens_used,
                cost_usd=usd_text(costs[worker]),
                busy_time_ms=used.processing_time_ms,
            )
            for worker, used in by_worker.items()
        },
        by_resource=lines,
    )


def known_cost(run: StageRun) -> Decimal:
    """The part of the stage's cost that is known, in USD."""
    return known_cost_of(stage_metrics(run))


def known_cost_of(used: Metrics) -> Decimal:
    """In USD; a lower bound when the cost as a whole is unknown."""
    if used.cost_usd is not None:
        return usd(used.cost_usd)
    lines = used.cost_lines
    return sum_usd((lines.ai_generation_usd, lines.api_calls_usd, lines.storage_usd, lines.compute_usd))


def sum_usd(amounts: Iterable[str]) -> Decimal:
    total = ZERO
    for amount in amounts:
        if amount != "0":
            total += usd(amount)
    return total


def add_tokens(total: Tokens, more: Tokens) -> Tokens:
    if total == _NO_TOKENS:
        return more
    return Tokens(
        prompt_tokens=total.prompt_tokens + more.prompt_tokens,
        completion_tokens=total.completion_tokens + more.completion_tokens,
        total_tokens=total.total_tokens + more.total_tokens,
        cache_read_tokens=total.cache_read_tokens + more.cache_read_tokens,
        cache_write_tokens=total.cache_write_tokens + more.cache_write_tokens,
        reasoning_tokens=total.reasoning_tokens + more.reasoning_tokens,
    )


def _add_costs(total: str | None, more: str | None) -> str | None:
    return None if total is None or more is None else _add_amounts(total, more)


def _add_amounts(total: str, more: str) -> str:
    return total if more == "0" else usd_text(usd(total) + usd(more))


def _add_lines(total: CostLines, more: CostLines) -> CostLines:
    if more == _NO_COST:
        return total
    return CostLines(
        ai_generation_usd=usd_text(usd(total.ai_generation_usd) + usd(more.ai_generation_usd)),
        api_calls_usd=usd_text(usd(total.api_calls_usd) + usd(more.api_calls_usd)),
        storage_usd=usd_text(usd(total.storage_usd) + usd(more.storage_usd)),
        compute_usd=usd_text(usd(total.compute_usd) + usd(more.compute_usd)),
    )


def _add_times(total: TimeBreakdown, more: TimeBreakdown) -> TimeBreakdown:
    if more == _NO_TIMES:
        return total
    return TimeBreakdown(
        ai_generation_ms=total.ai_generation_ms + more.ai_generation_ms,
        validation_ms=total.validation_ms + more.validation_ms,
        storage_ms=total.storage_ms + more.storage_ms,
    )


def _add_resources(total: ResourceUsage, more: ResourceUsage) -> ResourceUsage:
    if more == _NO_RESOURCES:
        return total
    return ResourceUsage(
        api_calls=total.api_calls + more.api_calls,
        kv_operations=total.kv_operations + more.kv_operations,
        r2_operations=total.r2_operations + more.r2_operations,
        cpu_time_ms=total.cpu_time_ms + more.cpu_time_ms,
        memory_mb=max(total.memory_mb, more.memory_mb),
    )
