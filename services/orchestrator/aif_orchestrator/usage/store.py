"""The bill, the attempts and the executions, summed. Nothing is written here."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from aif_contracts.usage import UsageDimension, UsageFilter, UsageOrder
from aif_runtime.postgres import Connection, Record
from aif_runtime.sql_files import Queries

WITHIN_SECONDS = 15.0


class Span(Struct, frozen=True, kw_only=True):
    """From a moment on, until before another."""

    since: datetime
    until: datetime


class Grouping(Struct, frozen=True, kw_only=True):
    dimensions: Sequence[UsageDimension]
    order: UsageOrder
    offset: int
    limit: int


class Reported(Struct, frozen=True, kw_only=True):
    rows: Sequence[Record]
    totals: Record


class UsageStore:
    def __init__(self, queries: Queries, *, within_seconds: float = WITHIN_SECONDS) -> None:
        self._queries = queries
        self._within_seconds = within_seconds

    async def plan_by_values(self, connection: Connection) -> None:
        """Have the rest of the transaction planned for the values it is given, and let a statement take long."""
        await connection.execute(self._queries["plan_by_values"], str(int(self._within_seconds * 1000)))

    async def report(
        self, connection: Connection, span: Span, client_id: str | None, where: UsageFilter, grouping: Grouping
    ) -> Reported:
        """Rows of one page, and the sums of all rows."""
        keys = [*grouping.dimensions, None, None][:3]
        rows = await connection.fetch(
            self._queries["report_usage"],
            *keys,
            span.since,
            span.until,
            client_id,
            where.workspace_id,
            where.worker_name,
            where.action,
            where.model,
            where.provider,
            where.stage_id,
            where.template,
            where.purpose,
            where.outcome,
            where.execution_id,
            grouping.order,
            grouping.offset,
            grouping.limit,
            timeout=self._within_seconds,
        )
        totals = next(row for row in rows if row["is_total"])
        return Reported(rows=[row for row in rows if not row["is_total"]], totals=totals)

    async def month_executions(self, connection: Connection, span: Span, client_id: str | None) -> list[Record]:
        """One row for each status."""
        return await connection.fetch(
            self._queries["count_month_executions"], span.since, span.until, client_id, timeout=self._within_seconds
        )

    async def month_ends(self, connection: Connection, span: Span, client_id: str | None) -> Record:
        row = await connection.fetchrow(
            self._queries["sum_month_ends"], span.since, span.until, client_id, timeout=self._within_seconds
        )
        assert row is not None, "sums of nothing are a row, too"
        return row

    async def month_attempts(self, connection: Connection, span: Span, client_id: str | None) -> list[Record]:
        """One row for each worker."""
        return await connection.fetch(
            self._queries["sum_month_attempts"], span.since, span.until, client_id, timeout=self._within_seconds
        )
