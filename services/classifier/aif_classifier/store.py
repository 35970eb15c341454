"""The classifier's two tables: the log of attempts, and the recommendations made from it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec
from msgspec import Struct

from aif_classifier.figures import FigureRow
from aif_classifier.findings import ICONS, Finding
from aif_classifier.samples import Sample, Slice
from aif_contracts.performance import Recommendation, RecommendationType
from aif_runtime.clock import rfc3339
from aif_runtime.ids import NewId
from aif_runtime.postgres import Connection
from aif_runtime.sql_files import Queries

WITHIN_SECONDS = 15.0


class AttemptRow(Struct, frozen=True, kw_only=True):
    """A row of `worker_performance_log`, named as its columns."""

    execution_id: str
    stage_id: str
    attempt: int
    client_id: str
    worker_name: str
    action: str
    template: str
    template_version: str
    provider: str | None
    model: str | None
    success: bool
    failure_code: str | None
    execution_time_ms: int
    queue_time_ms: int
    timeout_ms: int | None
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost_usd: Decimal | None
    quality_score: float | None
    element_count: int | None
    input_size: int
    input_complexity: str
    output_size: int
    timestamp: datetime


class PerformanceStore:
    def __init__(self, queries: Queries, *, within_seconds: float = WITHIN_SECONDS) -> None:
        """`within_seconds` is what figures may take."""
        self._queries = queries
        self._within_seconds = within_seconds

    async def insert_attempts(self, connection: Connection, rows: Sequence[AttemptRow]) -> tuple[Slice, ...]:
        """Returns the slice of every attempt that was new."""
        inserted = await connection.fetch(self._queries["insert_attempts"], msgspec.json.encode(rows))
        return tuple(Slice(**row) for row in inserted)

    async def list_slices(self, connection: Connection, window: timedelta) -> tuple[Slice, ...]:
        rows = await connection.fetch(self._queries["list_slices"], window)
        return tuple(Slice(**row) for row in rows)

    async def list_samples(self, connection: Connection, slice_: Slice, window: timedelta, at_most: int) -> tuple[Sample, ...]:
        """Newest first."""
        rows = await connection.fetch(
            self._queries["list_samples"], slice_.worker_name, slice_.action, slice_.template, window, at_most
        )
        return tuple(Sample(**row) for row in rows)

    async def list_samples_of_client(
        self, connection: Connection, client_id: str, worker_name: str | None, window: timedelta, at_most: int
    ) -> dict[Slice, list[Sample]]:
        """Newest first, `at_most` of all slices together. `worker_name` None for all workers."""
        rows = await connection.fetch(self._queries["list_samples_of_client"], client_id, worker_name, window, at_most)
        samples: dict[Slice, list[Sample]] = {}
        for row in rows:
            slice_ = Slice(**{field: row[field] for field in Slice.__struct_fields__})
            samples.setdefault(slice_, []).append(Sample(**{field: row[field] for field in Sample.__struct_fields__}))
        return samples

    async def list_figures(
        self, connection: Connection, window: timedelta, worker_name: str | None, *, client_id: str | None = None
    ) -> tuple[FigureRow, ...]:
        """`worker_name` None for all workers, `client_id` None for everybody's attempts."""
        await connection.execute(self._queries["sum_at_length"], str(int(self._within_seconds * 1000)))
        rows = await connection.fetch(
            self._queries["list_figures"], window, worker_name, client_id, timeout=self._within_seconds
        )
        return tuple(
            FigureRow(**{**row, "failures_by_code": msgspec.json.decode(row["failures_by_code"], type=dict[str, int])})
            for row in rows
        )

    async def delete_old_attempts(self, connection: Connection, older_than: timedelta, at_most: int) -> int:
        """Returns how many were deleted; fewer than `at_most` when none is left."""
        return len(await connection.fetch(self._queries["delete_old_attempts"], older_than, at_most))


class InsightStore:
    def __init__(self, queries: Queries, *, new_id: NewId) -> None:
        self._queries = queries
        self._new_id = new_id

    async def lock(self, connection: Connection, slice_: Slice) -> None:
        """Until the end of the transaction: one replica writes about a slice at a time."""
        name = f"{slice_.worker_name}/{slice_.action}/{slice_.template}"
        await connection.execute(self._queries["lock_slice"], name)

    async def put_findings(self, connection: Connection, slice_: Slice, findings: Sequence[Finding]) -> None:
        """Make the pending recommendations about a slice be these."""
        for finding in findings:
            await connection.execute(
                self._queries["upsert_insight"],
                self._new_id("rec"),
                finding.insight_key,
                slice_.worker_name,
                slice_.action,
                slice_.template,
                finding.recommendation_type.value,
                finding.description,
                finding.parameter,
                finding.current_value,
                finding.recommended_value,
                finding.expected_improvement,
                finding.saving_usd,
                finding.confidence_score,
                finding.sample_size,
                msgspec.json.encode(finding.evidence),
            )
        await connection.execute(
            self._queries["withdraw_insights"],
            slice_.worker_name,
            slice_.action,
            slice_.template,
            [finding.insight_key for finding in findings],
        )

    async def withdraw_unobserved(self, connection: Connection, window: timedelta) -> None:
        await connection.execute(self._queries["withdraw_unobserved"], window)

    async def delete_old_insights(self, connection: Connection, older_than: timedelta, at_most: int) -> int:
        """Withdrawn so long ago. Returns how many were deleted; fewer than `at_most` when none is left."""
        return len(await connection.fetch(self._queries["delete_old_insights"], older_than, at_most))

    async def list_pending(self, connection: Connection, worker_name: str | None) -> tuple[Recommendation, ...]:
        rows = await connection.fetch(self._queries["list_pending_insights"], worker_name)
        return tuple(
            Recommendation(
                recommendation_id=row["recommendation_id"],
                recommendation_type=RecommendationType(row["recommendation_type"]),
                icon=ICONS[RecommendationType(row["recommendation_type"])],
                description=row["description"],
                confidence=row["confidence_score"],
                parameter=row["parameter"],
                current_value=row["current_value"],
                recommended_value=row["recommended_value"],
                expected_improvement=row["expected_improvement"],
                sample_size=row["sample_size"],
                implementation_status=row["implementation_status"],
                created_at=rfc3339(row["created_at"]),
            )
            for row in rows
        )
