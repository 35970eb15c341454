"""How an execution ends: in exactly one terminal state, with its totals, and no event after the last."""

from msgspec.structs import replace

from aif_contracts.events import Deliverable, EventData, WorkflowCancelled, WorkflowCompleted, WorkflowFailed
from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_contracts.packets import ControlAction, ControlMessage
from aif_orchestrator.execution.assignee import worker_of
from aif_orchestrator.execution.commands import TellWorkers
from aif_orchestrator.execution.draft import Draft, is_open
from aif_orchestrator.execution.metering import execution_totals
from aif_orchestrator.execution.state import Execution
from aif_pipelines.plan import Plan


def conclude(draft: Draft) -> None:
    """Every stage has ended, and none that was needed has failed."""
    partly = any(run.status is StageStatus.FAILED for run in draft.stages.values())
    status = ExecutionStatus.PARTIALLY_COMPLETED if partly else ExecutionStatus.COMPLETED
    _end(draft, status)
    _emit_final(
        draft,
        WorkflowCompleted(
            status="partially_completed" if partly else "completed",
            totals=execution_totals(draft.finish(), draft.at),
            deliverables=deliverables(draft.circumstances.plan, draft.finish()),
        ),
    )


def fail(draft: Draft, stage_id: str | None, code: str, message: str) -> None:
    _stop_everything(draft, f"the execution failed: {code}")
    _end(draft, ExecutionStatus.FAILED)
    draft.execution = replace(draft.execution, failure_code=code, failure_message=message, failed_stage=stage_id)
    totals = execution_totals(draft.finish(), draft.at)
    _emit_final(draft, WorkflowFailed(code=code, message=message, totals=totals, step_name=stage_id))


def cancel(draft: Draft, reason: str) -> None:
    """Stop everything. An execution that has ended stays as it is."""
    if draft.execution.is_final:
        return
    _stop_everything(draft, reason)
    _end(draft, ExecutionStatus.CANCELLED)
    draft.execution = replace(draft.execution, failure_code="cancelled", failure_message=reason)
    _emit_final(draft, WorkflowCancelled(reason=reason, totals=execution_totals(draft.finish(), draft.at)))


def deliverables(plan: Plan, execution: Execution) -> tuple[Deliverable, ...]:
    """What the execution publishes to its client: the outputs that its pipeline names, of the stages that completed."""
    return tuple(
        Deliverable(
            deliverable_id=f"dlv_{execution.execution_id.removeprefix('exec_')}.{output.name}",
            name=output.name,
            title=output.title or output.name,
            media_type=blob.media_type,
            blob=blob,
        )
        for output in plan.pipeline.outputs
        if (blob := execution.stages[output.stage].output) is not None
    )


def _end(draft: Draft, status: ExecutionStatus) -> None:
    draft.execution = replace(draft.execution, status=status, ended_at=draft.at)


def _emit_final(draft: Draft, event: EventData) -> None:
    draft.number_event(event)


def _stop_everything(draft: Draft, reason: str) -> None:
    workers: set[str] = set()
    for stage_id, run in draft.stages.items():
        if run.status.is_final:
            continue
        if is_open(run):
            workers.add(worker_of(draft.plan_of(stage_id)))
        draft.change(stage_id, status=StageStatus.CANCELLED, reason=reason, due_at=None, finished_at=draft.at)
    for worker in sorted(workers):
        message = ControlMessage(execution_id=draft.execution.execution_id, action=ControlAction.CANCEL)
        draft.command(TellWorkers(worker_name=worker, message=message))
