"""How an execution ends: in exactly one terminal state, with its totals, and no event after the last of its leg.

What comes to light later, as a provider call that its worker had not named in its report, moves the totals, the client's
account and the bill, and no event tells of it: whoever waits for the last one would miss it, or take it for a new leg.
"""

from msgspec.structs import replace

from aif_contracts.events import Deliverable, WorkflowCancelled, WorkflowCompleted, WorkflowFailed
from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_orchestrator.execution import saga
from aif_orchestrator.execution.commands import Refuse
from aif_orchestrator.execution.draft import Draft, rfc3339
from aif_orchestrator.execution.metering import execution_totals
from aif_orchestrator.execution.state import Execution, Verdict, newest_instance
from aif_orchestrator.execution.stopping import stop_everything
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
    stop_everything(draft, f"the execution failed: {code}")
    _undo(draft, Verdict(status=ExecutionStatus.FAILED, code=code, message=message, stage_id=stage_id))


def cancel(draft: Draft, reason: str) -> None:
    """Stop everything, undo what can be undone, and end as cancelled. What has ended otherwise, or is about to, is refused."""
    if (decided := _decided_end(draft.execution)) is not None:
        if decided is not ExecutionStatus.CANCELLED:
            _refuse_to_cancel(draft)
        return
    stop_everything(draft, reason)
    _undo(draft, Verdict(status=ExecutionStatus.CANCELLED, code="cancelled", message=reason))


def close(draft: Draft, verdict: Verdict) -> None:
    """Nothing is left to undo: the execution ends as failed or cancelled."""
    _end(draft, verdict.status)
    draft.execution = replace(draft.execution, failure_code=verdict.code, failure_message=verdict.message)
    totals = execution_totals(draft.finish(), draft.at)
    not_undone = saga.not_undone(draft.stages)
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


def _decided_end(execution: Execution) -> ExecutionStatus | None:
    """As what it has ended, or is going to end when all is undone; None while that is open."""
    if execution.verdict is not None:
        return execution.verdict.status
    return execution.status if execution.is_final else None


def _refuse_to_cancel(draft: Draft) -> None:
    execution = draft.execution
    verdict, until = execution.verdict, execution.compensate_until
    if verdict is None or until is None:
        message = f"it has ended as {execution.status}"
    else:
        message = (
            f"it has failed ({verdict.code}: {verdict.message}) and ends so when what it had done is undone,"
            f" at {rfc3339(until)} at the latest; what cannot be undone can be skipped (skip-compensation)"
        )
    draft.command(Refuse(code="already_ended", message=f"{execution.execution_id}: {message}"))


def _undo(draft: Draft, verdict: Verdict) -> None:
    if not saga.begin(draft, verdict):
        close(draft, verdict)


def _end(draft: Draft, status: ExecutionStatus) -> None:
    draft.execution = replace(
        draft.execution, status=status, ended_at=draft.at, verdict=None, compensate_until=None, held_since=None
    )
    if draft.execution.max_cost_usd != "0":
        draft.money_moved()
