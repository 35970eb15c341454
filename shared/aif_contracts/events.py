"""What happened in an execution, for people and other systems: CloudEvents 1.0 with a tagged payload.

Events of one execution are numbered 1, 2, 3 … in the order in which they happened, without gaps. The number is the event id
of server-sent events, so a reader that was cut off asks for what follows the last number that it saw.

On the broker, what was committed together travels together: a message is a JSON array of events in their order (the JSON batch
format of CloudEvents), and its subject ends with the type of its last event. A final event is always the last of its message.
"""

from typing import Literal

from msgspec import Struct, field

from aif_contracts.blobs import BlobRef
from aif_contracts.metering import CallOutcome, CostLines, Purpose, ResourceUsage, TimeBreakdown, Tokens
from aif_contracts.money import SignedUsdText, UsdText

MOST_EVENTS_BYTES = 256 * 1024
"""Of several in one message, so that they fit whole into a dead letter."""


class Totals(Struct, frozen=True, kw_only=True):
    """The sums of an execution so far, failed attempts included."""

    tokens_used: Tokens
    cost_usd: UsdText
    cost_is_complete: bool
    """False while some provider call's price is unknown, and after the end while an attempt that was cut off or lost may still
    tell what it has spent; `cost_usd` is then a lower bound."""
    in_doubt_usd: UsdText = "0"
    """What calls without an answer can have cost at most, beside `cost_usd`."""
    cost_lines: CostLines = field(default_factory=CostLines)
    """The known cost by kind."""
    wall_time_ms: int
    """From acceptance to now or to the end."""
    busy_time_ms: int
    """Summed over attempts; above wall time when stages ran in parallel."""
    breakdown: TimeBreakdown
    resource_usage: ResourceUsage
    attempts: int


class Deliverable(Struct, frozen=True, kw_only=True):
    deliverable_id: str
    name: str
    title: str
    media_type: str
    blob: BlobRef


class Kept(Struct, frozen=True, kw_only=True):
    """What a resumed execution does not pay for again."""

    stages: tuple[str, ...]
    """Stages whose outputs are used as they are."""
    tokens_used: Tokens
    cost_usd: UsdText
    processing_time_ms: int
    """Busy time of the attempts that made them."""


class WorkflowScheduled(Struct, frozen=True, kw_only=True, tag="WORKFLOW_SCHEDULED", tag_field="event_type"):
    """Accepted; it starts later."""

    template: str
    version: str
    start_at: str


class WorkflowStarted(Struct, frozen=True, kw_only=True, tag="WORKFLOW_STARTED", tag_field="event_type"):
    template: str
    version: str
    stages: tuple[str, ...]


class WorkflowCompleted(Struct, frozen=True, kw_only=True, tag="WORKFLOW_COMPLETED", tag_field="event_type"):
    status: Literal["completed", "partially_completed"]
    totals: Totals
    deliverables: tuple[Deliverable, ...]


class WorkflowFailed(Struct, frozen=True, kw_only=True, tag="WORKFLOW_FAILED", tag_field="event_type"):
    code: str
    message: str
    totals: Totals
    step_name: str | None = None
    not_undone: tuple[str, ...] = ()
    """Stages whose compensation failed: their effects remain, and somebody has to look."""


class WorkflowCancelled(Struct, frozen=True, kw_only=True, tag="WORKFLOW_CANCELLED", tag_field="event_type"):
    reason: str
    totals: Totals
    not_undone: tuple[str, ...] = ()
    """As for a failed one."""


class WorkflowPaused(Struct, frozen=True, kw_only=True, tag="WORKFLOW_PAUSED", tag_field="event_type"):
    reason: str


class WorkflowResumed(Struct, frozen=True, kw_only=True, tag="WORKFLOW_RESUMED", tag_field="event_type"):
    """After a pause, or after it had ended: then it is on a new leg."""

    leg: int
    kept: Kept
    """Of the legs before; nothing after a pause."""


class StepAdded(Struct, frozen=True, kw_only=True, tag="STEP_ADDED", tag_field="event_type"):
    """A rule has added a stage."""

    step_name: str
    added_by: str
    worker_name: str
    action: str
    reason: str


class ApprovalRequested(Struct, frozen=True, kw_only=True, tag="APPROVAL_REQUESTED", tag_field="event_type"):
    """A person has to look at what a stage has made."""

    step_name: str
    message: str


class ApprovalDecided(Struct, frozen=True, kw_only=True, tag="APPROVAL_DECIDED", tag_field="event_type"):
    step_name: str
    approved: bool
    decided_by: str
    comment: str = ""


class CompensationStarted(Struct, frozen=True, kw_only=True, tag="COMPENSATION_STARTED", tag_field="event_type"):
    step_name: str
    """The stage that is undone."""
    worker_name: str
    action: str


class CompensationCompleted(Struct, frozen=True, kw_only=True, tag="COMPENSATION_COMPLETED", tag_field="event_type"):
    step_name: str
    attempt: int
    summary: str = ""


class CompensationFailed(Struct, frozen=True, kw_only=True, tag="COMPENSATION_FAILED", tag_field="event_type"):
    """It will not be tried again; what the stage has done remains."""

    step_name: str
    code: str
    message: str


class StepStarted(Struct, frozen=True, kw_only=True, tag="STEP_STARTED", tag_field="event_type"):
    step_name: str
    attempt: int
    worker_name: str
    action: str


class StepCompleted(Struct, frozen=True, kw_only=True, tag="STEP_COMPLETED", tag_field="event_type"):
    """An attempt has made a valid result. A rule of the stage may still ask for a better one, or for a person."""

    step_name: str
    attempt: int
    tokens_used: Tokens
    cost_usd: UsdText | None
    processing_time_ms: int
    provider: str | None = None
    model: str | None = None
    quality_score: float | None = None
    element_count: int | None = None
    summary: str = ""


class StepFailed(Struct, frozen=True, kw_only=True, tag="STEP_FAILED", tag_field="event_type"):
    """A stage ended without a result; it will not be tried again."""

    step_name: str
    attempt: int
    code: str
    message: str


class StepSkipped(Struct, frozen=True, kw_only=True, tag="STEP_SKIPPED", tag_field="event_type"):
    step_name: str
    reason: str


class StepRetrying(Struct, frozen=True, kw_only=True, tag="STEP_RETRYING", tag_field="event_type"):
    """An attempt failed and another one follows."""

    step_name: str
    attempt: int
    """The attempt that failed."""
    code: str
    message: str
    retry_in_ms: int


class ProgressUpdate(Struct, frozen=True, kw_only=True, tag="PROGRESS_UPDATE", tag_field="event_type"):
    """What a stage that runs says of its work, or, once, that a stage waits for a worker that nobody runs."""

    progress_percent: int
    """Of the execution, as in the envelope."""
    message: str
    step_name: str | None = None
    step_percent: int | None = None


class CostIncurred(Struct, frozen=True, kw_only=True, tag="COST_INCURRED", tag_field="event_type"):
    step_name: str
    attempt: int
    cost_usd: SignedUsdText | None
    """What came in addition; negative when an attempt's report corrects the upper bound of one of its calls."""
    total_cost_usd: UsdText
    provider: str | None = None
    model: str | None = None


class AiGenerationCompleted(Struct, frozen=True, kw_only=True, tag="AI_GENERATION_COMPLETED", tag_field="event_type"):
    """A provider call has ended, well or not. Told once, before its attempt ends where the worker's report names it; one that
    comes to light after the last event of the leg stands on the bill alone."""

    step_name: str
    attempt: int
    action: str
    provider: str
    model: str
    purpose: Purpose
    outcome: CallOutcome
    tokens_used: int
    cost_usd: UsdText | None
    """None when nobody knows it yet."""
    latency_ms: int
    fallback_from: str | None = None
    """The model in whose place this one was asked, for a fallback."""
    reason: str = ""
    """Code of the failure that a retry, a correction or a fallback follows."""


EventData = (
    WorkflowScheduled
    | WorkflowStarted
    | WorkflowCompleted
    | WorkflowFailed
    | WorkflowCancelled
    | WorkflowPaused
    | WorkflowResumed
    | StepAdded
    | ApprovalRequested
    | ApprovalDecided
    | CompensationStarted
    | CompensationCompleted
    | CompensationFailed
    | StepStarted
    | StepCompleted
    | StepFailed
    | StepSkipped
    | StepRetrying
    | ProgressUpdate
    | CostIncurred
    | AiGenerationCompleted
)

FINAL_EVENT_TYPES = frozenset({"WORKFLOW_COMPLETED", "WORKFLOW_FAILED", "WORKFLOW_CANCELLED"})
"""The last event of a leg. Only a resumed execution has events after one of these; the first of them is WORKFLOW_RESUMED."""


class ExecutionEvent(
    Struct,
    frozen=True,
    kw_only=True,
    rename={"client_id": "clientid", "request_id": "requestid", "progress_percent": "progresspercent"},
):
    """The CloudEvents 1.0 envelope, structured mode. Its attribute names have no underscores, as that specification asks."""

    id: str
    """`<execution>:<sequence>`; the same event sent twice has the same id."""
    type: str
    """`aif.` and the event type in lower case, for example `aif.step_completed`."""
    time: str
    subject: str
    """The execution's id."""
    sequence: int
    client_id: str
    progress_percent: int
    """Of the whole execution, 0 to 100; never falls, but begins anew with each leg."""
    data: EventData
    request_id: str | None = None
    source: str = "/aif/orchestrator"
    specversion: str = "1.0"
    datacontenttype: str = "application/json"
