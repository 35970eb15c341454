import msgspec

from aif_contracts.blobs import BlobRef, StorageType
from aif_contracts.metering import Metrics, ResourceUsage
from aif_contracts.performance import PerformanceRecord
from aif_orchestrator.execution.commands import AttemptAccount, RecordAttempt
from aif_orchestrator.store.packed_attempts import packed_attempt, unpacked_attempt

EXECUTION_ID = "exec_01JZ8Q2W3E4R5T6Y7U8I9O0PAS"
ECHO = RecordAttempt(
    record=PerformanceRecord(
        execution_id=EXECUTION_ID,
        stage_id="first",
        attempt=1,
        client_id="acme",
        worker_name="idle_worker",
        action="echo",
        template="chain",
        template_version="1.0.0",
        success=True,
        execution_time_ms=3,
        queue_time_ms=12,
        metrics=Metrics(processing_time_ms=3, resource_usage=ResourceUsage(cpu_time_ms=1, memory_mb=81)),
        timestamp="2026-05-01T10:00:00.123Z",
        input_size_bytes=1000,
        output_size_bytes=1000,
        timeout_ms=120_000,
    ),
    account=AttemptAccount(
        dispatches=1,
        instance_id="idle_worker-0123456789abcdef0123456789",
        started_at=1_777_629_600_123,
        output=BlobRef(
            storage_type=StorageType.KV,
            storage_key=f"data/{EXECUTION_ID}/first/1/output-0123456789abcdef",
            size_bytes=1000,
            sha256="0123456789abcdef" * 4,
        ),
    ),
)


STORED = [
    1,  # dispatches, leg
    1,
    "idle_worker-0123456789abcdef0123456789",
    1_777_629_600_123,
    None,  # the free grant
    "",
    ["KV", f"data/{EXECUTION_ID}/first/1/output-0123456789abcdef", 1000, bytes.fromhex("0123456789abcdef" * 4), None],
    1000,  # bytes of input, time limit, elements
    120_000,
    None,
    3,  # processing time
    None,  # provider, fallback
    None,
    None,
    None,  # what it cost
    None,
    "0",
    *(0, 0, 0),  # tokens, times, resources
    *(0, 0, 0),
    *(0, 0, 0, 1, 81),
]
"""Rows are kept for months: an order once written is read for ever, and longer ones begin with it."""


def test_an_attempt_that_spent_nothing_is_packed_as_its_values_alone() -> None:
    packed = packed_attempt(ECHO)

    assert packed == msgspec.msgpack.encode(STORED)
    assert len(packed) < 220


def test_an_attempt_is_read_also_when_a_later_version_has_written_more_of_it() -> None:
    read = unpacked_attempt(msgspec.msgpack.encode([*STORED, "something new"]))

    assert read == unpacked_attempt(packed_attempt(ECHO))
    assert read.output == ECHO.account.output
    assert (read.timeout_ms, read.processing_time_ms, read.memory_mb) == (120_000, 3, 81)
