"""What an attempt used, as its report says it: tokens, time, resources, money. Failed attempts are measured like others."""

import math
import resource
import sys
import time
from collections.abc import Callable, Sequence
from decimal import Decimal

from aif_contracts.metering import (
    CallOutcome,
    CostLines,
    Metrics,
    ProviderCall,
    ResourceUsage,
    TimeBreakdown,
    Tokens,
)
from aif_contracts.money import ZERO, UsdText, usd, usd_text
from aif_runtime.assignment import Outcome
from aif_runtime.attempt import Attempt
from aif_runtime.worker_settings import CostRates

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
_MEBIBYTE = 1024 * 1024
_MEMORY_SECONDS = 1.0
_NOTHING_SPENT = CostLines()
_NO_PARTS = TimeBreakdown()


class PeakMemory:
    """Peak resident memory of this process. It only rises, and is read once a second at most: reading it is a system call."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read_at = -math.inf
        self._mb = 0

    def mb(self) -> int:
        now = self._clock()
        if now - self._read_at >= _MEMORY_SECONDS:
            self._read_at = now
            self._mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT // _MEBIBYTE
        return self._mb


def metrics_of(attempt: Attempt, rates: CostRates, outcome: Outcome | None, memory: PeakMemory) -> Metrics:
    """The figures up to now. `outcome` is None for an attempt that failed."""
    calls = attempt.calls
    usage = ResourceUsage(
        # An answer that was kept is none.
        api_calls=sum(call.outcome is not CallOutcome.CACHED for call in calls) if calls else 0,
        kv_operations=attempt.counted_blobs.kv_operations,
        r2_operations=attempt.counted_blobs.object_operations,
        cpu_time_ms=round(attempt.meter.seconds * 1000),
        memory_mb=memory.mb(),
    )
    lines, total = _cost(calls, usage, rates)
    if not calls:
        return Metrics(
            provider=outcome.provider if outcome else None,
            model=outcome.model if outcome else None,
            cost_usd=total,
            cost_lines=lines,
            processing_time_ms=_worked_ms(attempt),
            breakdown=_breakdown(attempt),
            resource_usage=usage,
        )
    last = attempt.last_model_call()
    model = (outcome.model if outcome else None) or (last.model if last else None)
    fallback = _fallback_to(model, calls)
    return Metrics(
        tokens_used=_tokens(calls),
        provider=(outcome.provider if outcome else None) or (last.provider if last else None),
        model=model,
        fallback_from=fallback.fallback_from if fallback else None,
        fallback_reason=fallback.reason if fallback else None,
        cost_usd=total,
        cost_lines=lines,
        unanswered=_unanswered(calls),
        saved_usd=_text(sum((usd(call.saved_usd) for call in calls if call.saved_usd is not None), ZERO)),
        processing_time_ms=_worked_ms(attempt),
        breakdown=_breakdown(attempt),
        resource_usage=usage,
    )


def _worked_ms(attempt: Attempt) -> int:
    """At least 1 of one that has begun: 0 says that nothing was measured, and the time on the way would pass for work."""
    seconds = attempt.elapsed_seconds()
    return max(round(seconds * 1000), int(seconds > 0))


def _breakdown(attempt: Attempt) -> TimeBreakdown:
    if not attempt.parts and not attempt.counted_blobs.storage_seconds:
        return _NO_PARTS
    return TimeBreakdown(
        ai_generation_ms=_milliseconds(attempt, "ai_generation"),
        validation_ms=_milliseconds(attempt, "validation"),
        storage_ms=_milliseconds(attempt, "storage") + round(attempt.counted_blobs.storage_seconds * 1000),
    )


def _fallback_to(model: str | None, calls: Sequence[ProviderCall]) -> ProviderCall | None:
    """The call with which the model came in another one's place; its retries and corrections do not tell it."""
    return next((call for call in reversed(calls) if call.model == model and call.fallback_from is not None), None)


def _milliseconds(attempt: Attempt, part: str) -> int:
    return round(attempt.parts.get(part, 0.0) * 1000)


def _tokens(calls: Sequence[ProviderCall]) -> Tokens:
    return Tokens(**{name: sum(getattr(call.tokens, name) for call in calls) for name in Tokens.__struct_fields__})


def _cost(calls: Sequence[ProviderCall], usage: ResourceUsage, rates: CostRates) -> tuple[CostLines, str | None]:
    """The lines, and their sum or None when a call's cost is unknown."""
    if not calls and rates.are_nothing:
        return _NOTHING_SPENT, "0"
    generation = sum((usd(call.cost_usd) for call in calls if call.cost_usd is not None), ZERO)
    api_calls = rates.api_call * usage.api_calls
    storage = rates.kv_operation * usage.kv_operations + rates.object_operation * usage.r2_operations
    compute = rates.cpu_ms * usage.cpu_time_ms
    lines = CostLines(
        ai_generation_usd=_text(generation),
        api_calls_usd=_text(api_calls),
        storage_usd=_text(storage),
        compute_usd=_text(compute),
    )
    return lines, None if _unanswered(calls) else _text(generation + api_calls + storage + compute)


def _unanswered(calls: Sequence[ProviderCall]) -> dict[str, UsdText]:
    """Bounds of the calls whose cost nobody knows, by key."""
    return {
        call.call_key: call.upper_bound_usd or "0"
        for call in calls
        if call.cost_usd is None and call.outcome is not CallOutcome.FAILED
    }


def _text(amount: Decimal) -> str:
    return usd_text(amount) if amount else "0"
