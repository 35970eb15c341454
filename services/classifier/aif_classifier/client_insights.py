"""The action `analyze_worker_performance`: how the attempts of the stage's own client did, and what that client may change.

A client is told of its own attempts alone. Figures and recommendations are computed anew from these; the recommendations that
are kept come from everybody's attempts, and are for operators.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from aif_classifier.figures import FigureRow
from aif_classifier.findings import ICONS, Finding, Thresholds
from aif_classifier.insights import asked_period, misread_query, worker_insights
from aif_classifier.recommendations import findings_about
from aif_classifier.samples import Sample, Slice
from aif_classifier.store import PerformanceStore
from aif_contracts.performance import InsightsQuery, Recommendation
from aif_runtime.assignment import Assignment, Outcome, WorkFailure
from aif_runtime.clock import Clock, rfc3339
from aif_runtime.cpu_meter import run_in_thread
from aif_runtime.decoding import decode
from aif_runtime.failures import DatabaseUnavailable, MalformedMessage
from aif_runtime.postgres import Database

MOST_SAMPLES = 10_000
"""Of a client, newest first: all of its workers together."""
_RETRY_AFTER_MS = 2000
_ID_DIGITS = 26

_query_decoder = msgspec.json.Decoder(InsightsQuery)


class ClientInsights:
    """Stateless between assignments."""

    def __init__(
        self,
        *,
        database: Database,
        attempts: PerformanceStore,
        window: timedelta,
        thresholds: Thresholds,
        clock: Clock,
    ) -> None:
        """Recommendations come from the attempts of the `window`, whatever period the figures are asked for."""
        self._database = database
        self._attempts = attempts
        self._window = window
        self._thresholds = thresholds
        self._clock = clock

    async def analyze_worker_performance(self, assignment: Assignment) -> Outcome:
        query, client_id = _read_query(assignment.input), assignment.context.client_id
        try:
            await assignment.progress(10, "adding up the attempts")
            rows = await self._figures(query, client_id)
            await assignment.progress(50, "looking for what to change")
            findings = await self._findings(query, client_id)
        except DatabaseUnavailable as away:
            message = "the classifier cannot reach its database; another attempt in a moment may"
            raise WorkFailure("database_unavailable", message, retryable=True, retry_after_ms=_RETRY_AFTER_MS) from away
        now = rfc3339(self._clock.now())
        insights = worker_insights(query, rows, [_recommended(finding, client_id, now) for finding in findings], now)
        return Outcome(
            output=insights,
            element_count=len(insights.figures),
            summary=f"{sum(row.attempts for row in rows)} attempts, {len(findings)} recommendations",
        )

    async def _figures(self, query: InsightsQuery, client_id: str) -> Sequence[FigureRow]:
        async with self._database.transaction() as connection:
            return await self._attempts.list_figures(connection, asked_period(query), query.worker_name, client_id=client_id)

    async def _findings(self, query: InsightsQuery, client_id: str) -> list[Finding]:
        """Surest first."""
        async with self._database.transaction() as connection:
            samples = await self._attempts.list_samples_of_client(
                connection, client_id, query.worker_name, self._window, MOST_SAMPLES
            )
        return await run_in_thread(_found, samples, self._thresholds)


def _read_query(fields: Mapping[str, Any]) -> InsightsQuery:
    """The stage's input; what else an earlier stage has put there is passed over. Raises WorkFailure `invalid_input`."""
    # A template passes every optional parameter on, and one that was not given arrives as null.
    asked = {name: fields[name] for name in InsightsQuery.__struct_fields__ if fields.get(name) is not None}
    try:
        return decode(_query_decoder, msgspec.json.encode(asked))
    except MalformedMessage as wrong:
        mistake = misread_query(str(wrong))
        message = f"the stage's input does not fit: {mistake.message}: give {mistake.mend}"
        raise WorkFailure("invalid_input", message, retryable=False) from wrong


def _found(samples: Mapping[Slice, Sequence[Sample]], thresholds: Thresholds) -> list[Finding]:
    found = [finding for slice_, alike in samples.items() for finding in findings_about(slice_, alike, thresholds)]
    return sorted(found, key=lambda finding: (-finding.confidence_score, finding.insight_key))


def _recommended(finding: Finding, client_id: str, now: str) -> Recommendation:
    """It is kept nowhere: its id is the same whenever the same is found for the same client."""
    digest = hashlib.sha256(f"{client_id}/{finding.insight_key}".encode()).hexdigest()
    return Recommendation(
        recommendation_id=f"rec_{digest[:_ID_DIGITS]}",
        recommendation_type=finding.recommendation_type,
        icon=ICONS[finding.recommendation_type],
        description=finding.description,
        confidence=finding.confidence_score,
        parameter=finding.parameter,
        current_value=finding.current_value,
        recommended_value=finding.recommended_value,
        expected_improvement=finding.expected_improvement,
        sample_size=finding.sample_size,
        created_at=now,
    )
