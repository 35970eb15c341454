"""What is kept of an ended attempt and never searched, packed into one column: every attempt costs a commit these bytes.

Values stand one behind the other, without names. Fields are only ever added at the end, with a default, so that what was
written before reads as ever. No contract is among these structs: contracts may change without regard to what is stored.
"""

from binascii import unhexlify
from typing import Any

import msgspec
from msgspec import Struct

from aif_contracts.blobs import BlobRef, StorageType
from aif_contracts.metering import CostLines, ResourceUsage, TimeBreakdown
from aif_contracts.money import UsdText
from aif_contracts.packets import CeilingReason, Grant, QualityTier
from aif_orchestrator.execution.commands import RecordAttempt

_JSON = "application/json"
_NO_LINES = CostLines()


class _Grant(Struct, frozen=True, array_like=True):
    models: tuple[str, ...] | None
    max_cost_usd: UsdText
    max_tokens: int | None
    energy: int
    quality: QualityTier | None
    quality_reason: CeilingReason | None
    prefer_providers: tuple[str, ...]
    max_fallbacks: int | None
    cache: bool
    parameters: dict[str, Any]


class _Output(Struct, frozen=True, array_like=True):
    storage_type: StorageType
    storage_key: str
    size_bytes: int
    digest: bytes
    media_type: str | None
    """None for JSON."""


class _Lines(Struct, frozen=True, array_like=True):
    ai_generation_usd: UsdText
    api_calls_usd: UsdText
    storage_usd: UsdText
    compute_usd: UsdText


class PackedAttempt(Struct, frozen=True, array_like=True):
    """The account of an attempt, and what of its record has no column."""

    dispatches: int
    leg: int
    instance_id: str | None
    started_at: int | None
    packed_grant: _Grant | None
    message: str
    packed_output: _Output | None
    input_size_bytes: int
    timeout_ms: int | None
    element_count: int | None
    processing_time_ms: int
    provider: str | None
    fallback_from: str | None
    fallback_reason: str | None
    packed_lines: _Lines | None
    """None when all are zero."""
    unanswered: dict[str, UsdText] | None
    """None for none."""
    saved_usd: UsdText
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    ai_generation_ms: int
    validation_ms: int
    storage_ms: int
    api_calls: int
    kv_operations: int
    r2_operations: int
    cpu_time_ms: int
    memory_mb: int

    @property
    def grant(self) -> Grant | None:
        """None for the free one."""
        packed = self.packed_grant
        if packed is None:
            return None
        return Grant(
            models=packed.models,
            max_cost_usd=packed.max_cost_usd,
            max_tokens=packed.max_tokens,
            energy=packed.energy,
            quality=packed.quality,
            quality_reason=packed.quality_reason,
            prefer_providers=packed.prefer_providers,
            max_fallbacks=packed.max_fallbacks,
            cache=packed.cache,
            parameters=packed.parameters,
        )

    @property
    def output(self) -> BlobRef | None:
        packed = self.packed_output
        if packed is None:
            return None
        return BlobRef(
            storage_type=packed.storage_type,
            storage_key=packed.storage_key,
            size_bytes=packed.size_bytes,
            sha256=packed.digest.hex(),
            media_type=_JSON if packed.media_type is None else packed.media_type,
        )

    @property
    def output_size_bytes(self) -> int:
        return 0 if self.packed_output is None else self.packed_output.size_bytes

    @property
    def cost_lines(self) -> CostLines:
        packed = self.packed_lines
        if packed is None:
            return _NO_LINES
        return CostLines(
            ai_generation_usd=packed.ai_generation_usd,
            api_calls_usd=packed.api_calls_usd,
            storage_usd=packed.storage_usd,
            compute_usd=packed.compute_usd,
        )

    @property
    def breakdown(self) -> TimeBreakdown:
        return TimeBreakdown(
            ai_generation_ms=self.ai_generation_ms, validation_ms=self.validation_ms, storage_ms=self.storage_ms
        )

    @property
    def resource_usage(self) -> ResourceUsage:
        return ResourceUsage(
            api_calls=self.api_calls,
            kv_operations=self.kv_operations,
            r2_operations=self.r2_operations,
            cpu_time_ms=self.cpu_time_ms,
            memory_mb=self.memory_mb,
        )


_encoder = msgspec.msgpack.Encoder()
_PACKED = msgspec.msgpack.Decoder(PackedAttempt)


def packed_attempt(ended: RecordAttempt) -> bytes:
    """The values of a PackedAttempt, in the order of its fields. It is not built, because that would cost as much again."""
    account, record = ended.account, ended.record
    metrics = record.metrics
    tokens, times, resources = metrics.tokens_used, metrics.breakdown, metrics.resource_usage
    return _encoder.encode(
        (
            account.dispatches,
            account.leg,
            account.instance_id,
            account.started_at,
            None if account.grant is None else _grant(account.grant),
            account.message,
            None if account.output is None else _output(account.output),
            record.input_size_bytes,
            record.timeout_ms,
            record.element_count,
            metrics.processing_time_ms,
            metrics.provider,
            metrics.fallback_from,
            metrics.fallback_reason,
            None if metrics.cost_lines == _NO_LINES else _lines(metrics.cost_lines),
            metrics.unanswered or None,
            metrics.saved_usd,
            tokens.cache_read_tokens,
            tokens.cache_write_tokens,
            tokens.reasoning_tokens,
            times.ai_generation_ms,
            times.validation_ms,
            times.storage_ms,
            resources.api_calls,
            resources.kv_operations,
            resources.r2_operations,
            resources.cpu_time_ms,
            resources.memory_mb,
        )
    )


def unpacked_attempt(packed: bytes) -> PackedAttempt:
    return _PACKED.decode(packed)


def _grant(grant: Grant) -> tuple[object, ...]:
    return (
        grant.models,
        grant.max_cost_usd,
        grant.max_tokens,
        grant.energy,
        grant.quality,
        grant.quality_reason,
        grant.prefer_providers,
        grant.max_fallbacks,
        grant.cache,
        grant.parameters,
    )


def _output(output: BlobRef) -> tuple[object, ...]:
    return (
        output.storage_type,
        output.storage_key,
        output.size_bytes,
        unhexlify(output.sha256),
        None if output.media_type == _JSON else output.media_type,
    )


def _lines(lines: CostLines) -> tuple[object, ...]:
    return (lines.ai_generation_usd, lines.api_calls_usd, lines.storage_usd, lines.compute_usd)
