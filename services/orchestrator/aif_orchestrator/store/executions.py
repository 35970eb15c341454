"""Executions, their events and the attempts and calls behind them, written in batches."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import msgspec
from msgspec import Struct

from aif_contracts.events import FINAL_EVENT_TYPES, ExecutionEvent
from aif_contracts.metering import ProviderCall
from aif_contracts.money import usd
from aif_contracts.orders import ExecutionStatus
from aif_contracts.performance import PerformanceRecord
from aif_orchestrator.execution.state import Execution, wake_at
from aif_runtime.postgres import Connection
from aif_runtime.sql_files import Queries

_STATE = msgspec.msgpack.Decoder(Execution)
_STATE_ENCODER = msgspec.msgpack.Encoder()
_EVENTS = msgspec.json.Decoder(tuple[ExecutionEvent, ...])


class Locked(Struct, frozen=True, kw_only=True):
    executions: dict[str, Execution]
    at_ms: int
    """The database's clock, read under the locks."""


class Seen(Struct, frozen=True, kw_only=True):
    execution: Execution
    at_ms: int


class ExecutionStore:
    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def lock(self, connection: Connection, execution_ids: Sequence[str]) -> Locked:
        """Those of the executions that exist, locked until the transaction ends."""
        rows = await connection.fetch(self._queries["lock_executions"], sorted(execution_ids))
        found = {row["execution_id"]: _STATE.decode(row["state"]) for row in rows if row["execution_id"] is not None}
        return Locked(executions=found, at_ms=rows[0]["at_ms"])

    async def insert(self, connection: Connection, executions: Sequence[Execution]) -> frozenset[str]:
        """Store new executions; returns the ids that were new."""
        rows = await connection.fetch(
            self._queries["insert_executions"],
            [each.execution_id for each in executions],
            [each.client_id for each in executions],
            [each.request_id for each in executions],
            [each.template for each in executions],
            [each.template_version for each in executions],
            [str(each.status) for each in executions],
            [_STATE_ENCODER.encode(each) for each in executions],
            [each.created_at for each in executions],
            [each.ended_at for each in executions],
            [wake_at(each) for each in executions],
        )
        return frozenset(row["execution_id"] for row in rows)

    async def update(self, connection: Connection, executions: Sequence[Execution]) -> None:
        await connection.execute(
            self._queries["update_executions"],
            [each.execution_id for each in executions],
            [str(each.status) for each in executions],
            [_STATE_ENCODER.encode(each) for each in executions],
            [each.ended_at for each in executions],
            [wake_at(each) for each in executions],
        )

    async def list_due(self, connection: Connection, limit: int) -> list[str]:
        rows = await connection.fetch(self._queries["list_due_executions"], limit)
        return [row["execution_id"] for row in rows]

    async def find(self, connection: Connection, execution_id: str, client_id: str | None) -> Seen | None:
        row = await connection.fetchrow(self._queries["find_execution"], execution_id, client_id)
        return None if row is None else Seen(execution=_STATE.decode(row["state"]), at_ms=row["at_ms"])

    async def list_page(
        self,
        connection: Connection,
        *,
        client_id: str | None,
        status: ExecutionStatus | None,
        before: str | None,
        limit: int,
    ) -> list[Seen]:
        """Newest first, those older than the id `before`."""
        wanted = None if status is None else str(status)
        rows = await connection.fetch(self._queries["list_executions"], client_id, wanted, before, limit)
        return [Seen(execution=_STATE.decode(row["state"]), at_ms=row["at_ms"]) for row in rows]

    async def insert_events(self, connection: Connection, groups: Sequence[Sequence[ExecutionEvent]]) -> None:
        """Each group holds consecutive events of one execution."""
        await connection.execute(
            self._queries["insert_events"],
            [group[0].subject for group in groups],
            [group[0].sequence for group in groups],
            [group[-1].sequence for group in groups],
            [group[-1].data.__struct_config__.tag in FINAL_EVENT_TYPES for group in groups],
            [msgspec.json.encode(group) for group in groups],
        )

    async def list_events(self, connection: Connection, execution_id: str, after: int, limit: int) -> list[ExecutionEvent]:
        rows = await connection.fetch(self._queries["list_events"], execution_id, after, limit)
        events = [event for row in rows for event in _EVENTS.decode(row["events"]) if event.sequence > after]
        return events[:limit]

    async def insert_attempts(self, connection: Connection, records: Sequence[PerformanceRecord]) -> None:
        await connection.execute(
            self._queries["insert_attempts"],
            [each.execution_id for each in records],
            [each.stage_id for each in records],
            [each.attempt for each in records],
            [each.worker_name for each in records],
            [each.action for each in records],
            [each.success for each in records],
            [each.failure_code for each in records],
            [each.metrics.tokens_used.total_tokens for each in records],
            [each.metrics.tokens_used.prompt_tokens for each in records],
            [each.metrics.tokens_used.completion_tokens for each in records],
            [_amount(each.metrics.cost_usd) for each in records],
            [each.execution_time_ms for each in records],
            [each.queue_time_ms for each in records],
            [msgspec.json.encode(each.metrics.breakdown) for each in records],
            [msgspec.json.encode(each.metrics.resource_usage) for each in records],
            [each.metrics.model for each in records],
            [each.quality_score for each in records],
            [datetime.fromisoformat(each.timestamp) for each in records],
        )

    async def insert_calls(self, connection: Connection, calls: Sequence[ProviderCall]) -> None:
        await connection.executemany(
            self._queries["insert_provider_calls"],
            [
                (
                    call.call_key,
                    call.execution_id,
                    call.client_id,
                    call.stage_id,
                    call.attempt,
                    call.worker_name,
                    call.provider,
                    call.model,
                    call.purpose,
                    str(call.outcome),
                    call.tokens.prompt_tokens,
                    call.tokens.completion_tokens,
                    call.tokens.cache_read_tokens,
                    call.tokens.cache_write_tokens,
                    call.tokens.reasoning_tokens,
                    _amount(call.cost_usd),
                    _amount(call.upper_bound_usd),
                    call.price_version,
                    call.response_id,
                    call.latency_ms,
                    call.error,
                )
                for call in calls
            ],
        )


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else usd(text)
