"""How an execution ends: in exactly one terminal state, with its totals, and no event after the last of its leg."""

from msgspec.structs import replace

from aif_contracts.events import Deliverable, WorkflowCancelled, WorkflowCompleted, WorkflowFailed
from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_contracts.packets import ControlAction, ControlMessage
from aif_orchestrator.execution import saga
from aif_orchestrator.execution.assignee import worker_of
from aif_orchestrator.execution.commands import TellWorkers
from aif_orchestrator.execution.draft import Draft, is_open
from aif_orchestrator.execution.metering import execution_totals
from aif_orchestrator.execution.state import Execution, Reservation, StageRun, Verdict, newest_instance
from aif_pipelines.plan import Plan


def conclude(draft: Draft) -> None:
    """Every stage has ended, and none that was needed has failed."""
    partly = any(run.status is StageStatus.FAILED and run.compensates is None for run in draft.stages.values())
    status = ExecutionStatus.PARTIALLY_COMPLETED if partly else ExecutionStatus.COMPLETED
    _end(draft, status)
    ended = draft.finish()
    draft.number_event(
        WorkflowCompleted(
            status="partially_completed" if partly else "completed",
            totals=execution_totals(ended, draft.at),
            deliverables=deliverables(draft.circumstances.plan, ended),
        )
    )


def fail(draft: Draft, stage_id: str | None, code: str, message: str) -> None:
    """Stop everything, undo what can be undone, and end as failed."""
    _stop_everything(draft, f"the execution failed: {code}")
    saga.begin(draft, Verdict(status=ExecutionStatus.FAILED, code=code, message=message, stage_id=stage_id))


def cancel(draft: Draft, reason: str) -> None:
    """Stop everything, undo what can be undone, and end as cancelled. What has ended, or is about to, stays as it is."""
    if draft.execution.is_final or draft.execution.status is ExecutionStatus.COMPENSATING:
        return
    _stop_everything(draft, reason)
    saga.begin(draft, Verdict(status=ExecutionStatus.CANCELLED, code="cancelled", message=reason))


def close(draft: Draft, verdict: Verdict) -> None:
    """Nothing is left to undo: the execution ends as failed or cancelled."""
    _end(draft, verdict.status)
    draft.execution = replace(
        draft.execution, failure_code=verdict.code, failure_message=verdict.message, failed_stage=verdict.stage_id
    )
    totals = execution_totals(draft.finish(), draft.at)
    not_undone = saga.not_undone(draft)
    if verdict.status is ExecutionStatus.CANCELLED:
        draft.number_event(WorkflowCancelled(reason=verdict.message, totals=totals, not_undone=not_undone))
        return
    draft.number_event(
        WorkflowFailed(
            code=verdict.code, message=verdict.message, totals=totals, step_name=verdict.stage_id, not_undone=not_undone
        )
    )


def deliverables(plan: Plan, execution: Execution) -> tuple[Deliverable, ...]:
    """What the execution publishes to its client: the outputs that its pipeline names, of the stages that completed.

    A deliverable never changes under its id; what a later leg delivers has ids of its own.
    """
    leg = f"-{execution.leg}" if execution.leg > 1 else ""
    prefix = f"dlv_{execution.execution_id.removeprefix('exec_')}{leg}"
    return tuple(
        Deliverable(
            deliverable_id=f"{prefix}.{output.name}",
            name=output.name,
            title=output.title or output.name,
            media_type=run.output.media_type,
            blob=run.output,
        )
        for output in plan.pipeline.outputs
        if (run := newest_instance(execution.stages, output.stage)) is not None and run.has_result and run.output is not None
    )


def stop_worker_of(draft: Draft, stage_id: str) -> None:
    """Tell whoever holds the open attempt that it is over; the next attempt may be under way before the message arrives."""
    message = ControlMessage(
        execution_id=draft.execution.execution_id,
        action=ControlAction.CANCEL,
        stage_id=stage_id,
        attempt=draft.stages[stage_id].attempt,
    )
    draft.command(TellWorkers(worker_name=worker_of(draft.plan_of(stage_id)), message=message))


def reserved_to_its_last_word(draft: Draft, run: StageRun) -> dict[int, Reservation]:
    """The stage's reservations, when its open attempt is over for us and has not reported.

    Its worker begins no call once it has not been confirmed for a lease; what it announced last is on its way then. Its own
    time says nothing: it began when it heard of its grant, which may be long after it got it.
    """
    newest = run.reserved.get(run.attempt)
    if newest is None or run.attempt <= run.ended:
        return run.reserved
    patience = draft.circumstances.patience
    begins_none = max(draft.at, (run.heard_at or draft.at) + patience.lease_ms)
    until = begins_none + patience.last_word_ms
    return {**run.reserved, run.attempt: Reservation(amount=newest.amount, until=until)}


def _end(draft: Draft, status: ExecutionStatus) -> None:
    draft.execution = replace(
        draft.execution, status=status, ended_at=draft.at, verdict=None, compensate_until=None, held_since=None
    )
    if draft.execution.max_cost_usd != "0":
        draft.money_moved()


def _stop_everything(draft: Draft, reason: str) -> None:
    for stage_id, run in list(draft.stages.items()):
        if run.status.is_final:
            continue
        if is_open(run) and run.attempt > run.ended:
            # By its number: the message may arrive when what it did is being undone, or after the execution was resumed.
            stop_worker_of(draft, stage_id)
        draft.change(
            stage_id,
            status=StageStatus.CANCELLED,
            reason=reason,
            due_at=None,
            finished_at=draft.at,
            reserved=reserved_to_its_last_word(draft, run),
        )
