"""Whoever works on what is over is told so, and what its last calls may cost stays reserved until they can have been told."""

from aif_contracts.orders import StageStatus
from aif_contracts.packets import ControlAction, ControlMessage
from aif_orchestrator.execution import charging
from aif_orchestrator.execution.assignee import worker_of
from aif_orchestrator.execution.commands import TellWorkers
from aif_orchestrator.execution.draft import Draft, has_open_attempt
from aif_orchestrator.execution.state import Reservation, StageRun

CANCELLED = "cancelled"
"""Code of an attempt that was cut off."""


def stop_everything(draft: Draft, reason: str) -> None:
    """Cancel every stage that has not ended."""
    for stage_id, run in list(draft.stages.items()):
        if run.status.is_final:
            continue
        if has_open_attempt(run):
            # By its number: the message may arrive when what it did is being undone, or after the execution was resumed.
            cut_off(draft, stage_id, CANCELLED, reason)
        draft.change(
            stage_id,
            status=StageStatus.CANCELLED,
            reason=reason,
            due_at=None,
            finished_at=draft.at,
            reserved=reserved_to_its_last_word(draft, run),
        )


def cut_off(draft: Draft, stage_id: str, code: str, message: str) -> None:
    """End the open attempt from our side. One that nobody was heard to have begun leaves no record."""
    stop_worker_of(draft, stage_id)
    run = draft.stages[stage_id]
    if run.heard_at is not None:
        charging.record_attempt(draft, stage_id, charging.booked(run), code, message)


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
