"""Answers what the factory knows about its workers."""

import re
from collections.abc import Sequence
from datetime import timedelta

import msgspec

from aif_classifier.figures import FigureRow, performance_score, rolling_figures
from aif_classifier.store import InsightStore, PerformanceStore
from aif_contracts.orders import FieldMistake, Refusal
from aif_contracts.performance import InsightsQuery, Recommendation, WorkerInsights
from aif_runtime.bus import Question
from aif_runtime.clock import Clock, rfc3339
from aif_runtime.decoding import decode
from aif_runtime.failures import DatabaseUnavailable, MalformedMessage
from aif_runtime.postgres import Database
from aif_runtime.telemetry import SpanKind, Tracing

LARGEST_ANSWER_BYTES = 1_000_000
"""Brokers take a message of a mebibyte, and its headers are of it."""
_RETRY_AFTER_MS = 2000
_FIELD = re.compile(r"at `\$\.([a-z_]+)`")
_MENDS = {
    "analysis_period": "hours or days, for example 24h or 7d, at most 999 of them",
    "worker_name": "a worker's name, or null for all workers",
}
_MEND_ANY = 'a JSON object such as {"worker_name": "content_granulator", "analysis_period": "7d"}'


class Insights:
    def __init__(
        self,
        *,
        database: Database,
        attempts: PerformanceStore,
        recommendations: InsightStore,
        clock: Clock,
        tracing: Tracing,
    ) -> None:
        self._database = database
        self._attempts = attempts
        self._recommendations = recommendations
        self._clock = clock
        self._tracing = tracing
        self._decoder = msgspec.json.Decoder(InsightsQuery)

    async def answer(self, question: Question) -> bytes:
        """`WorkerInsights`, or `Refusal` for a query that cannot be read, or whose answer no message holds, and while the
        database is away."""
        with self._tracing.span("insights", parent=question.headers, kind=SpanKind.SERVER):
            written = msgspec.json.encode(await self._reply(question.payload))
            return written if len(written) <= LARGEST_ANSWER_BYTES else msgspec.json.encode(_too_large(len(written)))

    async def _reply(self, payload: bytes) -> WorkerInsights | Refusal:
        try:
            return await self._insights(decode(self._decoder, payload))
        except MalformedMessage as wrong:
            return _unreadable(str(wrong))
        except DatabaseUnavailable:
            return Refusal(
                code="database_unavailable",
                message="The classifier cannot reach its database; ask again in a moment.",
                retry_after_ms=_RETRY_AFTER_MS,
            )

    async def _insights(self, query: InsightsQuery) -> WorkerInsights:
        async with self._database.transaction() as connection:
            rows = await self._attempts.list_figures(connection, asked_period(query), query.worker_name)
            pending = await self._recommendations.list_pending(connection, query.worker_name)
        return worker_insights(query, rows, pending, rfc3339(self._clock.now()))


def asked_period(query: InsightsQuery) -> timedelta:
    number = int(query.analysis_period[:-1])
    return timedelta(hours=number) if query.analysis_period.endswith("h") else timedelta(days=number)


def worker_insights(
    query: InsightsQuery, rows: Sequence[FigureRow], recommendations: Sequence[Recommendation], now: str
) -> WorkerInsights:
    return WorkerInsights(
        worker_name=query.worker_name,
        analysis_period=query.analysis_period,
        performance_score=performance_score(rows),
        figures=tuple(rolling_figures(row) for row in rows),
        ai_recommendations=tuple(recommendations),
        analysis_timestamp=now,
    )


def misread_query(reason: str) -> FieldMistake:
    """The field, when the decoder's reason names one, and the mend."""
    found = _FIELD.search(reason)
    field = found[1] if found else ""
    return FieldMistake(field=field, message=reason, mend=_MENDS.get(field, _MEND_ANY))


def _too_large(size: int) -> Refusal:
    message = f"What is known would take {size} bytes, and an answer has {LARGEST_ANSWER_BYTES} at most."
    mend = "name one worker; of one that has too much by itself, ask for a shorter analysis_period"
    return Refusal(
        code="answer_too_large", message=message, mistakes=(FieldMistake(field="worker_name", message=message, mend=mend),)
    )


def _unreadable(reason: str) -> Refusal:
    mistakes = (misread_query(reason),)
    return Refusal(code="invalid_query", message=f"The query cannot be read: {reason}", mistakes=mistakes)
