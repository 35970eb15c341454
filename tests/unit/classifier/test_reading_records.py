from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from aif_classifier.records import RecordReader
from aif_classifier.store import AttemptRow
from aif_contracts.metering import Metrics
from aif_contracts.performance import MOST_RECORDS, PerformanceRecord
from support.performance_samples import record


def test_a_record_becomes_a_row_with_exact_money_and_a_complexity_class() -> None:
    said = record(1, timestamp="2026-05-01T09:30:00.125+02:00", metrics=Metrics(cost_usd="0.000000000001"))

    row = _row(said)

    assert row.cost_usd == Decimal("0.000000000001")
    assert row.timestamp == datetime(2026, 5, 1, 7, 30, 0, 125_000, tzinfo=UTC)
    assert row.input_complexity == "medium"


def test_an_unknown_cost_stays_unknown() -> None:
    row = _row(record(1, metrics=Metrics(cost_usd=None)))

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
        ({"failure_code": "a" * 1001}, "failure_code has 1001 characters"),
        ({"action": "ä" * 201}, "action has 402 bytes: 400 are allowed"),
        ({"client_id": "c" * 401}, "client_id has 401 bytes"),
        ({"metrics": Metrics(model="m" * 401)}, "model has 401 bytes"),
        ({"metrics": Metrics(cost_usd="1000000.01")}, "cost_usd is 1000000.01: it lies between 0 and 1000000"),
        ({"worker_name": ""}, "must not be empty"),
    ],
)
def test_a_record_that_says_what_cannot_be_is_refused_with_the_field(changes: dict[str, Any], told: str) -> None:
    records = RecordReader().read(msgspec.json.encode([record(1, **changes)]))

    assert records.rows == []
    assert [told in poison.reason for poison in records.poison] == [True]


@pytest.mark.parametrize("payload", [b"", b"{", b"{}", b'"text"', b"\xff", b"[" * 100_000, msgspec.json.encode(record(1))])
def test_bytes_that_are_no_records_are_refused(payload: bytes) -> None:
    records = RecordReader().read(payload)

    assert records.rows == []
    assert [poison.content for poison in records.poison] == [payload]
    assert records.poison[0].reason.startswith("the message is no array of records: ")


@pytest.mark.parametrize(
    "spoiled",
    [
        b'{"execution_id": "e"}',
        b"7",
        b'"\xff"',
        msgspec.json.encode(record(2, action="a\0b")),
        msgspec.json.encode(record(2, metrics=Metrics(cost_usd="-1"))),
        msgspec.json.encode(record(2, quality_score=7.0)),
    ],
)
def test_one_bad_record_among_many_goes_alone_and_spoils_no_other(spoiled: bytes) -> None:
    good = [msgspec.json.encode(record(number)) for number in (1, 3)]

    records = RecordReader().read(b"[" + good[0] + b"," + spoiled + b"," + good[1] + b"]")

    assert [row.execution_id for row in records.rows] == ["exec_1", "exec_3"]
    assert [poison.content for poison in records.poison] == [b"[" + spoiled + b"]"]


def test_a_field_of_a_newer_writer_is_ignored() -> None:
    fields = msgspec.json.decode(msgspec.json.encode(record(1))) | {"from_the_future": {"a": 1}}

    records = RecordReader().read(msgspec.json.encode([fields]))

    assert [row.execution_id for row in records.rows] == ["exec_1"]


def _row(said: PerformanceRecord) -> AttemptRow:
    (row,) = RecordReader().read(msgspec.json.encode([said])).rows
    return row


def test_of_more_bad_records_than_a_message_may_hold_one_letter_is_made_and_the_good_ones_are_kept() -> None:
    payload = msgspec.json.encode([record(1), *range(MOST_RECORDS + 1)])

    records = RecordReader().read(payload)

    assert [row.execution_id for row in records.rows] == [record(1).execution_id]
    assert [each.content for each in records.poison] == [payload]
    assert records.poison[0].reason.startswith("101 of its records cannot be stored, the first one because Expected `object`")
