"""Client requests in Postgres: what was asked, which execution came of it, and how far that is."""

import enum
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from aif_contracts.events import Deliverable, Totals
from aif_contracts.orders import ExecutionStatus, FieldMistake
from aif_contracts.packets import Priority
from aif_runtime.postgres import Connection, Record


class RequestStatus(enum.StrEnum):
    CREATED = "created"
    TEMPLATE_SELECTED = "template_selected"
    SUBMITTING = "submitting"
    """Stored; whether the orchestrator has accepted it is not known yet."""
    RUNNING = "running"
    COMPLETED = "completed"
    PARTIALLY_COMPLETED = "partially_completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUSED = "refused"

    @property
    def is_final(self) -> bool:
        return self in (
            RequestStatus.COMPLETED,
            RequestStatus.PARTIALLY_COMPLETED,
            RequestStatus.FAILED,
            RequestStatus.CANCELLED,
            RequestStatus.REFUSED,
        )


class Origin(enum.StrEnum):
    REQUEST = "request"
    """Made step by step."""
    ORDER = "order"
    """In one call."""
    BUS = "bus"
    SCHEDULE = "schedule"
    """At a due time of a schedule."""
    BATCH = "batch"
    """One of many in one call."""


class StoredProblem(Struct, frozen=True, kw_only=True):
    """Why a request was refused or failed."""

    code: str
    message: str
    errors: tuple[FieldMistake, ...] = ()


class ClientRequest(Struct, frozen=True, kw_only=True):
    request_id: str
    client_id: str
    origin: Origin
    request_type: str
    message: str
    urgency_level: Priority
    workspace_id: str | None
    status: RequestStatus
    selected_template: str | None
    template_confidence_score: float | None
    template_version: str | None
    parameters: dict[str, Any]
    parameters_digest: str | None
    start_at: datetime | None
    """Not before; None for at once."""
    max_cost_usd: Decimal | None
    """What the execution may spend; None for the operator's limit."""
    schedule_id: str | None
    batch_id: str | None
    batch_index: int | None
    """Place in the batch, from 0."""
    trace_context: dict[str, str] | None
    """Headers of the span that stored the order; None where nobody traces."""
    execution_id: str | None
    execution_status: ExecutionStatus | None
    """None while nothing has been heard of an execution."""
    progress_percent: int
    last_sequence: int
    totals: Totals | None
    total_tokens_used: int | None
    total_cost_usd: Decimal | None
    detailed_metrics: dict[str, Any] | None
    deliverables: tuple[Deliverable, ...]
    problem: StoredProblem | None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    execution_deleted_at: datetime | None
    """When the orchestrator was found to have deleted its execution."""


class NewRequest(Struct, frozen=True, kw_only=True):
    request_id: str
    client_id: str
    origin: Origin
    message: str
    urgency_level: Priority
    workspace_id: str | None = None
    schedule_id: str | None = None
    status: RequestStatus = RequestStatus.CREATED
    selected_template: str | None = None
    problem: StoredProblem | None = None


class News(Struct, frozen=True, kw_only=True):
    """The newest that events tell of an execution that goes on."""

    sequence: int
    progress_percent: int
    told: ExecutionStatus | None = None
    """The status that an event told of; most tell of none."""
    told_by: int = 0
    """The number of that event."""


class Ending(Struct, frozen=True, kw_only=True):
    """How an execution ended, as its final event tells it."""

    execution_id: str
    status: RequestStatus
    sequence: int
    totals: Totals
    deliverables: tuple[Deliverable, ...] = ()
    problem: StoredProblem | None = None


class Observation(Struct, frozen=True, kw_only=True):
    """What the orchestrator says about an execution."""

    execution_id: str
    status: RequestStatus
    execution_status: ExecutionStatus
    template_version: str
    progress_percent: int
    last_sequence: int
    totals: Totals
    deliverables: tuple[Deliverable, ...]
    detailed_metrics: dict[str, Any] | None
    """None while it runs."""
    problem: StoredProblem | None
    completed_at: datetime | None


class RequestStore:
    def __init__(self, queries: Mapping[str, str]) -> None:
        self._sql = queries

    async def insert(self, connection: Connection, new: NewRequest) -> ClientRequest:
        row = await connection.fetchrow(
            self._sql["insert_request"],
            new.request_id,
            new.client_id,
            new.origin,
            new.message,
            new.urgency_level,
            new.workspace_id,
            new.status,
            new.selected_template,
            _json_or_none(new.problem),
            new.schedule_id,
        )
        assert row is not None
        return request_of_row(row)

    async def find(self, connection: Connection, request_id: str, client_id: str | None) -> ClientRequest | None:
        return _request_or_none(await connection.fetchrow(self._sql["find_request"], request_id, client_id))

    async def find_of_execution(self, connection: Connection, execution_id: str, client_id: str | None) -> ClientRequest | None:
        row = await connection.fetchrow(self._sql["find_request_of_execution"], execution_id, client_id)
        return _request_or_none(row)

    async def list_page(
        self, connection: Connection, *, client_id: str | None, status: RequestStatus | None, before: str | None, limit: int
    ) -> list[ClientRequest]:
        """Newest first, those older than the id `before`. Needs a transaction."""
        await connection.execute(self._sql["plan_lists_by_their_values"])
        rows = await connection.fetch(self._sql["list_requests"], client_id, status, before, limit)
        return [request_of_row(row) for row in rows]

    async def select_template(
        self, connection: Connection, request_id: str, template: str, confidence: float | None
    ) -> ClientRequest | None:
        """None when the request is past the choice."""
        return _request_or_none(await connection.fetchrow(self._sql["select_template"], request_id, template, confidence))

    async def mark_submitting(
        self,
        connection: Connection,
        *,
        request_id: str,
        template: str,
        execution_id: str,
        parameters: Mapping[str, Any],
        parameters_digest: str,
        start_at: datetime | None,
        max_cost_usd: Decimal | None,
        template_version: str | None,
        trace_context: Mapping[str, str],
    ) -> ClientRequest | None:
        """None when the request was executed before. Without a version it is the newest, known with the answer."""
        row = await connection.fetchrow(
            self._sql["mark_submitting"],
            request_id,
            template,
            execution_id,
            msgspec.json.encode(parameters),
            parameters_digest,
            start_at,
            max_cost_usd,
            template_version,
            _json_or_none(trace_context or None),
        )
        return _request_or_none(row)

    async def claim_submission(self, connection: Connection, execution_id: str) -> ClientRequest | None:
        """The request, for the one who may ask the orchestrator now; None when somebody asks or it is settled."""
        return _request_or_none(await connection.fetchrow(self._sql["claim_submission"], execution_id))

    async def list_stuck_submissions(self, connection: Connection) -> list[str]:
        return [row["execution_id"] for row in await connection.fetch(self._sql["list_stuck_submissions"])]

    async def release_submission(self, connection: Connection, execution_id: str) -> None:
        await connection.execute(self._sql["release_submission"], execution_id)

    async def put_off_submission(
        self, connection: Connection, execution_id: str, seconds: float, problem: StoredProblem
    ) -> None:
        await connection.execute(self._sql["put_off_submission"], execution_id, seconds, msgspec.json.encode(problem))

    async def mark_accepted(
        self, connection: Connection, execution_id: str, template_version: str, status: ExecutionStatus
    ) -> None:
        await connection.execute(self._sql["mark_accepted"], execution_id, template_version, status)

    async def mark_refused(self, connection: Connection, execution_id: str, problem: StoredProblem) -> None:
        await connection.execute(self._sql["mark_refused"], execution_id, msgspec.json.encode(problem))

    async def mark_cancelled(self, connection: Connection, request_id: str) -> ClientRequest | None:
        """None when there is an execution to cancel, or none to be."""
        return _request_or_none(await connection.fetchrow(self._sql["mark_cancelled_before_execution"], request_id))

    async def lock_executions(self, connection: Connection, execution_ids: Sequence[str]) -> None:
        await connection.execute(self._sql["lock_requests_of_executions"], list(execution_ids))

    async def apply_news(self, connection: Connection, news: Mapping[str, News]) -> None:
        """`news` by execution."""
        await connection.execute(
            self._sql["apply_news"],
            list(news),
            [each.sequence for each in news.values()],
            [each.progress_percent for each in news.values()],
            [each.told for each in news.values()],
            [each.told_by for each in news.values()],
        )

    async def apply_ending(self, connection: Connection, ending: Ending) -> None:
        client_id = await connection.fetchval(
            self._sql["apply_ending"],
            ending.execution_id,
            ending.status,
            ending.sequence,
            msgspec.json.encode(ending.totals),
            ending.totals.tokens_used.total_tokens,
            Decimal(ending.totals.cost_usd),
            msgspec.json.encode(ending.deliverables),
            _json_or_none(ending.problem),
        )
        if client_id is not None:
            await self._insert_deliverables(connection, client_id, ending.execution_id, ending.deliverables)

    async def apply_observation(self, connection: Connection, seen: Observation) -> ClientRequest | None:
        """The request as it is then, also when newer events have overtaken what was seen; None without a request."""
        row = await connection.fetchrow(
            self._sql["apply_view"],
            seen.execution_id,
            seen.status,
            seen.template_version,
            seen.progress_percent,
            seen.last_sequence,
            msgspec.json.encode(seen.totals),
            seen.totals.tokens_used.total_tokens,
            Decimal(seen.totals.cost_usd),
            msgspec.json.encode(seen.deliverables),
            _json_or_none(seen.detailed_metrics),
            _json_or_none(seen.problem),
            seen.completed_at,
            seen.execution_status,
        )
        if row is None:
            return await self.find_of_execution(connection, seen.execution_id, None)
        await self._insert_deliverables(connection, row["client_id"], seen.execution_id, seen.deliverables)
        return request_of_row(row)

    async def mark_unsettled(self, connection: Connection, execution_id: str) -> None:
        await connection.execute(self._sql["mark_unsettled"], execution_id)

    async def mark_execution_deleted(self, connection: Connection, execution_id: str) -> None:
        """Nothing more is to be learned of an ended request's execution."""
        await connection.execute(self._sql["mark_execution_deleted"], execution_id)

    async def list_unsettled(self, connection: Connection, *, unseen_seconds: float, limit: int) -> list[str]:
        rows = await connection.fetch(self._sql["list_unsettled"], unseen_seconds, limit)
        return [row["execution_id"] for row in rows]

    async def mark_checked(self, connection: Connection, execution_ids: Sequence[str]) -> None:
        await connection.execute(self._sql["mark_checked"], list(execution_ids))

    async def _insert_deliverables(
        self, connection: Connection, client_id: str, execution_id: str, deliverables: Sequence[Deliverable]
    ) -> None:
        if not deliverables:
            return
        await connection.execute(
            self._sql["insert_deliverables"],
            [item.deliverable_id for item in deliverables],
            [client_id] * len(deliverables),
            [execution_id] * len(deliverables),
            [item.name for item in deliverables],
            [item.media_type for item in deliverables],
            [msgspec.json.encode(item.blob) for item in deliverables],
        )


def _json_or_none(value: Any) -> bytes | None:
    return None if value is None else msgspec.json.encode(value)


def _request_or_none(row: Record | None) -> ClientRequest | None:
    return None if row is None else request_of_row(row)


_DECODERS: Mapping[str, msgspec.json.Decoder[Any]] = {
    "parameters": msgspec.json.Decoder(dict[str, Any]),
    "trace_context": msgspec.json.Decoder(dict[str, str]),
    "totals": msgspec.json.Decoder(Totals),
    "detailed_metrics": msgspec.json.Decoder(dict[str, Any]),
    "deliverables": msgspec.json.Decoder(tuple[Deliverable, ...]),
    "problem": msgspec.json.Decoder(StoredProblem),
}
_ENUMS: Mapping[str, type[enum.StrEnum]] = {
    "origin": Origin,
    "urgency_level": Priority,
    "status": RequestStatus,
    "execution_status": ExecutionStatus,
}


def request_of_row(row: Record) -> ClientRequest:
    values: dict[str, Any] = {}
    for name in ClientRequest.__struct_fields__:
        value = row[name]
        if value is not None and (decoder := _DECODERS.get(name)):
            value = decoder.decode(value)
        elif value is not None and (kind := _ENUMS.get(name)):
            value = kind(value)
        values[name] = value
    return ClientRequest(**values)
