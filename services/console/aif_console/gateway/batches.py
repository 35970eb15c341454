"""Batches: many orders of one kind by one call."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from aif_console.gateway.answers import RequestAnswer
from aif_console.gateway.gateway import UPLOAD_SECONDS, Gateway, once, without_none
from aif_contracts.money import UsdText

BATCHES = "/api/kam/batches"


class BatchAnswer(Struct, frozen=True, kw_only=True):
    batch_id: str
    selected_template: str
    created_at: str
    status: str
    """`running`, `cancelling` or `ended`."""
    total: int
    ended: int
    counts: dict[str, int]
    """Requests by status."""
    progress_percent: int
    total_cost_usd: UsdText
    """Of the executions that have ended."""
    total_tokens_used: int = 0
    max_cost_usd: UsdText | None = None
    """What each execution may spend; None for the operator's limit."""
    template_version: str | None = None
    """None for the newest."""

    @property
    def has_ended(self) -> bool:
        return self.status == "ended"

    def count_of(self, *statuses: str) -> int:
        return sum(self.counts.get(status, 0) for status in statuses)


class BatchPage(Struct, frozen=True, kw_only=True):
    batches: tuple[BatchAnswer, ...]
    next_cursor: str | None = None


class BatchItem(Struct, frozen=True, kw_only=True):
    index: int
    """Its place among the inputs, from 0."""
    request: RequestAnswer


class ItemPage(Struct, frozen=True, kw_only=True):
    items: tuple[BatchItem, ...]
    next_cursor: str | None = None


class NewBatch(Struct, frozen=True, kw_only=True):
    selected_template: str
    inputs: Sequence[Mapping[str, Any]]
    parameters: Mapping[str, Any]
    """Of every order; an input's own go before them."""
    message: str
    urgency_level: str
    start_at: str | None = None
    max_cost_usd: UsdText | None = None
    """Of each execution."""
    template_version: str | None = None
    """None for the newest."""


async def place_batch(gateway: Gateway, batch: NewBatch) -> BatchAnswer:
    """All of it or nothing; once, however often it has to be sent."""
    body: dict[str, Any] = {
        "selected_template": batch.selected_template,
        "inputs": list(batch.inputs),
        "parameters": dict(batch.parameters),
        "message": batch.message,
        "urgency_level": batch.urgency_level,
    }
    if batch.start_at is not None:
        body["start_at"] = batch.start_at
    if batch.max_cost_usd is not None:
        body["max_cost_usd"] = batch.max_cost_usd
    if batch.template_version is not None:
        body["template_version"] = batch.template_version
    return await gateway.ask("POST", BATCHES, BatchAnswer, headers=once(), json=body, timeout=UPLOAD_SECONDS)


async def read_batch(gateway: Gateway, batch_id: str) -> BatchAnswer:
    return await gateway.ask("GET", f"{BATCHES}/{batch_id}", BatchAnswer)


async def list_batches(gateway: Gateway, *, limit: int) -> BatchPage:
    """Newest first."""
    return await gateway.ask("GET", BATCHES, BatchPage, params=without_none(limit=limit))


async def list_items(gateway: Gateway, batch_id: str, *, status: str | None, limit: int) -> ItemPage:
    query = without_none(status=status, limit=limit)
    return await gateway.ask("GET", f"{BATCHES}/{batch_id}/items", ItemPage, params=query)


async def cancel_batch(gateway: Gateway, batch_id: str) -> BatchAnswer:
    """End what has not ended."""
    return await gateway.ask("DELETE", f"{BATCHES}/{batch_id}", BatchAnswer)
