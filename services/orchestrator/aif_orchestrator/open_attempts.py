"""Attempts that have no row yet, read from an execution's state: those under way, and those that a cancel has cut off."""

from functools import reduce

from aif_contracts.history import AttemptOutcome, AttemptView
from aif_contracts.metering import Metrics
from aif_contracts.orders import ExecutionView, StageStatus, StageView
from aif_orchestrator.execution.draft import is_open, rfc3339
from aif_orchestrator.execution.offering import FREE_GRANT, packet_id
from aif_orchestrator.execution.spent import NOTHING, metrics_of, plus, spent_on_call
from aif_orchestrator.execution.state import Execution, StageRun

CANCELLED = "cancelled"


def open_attempts(execution: Execution, view: ExecutionView, at_ms: int) -> list[AttemptView]:
    """In the order of the stages. An attempt that was cut off shows here what it had spent until then."""
    return [
        _view(execution.execution_id, stage, run, at_ms)
        for stage in view.stages
        for run in [execution.stages[stage.stage_id]]
        if run.attempt > run.ended and (is_open(run) or _was_cut_off(run))
    ]


def _was_cut_off(run: StageRun) -> bool:
    return run.status is StageStatus.CANCELLED and run.heard_at is not None


def _view(execution_id: str, stage: StageView, run: StageRun, at_ms: int) -> AttemptView:
    cut_off_at = run.finished_at if run.status is StageStatus.CANCELLED else None
    started_at = run.started_at
    until = cut_off_at or at_ms
    queued_until = started_at if started_at is not None else until
    return AttemptView(
        stage_id=stage.stage_id,
        attempt=run.attempt,
        worker_name=stage.worker_name,
        action=stage.action,
        outcome=AttemptOutcome.RUNNING if cut_off_at is None else AttemptOutcome.FAILED,
        queue_time_ms=max(0, queued_until - run.ready_at) if run.ready_at is not None else 0,
        execution_time_ms=max(0, until - started_at) if started_at is not None else 0,
        metrics=_booked(run),
        packet_id=packet_id(execution_id, stage.stage_id, run.dispatches),
        instance_id=run.holder,
        started_at=None if started_at is None else rfc3339(started_at),
        ended_at=None if cut_off_at is None else rfc3339(cut_off_at),
        grant=run.grant or FREE_GRANT,
        failure_code=None if cut_off_at is None else CANCELLED,
        message="" if cut_off_at is None else run.reason,
    )


def _booked(run: StageRun) -> Metrics:
    """What is known of an attempt that has not reported: its calls so far."""
    calls = (spent_on_call(call) for call in run.unreported_calls if call.attempt == run.attempt)
    return metrics_of(reduce(plus, calls, NOTHING))
