"""Which commands an execution waits for."""

from aif_contracts.orders import ExecutionStatus, ExecutionView, StageStatus, StageView


def next_commands(execution: ExecutionView) -> list[str]:
    """What makes it go on; none while it needs nobody."""
    some_id = execution.execution_id
    match execution.status:
        case ExecutionStatus.PAUSED | ExecutionStatus.FAILED | ExecutionStatus.CANCELLED | ExecutionStatus.PARTIALLY_COMPLETED:
            return [f"aif resume {some_id}"]
        case ExecutionStatus.COMPENSATING:
            hangs = [stage.compensates for stage in execution.stages if stage.compensates and _hangs(stage)]
            return [f"aif skip-compensation {some_id} --stage {stage_id}" for stage_id in hangs]
        case ExecutionStatus.COMPLETED | ExecutionStatus.SCHEDULED:
            return []
    waiting = [stage.stage_id for stage in execution.stages if stage.status is StageStatus.AWAITING_APPROVAL]
    return [f"aif approve {some_id} --stage {stage}" for stage in waiting]


def _hangs(compensation: StageView) -> bool:
    """It says why it does not go on."""
    return not compensation.status.is_final and bool(compensation.reason)


def next_words(execution: ExecutionView) -> list[str]:
    """What its owner may do now, a line each."""
    commands = next_commands(execution)
    match execution.status:
        case ExecutionStatus.COMPLETED:
            return []
        case ExecutionStatus.PAUSED:
            purpose = "to go on"
        case _ if execution.status.is_final:
            purpose = "to try again"
        case ExecutionStatus.COMPENSATING if commands:
            purpose = "if it cannot be undone"
        case _ if commands:
            purpose = "to agree"
        case _:
            return [f"watch it: aif watch {execution.execution_id}"]
    return [f"{purpose}: {command}" for command in commands]
