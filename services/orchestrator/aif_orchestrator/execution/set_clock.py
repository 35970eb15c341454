"""What a clock that has been set back leaves behind: timers and times that lie ahead of it by as much as it was ahead.

No timer stays farther off than one that is set now would be, else the execution would sleep for all of that time; what is
nearer stays as it is. An attempt under way keeps its number, its packet and its lease.
"""

from msgspec.structs import replace

from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_orchestrator.execution import attempts, offering
from aif_orchestrator.execution.draft import Draft
from aif_orchestrator.execution.state import Reservation, StageRun


def bring_near(draft: Draft) -> None:
    """Again is harmless. A start that was ordered for a time of day stays where it is."""
    if draft.execution.status is ExecutionStatus.SCHEDULED:
        return
    for stage_id, run in list(draft.stages.items()):
        nearer = replace(run, reserved=_reservations(draft, stage_id, run))
        if not run.status.is_final:
            nearer = _times(draft, stage_id, nearer)
        if nearer != run:
            draft.put(stage_id, nearer)
    if not draft.execution.is_final:
        _bring_limits_near(draft)


def _bring_limits_near(draft: Draft) -> None:
    execution = draft.execution
    held_since, compensate_until = execution.held_since, execution.compensate_until
    until_stopped = draft.at
    if held_since is not None:
        held_since = until_stopped = min(held_since, draft.at)
    if compensate_until is not None:
        compensate_until = min(compensate_until, draft.at + draft.circumstances.patience.compensating_ms)
    whole_time_ms = int(draft.circumstances.plan.pipeline.timeout_seconds * 1000)
    deadline_at = min(execution.deadline_at, until_stopped + whole_time_ms)
    if (held_since, compensate_until, deadline_at) != (
        execution.held_since,
        execution.compensate_until,
        execution.deadline_at,
    ):
        draft.execution = replace(execution, held_since=held_since, compensate_until=compensate_until, deadline_at=deadline_at)


def _times(draft: Draft, stage_id: str, run: StageRun) -> StageRun:
    timeout_ms = int(draft.plan_of(stage_id).stage.timeout_seconds * 1000)
    return replace(
        run,
        due_at=_no_later(run.due_at, draft.at + _longest_wait_ms(draft, stage_id, run)),
        times_out_at=_no_later(run.times_out_at, draft.at + timeout_ms),
        ready_at=_no_later(run.ready_at, draft.at),
        offered_anew_at=_no_later(run.offered_anew_at, draft.at),
        started_at=_no_later(run.started_at, draft.at),
        heard_at=_no_later(run.heard_at, draft.at),
    )


def _longest_wait_ms(draft: Draft, stage_id: str, run: StageRun) -> int:
    """How far off whatever the stage waits for could be, had it begun to wait now."""
    patience = draft.circumstances.patience
    match run.status:
        case StageStatus.RUNNING:
            return patience.lease_ms
        case StageStatus.QUEUED:
            return offering.longest_patience_ms(patience, run.resends)
        case StageStatus.RETRYING:
            return attempts.longest_pause_ms(draft.plan_of(stage_id).stage.retry.backoff)
        case StageStatus.WAITING:
            return patience.lease_ms + patience.last_word_ms
        case _:
            return patience.preparing_ms


def _reservations(draft: Draft, stage_id: str, run: StageRun) -> dict[int, Reservation]:
    latest = attempts.ended_by(draft, stage_id) + draft.circumstances.patience.lease_ms
    return {number: replace(each, until=min(each.until, latest)) for number, each in run.reserved.items()}


def _no_later(moment: int | None, latest: int) -> int | None:
    return None if moment is None else min(moment, latest)
