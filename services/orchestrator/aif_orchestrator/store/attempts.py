"""Ended attempts, as they are read; `batches.py` writes them.

The columns hold what is counted and compared. What only people ask for lies beside them in one packed column, so that it costs
a commit little.
"""

from datetime import datetime

import msgspec
from msgspec import Struct

from aif_contracts.history import AttemptOutcome, AttemptView
from aif_contracts.metering import CostLines, Metrics, ResourceUsage, TimeBreakdown, Tokens
from aif_contracts.money import usd_text
from aif_orchestrator.execution.commands import AttemptAccount, RecordAttempt
from aif_orchestrator.execution.draft import rfc3339
from aif_runtime.clock import rfc3339 as rfc3339_of
from aif_runtime.postgres import Connection, Record
from aif_runtime.sql_files import Queries

_NO_LINES = CostLines()


class Ended(Struct, frozen=True, kw_only=True):
    """An attempt's place among the others, in the order in which they ended."""

    at: datetime
    stage_id: str
    attempt: int


class StoredAttempt(Struct, frozen=True, kw_only=True):
    place: Ended
    view: AttemptView


class _Packed(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The account, and what of the figures has no column."""

    account: AttemptAccount
    provider: str | None = None
    fallback_from: str | None = None
    fallback_reason: str | None = None
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_lines: CostLines | None = None
    """None when all are zero."""
    breakdown: TimeBreakdown = TimeBreakdown()
    resource_usage: ResourceUsage = ResourceUsage()
    processing_time_ms: int = 0
    element_count: int | None = None


_pack = msgspec.msgpack.Encoder()
_PACKED = msgspec.msgpack.Decoder(_Packed)


class AttemptStore:
    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def list_ended(
        self, connection: Connection, execution_id: str, after: Ended | None, limit: int
    ) -> list[StoredAttempt]:
        """In the order in which they ended, those after a place."""
        place = (None, "", 0) if after is None else (after.at, after.stage_id, after.attempt)
        rows = await connection.fetch(self._queries["list_attempts"], execution_id, *place, limit)
        return [_stored(row) for row in rows]


def packed_account(ended: RecordAttempt) -> bytes:
    """The packed column of an attempt."""
    metrics = ended.record.metrics
    return _pack.encode(
        _Packed(
            account=ended.account,
            provider=metrics.provider,
            fallback_from=metrics.fallback_from,
            fallback_reason=metrics.fallback_reason,
            cache_read_tokens=metrics.tokens_used.cache_read_tokens,
            cache_write_tokens=metrics.tokens_used.cache_write_tokens,
            reasoning_tokens=metrics.tokens_used.reasoning_tokens,
            cost_lines=None if metrics.cost_lines == _NO_LINES else metrics.cost_lines,
            breakdown=metrics.breakdown,
            resource_usage=metrics.resource_usage,
            processing_time_ms=metrics.processing_time_ms,
            element_count=ended.record.element_count,
        )
    )


def _stored(row: Record) -> StoredAttempt:
    packed = _PACKED.decode(row["account"])
    account = packed.account
    view = AttemptView(
        stage_id=row["stage_id"],
        attempt=row["attempt"],
        worker_name=row["worker_name"],
        action=row["action"],
        outcome=AttemptOutcome.COMPLETED if row["success"] else AttemptOutcome.FAILED,
        queue_time_ms=row["queue_time_ms"],
        execution_time_ms=row["execution_time_ms"],
        metrics=_metrics(row, packed),
        packet_id=account.packet_id,
        instance_id=account.instance_id,
        started_at=None if account.started_at is None else rfc3339(account.started_at),
        ended_at=rfc3339_of(row["ended_at"]),
        grant=account.grant,
        failure_code=row["failure_code"],
        message=account.message,
        quality_score=row["quality_score"],
        element_count=packed.element_count,
        output=account.output,
    )
    return StoredAttempt(place=Ended(at=row["ended_at"], stage_id=view.stage_id, attempt=view.attempt), view=view)


def _metrics(row: Record, packed: _Packed) -> Metrics:
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
        cost_lines=packed.cost_lines or _NO_LINES,
        processing_time_ms=packed.processing_time_ms,
        breakdown=packed.breakdown,
        resource_usage=packed.resource_usage,
    )
