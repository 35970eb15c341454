"""Attempts that have no row yet, read from an execution's state."""

from aif_contracts.history import AttemptOutcome, AttemptView
from aif_contracts.orders import ExecutionView, StageView
from aif_orchestrator.execution.charging import booked
from aif_orchestrator.execution.draft import has_open_attempt, rfc3339
from aif_orchestrator.execution.offering import FREE_GRANT, packet_id
from aif_orchestrator.execution.state import Execution, StageRun


def open_attempts(execution: Execution, view: ExecutionView, at_ms: int) -> list[AttemptView]:
    """In the order of the stages."""
    return [
        _view(execution.execution_id, stage, run, at_ms)
        for stage in view.stages
        for run in [execution.stages[stage.stage_id]]
        if has_open_attempt(run)
    ]


def _view(execution_id: str, stage: StageView, run: StageRun, at_ms: int) -> AttemptView:
    started_at = run.started_at
    queued_until = started_at if started_at is not None else at_ms
    return AttemptView(
        stage_id=stage.stage_id,
        attempt=run.attempt,
        worker_name=stage.worker_name,
        action=stage.action,
        outcome=AttemptOutcome.RUNNING,
        queue_time_ms=max(0, queued_until - run.offered_at) if run.offered_at is not None else 0,
        execution_time_ms=max(0, at_ms - started_at) if started_at is not None else 0,
        metrics=booked(run),
        packet_id=packet_id(execution_id, stage.stage_id, run.dispatches),
        instance_id=run.holder,
        started_at=None if started_at is None else rfc3339(started_at),
        grant=run.grant or FREE_GRANT,
    )
