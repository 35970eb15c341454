"""Questions about usage: sums by dimensions, and a client's month."""

import re
from datetime import timedelta

from aif_contracts import subjects
from aif_contracts.orders import FieldMistake, Refusal
from aif_contracts.usage import MonthlyUsage, MonthlyUsageQuery, UsageQuery, UsageReport, UsageRow
from aif_orchestrator.answering import answer_questions
from aif_orchestrator.moments import moment_in
from aif_orchestrator.pages import fitting, unknown_cursor
from aif_orchestrator.usage.figures import figures_of
from aif_orchestrator.usage.month import monthly_usage
from aif_orchestrator.usage.store import Grouping, Span, UsageStore
from aif_runtime.bus import Bus, Question
from aif_runtime.clock import rfc3339
from aif_runtime.places import Places
from aif_runtime.postgres import Database

LONGEST_DAYS = 400
REPORTS_AT_ONCE = 2
"""Each may take many seconds, and other readers wait for the same connections."""
PLACE_SECONDS = 4.0
"""With the longest report after it still within what its asker waits."""
_CURSOR = re.compile(r"row/(?P<offset>[0-9]{1,9})")


class UsageAnswers:
    def __init__(self, *, bus: Bus, database: Database, usage: UsageStore, place_seconds: float = PLACE_SECONDS) -> None:
        self._bus = bus
        self._database = database
        self._usage = usage
        self._places = Places(
            REPORTS_AT_ONCE, within_seconds=place_seconds, full="other figures of usage are being summed up; ask for them again"
        )

    async def open(self) -> None:
        """Begin to answer; ends when the bus closes."""
        await answer_questions(self._bus, subjects.REPORT_USAGE, UsageQuery, self._report, reads=True)
        await answer_questions(self._bus, subjects.REPORT_MONTH, MonthlyUsageQuery, self._month, reads=True)

    async def _report(self, query: UsageQuery, question: Question) -> UsageReport | Refusal:
        offset = _offset(query.cursor)
        if offset is None:
            return unknown_cursor()
        span = _span(query)
        if isinstance(span, Refusal):
            return span
        if len(set(query.group_by)) < len(query.group_by):
            return _wrong("group_by", "names a dimension twice", "name each dimension once")
        grouping = Grouping(dimensions=query.group_by, order=query.order, offset=offset, limit=query.limit + 1)
        async with self._places.place(), self._database.transaction() as connection:
            mark = await self._usage.begin_reading(connection)
            found = await self._usage.report(connection, mark, span, query.client_id, query.where, grouping)
        width = len(query.group_by)
        rows = [
            UsageRow(keys=tuple(row[f"key_{place}"] for place in range(1, width + 1)), figures=figures_of(row))
            for row in found.rows
        ]
        page = fitting(rows[: query.limit])
        return UsageReport(
            since=rfc3339(span.since),
            until=rfc3339(span.until),
            group_by=query.group_by,
            rows=page,
            totals=figures_of(found.totals),
            next_cursor=f"row/{offset + len(page)}" if len(rows) > len(page) else None,
        )

    async def _month(self, query: MonthlyUsageQuery, question: Question) -> MonthlyUsage:
        async with self._places.place(), self._database.transaction() as connection:
            return await monthly_usage(self._usage, connection, query)


def _offset(cursor: str | None) -> int | None:
    """How many rows the pages before have shown; None for a cursor that no page has given."""
    if cursor is None:
        return 0
    found = _CURSOR.fullmatch(cursor)
    return None if found is None else int(found["offset"])


def _span(query: UsageQuery) -> Span | Refusal:
    mistakes: list[FieldMistake] = []
    since = moment_in("from", query.since, mistakes)
    until = moment_in("to", query.until, mistakes)
    if since is None or until is None:
        return Refusal(code="invalid_input", message=mistakes[0].message, mistakes=tuple(mistakes))
    if until <= since:
        return _wrong("to", "is not after `from`", "give a later time")
    if until - since > timedelta(days=LONGEST_DAYS):
        return _wrong("from", f"lies more than {LONGEST_DAYS} days before `to`", "ask for a shorter time")
    return Span(since=since, until=until)


def _wrong(field: str, message: str, mend: str) -> Refusal:
    return Refusal(
        code="invalid_input", message=f"{field} {message}", mistakes=(FieldMistake(field=field, message=message, mend=mend),)
    )
