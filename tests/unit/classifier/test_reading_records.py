from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from aif_classifier.failures import RecordInvalid
from aif_classifier.records import RecordReader
from aif_contracts.metering import Metrics
from aif_runtime.failures import MalformedMessage
from support.performance_samples import record


def test_a_record_becomes_a_row_with_exact_money_and_a_complexity_class() -> None:
    said = record(1, timestamp="2026-05-01T09:30:00.125+02:00", metrics=Metrics(cost_usd="0.000000000001"))

    row = RecordReader().read(msgspec.json.encode(said))

    assert row.cost_usd == Decimal("0.000000000001")
    assert row.timestamp == datetime(2026, 5, 1, 7, 30, 0, 125_000, tzinfo=UTC)
    assert row.input_complexity == "medium"


def test_an_unknown_cost_stays_unknown() -> None:
    row = RecordReader().read(msgspec.json.encode(record(1, metrics=Metrics(cost_usd=None))))

    assert row.cost_usd is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"timestamp": "yesterday"}, "timestamp is 'yesterday': write RFC 3339"),
        ({"timestamp": "2026-05-01"}, "timestamp is '2026-05-01'"),
        ({"timestamp": "2026-05-01T09:30:00"}, "timestamp is '2026-05-01T09:30:00'"),
        ({"timestamp": "2026-02-30T09:30:00Z"}, "day is out of range"),
        ({"attempt": 2**31}, "attempt is 2147483648"),
        ({"execution_time_ms": 2**63}, "execution_time_ms is 9223372036854775808"),
        ({"execution_time_ms": -1}, "execution_time_ms is -1"),
        ({"timeout_ms": 0}, "timeout_ms is 0"),
        ({"quality_score": 1.5}, "quality_score is 1.5"),
        ({"action": "a" * 1001}, "action has 1001 characters"),
        ({"worker_name": ""}, "must not be empty"),
    ],
)
def test_a_record_that_says_what_cannot_be_is_refused_with_the_field(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(RecordInvalid) as refused:
        RecordReader().read(msgspec.json.encode(record(1, **changes)))

    assert told in str(refused.value)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b'{"execution_id": "e"}',
        b"\xff",
        b"[" * 100_000,
        msgspec.json.encode(record(1, action="a\0b")),
        msgspec.json.encode(record(1, metrics=Metrics(cost_usd="-1"))),
    ],
)
def test_bytes_that_are_no_record_are_refused(payload: bytes) -> None:
    with pytest.raises(MalformedMessage):
        RecordReader().read(payload)


def test_a_field_of_a_newer_writer_is_ignored() -> None:
    fields = msgspec.json.decode(msgspec.json.encode(record(1))) | {"from_the_future": {"a": 1}}

    assert RecordReader().read(msgspec.json.encode(fields)).execution_id == "exec_1"
