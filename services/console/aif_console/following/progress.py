"""How far an execution is, told by its events alone."""

from datetime import datetime
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from aif_console.reading.plain_text import in_place_of
from aif_contracts.events import (
    AiGenerationCompleted,
    ApprovalDecided,
    ApprovalRequested,
    CompensationCompleted,
    CompensationFailed,
    CompensationStarted,
    CostIncurred,
    ExecutionEvent,
    ProgressUpdate,
    StepAdded,
    StepCompleted,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepStarted,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowPaused,
    WorkflowResumed,
    WorkflowScheduled,
    WorkflowStarted,
)
from aif_contracts.money import UsdText
from aif_contracts.orders import StageStatus


class StageProgress(Struct, frozen=True, kw_only=True):
    name: str
    status: StageStatus = StageStatus.WAITING
    percent: int = 0
    attempt: int = 0
    tokens: int = 0
    cost_usd: UsdText | None = None
    """None while nothing is known about it."""
    note: str = ""
    fallback: str = ""
    """Which model stepped in for which one and why, in the newest attempt; empty when none did."""
    began: datetime | None = None
    ended: datetime | None = None


class Progress(Struct, frozen=True, kw_only=True):
    template: str = ""
    percent: int = 0
    status: str = "running"
    """`running`, `scheduled`, `paused`, or how it ended."""
    stages: tuple[StageProgress, ...] = ()
    cost_usd: UsdText = "0"
    tokens: int = 0
    began: datetime | None = None
    ended: datetime | None = None
    why: str = ""
    """Of a failure or a cancellation."""


def advanced(progress: Progress, event: ExecutionEvent) -> Progress:
    """The progress after one more event."""
    at = datetime.fromisoformat(event.time)
    progress = replace(progress, percent=max(progress.percent, event.progress_percent), began=progress.began or at)
    match event.data:
        case WorkflowScheduled(template=template):
            return replace(progress, template=template, status="scheduled")
        case WorkflowStarted(template=template, stages=names):
            stages = tuple(StageProgress(name=name) for name in names)
            return replace(progress, template=template, stages=stages, status="running", began=at)
        case WorkflowPaused():
            return replace(progress, status="paused")
        case WorkflowResumed(kept=kept):
            return _resumed(progress, kept.stages)
        case StepAdded(step_name=name, added_by=added_by):
            return _with_stage(progress, name, note=f"added by {added_by}")
        case ApprovalRequested(step_name=name, message=message):
            return _with_stage(progress, name, status=StageStatus.AWAITING_APPROVAL, note=message)
        case ApprovalDecided(step_name=name, approved=True):
            is_done = _stage(progress, name).ended is not None
            return _with_stage(
                progress, name, status=StageStatus.COMPLETED if is_done else StageStatus.RUNNING, note="approved"
            )
        case ApprovalDecided(step_name=name, comment=comment):
            return _with_stage(
                progress, name, status=StageStatus.FAILED, note=f"rejected: {comment}".removesuffix(": "), ended=at
            )
        case CompensationStarted(step_name=name):
            return _with_stage(progress, _undoing(name), status=StageStatus.RUNNING, began=at)
        case CompensationCompleted(step_name=name, summary=summary):
            return _with_stage(progress, _undoing(name), status=StageStatus.COMPLETED, percent=100, note=summary, ended=at)
        case CompensationFailed(step_name=name, message=message):
            return _with_stage(progress, _undoing(name), status=StageStatus.FAILED, note=message, ended=at)
        case StepStarted(step_name=name, attempt=attempt):
            return _with_stage(
                progress,
                name,
                status=StageStatus.RUNNING,
                attempt=attempt,
                began=_stage(progress, name).began or at,
                note="",
                fallback="",
            )
        case AiGenerationCompleted(fallback_from=None):
            return progress
        case AiGenerationCompleted(step_name=name, model=model, fallback_from=failed, reason=reason):
            return _with_stage(progress, name, fallback=f"{model} {in_place_of(failed, reason)}")
        case ProgressUpdate() as update:
            return _updated(progress, update)
        case CostIncurred(step_name=name, cost_usd=cost, total_cost_usd=total):
            return replace(_with_stage(progress, name, cost_usd=cost), cost_usd=total)
        case StepCompleted(step_name=name, tokens_used=tokens, cost_usd=cost, summary=summary):
            stage = _stage(progress, name)
            added = _with_stage(
                progress,
                name,
                status=StageStatus.COMPLETED,
                percent=100,
                tokens=tokens.total_tokens,
                cost_usd=cost if cost is not None else stage.cost_usd,
                note=summary,
                ended=at,
            )
            return replace(added, tokens=sum(stage.tokens for stage in added.stages))
        case StepRetrying(step_name=name, message=message):
            return _with_stage(progress, name, status=StageStatus.RETRYING, percent=0, note=message)
        case StepFailed(step_name=name, message=message):
            return _with_stage(progress, name, status=StageStatus.FAILED, note=message, ended=at)
        case StepSkipped(step_name=name, reason=reason):
            return _with_stage(progress, name, status=StageStatus.SKIPPED, note=reason, ended=at)
        case WorkflowCompleted(status=status, totals=totals):
            return replace(progress, status=status, ended=at, cost_usd=totals.cost_usd, tokens=totals.tokens_used.total_tokens)
        case WorkflowFailed(message=message, totals=totals):
            return replace(progress, status="failed", ended=at, why=message, cost_usd=totals.cost_usd)
        case WorkflowCancelled(reason=reason, totals=totals):
            return replace(progress, status="cancelled", ended=at, why=reason, cost_usd=totals.cost_usd)
        case unknown:
            assert_never(unknown)


def elapsed_seconds(began: datetime | None, ended: datetime | None, now: datetime) -> float:
    """Up to now for what goes on; 0 before the beginning, or when the clocks of two machines disagree."""
    return max(0.0, ((ended or now) - began).total_seconds()) if began is not None else 0.0


def _resumed(progress: Progress, kept: tuple[str, ...]) -> Progress:
    """After a pause everything is where it was. After an end a new leg begins: what is not kept is before its start again."""
    if progress.ended is None:
        return replace(progress, status="running")
    stages = tuple(stage if stage.name in kept else StageProgress(name=stage.name) for stage in progress.stages)
    return replace(progress, status="running", ended=None, why="", stages=stages)


def _undoing(name: str) -> str:
    return f"undo {name}"


def _updated(progress: Progress, update: ProgressUpdate) -> Progress:
    if update.step_name is None:
        return progress
    percent = update.step_percent if update.step_percent is not None else _stage(progress, update.step_name).percent
    return _with_stage(progress, update.step_name, percent=percent, note=update.message)


def _stage(progress: Progress, name: str) -> StageProgress:
    return next((stage for stage in progress.stages if stage.name == name), StageProgress(name=name))


def _with_stage(progress: Progress, name: str, **changes: object) -> Progress:
    changed = replace(_stage(progress, name), **changes)
    if all(stage.name != name for stage in progress.stages):  # a stage that was added while it ran
        return replace(progress, stages=(*progress.stages, changed))
    return replace(progress, stages=tuple(changed if stage.name == name else stage for stage in progress.stages))
