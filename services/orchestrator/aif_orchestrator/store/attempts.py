"""Ended attempts, as they are read; `batches.py` writes them.

The columns hold what is counted and compared. The rest lies beside them in one packed column (see packed_attempts.py).
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import astuple, replace

from aif_contracts.history import AttemptOutcome, AttemptView
from aif_contracts.metering import Metrics, Tokens
from aif_contracts.money import ZERO, usd, usd_text
from aif_contracts.performance import PerformanceRecord
from aif_orchestrator.execution.draft import rfc3339
from aif_orchestrator.execution.offering import FREE_GRANT, packet_id
from aif_orchestrator.store.packed_attempts import PackedAttempt, unpacked_attempt
from aif_runtime.clock import rfc3339 as rfc3339_of
from aif_runtime.postgres import Connection, Record
from aif_runtime.sql_files import Queries


class NamedAttempt(Struct, frozen=True, array_like=True):
    execution_id: str
    stage_id: str
    attempt: int


class Ended(Struct, frozen=True, kw_only=True):
    """An attempt's place among the others, in the order in which they ended."""

    at: datetime
    stage_id: str
    attempt: int


class StoredAttempt(Struct, frozen=True, kw_only=True):
    place: Ended
    view: AttemptView


class AttemptStore:
    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def list_ended(
        self, connection: Connection, execution_id: str, after: Ended | None, limit: int
    ) -> list[StoredAttempt]:
        """In the order in which they ended, those after a place."""
        place = (None, "", 0) if after is None else (after.at, after.stage_id, after.attempt)
        rows = await connection.fetch(self._queries["list_attempts"], execution_id, *place, limit)
        return [_stored(row, execution_id) for row in rows]

    async def list_told(self, connection: Connection, named: Sequence[NamedAttempt]) -> list[PerformanceRecord]:
        """What is told of these attempts, in this order; nothing of those that were deleted."""
        rows = await connection.fetch(
            self._queries["list_told_attempts"],
            [each.execution_id for each in named],
            [each.stage_id for each in named],
            [each.attempt for each in named],
        )
        return [_record(row) for row in rows]


def _stored(row: Record, execution_id: str) -> StoredAttempt:
    packed = unpacked_attempt(row["account"])
    view = AttemptView(
        stage_id=row["stage_id"],
        attempt=row["attempt"],
        worker_name=row["worker_name"],
        action=row["action"],
        outcome=AttemptOutcome.COMPLETED if row["success"] else AttemptOutcome.FAILED,
        queue_time_ms=row["queue_time_ms"],
        execution_time_ms=row["execution_time_ms"],
        metrics=_with_calls(_metrics(row, packed), row),
        packet_id=packet_id(execution_id, row["stage_id"], packed.dispatches),
        instance_id=packed.instance_id,
        started_at=None if packed.started_at is None else rfc3339(packed.started_at),
        ended_at=rfc3339_of(row["ended_at"]),
        grant=packed.grant or FREE_GRANT,
        failure_code=row["failure_code"],
        message=packed.message,
        quality_score=row["quality_score"],
        element_count=packed.element_count,
        output=packed.output,
    )
    return StoredAttempt(place=Ended(at=row["ended_at"], stage_id=view.stage_id, attempt=view.attempt), view=view)


def _with_calls(said: Metrics, row: Record) -> Metrics:
    """What the attempt said when it ended, or what its calls are known to have taken by now, whichever is more."""
    if row["booked_usd"] is None:
        return said
    tokens, lines = said.tokens_used, said.cost_lines
    prompt_tokens = max(tokens.prompt_tokens, row["booked_prompt_tokens"])
    completion_tokens = max(tokens.completion_tokens, row["booked_completion_tokens"])
    generation = max(usd(lines.ai_generation_usd), row["booked_usd"])
    lines = replace(lines, ai_generation_usd=usd_text(generation))
    unanswered = {
        key: usd_text(bound) for key, bound in zip(row["unanswered_keys"] or (), row["unanswered_usd"] or (), strict=True)
    }
    # A cost that is unknown though no call is named for it stays so.
    is_known = not unanswered and (said.cost_usd is not None or bool(said.unanswered))
    of_lines = sum((usd(amount) for amount in astuple(lines)), ZERO)
    return replace(
        said,
        tokens_used=Tokens(
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            total_tokens=max(tokens.total_tokens, prompt_tokens + completion_tokens),
            cache_read_tokens=max(tokens.cache_read_tokens, row["booked_cache_read_tokens"]),
            cache_write_tokens=max(tokens.cache_write_tokens, row["booked_cache_write_tokens"]),
            reasoning_tokens=max(tokens.reasoning_tokens, row["booked_reasoning_tokens"]),
        ),
        provider=said.provider or row["booked_provider"],
        model=said.model or row["booked_model"],
        cost_usd=usd_text(max(usd(said.cost_usd or "0"), of_lines)) if is_known else None,
        cost_lines=lines,
        unanswered=unanswered,
    )


def _record(row: Record) -> PerformanceRecord:
    packed = unpacked_attempt(row["account"])
    return PerformanceRecord(
        execution_id=row["execution_id"],
        stage_id=row["stage_id"],
        attempt=row["attempt"],
        client_id=row["client_id"],
        worker_name=row["worker_name"],
        action=row["action"],
        template=row["template"],
        template_version=row["template_version"],
        success=row["success"],
        execution_time_ms=row["execution_time_ms"],
        queue_time_ms=row["queue_time_ms"],
        metrics=_metrics(row, packed),
        timestamp=rfc3339_of(row["ended_at"]),
        quality_score=row["quality_score"],
        element_count=packed.element_count,
        input_size_bytes=packed.input_size_bytes,
        output_size_bytes=packed.output_size_bytes,
        failure_code=row["failure_code"],
        timeout_ms=packed.timeout_ms,
    )


def _metrics(row: Record, packed: PackedAttempt) -> Metrics:
    cost = row["cost_usd"]
    return Metrics(
        tokens_used=Tokens(
            prompt_tokens=row["prompt_tokens"],
            completion_tokens=row["completion_tokens"],
            total_tokens=row["tokens_used"],
            cache_read_tokens=packed.cache_read_tokens,
            cache_write_tokens=packed.cache_write_tokens,
            reasoning_tokens=packed.reasoning_tokens,
        ),
        provider=packed.provider,
        model=row["model"],
        fallback_from=packed.fallback_from,
        fallback_reason=packed.fallback_reason,
        cost_usd=None if cost is None else usd_text(cost),
        cost_lines=packed.cost_lines,
        unanswered=packed.unanswered or {},
        saved_usd=packed.saved_usd,
        processing_time_ms=packed.processing_time_ms,
        breakdown=packed.breakdown,
        resource_usage=packed.resource_usage,
    )
