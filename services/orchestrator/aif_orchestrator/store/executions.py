"""Executions and their events, as they are read; `batches.py` writes them."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from aif_contracts.events import ExecutionEvent
from aif_contracts.orders import ExecutionStatus
from aif_orchestrator.execution.state import Execution
from aif_orchestrator.store.journal import Versioned, unpacked
from aif_orchestrator.store.searched import search_pattern
from aif_runtime.postgres import Connection
from aif_runtime.sql_files import Queries

_EVENTS = msgspec.json.Decoder(tuple[ExecutionEvent, ...])


class Read(Struct, frozen=True, kw_only=True):
    executions: dict[str, Versioned]
    """Those of the executions asked for that exist."""
    at_ms: int
    """The database's clock."""


class Due(Struct, frozen=True, kw_only=True):
    execution_ids: list[str]
    """The longest waiting first."""
    at_ms: int
    """The database's clock."""


class Seen(Struct, frozen=True, kw_only=True):
    execution: Execution
    at_ms: int


class EndOfEvents(Struct, frozen=True, kw_only=True):
    has_ended: bool
    """The execution; it goes on when it is resumed."""
    last_sequence: int
    """0 before the first event."""


class Wanted(Struct, frozen=True, kw_only=True):
    """Which executions a list is to show; None for any."""

    client_id: str | None
    status: ExecutionStatus | None = None
    template: str | None = None
    request_id: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    text: str | None = None
    """Part of what can be searched, in any case."""


class ExecutionStore:
    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def read(self, connection: Connection, execution_ids: Sequence[str]) -> Read:
        rows = await connection.fetch(self._queries["read_executions"], list(execution_ids))
        found = {
            row["execution_id"]: Versioned(version=row["version"], execution=unpacked(row["changes"]), wake_at=row["wake_ms"])
            for row in rows
            if row["execution_id"] is not None
        }
        return Read(executions=found, at_ms=rows[0]["at_ms"])

    async def list_due(self, connection: Connection, limit: int) -> Due:
        row = await connection.fetchrow(self._queries["list_due_executions"], limit)
        assert row is not None, "the clock comes back even when nothing is due"
        return Due(execution_ids=row["execution_ids"], at_ms=row["at_ms"])

    async def list_sleeping(self, connection: Connection, *, after: str, limit: int) -> list[str]:
        """Those that want attention later, in order of their ids; `after` is the last one of the page before."""
        rows = await connection.fetch(self._queries["list_sleeping_executions"], after, limit)
        return [row["execution_id"] for row in rows]

    async def find(self, connection: Connection, execution_id: str, client_id: str | None) -> Seen | None:
        row = await connection.fetchrow(self._queries["find_execution"], execution_id, client_id)
        return None if row is None else Seen(execution=unpacked(row["changes"]), at_ms=row["at_ms"])

    async def list_page(self, connection: Connection, wanted: Wanted, *, before: str | None, limit: int) -> list[Seen]:
        """Newest first, those older than the id `before`. Needs a transaction."""
        await connection.execute(self._queries["plan_lists_by_their_values"])
        rows = await connection.fetch(
            self._queries["list_executions"],
            wanted.client_id,
            None if wanted.status is None else str(wanted.status),
            wanted.template,
            wanted.request_id,
            wanted.created_after,
            wanted.created_before,
            None if wanted.text is None else search_pattern(wanted.text),
            before,
            limit,
        )
        return [Seen(execution=unpacked(row["changes"]), at_ms=row["at_ms"]) for row in rows]

    async def delete_old(self, connection: Connection, *, ended_before_days: float, limit: int) -> int:
        """Delete executions that ended so many days ago, with their events and attempts; returns how many those were.

        Provider calls stay: they are the bill. Blobs stay until they are collected. Needs a transaction.
        """
        seconds = ended_before_days * 86_400
        found = await connection.fetch(self._queries["list_old_executions"], seconds, limit)
        if not found:
            return 0
        # The engine, which may just be changing one of them, locks in this order, too.
        await connection.execute(self._queries["unroll_usage"], [row["execution_id"] for row in found])
        locked = await connection.fetch(self._queries["lock_old_executions"], seconds, [row["execution_id"] for row in found])
        await connection.execute(self._queries["delete_executions"], [row["execution_id"] for row in locked])
        return len(locked)

    async def take_deleted(
        self, connection: Connection, *, deleted_before_seconds: float, taken_for_seconds: float, limit: int
    ) -> list[str]:
        """Deleted executions whose blobs are to be deleted now, by whoever took them and nobody else."""
        rows = await connection.fetch(
            self._queries["take_deleted_executions"], deleted_before_seconds, taken_for_seconds, limit
        )
        return [row["execution_id"] for row in rows]

    async def forget_deleted(self, connection: Connection, execution_ids: Sequence[str]) -> None:
        """Their blobs are gone."""
        await connection.execute(self._queries["forget_deleted_executions"], list(execution_ids))

    async def find_end_of_events(self, connection: Connection, execution_id: str, client_id: str | None) -> EndOfEvents | None:
        """None when there is no such execution."""
        row = await connection.fetchrow(self._queries["find_end_of_events"], execution_id, client_id)
        return None if row is None else EndOfEvents(**row)

    async def list_events(self, connection: Connection, execution_id: str, after: int, limit: int) -> list[ExecutionEvent]:
        rows = await connection.fetch(self._queries["list_events"], execution_id, after, limit)
        events = [event for row in rows for event in _EVENTS.decode(row["events"]) if event.sequence > after]
        return events[:limit]
