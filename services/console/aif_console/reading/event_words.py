"""Events in words: what happened and, where a person is wanted, which command answers."""

from typing import assert_never

from aif_console.moments import local_time
from aif_console.reading.figures import kept_words
from aif_console.reading.plain_text import dollars, in_place_of, milliseconds, plain
from aif_contracts.events import (
    AiGenerationCompleted,
    ApprovalDecided,
    ApprovalRequested,
    CompensationCompleted,
    CompensationFailed,
    CompensationStarted,
    CostIncurred,
    ExecutionEvent,
    ProgressUpdate,
    StepAdded,
    StepCompleted,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepStarted,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowPaused,
    WorkflowResumed,
    WorkflowScheduled,
    WorkflowStarted,
)

_STEERING = (
    WorkflowScheduled,
    WorkflowPaused,
    WorkflowResumed,
    WorkflowFailed,
    WorkflowCancelled,
    StepAdded,
    ApprovalRequested,
    ApprovalDecided,
    CompensationStarted,
    CompensationCompleted,
    CompensationFailed,
)
_CHATTER = (ProgressUpdate, CostIncurred, AiGenerationCompleted)


def is_steering(event: ExecutionEvent) -> bool:
    """True for what changes the course of an execution: worth a line of its own beside a picture of the stages."""
    return isinstance(event.data, _STEERING)


def is_chatter(event: ExecutionEvent) -> bool:
    """True for what a short log leaves out. That another model stepped in is worth its line."""
    if isinstance(event.data, AiGenerationCompleted) and event.data.fallback_from is not None:
        return False
    return isinstance(event.data, _CHATTER)


def event_line(event: ExecutionEvent) -> str:
    """One line: the type of the event, where, and what it says."""
    kind = str(type(event.data).__struct_config__.tag).lower().replace("_", " ")
    step = getattr(event.data, "step_name", None) or ""
    return plain("  ".join(word for word in (kind, step, _said(event)) if word))


def _said(event: ExecutionEvent) -> str:
    execution_id = event.subject
    match event.data:
        case WorkflowScheduled(template=template, start_at=start_at):
            return f"{template}, starts at {local_time(start_at)}; to call it off: aif cancel {execution_id}"
        case WorkflowStarted(template=template):
            return template
        case WorkflowCompleted(status=status):
            return "" if status == "completed" else "in part"
        case WorkflowFailed(message=message, not_undone=not_undone):
            return _with_left_over(message, not_undone)
        case WorkflowCancelled(reason=reason, not_undone=not_undone):
            return _with_left_over(reason, not_undone)
        case WorkflowPaused(reason=reason):
            return f"{reason}; to go on: aif resume {execution_id}"
        case WorkflowResumed(leg=leg, kept=kept):
            return f"leg {leg}, {kept_words(kept)}" if leg > 1 else "goes on"
        case StepAdded(added_by=added_by, worker_name=worker, action=action, reason=reason):
            return f"by a rule of {added_by}: {worker} {action}, because {reason}"
        case ApprovalRequested(step_name=stage, message=message):
            answer = f"{execution_id} --stage {stage}"
            return f"{message}; to agree: aif approve {answer}; not to: aif reject {answer}"
        case ApprovalDecided(approved=approved, decided_by=person, comment=comment):
            return f"{'approved' if approved else 'rejected'} by {person}" + (f": {comment}" if comment else "")
        case CompensationStarted(worker_name=worker, action=action):
            return f"being undone by {worker} {action}"
        case CompensationCompleted(summary=summary):
            return f"undone{f': {summary}' if summary else ''}"
        case CompensationFailed(code=code, message=message):
            return f"what it did remains: {code}: {message}"
        case StepStarted(worker_name=worker, attempt=attempt):
            return f"by {worker}" + (f", attempt {attempt}" if attempt > 1 else "")
        case StepRetrying(message=message, attempt=attempt, retry_in_ms=wait_ms):
            return f"{message}; attempt {attempt + 1} in {milliseconds(wait_ms)}"
        case StepCompleted(summary=words) | StepFailed(message=words) | StepSkipped(reason=words):
            return words
        case ProgressUpdate(message=words):
            return words
        case AiGenerationCompleted(model=model, outcome=outcome, tokens_used=tokens, latency_ms=latency_ms) as call:
            fallback = in_place_of(call.fallback_from, call.reason)
            ended = f"{outcome.value.replace('_', ' ')} after {milliseconds(latency_ms)}, {tokens} tokens"
            return f"{model} {fallback + ': ' if fallback else ''}{ended}"
        case CostIncurred(cost_usd=cost, total_cost_usd=total):
            return f"{dollars(cost)}, {dollars(total)} in all"
        case unknown:
            assert_never(unknown)


def _with_left_over(words: str, not_undone: tuple[str, ...]) -> str:
    return f"{words}; not undone, somebody has to look: {', '.join(not_undone)}" if not_undone else words
