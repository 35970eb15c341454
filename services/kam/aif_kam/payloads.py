"""The shapes of HTTP bodies."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from aif_contracts.events import Totals
from aif_contracts.money import UsdText, usd_text
from aif_contracts.orders import ClientId, ExecutionStatus, ExecutionView, FieldMistake, Name, TemplateView, Version
from aif_contracts.packets import Priority
from aif_kam.request_store import ClientRequest, Origin, RequestStatus, StoredProblem
from aif_runtime.clock import rfc3339

RequestType = Literal["pipeline_execution"]
Message = Annotated[str, Meta(max_length=4000)]
Confidence = Annotated[float, Meta(ge=0, le=1)]
StartAt = Annotated[str, Meta(max_length=40, description="Not before this time: RFC 3339 with an offset, a year ahead at most")]
MaxCost = Annotated[
    UsdText,
    Meta(
        description="What an execution may spend at AI providers, US dollars as decimal text; "
        "left out for the operator's limit, which is also the highest",
        examples=["0.50"],
    ),
]


class CreateRequest(Struct, frozen=True, kw_only=True):
    client_id: ClientId | None = None
    """The key's own client when left out; an admin key names one."""
    request_type: RequestType = "pipeline_execution"
    message: Message = ""
    """What the client wants, in words."""
    urgency_level: Priority = Priority.NORMAL
    workspace_id: ClientId | None = None


class SelectTemplate(Struct, frozen=True, kw_only=True):
    selected_template: Name
    template_confidence_score: Confidence | None = None
    """How sure the one who chose was, 0 to 1."""


class ExecuteRequest(Struct, frozen=True, kw_only=True):
    parameters: dict[str, Any] = field(default_factory=dict)
    """As the template's schema says. `source` is the id of an uploaded document, `source_text` a document itself."""
    start_at: StartAt | None = None
    max_cost_usd: MaxCost | None = None
    template_version: Version | None = None


class PlaceOrder(Struct, frozen=True, kw_only=True):
    """Request, choice of the template and execution in one."""

    selected_template: Name
    parameters: dict[str, Any] = field(default_factory=dict)
    client_id: ClientId | None = None
    request_type: RequestType = "pipeline_execution"
    message: Message = ""
    urgency_level: Priority = Priority.NORMAL
    template_confidence_score: Confidence | None = None
    workspace_id: ClientId | None = None
    start_at: StartAt | None = None
    max_cost_usd: MaxCost | None = None
    template_version: Version | None = None


class ExecutePipeline(Struct, frozen=True, kw_only=True):
    pipeline_name: Name
    input_data: dict[str, Any] = field(default_factory=dict)
    """The pipeline's parameters."""
    client_id: ClientId | None = None
    urgency_level: Priority = Priority.NORMAL
    workspace_id: ClientId | None = None
    start_at: StartAt | None = None
    max_cost_usd: MaxCost | None = None
    pipeline_version: Version | None = None


class ExecutionStarted(Struct, frozen=True, kw_only=True):
    request_id: str
    execution_id: str
    status: RequestStatus
    selected_template: str
    template_version: str | None
    links: dict[str, str]


class ExecutionSummary(Struct, frozen=True, kw_only=True):
    execution_id: str
    progress_percent: int
    last_sequence: int
    """Number of the newest event that was seen."""


class DeliverableView(Struct, frozen=True, kw_only=True):
    deliverable_id: str
    name: str
    title: str
    media_type: str
    size_bytes: int
    sha256: str
    href: str


class RequestView(Struct, frozen=True, kw_only=True):
    request_id: str
    client_id: str
    request_type: str
    origin: Origin
    schedule_id: str | None
    """The schedule that it is an order of."""
    batch_id: str | None
    """The batch that it is one of."""
    status: RequestStatus
    message: str
    urgency_level: Priority
    workspace_id: str | None
    selected_template: str | None
    template_confidence_score: float | None
    template_version: str | None
    execution: ExecutionSummary | None
    execution_status: ExecutionStatus | None
    """What a `running` request does in truth: it may be scheduled, paused, waiting for approval or undoing its work."""
    totals: Totals | None
    total_tokens_used: int | None
    total_cost_usd: UsdText | None
    detailed_metrics: dict[str, Any] | None
    """Per stage, once the execution has ended."""
    deliverables: tuple[DeliverableView, ...]
    problem: StoredProblem | None
    """Why it was refused or failed."""
    start_at: str | None
    """When a delayed execution starts; None for at once."""
    max_cost_usd: UsdText | None
    """What the execution may spend, as far as the order says; None for the operator's limit."""
    created_at: str
    updated_at: str
    completed_at: str | None
    links: dict[str, str]


class RequestPage(Struct, frozen=True, kw_only=True):
    requests: tuple[RequestView, ...]
    next_cursor: str | None


class PipelinesAndExecutions(Struct, frozen=True, kw_only=True):
    pipelines: tuple[TemplateView, ...]
    """What can be executed, the first hundred by name; `/api/kam/templates` has pages."""
    executions: tuple[ExecutionView, ...]
    """The caller's executions, newest first."""
    next_cursor: str | None


class GeneratorUsed(Struct, frozen=True, kw_only=True):
    """Which model made what a stage made."""

    stage_id: str
    provider: str
    generator_used: str | None
    """The model."""
    fallback_from: str | None
    """The model that was to make it and failed; null when the first one made it."""
    fallback_reason: str | None
    """Code of its failure."""


class ResultView(Struct, frozen=True, kw_only=True):
    request_id: str
    execution_id: str
    status: RequestStatus
    structure: msgspec.Raw
    """The first deliverable, as it is."""
    metrics: Totals | None
    generators: tuple[GeneratorUsed, ...]
    """Of the stages in which a provider was asked, in the order of the pipeline."""
    deliverables: tuple[DeliverableView, ...]


class SourceView(Struct, frozen=True, kw_only=True):
    source_id: str
    title: str
    words: int
    headings: int
    sha256: str
    characters: int
    media_type: str
    file_name: str | None


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: tuple[FieldMistake, ...] = ()
    """Every wrong field: what is wrong with it and how to mend it."""


def request_path(request_id: str) -> str:
    return f"/api/kam/requests/{request_id}"


def execution_links(request_id: str, execution_id: str) -> dict[str, str]:
    path = request_path(request_id)
    return {
        "request": path,
        "events": f"{path}/events",
        "result": f"{path}/result",
        "execution": f"/api/v1/ai/pipelines/{execution_id}",
    }


def execution_started(request: ClientRequest, template_version: str | None) -> ExecutionStarted:
    assert request.execution_id is not None
    assert request.selected_template is not None
    return ExecutionStarted(
        request_id=request.request_id,
        execution_id=request.execution_id,
        status=RequestStatus.RUNNING if request.status is RequestStatus.SUBMITTING else request.status,
        selected_template=request.selected_template,
        template_version=template_version,
        links=execution_links(request.request_id, request.execution_id),
    )


def deliverable_views(request: ClientRequest) -> tuple[DeliverableView, ...]:
    return tuple(
        DeliverableView(
            deliverable_id=item.deliverable_id,
            name=item.name,
            title=item.title,
            media_type=item.media_type,
            size_bytes=item.blob.size_bytes,
            sha256=item.blob.sha256,
            href=f"/api/kam/deliverables/{item.deliverable_id}",
        )
        for item in request.deliverables
    )


def request_view(request: ClientRequest) -> RequestView:
    execution = None
    links = {"self": request_path(request.request_id)}
    if request.execution_id is not None:
        links |= execution_links(request.request_id, request.execution_id)
        execution = ExecutionSummary(
            execution_id=request.execution_id,
            progress_percent=request.progress_percent,
            last_sequence=request.last_sequence,
        )
    return RequestView(
        request_id=request.request_id,
        client_id=request.client_id,
        request_type=request.request_type,
        origin=request.origin,
        schedule_id=request.schedule_id,
        batch_id=request.batch_id,
        status=request.status,
        message=request.message,
        urgency_level=request.urgency_level,
        workspace_id=request.workspace_id,
        selected_template=request.selected_template,
        template_confidence_score=request.template_confidence_score,
        template_version=request.template_version,
        execution=execution,
        execution_status=request.execution_status,
        totals=request.totals,
        total_tokens_used=request.total_tokens_used,
        total_cost_usd=None if request.total_cost_usd is None else usd_text(request.total_cost_usd),
        detailed_metrics=request.detailed_metrics,
        deliverables=deliverable_views(request),
        problem=request.problem,
        start_at=None if request.start_at is None else rfc3339(request.start_at),
        max_cost_usd=None if request.max_cost_usd is None else usd_text(request.max_cost_usd),
        created_at=rfc3339(request.created_at),
        updated_at=rfc3339(request.updated_at),
        completed_at=None if request.completed_at is None else rfc3339(request.completed_at),
        links=links,
    )
