"""From performance records on the wire to rows, or to the reasons why they cannot be any."""

import re
from datetime import datetime
from decimal import Decimal

import msgspec
from msgspec import Struct

from aif_classifier.failures import RecordInvalid
from aif_classifier.samples import complexity_of
from aif_classifier.store import AttemptRow
from aif_contracts.money import usd
from aif_contracts.performance import MOST_RECORDS, PerformanceRecord
from aif_runtime.decoding import decode
from aif_runtime.failures import MalformedMessage

LARGEST_INTEGER = 2**31 - 1
LARGEST_BIGINT = 2**63 - 1
LONGEST_TEXT = 1000
LONGEST_NAME_BYTES = 400
"""An entry of an index has 2704 bytes at most, and the longest one holds four names."""
LARGEST_COST_USD = Decimal(1_000_000)
"""A million attempts that cost so much still sum up to what an answer can say."""
_RFC_3339 = re.compile(r"^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$")
_IN_32_BITS = frozenset({"attempt", "element_count"})
_NAMES = frozenset({"execution_id", "stage_id", "client_id", "worker_name", "action", "template", "model"})


class Poison(Struct, frozen=True, kw_only=True):
    """What cannot be stored, by itself a message of the same kind, and why."""

    content: bytes
    reason: str


class Record(Struct, frozen=True, kw_only=True):
    row: AttemptRow
    written: bytes

    def refused(self, reason: str) -> Poison:
        return Poison(content=_alone(self.written), reason=reason)


class Records(Struct, frozen=True, kw_only=True):
    """What one message tells."""

    readable: tuple[Record, ...]
    poison: tuple[Poison, ...]

    @property
    def rows(self) -> list[AttemptRow]:
        return [record.row for record in self.readable]


class RecordReader:
    """Everything that the table would refuse is refused here, so that a batch that reaches the database is stored whole."""

    def __init__(self) -> None:
        self._array = msgspec.json.Decoder(list[msgspec.Raw])
        self._decoder = msgspec.json.Decoder(PerformanceRecord)

    def read(self, payload: bytes) -> Records:
        """One bad record does not spoil the others."""
        try:
            parts = self._array.decode(payload)
        except (msgspec.MsgspecError, RecursionError) as wrong:
            return Records(
                readable=(), poison=(Poison(content=payload, reason=f"the message is no array of records: {wrong}"),)
            )
        readable: list[Record] = []
        poison: list[Poison] = []
        for written in map(bytes, parts):
            try:
                readable.append(Record(row=self._row(written), written=written))
            except (MalformedMessage, RecordInvalid) as wrong:
                poison.append(Poison(content=_alone(written), reason=str(wrong)))
        if len(poison) > MOST_RECORDS:
            # Each is a message of its own to bury, and a small array holds half a million of them.
            reason = f"{len(poison)} of its records cannot be stored, the first one because {poison[0].reason}"
            poison = [Poison(content=payload, reason=reason)]
        return Records(readable=tuple(readable), poison=tuple(poison))

    def _row(self, written: bytes) -> AttemptRow:
        """Raises MalformedMessage, RecordInvalid."""
        record = decode(self._decoder, written)
        tokens = record.metrics.tokens_used
        row = AttemptRow(
            execution_id=record.execution_id,
            stage_id=record.stage_id,
            attempt=record.attempt,
            client_id=record.client_id,
            worker_name=record.worker_name,
            action=record.action,
            template=record.template,
            template_version=record.template_version,
            provider=record.metrics.provider,
            model=record.metrics.model,
            success=record.success,
            failure_code=record.failure_code,
            execution_time_ms=record.execution_time_ms,
            queue_time_ms=record.queue_time_ms,
            timeout_ms=record.timeout_ms,
            prompt_tokens=tokens.prompt_tokens,
            completion_tokens=tokens.completion_tokens,
            total_tokens=tokens.total_tokens,
            cost_usd=None if record.metrics.cost_usd is None else usd(record.metrics.cost_usd),
            quality_score=record.quality_score,
            element_count=record.element_count,
            input_size=record.input_size_bytes,
            input_complexity=complexity_of(record.input_size_bytes),
            output_size=record.output_size_bytes,
            timestamp=_moment(record.timestamp),
        )
        _check(row)
        return row


def _alone(written: bytes) -> bytes:
    return b"[" + written + b"]"


def _moment(text: str) -> datetime:
    # The pattern first: Python reads dates without a time and weeks as well.
    if _RFC_3339.match(text) is None:
        raise RecordInvalid("timestamp", f"is {text[:40]!r}: write RFC 3339 such as 2026-05-01T09:30:00.125Z")
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError as wrong:
        raise RecordInvalid("timestamp", f"is {text[:40]!r}: {wrong}") from wrong


def _check(row: AttemptRow) -> None:
    for field in row.__struct_fields__:
        value = getattr(row, field)
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            raise RecordInvalid(field, f"has {len(value)} characters: {LONGEST_TEXT} are allowed")
        if field in _NAMES and value is not None and (size := len(value.encode())) > LONGEST_NAME_BYTES:
            raise RecordInvalid(field, f"has {size} bytes: {LONGEST_NAME_BYTES} are allowed")
        if isinstance(value, int):
            largest = LARGEST_INTEGER if field in _IN_32_BITS else LARGEST_BIGINT
            if not 0 <= value <= largest:
                raise RecordInvalid(field, f"is {value}: it lies between 0 and {largest}")
    if row.cost_usd is not None and row.cost_usd > LARGEST_COST_USD:
        raise RecordInvalid("cost_usd", f"is {row.cost_usd}: it lies between 0 and {LARGEST_COST_USD}")
    if row.timeout_ms == 0:
        raise RecordInvalid("timeout_ms", "is 0: leave it out when the attempt had no limit")
    if row.quality_score is not None and not 0 <= row.quality_score <= 1:
        raise RecordInvalid("quality_score", f"is {row.quality_score}: it lies between 0 and 1")
    if not all((row.execution_id, row.stage_id, row.worker_name, row.action)):
        raise RecordInvalid("execution_id, stage_id, worker_name and action", "must not be empty")
