"""Batches in Postgres. What became of one is counted from its requests; nothing is kept twice."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec
from msgspec import Struct

from aif_contracts.packets import Priority
from aif_kam.request_store import ClientRequest, RequestStatus, request_of_row
from aif_runtime.postgres import Connection, Record

_COUNTS = msgspec.json.Decoder(dict[RequestStatus, int])


class NewBatch(Struct, frozen=True, kw_only=True):
    batch_id: str
    client_id: str
    selected_template: str
    template_version: str | None
    """None for the newest."""
    message: str
    urgency_level: Priority
    workspace_id: str | None
    start_at: datetime | None
    max_cost_usd: Decimal | None
    """Of each execution."""
    total: int


class NewItem(Struct, frozen=True, kw_only=True):
    """A request of a batch; their order is the order of the inputs."""

    request_id: str
    execution_id: str
    parameters: bytes
    """JSON, as sent to the orchestrator."""
    digest: str


class Batch(Struct, frozen=True, kw_only=True):
    batch_id: str
    client_id: str
    selected_template: str
    template_version: str | None
    """None for the newest."""
    message: str
    urgency_level: Priority
    workspace_id: str | None
    start_at: datetime | None
    max_cost_usd: Decimal | None
    """Of each execution."""
    total: int
    counts: Mapping[RequestStatus, int]
    percent_sum: int
    """Progress of all requests together; an ended one is 100."""
    total_cost_usd: Decimal
    """Of what is known by now."""
    total_tokens_used: int
    cancelled_at: datetime | None
    created_at: datetime
    last_end: datetime | None


class BatchStore:
    def __init__(self, queries: Mapping[str, str]) -> None:
        self._sql = queries

    async def insert(
        self, connection: Connection, new: NewBatch, items: Sequence[NewItem], *, trace_context: Mapping[str, str]
    ) -> None:
        await connection.execute(
            self._sql["insert_batch"],
            new.batch_id,
            new.client_id,
            new.selected_template,
            new.template_version,
            new.message,
            new.urgency_level,
            new.workspace_id,
            new.start_at,
            new.max_cost_usd,
            new.total,
        )
        await connection.execute(
            self._sql["insert_batch_requests"],
            new.batch_id,
            [item.request_id for item in items],
            [item.execution_id for item in items],
            [item.parameters for item in items],
            [item.digest for item in items],
            msgspec.json.encode(trace_context) if trace_context else None,
        )

    async def find(self, connection: Connection, batch_id: str, client_id: str | None) -> Batch | None:
        row = await connection.fetchrow(self._sql["list_batches"], client_id, batch_id, None, 1)
        return None if row is None else _batch(row)

    async def list_page(self, connection: Connection, *, client_id: str | None, before: str | None, limit: int) -> list[Batch]:
        return [_batch(row) for row in await connection.fetch(self._sql["list_batches"], client_id, None, before, limit)]

    async def list_items(
        self, connection: Connection, batch_id: str, *, status: RequestStatus | None, after: int, limit: int
    ) -> list[ClientRequest]:
        rows = await connection.fetch(self._sql["list_batch_items"], batch_id, status, after, limit)
        return [request_of_row(row) for row in rows]

    async def has_submissions(self, connection: Connection) -> bool:
        return bool(await connection.fetchval(self._sql["has_batch_submissions"]))

    async def claim_submissions(self, connection: Connection, limit: int) -> list[ClientRequest]:
        """Requests that are ours to ask for, for the next ten seconds."""
        return [request_of_row(row) for row in await connection.fetch(self._sql["claim_batch_submissions"], limit)]

    async def cancel(self, connection: Connection, batch_id: str) -> None:
        """What nobody asked for yet is cancelled by this; the others are marked to be cancelled."""
        await connection.execute(self._sql["lock_batch_requests"], batch_id)
        await connection.execute(self._sql["mark_batch_cancelled"], batch_id)
        await connection.execute(self._sql["cancel_unasked_of_batch"], batch_id)
        await connection.execute(self._sql["want_cancelled_of_batch"], batch_id)

    async def claim_cancellations(self, connection: Connection, limit: int) -> list[ClientRequest]:
        """Requests that are ours to have cancelled, for the next ten seconds."""
        return [request_of_row(row) for row in await connection.fetch(self._sql["claim_cancellations"], limit)]

    async def settle_cancellation(self, connection: Connection, request_id: str) -> None:
        await connection.execute(self._sql["settle_cancellation"], request_id)


def _batch(row: Record) -> Batch:
    return Batch(
        batch_id=row["batch_id"],
        client_id=row["client_id"],
        selected_template=row["selected_template"],
        template_version=row["template_version"],
        message=row["message"],
        urgency_level=Priority(row["urgency_level"]),
        workspace_id=row["workspace_id"],
        start_at=row["start_at"],
        max_cost_usd=row["max_cost_usd"],
        total=row["total"],
        counts=_COUNTS.decode(row["counts"]),
        percent_sum=row["percent"],
        total_cost_usd=row["cost_usd"] or Decimal(0),
        total_tokens_used=row["tokens"] or 0,
        cancelled_at=row["cancelled_at"],
        created_at=row["created_at"],
        last_end=row["last_end"],
    )
