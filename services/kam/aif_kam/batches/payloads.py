"""The shapes of HTTP bodies about batches."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from aif_contracts.money import UsdText, usd_text
from aif_contracts.orders import ClientId, Name, Version
from aif_contracts.packets import Priority
from aif_kam.batches.store import Batch
from aif_kam.payloads import MaxCost, Message, RequestView, StartAt, request_view
from aif_kam.request_store import ClientRequest, RequestStatus
from aif_runtime.clock import rfc3339

MAX_INPUTS = 1000


class BatchWish(Struct, frozen=True, kw_only=True):
    """One template, many inputs."""

    selected_template: Name
    inputs: Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=MAX_INPUTS)]
    """Each one an order's parameters, on top of the shared ones."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """Shared by all inputs; an input's own value counts more."""
    urgency_level: Priority = Priority.NORMAL
    message: Message = ""
    start_at: StartAt | None = None
    max_cost_usd: MaxCost | None = None
    """Of each execution."""
    template_version: Version | None = None
    workspace_id: ClientId | None = None
    client_id: ClientId | None = None


class BatchView(Struct, frozen=True, kw_only=True):
    batch_id: str
    client_id: str
    status: Literal["running", "cancelling", "ended"]
    """`ended` when all requests have; `counts` says how."""
    selected_template: str
    template_version: str | None
    """None for the newest."""
    message: str
    urgency_level: Priority
    workspace_id: str | None
    start_at: str | None
    max_cost_usd: UsdText | None
    """What each execution may spend; None for the operator's limit."""
    total: int
    ended: int
    counts: dict[RequestStatus, int]
    """Requests by their status."""
    progress_percent: int
    total_cost_usd: UsdText
    """Of what is known by now: an execution's cost is known when it ends."""
    total_tokens_used: int
    created_at: str
    cancelled_at: str | None
    completed_at: str | None
    links: dict[str, str]


class BatchPage(Struct, frozen=True, kw_only=True):
    batches: tuple[BatchView, ...]
    next_cursor: str | None


class BatchItem(Struct, frozen=True, kw_only=True):
    index: int
    """Place among the inputs, from 0."""
    request: RequestView


class BatchItemPage(Struct, frozen=True, kw_only=True):
    items: tuple[BatchItem, ...]
    """In the order of the inputs."""
    next_cursor: str | None


def batch_path(batch_id: str) -> str:
    return f"/api/kam/batches/{batch_id}"


def batch_view(batch: Batch) -> BatchView:
    ended = sum(count for status, count in batch.counts.items() if status.is_final)
    has_ended = ended == batch.total
    path = batch_path(batch.batch_id)
    return BatchView(
        batch_id=batch.batch_id,
        client_id=batch.client_id,
        status="ended" if has_ended else "running" if batch.cancelled_at is None else "cancelling",
        selected_template=batch.selected_template,
        template_version=batch.template_version,
        message=batch.message,
        urgency_level=batch.urgency_level,
        workspace_id=batch.workspace_id,
        start_at=None if batch.start_at is None else rfc3339(batch.start_at),
        max_cost_usd=None if batch.max_cost_usd is None else usd_text(batch.max_cost_usd),
        total=batch.total,
        ended=ended,
        counts=dict(batch.counts),
        progress_percent=batch.percent_sum // batch.total,
        total_cost_usd=usd_text(batch.total_cost_usd),
        total_tokens_used=batch.total_tokens_used,
        created_at=rfc3339(batch.created_at),
        cancelled_at=None if batch.cancelled_at is None else rfc3339(batch.cancelled_at),
        completed_at=rfc3339(batch.last_end) if has_ended and batch.last_end is not None else None,
        links={"self": path, "items": f"{path}/items"},
    )


def batch_item(request: ClientRequest) -> BatchItem:
    assert request.batch_index is not None
    return BatchItem(index=request.batch_index, request=request_view(request))
