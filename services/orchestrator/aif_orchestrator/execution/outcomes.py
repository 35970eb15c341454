"""How a stage ends: accepted, left out, without a result, undone. What follows from that is `readiness.advance`'s."""

from msgspec.structs import replace

from aif_contracts.events import CompensationCompleted, StepFailed, StepSkipped
from aif_contracts.orders import StageStatus
from aif_orchestrator.execution import ending, saga
from aif_orchestrator.execution.draft import Draft, told
from aif_orchestrator.execution.state import StageRun


def accept(draft: Draft, stage_id: str) -> None:
    """The newest result stands: the stage has completed."""
    draft.put(stage_id, accepted(draft, draft.stages[stage_id]))


def accepted(draft: Draft, run: StageRun) -> StageRun:
    """The stage when its newest result stands."""
    return replace(
        run,
        status=StageStatus.COMPLETED,
        input_ref=None,
        previous=None,
        due_at=None,
        finished_at=draft.at,
        reason="",
    )


def skip(draft: Draft, stage_id: str, reason: str) -> None:
    draft.change(stage_id, status=StageStatus.SKIPPED, reason=reason, due_at=None, finished_at=draft.at)
    draft.emit(StepSkipped(step_name=stage_id, reason=reason))


def end_without_result(draft: Draft, stage_id: str, code: str, message: str) -> None:
    """End the stage as failed. An execution whose stage was not optional ends with it."""
    message = told(message)
    if draft.stages[stage_id].compensates is not None:
        saga.fail(draft, stage_id, code, message)
        return
    fail_stage(draft, stage_id, code, message)
    if not draft.plan_of(stage_id).stage.optional:
        ending.fail(draft, stage_id, code, message)


def fail_stage(draft: Draft, stage_id: str, code: str, message: str) -> None:
    run = draft.change(stage_id, status=StageStatus.FAILED, reason=message, due_at=None, finished_at=draft.at)
    draft.emit(StepFailed(step_name=stage_id, attempt=run.attempt, code=code, message=message))


def undone(draft: Draft, stage_id: str, attempt: int, summary: str) -> None:
    """A compensation has completed, and what it takes back has no effect any more."""
    run = draft.change(
        stage_id,
        status=StageStatus.COMPLETED,
        input_ref=None,
        previous=None,
        progress_percent=100,
        finished_at=draft.at,
        reason="",
    )
    assert run.compensates is not None, "only a compensation undoes a stage"
    draft.change(run.compensates, is_undone=True)
    draft.emit(CompensationCompleted(step_name=run.compensates, attempt=attempt, summary=summary))
