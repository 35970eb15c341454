"""An execution as its client may see it."""

from aif_contracts.money import usd_text
from aif_contracts.orders import ExecutionView, StageView
from aif_orchestrator.execution.allowance import allowance_of
from aif_orchestrator.execution.assignee import action_of, worker_of
from aif_orchestrator.execution.draft import rfc3339
from aif_orchestrator.execution.ending import deliverables
from aif_orchestrator.execution.metering import breakdown_of, execution_totals, spent_by_stage
from aif_orchestrator.execution.saga import not_undone
from aif_orchestrator.execution.spent import metrics_of
from aif_orchestrator.execution.state import Execution
from aif_pipelines.plan import Plan


def view(plan: Plan, execution: Execution, at_ms: int) -> ExecutionView:
    return ExecutionView(
        execution_id=execution.execution_id,
        client_id=execution.client_id,
        request_id=execution.request_id,
        template=execution.template,
        template_version=execution.template_version,
        status=execution.status,
        priority=execution.priority,
        progress_percent=execution.progress_percent,
        created_at=rfc3339(execution.created_at),
        completed_at=rfc3339(execution.ended_at) if execution.ended_at is not None else None,
        stages=tuple(
            StageView(
                stage_id=stage_id,
                worker_name=worker_of(plan.stage_plan(run.follows or stage_id)),
                action=action_of(plan.stage_plan(run.follows or stage_id)),
                status=run.status,
                attempt=run.attempt,
                progress_percent=run.progress_percent,
                metrics=metrics_of(spent_by_stage(run)),
                quality_score=run.quality_score,
                element_count=run.element_count,
                reason=run.reason,
                added_by=run.added_by,
                compensates=run.compensates,
            )
            for stage_id, run in execution.stages.items()
            if not run.withdrawn
        ),
        totals=execution_totals(execution, at_ms),
        deliverables=deliverables(plan, execution),
        last_sequence=execution.sequence,
        failure_code=execution.failure_code,
        failure_message=execution.failure_message,
        leg=execution.leg,
        max_cost_usd=execution.max_cost_usd,
        remaining_usd=usd_text(allowance_of(execution, execution.stages.values()).remaining),
        reserved_usd=execution.account.held,
        quality_ceiling=execution.quality,
        quality_reason=execution.quality_reason,
        energy_spent=execution.account.energy_spent,
        energy_reserved=execution.account.energy_held,
        breakdown=breakdown_of(execution, lambda stage_id, run: worker_of(plan.stage_plan(run.follows or stage_id))),
        not_undone=not_undone(execution.stages),
        start_at=rfc3339(execution.start_at) if execution.start_at is not None else None,
    )
