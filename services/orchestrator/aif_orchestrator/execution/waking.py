"""What is due when an execution's time has come: its start, its limits, silent attempts, waiting retries, lost packets."""

from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_orchestrator.execution import attempts, charging, ending, judging, offering, readiness, saga, steering
from aif_orchestrator.execution.assignee import worker_of
from aif_orchestrator.execution.draft import Draft, told


def time_passed(draft: Draft) -> None:
    """Attend to everything that is due: the execution's deadline, silent attempts, waiting retries, packets presumed lost."""
    execution = draft.execution
    charging.forget_the_silent(draft)
    if execution.is_final:
        return
    if execution.status is ExecutionStatus.SCHEDULED:
        if execution.start_at is not None and execution.start_at <= draft.at:
            steering.start(draft)
        return
    _end_after_its_time(draft)
    for stage_id in list(draft.stages):
        run = draft.stages[stage_id]
        if run.due_at is None or run.due_at > draft.at:
            continue
        if run.status is StageStatus.RUNNING:
            attempts.fall_silent(draft, stage_id, run)
        elif run.status is StageStatus.QUEUED and execution.status is not ExecutionStatus.PAUSED:
            offering.attend(draft, stage_id)
        elif run.status is StageStatus.RETRYING:
            offering.dispatch(draft, stage_id)
        elif run.status is StageStatus.PREPARING:
            readiness.prepare(draft, stage_id)
        elif run.status is StageStatus.JUDGING:
            judging.judge(draft, stage_id, {})
        elif saga.awaits_word(draft, run):
            saga.give_up_hearing(draft, stage_id)


def _end_after_its_time(draft: Draft) -> None:
    """End, or stop undoing, what has had its time as a whole."""
    execution = draft.execution
    if execution.compensate_until is not None:
        if execution.compensate_until <= draft.at:
            saga.run_out_of_time(draft)
    elif execution.held_since is not None:
        if execution.held_since + draft.circumstances.patience.most_held_ms <= draft.at:
            days = draft.circumstances.patience.most_held_ms / 86_400_000
            ending.fail(draft, None, "held_too_long", f"it was paused, or waited for a person, for {days:g} days")
    elif execution.deadline_at <= draft.at:
        limit = draft.circumstances.plan.pipeline.timeout_seconds
        message = f"the execution did not end within its {limit:g} s{_missing_workers(draft)}"
        ending.fail(draft, None, "deadline_exceeded", told(message))


def _missing_workers(draft: Draft) -> str:
    """Whom its stages wait for in vain: what was to be seen at each of them is gone when it has ended."""
    queued = [stage_id for stage_id, run in draft.stages.items() if run.status is StageStatus.QUEUED]
    missing = [
        f"{stage_id} waited for {worker}, and no worker of that name is running"
        for stage_id in queued
        if (worker := worker_of(draft.plan_of(stage_id))) not in draft.circumstances.live_workers
    ]
    return "".join(f"; {words}" for words in missing)
