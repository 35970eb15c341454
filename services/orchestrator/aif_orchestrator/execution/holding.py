"""Time stands still while an execution is paused or waits for a person: what they need is not taken from its deadline."""

from msgspec.structs import replace

from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_orchestrator.execution.draft import Draft

_WORKING = frozenset({ExecutionStatus.RUNNING, ExecutionStatus.AWAITING_APPROVAL})
_HELD = frozenset({ExecutionStatus.PAUSED, ExecutionStatus.AWAITING_APPROVAL})


def hold_or_release(draft: Draft) -> None:
    """Bring the execution's status in line with its stages, stop its time or let it go on."""
    execution = draft.execution
    status = execution.status
    if status in _WORKING:
        waits = any(run.status is StageStatus.AWAITING_APPROVAL for run in draft.stages.values())
        status = ExecutionStatus.AWAITING_APPROVAL if waits else ExecutionStatus.RUNNING
    held_since = execution.held_since
    deadline_at = execution.deadline_at
    if status in _HELD and held_since is None:
        held_since = draft.at
    elif status not in _HELD and held_since is not None:
        # Not less than nothing, should the clock have been set back.
        deadline_at += max(0, draft.at - held_since)
        held_since = None
    if (status, held_since) != (execution.status, execution.held_since):
        draft.execution = replace(execution, status=status, held_since=held_since, deadline_at=deadline_at)
