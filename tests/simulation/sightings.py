"""What happens only in some histories, counted to know that the weather reaches it."""

from collections.abc import Iterator

from aif_contracts.events import (
    ApprovalDecided,
    CompensationCompleted,
    CompensationFailed,
    ExecutionEvent,
    StepAdded,
    StepFailed,
    StepRetrying,
    StepSkipped,
    WorkflowFailed,
    WorkflowPaused,
    WorkflowResumed,
    WorkflowScheduled,
)
from aif_orchestrator.execution.claims import BUDGET_EXCEEDED
from aif_orchestrator.execution.judging import RETRY_RULE
from aif_orchestrator.execution.saga import COMPENSATION_SKIPPED
from aif_orchestrator.execution.steering import NOTHING_KEPT

RARE = (
    "resumed after its end",
    "resumed after a pause",
    "paused",
    "scheduled",
    "compensated",
    "not compensated",
    "given up",
    "approved",
    "rejected",
    "held too long",
    "added",
    "bettered",
    "left out by a rule",
    "failed by a rule",
    "budget refused",
    "alone",
    "held up",
    "reports together",
    "offers refused",
    "offers unanswered",
    "told directly",
    "stored after all",
    "budget_exceeded",
    "budget_reserved",
    "estimated",
    "stated",
)


def rare(event: ExecutionEvent) -> Iterator[str]:
    """Which of the rare things an event tells of."""
    match event.data:
        case WorkflowResumed(kept=kept):
            yield "resumed after a pause" if kept is NOTHING_KEPT else "resumed after its end"
        case WorkflowPaused():
            yield "paused"
        case WorkflowScheduled():
            yield "scheduled"
        case CompensationCompleted():
            yield "compensated"
        case CompensationFailed(code=code):
            yield "given up" if code == COMPENSATION_SKIPPED else "not compensated"
        case ApprovalDecided(approved=approved):
            yield "approved" if approved else "rejected"
        case WorkflowFailed(code="held_too_long"):
            yield "held too long"
        case StepAdded():
            yield "added"
        case StepRetrying(code=code) if code == RETRY_RULE:
            yield "bettered"
        case StepSkipped(reason=reason) if reason.startswith("a rule of"):
            yield "left out by a rule"
        case StepFailed(code="failed_by_rule"):
            yield "failed by a rule"
        case StepFailed(code=code) if code == BUDGET_EXCEEDED:
            yield "budget refused"
        case _:
            pass
