"""Undoing what had completed when an execution fails or is cancelled: each stage's compensation, in the reverse order.

A compensation is offered to workers as a stage of its own, `compensate_<stage>`, one after the other, with retries like any
work. One that fails does not stop the others: the execution then ends saying what was not undone. So it is with one that a
person gives up, because its worker is gone for good or can do nothing about it.

An attempt that was cut off may have done its work all the same. Its worker says so soon, or that it has not; until then the
undoing waits, since what was made last is undone first, and what nobody has heard of in time is named as not undone.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from aif_contracts.audit import COMPENSATION_SKIPPED as AUDITED_AS_SKIPPED
from aif_contracts.audit import SOC2, AuditEntry, Severity
from aif_contracts.blobs import BlobRef
from aif_contracts.events import CompensationFailed
from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_orchestrator.execution.commands import TellAudit
from aif_orchestrator.execution.draft import Draft, has_open_attempt, rfc3339
from aif_orchestrator.execution.state import StageRun, Verdict
from aif_orchestrator.execution.stopping import CANCELLED, cut_off, reserved_to_its_last_word
from aif_pipelines.plan import compensation_id

EFFECT_UNKNOWN = "effect_unknown"
COMPENSATION_SKIPPED = "compensation_skipped"


def begin(draft: Draft, verdict: Verdict) -> bool:
    """Have undone what can be undone, for the execution to end as the verdict says; False when nothing can."""
    unheard = _unheard(draft)
    to_undo = [*unheard, *_to_undo(draft)]
    if not to_undo:
        return False
    draft.execution = replace(
        draft.execution,
        status=ExecutionStatus.COMPENSATING,
        verdict=verdict,
        held_since=None,
        compensate_until=draft.at + draft.circumstances.patience.compensating_ms,
    )
    for stage_id in to_undo:
        _enlist(draft, stage_id)
    patience = draft.circumstances.patience
    for stage_id in unheard:
        until = draft.at + patience.lease_ms + patience.last_word_ms
        draft.change(compensation_id(stage_id), due_at=until, reason="its worker has not said yet what the attempt has done")
    return True


def awaits_word(draft: Draft, run: StageRun) -> bool:
    """Whether it is not known yet that there is something for this compensation to undo."""
    return run.status is StageStatus.WAITING and run.compensates is not None and draft.stages[run.compensates].output is None


def hear(draft: Draft, stage_id: str, attempt: int, output: BlobRef | None) -> None:
    """How the attempt at a stage ended that was cut off: with an output, which is undone and not delivered, or without."""
    undo_id = compensation_id(stage_id)
    undo = draft.stages.get(undo_id)
    if undo is None or not awaits_word(draft, undo) or attempt != draft.stages[stage_id].attempt:
        return
    if output is None:
        draft.change(
            undo_id,
            status=StageStatus.SKIPPED,
            due_at=None,
            finished_at=draft.at,
            reason="the attempt has ended without a result",
        )
    else:
        draft.change(stage_id, output=output, made_at=draft.next_made_at())
        draft.change(undo_id, due_at=None, reason="")
    draft.start_anew()


def give_up_hearing(draft: Draft, undo_id: str) -> None:
    """Nobody will say any more what the attempt that was cut off has done."""
    stage_id = draft.stages[undo_id].compensates or undo_id
    attempt = draft.stages[stage_id].attempt
    message = f"attempt {attempt} of {stage_id} was cut off, and its worker has not said whether it had done its work by then"
    fail(draft, undo_id, EFFECT_UNKNOWN, message)


def fail(draft: Draft, stage_id: str, code: str, message: str) -> None:
    """A compensation has failed for good."""
    run = draft.change(stage_id, status=StageStatus.FAILED, reason=message, due_at=None, finished_at=draft.at)
    draft.emit(CompensationFailed(step_name=run.compensates or stage_id, code=code, message=message))


def left_to_undo(draft: Draft) -> list[str]:
    """Stages whose compensation has not ended, in the order in which they are undone."""
    return [run.compensates for run in draft.stages.values() if run.compensates is not None and not run.status.is_final]


def skip(draft: Draft, stage_id: str, decided_by: str, comment: str) -> None:
    """Stop undoing a stage that is left to undo, whether a worker is at it, nobody takes it or it has not had its turn."""
    undo_id = compensation_id(stage_id)
    run = draft.stages[undo_id]
    details = {"stage_id": stage_id, "status": run.status, "attempts": run.attempt, "reason": run.reason, "comment": comment}
    _stop(draft, undo_id, COMPENSATION_SKIPPED, f"{decided_by} gave it up{f': {comment}' if comment else ''}")
    execution = draft.execution
    entry = AuditEntry(
        audit_id=f"skipped.{execution.execution_id}.{execution.leg}.{stage_id}",
        action=AUDITED_AS_SKIPPED,
        severity=Severity.WARNING,
        actor=decided_by,
        occurred_at=rfc3339(draft.at),
        details=details,
        compliance=(SOC2,),
        client_id=execution.client_id,
        execution_id=execution.execution_id,
    )
    draft.command(TellAudit(entry=entry))


def run_out_of_time(draft: Draft) -> None:
    """What is not undone by now stays."""
    message = "its execution's time for compensations was over"
    for stage_id, run in list(draft.stages.items()):
        if run.compensates is not None and not run.status.is_final:
            _stop(draft, stage_id, "compensation_timeout", message)


def not_undone(stages: Mapping[str, StageRun]) -> tuple[str, ...]:
    """Stages whose compensation has failed."""
    return tuple(
        run.compensates
        for run in stages.values()
        if run.compensates is not None and run.status is StageStatus.FAILED and not stages[run.compensates].is_undone
    )


def _stop(draft: Draft, undo_id: str, code: str, message: str) -> None:
    """End a compensation that has not ended by itself."""
    run = draft.stages[undo_id]
    if has_open_attempt(run):
        cut_off(draft, undo_id, CANCELLED, message)
    draft.change(undo_id, reserved=reserved_to_its_last_word(draft, run))
    fail(draft, undo_id, code, message)


def _to_undo(draft: Draft) -> list[str]:
    """Stages that have made something, and know how to undo it: what was made last comes first."""
    extra = draft.circumstances.plan.extra
    made = [
        (run.made_at or 0, position, stage_id)
        for position, (stage_id, run) in enumerate(draft.stages.items())
        if run.output is not None and run.compensates is None and compensation_id(run.follows or stage_id) in extra
    ]
    return [stage_id for _, _, stage_id in sorted(made, reverse=True)]


def _unheard(draft: Draft) -> list[str]:
    """Stages that know how to undo what they make, and whose attempt was cut off: what it has made, nobody has said yet.

    Without those of which something is not undone already: they are named as such, whatever is heard.
    """
    extra, named = draft.circumstances.plan.extra, not_undone(draft.stages)
    return [
        stage_id
        for stage_id, run in draft.stages.items()
        if run.status is StageStatus.CANCELLED
        and run.attempt > run.ended
        and not run.is_waiting
        and run.output is None
        and run.compensates is None
        and compensation_id(run.follows or stage_id) in extra
        and stage_id not in named
    ]


def _enlist(draft: Draft, stage_id: str) -> None:
    """Put the compensation at the end of the stages, as one that waits."""
    undo_id = compensation_id(stage_id)
    follows = compensation_id(draft.stages[stage_id].follows or stage_id)
    before = draft.take_out(undo_id)
    run = StageRun(follows=follows, compensates=stage_id)
    draft.put(undo_id, run if before is None else begun_anew(before))


def begun_anew(run: StageRun) -> StageRun:
    """A stage as if nothing had been tried, but for its attempts' numbers and cost, and what was wrong with the last one.

    Who was not told of that would do the same again: the response cache gives the same answer to the same question.
    """
    return StageRun(
        dispatches=run.dispatches,
        attempt=run.attempt,
        ended=run.attempt,
        spent=run.spent,
        settled=run.settled,
        reserved=run.reserved,
        unreported_calls=run.unreported_calls,
        statements=run.statements,
        energy=run.energy,
        previous=run.previous,
        follows=run.follows,
        added_by=run.added_by,
        compensates=run.compensates,
    )
