"""Undoing what had completed when an execution fails or is cancelled: each stage's compensation, in the reverse order.

A compensation is offered to workers as a stage of its own, `compensate_<stage>`, one after the other, with retries like any
work. One that fails does not stop the others: the execution then ends saying what was not undone.
"""

from msgspec.structs import replace

from aif_contracts.events import CompensationFailed
from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_orchestrator.execution.draft import Draft, has_open_attempt
from aif_orchestrator.execution.state import StageRun, Verdict
from aif_orchestrator.execution.stopping import CANCELLED, cut_off, reserved_to_its_last_word
from aif_pipelines.plan import compensation_id


def begin(draft: Draft, verdict: Verdict) -> bool:
    """Have undone what can be undone, for the execution to end as the verdict says; False when nothing can."""
    to_undo = _to_undo(draft)
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
    return True


def fail(draft: Draft, stage_id: str, code: str, message: str) -> None:
    """A compensation has failed for good."""
    run = draft.change(stage_id, status=StageStatus.FAILED, reason=message, due_at=None, finished_at=draft.at)
    draft.emit(CompensationFailed(step_name=run.compensates or stage_id, code=code, message=message))


def run_out_of_time(draft: Draft) -> None:
    """What is not undone by now stays."""
    message = "its execution's time for compensations was over"
    for stage_id, run in list(draft.stages.items()):
        if run.compensates is not None and not run.status.is_final:
            if has_open_attempt(run):
                cut_off(draft, stage_id, CANCELLED, message)
            draft.change(stage_id, reserved=reserved_to_its_last_word(draft, run))
            fail(draft, stage_id, "compensation_timeout", message)


def not_undone(draft: Draft) -> tuple[str, ...]:
    """Stages whose compensation has failed."""
    return tuple(
        run.compensates
        for run in draft.stages.values()
        if run.compensates is not None and run.status is StageStatus.FAILED and not draft.stages[run.compensates].is_undone
    )


def _to_undo(draft: Draft) -> list[str]:
    """Stages that have made something, and know how to undo it: what was made last comes first."""
    extra = draft.circumstances.plan.extra
    made = [
        (run.made_at or 0, position, stage_id)
        for position, (stage_id, run) in enumerate(draft.stages.items())
        if run.output is not None and run.compensates is None and compensation_id(run.follows or stage_id) in extra
    ]
    return [stage_id for _, _, stage_id in sorted(made, reverse=True)]


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
