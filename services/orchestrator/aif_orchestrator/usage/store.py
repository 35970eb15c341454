"""Usage, summed: what is rolled up from its totals, the rest from the bill, the attempts and the executions."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

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

    async def begin_reading(self, connection: Connection) -> datetime:
        """Have the rest of the transaction, which has only begun, see everything as it is now, planned for the values it is
        given, and let a statement take long. Returns the mark, which the sums are asked for with."""
        await connection.execute(self._queries["read_all_at_one_time"])
        await connection.execute(self._queries["plan_by_values"], str(int(self._within_seconds * 1000)))
        mark: datetime = await connection.fetchval(self._queries["find_rolled_until"])
        return mark

    async def report(
        self,
        connection: Connection,
        mark: datetime,
        span: Span,
        client_id: str | None,
        where: UsageFilter,
        grouping: Grouping,
    ) -> Reported:
        """Rows of one page, and the sums of all rows."""
        keys = [*grouping.dimensions, None, None][:3]
        tells_executions = UsageDimension.EXECUTION in grouping.dimensions or where.execution_id is not None
        source = (where.execution_id,) if tells_executions else (*_whole_days(span), mark)
        rows = await connection.fetch(
            self._queries["report_usage_of_calls" if tells_executions else "report_usage"],
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
            grouping.order,
            grouping.offset,
            grouping.limit,
            *source,
            timeout=self._within_seconds,
        )
        totals = next(row for row in rows if row["is_total"])
        return Reported(rows=[row for row in rows if not row["is_total"]], totals=totals)

    async def month_executions(self, connection: Connection, mark: datetime, span: Span, client_id: str | None) -> list[Record]:
        """One row for each status."""
        return await connection.fetch(
            self._queries["sum_month_executions"], span.since, span.until, client_id, mark, timeout=self._within_seconds
        )

    async def month_attempts(self, connection: Connection, mark: datetime, span: Span, client_id: str | None) -> list[Record]:
        """One row for each worker."""
        return await connection.fetch(
            self._queries["sum_month_attempts"], span.since, span.until, client_id, mark, timeout=self._within_seconds
        )

    async def roll_on(self, connection: Connection, *, least_age_seconds: float, most: int) -> bool:
        """Move the mark on; whether there may be more. Outside of a transaction: others wait for its end."""
        more: bool = await connection.fetchval(self._queries["roll_usage_on"], least_age_seconds, most)
        return more

    async def roll_again(self, connection: Connection, *, least_age_seconds: float, most: int) -> bool:
        """Add those to the totals that were taken out or left; whether there may be more. As `roll_on`."""
        more: bool = await connection.fetchval(self._queries["roll_usage_again"], least_age_seconds, most)
        return more

    async def limit_rolling(self, connection: Connection, seconds: float) -> None:
        """Let no statement of the rest of the transaction take longer."""
        await connection.execute(self._queries["limit_rolling"], str(int(seconds * 1000)))

    async def days_to_bring_together(self, connection: Connection) -> list[date]:
        """Those to which something was added."""
        return [row["created_on"] for row in await connection.fetch(self._queries["list_days_to_bring_together"])]

    async def bring_together(self, connection: Connection, day: date) -> None:
        """Leave one row of each kind for a day; nothing while another replica does so. In a transaction of its own."""
        if await connection.fetchval(self._queries["try_lock_usage_rows"]):
            await connection.execute(self._queries["bring_execution_usage_together"], day)
            await connection.execute(self._queries["bring_attempt_usage_together"], day)
            await connection.execute(self._queries["bring_call_usage_together"], day)


def _whole_days(span: Span) -> tuple[datetime, datetime]:
    """From one midnight of UTC until before another; both the same moment when the span has no whole day."""
    until = _day_of(span.until)
    if until <= span.since:
        return span.until, span.until
    since = _day_of(span.since)
    return (since if since == span.since else since + timedelta(days=1)), until


def _day_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
