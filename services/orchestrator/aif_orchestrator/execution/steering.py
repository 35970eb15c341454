"""What people do to an execution: start it later, pause it, go on, decide what it waits for, give up undoing,
try again what has ended."""

from collections.abc import Sequence, Set

from msgspec.structs import replace

from aif_contracts.events import (
    ApprovalDecided,
    Kept,
    ProgressUpdate,
    WorkflowPaused,
    WorkflowResumed,
    WorkflowScheduled,
    WorkflowStarted,
)
from aif_contracts.metering import Tokens
from aif_contracts.money import usd_text
from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_orchestrator.execution import books, holding, judging, outcomes, readiness, saga
from aif_orchestrator.execution.commands import AnswerResume, Refuse
from aif_orchestrator.execution.draft import Draft, rfc3339
from aif_orchestrator.execution.happenings import ApprovalDecisionMade, CompensationSkipAsked
from aif_orchestrator.execution.metering import spent_by_stage
from aif_orchestrator.execution.spent import known_cost_of_all, tokens_of, total_of
from aif_orchestrator.execution.state import StageRun

_RESUMABLE = frozenset({ExecutionStatus.FAILED, ExecutionStatus.CANCELLED, ExecutionStatus.PARTIALLY_COMPLETED})
_PAUSABLE = frozenset({ExecutionStatus.RUNNING, ExecutionStatus.AWAITING_APPROVAL})
REJECTED = "rejected"
NOTHING_KEPT = Kept(stages=(), tokens_used=Tokens(), cost_usd="0", processing_time_ms=0)


def start(draft: Draft) -> None:
    """From now on its time runs."""
    pipeline = draft.circumstances.plan.pipeline
    draft.execution = replace(
        draft.execution,
        status=ExecutionStatus.RUNNING,
        deadline_at=draft.at + int(pipeline.timeout_seconds * 1000),
    )
    draft.emit(WorkflowStarted(template=pipeline.name, version=pipeline.version, stages=tuple(draft.circumstances.plan.order)))
    draft.start_anew()


def say_scheduled(draft: Draft, start_at: int) -> None:
    pipeline = draft.circumstances.plan.pipeline
    draft.emit(WorkflowScheduled(template=pipeline.name, version=pipeline.version, start_at=rfc3339(start_at)))


def pause(draft: Draft, reason: str) -> None:
    """Begin nothing new. Attempts under way go on: what they make has been paid for."""
    status = draft.execution.status
    if status is ExecutionStatus.PAUSED:
        return
    if status not in _PAUSABLE:
        _refuse(draft, "not_pausable", f"it is {status}; only a running execution can be paused")
        return
    draft.execution = replace(draft.execution, status=ExecutionStatus.PAUSED)
    holding.hold_or_release(draft)
    draft.emit(WorkflowPaused(reason=reason))


def resume(draft: Draft, lost: Set[str] = frozenset()) -> None:
    """Go on after a pause; or begin a new leg that keeps what has completed.

    One that was cancelled before its time waits for that again. `lost` are the storage keys of outputs that cannot be read.
    """
    status = draft.execution.status
    if status is ExecutionStatus.PAUSED:
        draft.execution = replace(draft.execution, status=ExecutionStatus.RUNNING)
        holding.hold_or_release(draft)
        _say_resumed(draft, NOTHING_KEPT)
    elif status in _RESUMABLE:
        unreadable = [stage_id for stage_id, run in draft.stages.items() if _is_lost(run, lost)]
        again = _to_be_made_anew(draft, unreadable)
        _begin_leg(draft, again)
        _say_resumed(draft, _kept(draft))
        _say_lost(draft, unreadable, again)
        start_at = draft.execution.start_at
        if start_at is not None and draft.at < start_at:
            draft.execution = replace(draft.execution, status=ExecutionStatus.SCHEDULED)
            say_scheduled(draft, start_at)
    else:
        _refuse(
            draft, "not_resumable", f"it is {status}; only a paused, failed, cancelled or partially completed one can go on"
        )
        return
    draft.start_anew()


def decide(draft: Draft, decision: ApprovalDecisionMade) -> None:
    """Go on with a stage that a person agrees with, or end it."""
    waiting = [stage_id for stage_id, run in draft.stages.items() if run.status is StageStatus.AWAITING_APPROVAL]
    if decision.stage_id is None and len(waiting) > 1:
        _refuse(draft, "ambiguous_approval", f"several stages wait: {', '.join(waiting)}; name one as stage_id")
        return
    stage_id = waiting[0] if decision.stage_id is None and waiting else decision.stage_id
    if stage_id is None or stage_id not in waiting:
        what = "no stage waits" if stage_id is None else f"{stage_id} does not wait"
        _refuse(draft, "nothing_to_approve", f"{what} for an approval")
        return
    draft.emit(
        ApprovalDecided(
            step_name=stage_id, approved=decision.approved, decided_by=decision.decided_by, comment=decision.comment
        )
    )
    if decision.approved:
        judging.judge(draft, stage_id, {})
    else:
        comment = f": {decision.comment}" if decision.comment else ""
        judging.turn_down(draft, stage_id, REJECTED, f"a person did not approve it{comment}")
        outcomes.end_without_result(draft, stage_id, REJECTED, f"{decision.decided_by} did not approve {stage_id}{comment}")
    holding.hold_or_release(draft)


def skip_compensation(draft: Draft, asked: CompensationSkipAsked) -> None:
    """Leave what a stage has done as it is; the rest is undone, and the execution ends."""
    status = draft.execution.status
    if status is not ExecutionStatus.COMPENSATING:
        _refuse(draft, "not_compensating", f"it is {status}; nothing is being undone")
        return
    left = saga.left_to_undo(draft)
    if asked.stage_id is None and len(left) > 1:
        _refuse(draft, "ambiguous_compensation", f"several stages are left to undo: {', '.join(left)}; name one as stage_id")
        return
    stage_id = left[0] if asked.stage_id is None else _undone_stage(draft, asked.stage_id)
    if stage_id not in left:
        _refuse(draft, "nothing_to_skip", f"{stage_id} is not among the stages that are left to undo: {', '.join(left)}")
        return
    saga.skip(draft, stage_id, asked.decided_by, asked.comment)


def _undone_stage(draft: Draft, stage_id: str) -> str:
    """People see both ids, of the stage and of its compensation."""
    named = draft.stages.get(stage_id)
    return stage_id if named is None or named.compensates is None else named.compensates


def _begin_leg(draft: Draft, again: Set[str]) -> None:
    """These stages begin anew; the rest is kept."""
    for stage_id, run in list(draft.stages.items()):
        if stage_id not in again:
            continue
        anew = saga.begun_anew(run)
        if run.added_by is not None and (run.withdrawn or run.added_by in again):
            # The stage that added it judges anew whether it is needed.
            anew = replace(anew, status=StageStatus.SKIPPED, withdrawn=True, reason=f"{run.added_by} runs again")
        elif run.skipped_by is not None and run.skipped_by not in again:
            # Its turn to be skipped comes again, after what it waits for.
            anew = replace(anew, skipped_by=run.skipped_by, reason=f"a rule of {run.skipped_by} leaves it out")
        draft.put(stage_id, anew)
    pipeline = draft.circumstances.plan.pipeline
    draft.execution = replace(
        draft.execution,
        status=ExecutionStatus.RUNNING,
        leg=draft.execution.leg + 1,
        leg_began_at=draft.at,
        spent_before_leg=usd_text(known_cost_of_all([spent_by_stage(run) for run in draft.stages.values()])),
        ended_at=None,
        failure_code=None,
        failure_message=None,
        verdict=None,
        compensate_until=None,
        held_since=None,
        deadline_at=draft.at + int(pipeline.timeout_seconds * 1000),
    )
    draft.begin_leg()
    books.reopen_account(draft)


def _to_be_made_anew(draft: Draft, unreadable: Sequence[str]) -> set[str]:
    """Everything that has not completed, what was made from it, and what cannot be read although it is needed."""
    missed: set[str] = set()
    while True:
        again: set[str] = set()
        for stage_id, run in draft.stages.items():
            if run.compensates is None and not _is_kept(draft, stage_id, run, again, missed):
                again.add(stage_id)
        more = {each for each in unreadable if each not in missed and _is_needed(draft, each, again)}
        if not more:
            return again
        missed |= more


def _is_kept(draft: Draft, stage_id: str, run: StageRun, again: Set[str], missed: Set[str]) -> bool:
    waits_for_nothing_new = not readiness.awaited(draft, stage_id) & again
    if run.status is StageStatus.SKIPPED:
        # Nothing that it was judged by has changed, but for figures: what was made without it is not made again.
        return waits_for_nothing_new
    if not run.has_result:
        return False
    if waits_for_nothing_new and stage_id not in missed:
        return True
    # Made from something that is made anew, or lost. Only what has an effect that nobody has taken back is not done twice.
    return draft.plan_of(stage_id).compensation is not None


def _is_lost(run: StageRun, lost: Set[str]) -> bool:
    return run.has_result and run.output is not None and run.output.storage_key in lost


def _is_needed(draft: Draft, stage_id: str, again: Set[str]) -> bool:
    """Whether the output is delivered, or read by what is made anew."""
    name = draft.stages[stage_id].follows or stage_id
    plans = [draft.plan_of(each) for each in again]
    return bool(draft.plan_of(stage_id).output_names) or any(name in plan.needs | plan.judged_with for plan in plans)


def _kept(draft: Draft) -> Kept:
    kept = [stage_id for stage_id, run in draft.stages.items() if run.has_result and run.compensates is None]
    parts = [spent_by_stage(draft.stages[stage_id]) for stage_id in kept]
    total = total_of(parts)
    return Kept(
        stages=tuple(kept),
        tokens_used=tokens_of(total),
        cost_usd=usd_text(known_cost_of_all(parts)),
        processing_time_ms=total.processing_time_ms,
    )


def _say_resumed(draft: Draft, kept: Kept) -> None:
    draft.emit(WorkflowResumed(leg=draft.execution.leg, kept=kept))
    draft.command(AnswerResume(kept=kept))


def _say_lost(draft: Draft, unreadable: Sequence[str], again: Set[str]) -> None:
    for stage_id in unreadable:
        if stage_id in again:
            what_follows = "it is made again"
        elif _is_needed(draft, stage_id, again):
            what_follows = "it is not made again, because nobody has taken back what it did; order anew"
        else:
            continue
        message = f"the result of {stage_id} is no longer in the blob store: {what_follows}"
        draft.emit(ProgressUpdate(progress_percent=draft.progress(), message=message, step_name=stage_id))


def _refuse(draft: Draft, code: str, message: str) -> None:
    draft.command(Refuse(code=code, message=f"{draft.execution.execution_id}: {message}"))
