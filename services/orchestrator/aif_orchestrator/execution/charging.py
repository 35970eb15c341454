"""What attempts cost: each call and each report charged once, whatever became of the attempt; and how each attempt ended."""

from msgspec.structs import replace

from aif_contracts.events import CostIncurred
from aif_contracts.metering import Metrics, ProviderCall
from aif_contracts.money import ZERO, usd, usd_text
from aif_contracts.performance import PerformanceRecord
from aif_orchestrator.execution import readiness
from aif_orchestrator.execution.allowance import still_reserved
from aif_orchestrator.execution.assignee import action_of, worker_of
from aif_orchestrator.execution.commands import AttemptAccount, RecordAttempt, RecordCall
from aif_orchestrator.execution.draft import Draft, rfc3339
from aif_orchestrator.execution.happenings import AttemptCompleted
from aif_orchestrator.execution.metering import add_metrics, known_cost, metrics_of_call, sum_usd


def book_call(draft: Draft, call: ProviderCall) -> None:
    """Charge a provider call. Until its attempt reports, it counts by itself; the report then includes it.

    One of an attempt that nobody was given is kept, and not counted: no report will ever settle it.
    """
    draft.command(RecordCall(call=call))
    run = draft.stages.get(call.stage_id)
    if run is None or not 1 <= call.attempt <= run.attempt or call.attempt in run.settled:
        return
    if any(known.call_key == call.call_key for known in run.unreported_calls):
        return
    run = draft.change(call.stage_id, unreported_calls=(*run.unreported_calls, call))
    cost = metrics_of_call(call).cost_usd
    if cost is None or usd(cost) > ZERO:
        _emit_cost(draft, call.stage_id, call.attempt, cost, call.provider, call.model)


def settle(draft: Draft, stage_id: str, attempt: int, metrics: Metrics) -> None:
    """Charge what an attempt says it spent, once, whatever became of the attempt. Its booked calls are part of it."""
    run = draft.stages.get(stage_id)
    if run is None or attempt in run.settled or attempt > run.attempt:
        return
    booked = [call for call in run.unreported_calls if call.attempt == attempt]
    draft.change(
        stage_id,
        spent=add_metrics(run.spent, metrics),
        settled=(*run.settled, attempt),
        reserved=still_reserved(run.reserved, attempt, metrics),
        unreported_calls=tuple(call for call in run.unreported_calls if call.attempt != attempt),
    )
    if metrics.cost_usd is None:
        return
    already = sum_usd(metrics_of_call(call).cost_usd or "0" for call in booked)
    difference = usd(metrics.cost_usd) - already
    if difference != ZERO:
        _emit_cost(draft, stage_id, attempt, usd_text(difference), metrics.provider, metrics.model)


def _emit_cost(draft: Draft, stage_id: str, attempt: int, cost: str | None, provider: str | None, model: str | None) -> None:
    total = sum((known_cost(run) for run in draft.stages.values()), ZERO)
    draft.emit(
        CostIncurred(
            step_name=stage_id,
            attempt=attempt,
            cost_usd=cost,
            total_cost_usd=usd_text(total),
            provider=provider,
            model=model,
        )
    )


def record_attempt(
    draft: Draft,
    stage_id: str,
    metrics: Metrics,
    failure_code: str | None,
    message: str,
    made: AttemptCompleted | None = None,
) -> None:
    """Keep how the open attempt has ended; `made` is its result, valid or not."""
    plan = draft.plan_of(stage_id)
    run = draft.stages[stage_id]
    execution = draft.execution
    started_at = run.started_at if run.started_at is not None else draft.at
    record = PerformanceRecord(
        execution_id=execution.execution_id,
        stage_id=stage_id,
        attempt=run.attempt,
        client_id=execution.client_id,
        worker_name=worker_of(plan),
        action=action_of(plan),
        template=execution.template,
        template_version=execution.template_version,
        success=failure_code is None,
        execution_time_ms=metrics.processing_time_ms or max(0, draft.at - started_at),
        queue_time_ms=max(0, started_at - (run.ready_at or started_at)),
        metrics=metrics,
        timestamp=rfc3339(draft.at),
        quality_score=made.quality_score if made else None,
        element_count=made.element_count if made else None,
        input_size_bytes=run.input_ref.size_bytes if run.input_ref else 0,
        output_size_bytes=made.output.size_bytes if made else 0,
        failure_code=failure_code,
        timeout_ms=int(plan.stage.timeout_seconds * 1000),
    )
    account = AttemptAccount(
        packet_id=readiness.packet_id(execution.execution_id, stage_id, run.dispatches),
        leg=execution.leg,
        instance_id=run.holder,
        started_at=run.started_at,
        grant=run.grant or readiness.FREE_GRANT,
        message=message,
        output=replace(made.output, inline=None) if made else None,
    )
    draft.command(RecordAttempt(record=record, account=account))
