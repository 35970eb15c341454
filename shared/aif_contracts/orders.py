"""What is asked of the factory: orders of other systems, and the questions the gateway puts to orchestrator and classifier."""

import enum
from typing import Annotated, Any

from msgspec import Meta, Struct, field

from aif_contracts.events import Deliverable, ExecutionEvent, Kept, Totals
from aif_contracts.metering import CostLines, Metrics, Tokens
from aif_contracts.money import UsdText
from aif_contracts.packets import CeilingReason, Priority, QualityTier

LARGEST_PARAMETERS_BYTES = 64 * 1024
"""Of an execution's parameters as JSON. A long text is a source, and goes by reference."""
Name = Annotated[
    str,
    Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$(?!\n)", description="Lower-case letters, digits and _, a letter first, 64 at most"),
]
ClientId = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$(?!\n)",
        description="Letters, digits, _ and -, a letter or digit first, 64 at most",
    ),
]
ExecutionId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$(?!\n)")]
"""A token of subjects, a part of blob keys."""
Version = Annotated[str, Meta(max_length=64, description="The newest when left out")]
IdempotencyKey = Annotated[
    str, Meta(pattern=r"^[\x21-\x7e]{1,200}$(?!\n)", description="Characters of ASCII without spaces, 200 at most")
]


class SubmittedOrder(Struct, frozen=True, kw_only=True):
    """Published by another system on `aif.request.submit.<client_id>`; the subject says whose order it is."""

    template: Name
    parameters: dict[str, Any] = field(default_factory=dict)
    """As the template's schema says; `source_text` may carry the source document as Markdown or plain text."""
    message: Annotated[str, Meta(max_length=4000)] = ""
    urgency_level: Priority = Priority.NORMAL
    idempotency_key: IdempotencyKey | None = None
    """The same key with the same order is one execution; without it the message id `Nats-Msg-Id` serves."""
    workspace_id: ClientId | None = None
    start_at: str | None = None
    """Not before this time, RFC 3339 with an offset, at most a year ahead; None for at once."""
    max_cost_usd: UsdText | None = None
    """What the execution may spend at AI providers; None for the operator's limit, which is also the highest."""
    template_version: Version | None = None
    """None for the newest."""


class Execute(Struct, frozen=True, kw_only=True):
    """Ask the orchestrator to start an execution. The same `execution_id` sent twice is one execution."""

    client_id: ClientId
    template_name: Name
    parameters: dict[str, Any] = field(default_factory=dict)
    priority: Priority = Priority.NORMAL
    execution_id: ExecutionId | None = None
    """When it is None, the orchestrator derives it from client and request, so that the same two are one execution; or makes a
    new one, when there is no `request_id` either: then the same question again is another execution."""
    request_id: Annotated[str, Meta(max_length=100)] | None = None
    template_version: Version | None = None
    """None for the newest."""
    workspace_id: ClientId | None = None
    tier: Annotated[str, Meta(max_length=100)] = "standard"
    start_at: str | None = None
    """Not before this time, RFC 3339 with an offset, at most a year ahead; None for at once."""
    max_cost_usd: UsdText | None = None
    """What the execution may spend at AI providers; None for the operator's limit, which is also the highest."""


class ExecutionStatus(enum.StrEnum):
    SCHEDULED = "scheduled"
    """Accepted, and waits for its time to start."""
    RUNNING = "running"
    AWAITING_APPROVAL = "awaiting_approval"
    """A stage waits for a person; others may still be running."""
    PAUSED = "paused"
    """Nothing new is begun; attempts under way may end."""
    COMPENSATING = "compensating"
    """It is going to end as failed or cancelled; what had completed is being undone."""
    COMPLETED = "completed"
    PARTIALLY_COMPLETED = "partially_completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    def __init__(self, value: str) -> None:
        # Asked for in every step of every execution, so it is an attribute of each member and not worked out again.
        self.is_final = value in ("completed", "partially_completed", "failed", "cancelled")


class StageStatus(enum.StrEnum):
    WAITING = "waiting"
    """For the stages it depends on."""
    PREPARING = "preparing"
    """Its input is being put together from stored outputs."""
    QUEUED = "queued"
    """Offered to the workers, nobody has begun."""
    RUNNING = "running"
    RETRYING = "retrying"
    """An attempt failed, or its result is to be bettered; the next one waits for its time."""
    JUDGING = "judging"
    """It has a result; the outputs that its rules read are being fetched."""
    AWAITING_APPROVAL = "awaiting_approval"
    """It has a result, and a person has to agree before what follows starts."""
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    def __init__(self, value: str) -> None:
        self.is_final = value in ("completed", "failed", "skipped", "cancelled")


class StageView(Struct, frozen=True, kw_only=True):
    stage_id: str
    worker_name: str
    action: str
    status: StageStatus
    attempt: int
    progress_percent: int
    metrics: Metrics
    """Summed over the stage's attempts, failed ones included."""
    quality_score: float | None = None
    element_count: int | None = None
    reason: str = ""
    """Why it waits, was skipped or failed; empty when there is nothing to say."""
    added_by: str | None = None
    """The stage whose rule added this one; None for a stage of the template."""
    compensates: str | None = None
    """The stage that this one undoes; None for work."""


class WorkerShare(Struct, frozen=True, kw_only=True):
    """What one worker's attempts have used, failed ones and compensations included."""

    attempts: int
    tokens_used: Tokens
    cost_usd: UsdText
    """The known part; a lower bound when `cost_is_complete` of the totals is false."""
    busy_time_ms: int


class Breakdown(Struct, frozen=True, kw_only=True):
    """The totals of an execution, taken apart."""

    by_worker: dict[str, WorkerShare]
    by_resource: CostLines


class ExecutionView(Struct, frozen=True, kw_only=True):
    """An execution as its client may see it."""

    execution_id: str
    client_id: str
    request_id: str | None
    template: str
    template_version: str
    status: ExecutionStatus
    priority: Priority
    progress_percent: int
    created_at: str
    completed_at: str | None
    stages: tuple[StageView, ...]
    totals: Totals
    deliverables: tuple[Deliverable, ...]
    last_sequence: int
    """Number of the newest event."""
    failure_code: str | None = None
    failure_message: str | None = None
    leg: int = 1
    """1, and one more for every time that it was resumed after it had ended."""
    start_at: str | None = None
    """When a delayed execution starts; None for one that started at once."""
    max_cost_usd: UsdText = "0"
    """What its attempts may spend at AI providers, all together."""
    remaining_usd: UsdText = "0"
    """What is left of it, and not reserved by attempts under way or for calls without an answer."""
    reserved_usd: UsdText = "0"
    """What it holds of its client's budget beside what is spent."""
    quality_ceiling: QualityTier | None = None
    """The best models that it may use; None for no ceiling."""
    quality_reason: CeilingReason | None = None
    energy_spent: int = 0
    energy_reserved: int = 0
    breakdown: Breakdown | None = None
    """None from a writer that does not tell."""
    not_undone: tuple[str, ...] = ()
    """Stages whose compensation failed or was given up: their effects remain, and somebody has to look."""


class GetExecution(Struct, frozen=True, kw_only=True):
    execution_id: str
    client_id: str | None
    """None for the operator, who sees every client's."""


class CancelExecution(Struct, frozen=True, kw_only=True):
    execution_id: str
    client_id: str | None
    reason: Annotated[str, Meta(max_length=500)] = "cancelled by the client"


class PauseExecution(Struct, frozen=True, kw_only=True):
    """Begin nothing new; attempts under way may end, and the execution's time stands still.

    Answered with ExecutionView or Refusal.
    """

    execution_id: str
    client_id: str | None
    reason: Annotated[str, Meta(max_length=500)] = "paused by the client"


class ResumeExecution(Struct, frozen=True, kw_only=True):
    """Go on with a paused execution; or try one that failed, was cancelled or completed in part again from where it ended.

    Answered with Resumed or Refusal.
    """

    execution_id: str
    client_id: str | None


class DecideApproval(Struct, frozen=True, kw_only=True):
    """Agree, or not, with what a stage has made. Answered with ExecutionView or Refusal."""

    execution_id: str
    client_id: str | None
    approved: bool
    decided_by: Annotated[str, Meta(min_length=1, max_length=200)]
    stage_id: str | None = None
    """None when only one stage waits."""
    comment: Annotated[str, Meta(max_length=1000)] = ""


class SkipCompensation(Struct, frozen=True, kw_only=True):
    """Give up undoing a stage: what it has done remains, and the rest is undone. Answered with ExecutionView or Refusal."""

    execution_id: str
    client_id: str | None
    decided_by: Annotated[str, Meta(min_length=1, max_length=200)]
    stage_id: str | None = None
    """The stage that is undone, or its compensation; None when only one is left to undo."""
    comment: Annotated[str, Meta(max_length=1000)] = ""


class Resumed(Struct, frozen=True, kw_only=True, tag="resumed", tag_field="reply"):
    execution: ExecutionView
    kept: Kept


class ListExecutions(Struct, frozen=True, kw_only=True):
    client_id: str | None
    status: ExecutionStatus | None = None
    template: Name | None = None
    request_id: str | None = None
    created_after: str | None = None
    """RFC 3339 with an offset; this time and later."""
    created_before: str | None = None
    """RFC 3339 with an offset; before this time."""
    text: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    """Part of the id, the template's name or a text among the parameters, in any case."""
    cursor: ExecutionId | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class ExecutionPage(Struct, frozen=True, kw_only=True):
    executions: tuple[ExecutionView, ...]
    next_cursor: str | None
    """None on the last page."""


class ListEvents(Struct, frozen=True, kw_only=True):
    execution_id: str
    client_id: str | None
    after: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 500


class EventPage(Struct, frozen=True, kw_only=True):
    events: tuple[ExecutionEvent, ...]
    is_final: bool
    """True when the execution has ended and no event follows the last one here."""


class ListTemplates(Struct, frozen=True, kw_only=True):
    client_id: str | None = None
    """Whose own pipelines are listed beside the factory's; None for the factory's alone."""
    cursor: str | None = None
    """The name after which the page begins."""
    limit: Annotated[int, Meta(ge=1, le=100)] = 100


class TemplateView(Struct, frozen=True, kw_only=True):
    name: str
    version: str
    title: str
    description: str
    structure_type: str | None
    parameters: dict[str, Any]
    """JSON Schema of the parameters."""
    stages: tuple[str, ...]
    owner: str | None = None
    """The client whose own pipeline it is; None for the factory's."""


class TemplateList(Struct, frozen=True, kw_only=True):
    templates: tuple[TemplateView, ...]
    next_cursor: str | None = None
    """None on the last page."""
    max_cost_usd: UsdText | None = None
    """The operator's limit: no order may name more for its execution."""


class FieldMistake(Struct, frozen=True, kw_only=True):
    field: str
    message: str
    mend: str = ""


class Refusal(Struct, frozen=True, kw_only=True, tag="refusal", tag_field="reply"):
    """A question that was understood and answered with no."""

    code: str
    """Stable snake_case name, for example `unknown_template`."""
    message: str
    mistakes: tuple[FieldMistake, ...] = ()
    retry_after_ms: int | None = None


class Accepted(Struct, frozen=True, kw_only=True, tag="accepted", tag_field="reply"):
    """The execution is stored and will end in exactly one terminal state."""

    execution_id: str
    template_version: str
    status: ExecutionStatus
