"""Ended attempts, from the commit to whoever reads them: all that was reported comes back, to people and to the classifier."""

import json
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from aif_contracts.blobs import BlobRef, StorageType
from aif_contracts.history import AttemptOutcome, AttemptView
from aif_contracts.metering import CostLines, Metrics, ResourceUsage, TimeBreakdown, Tokens
from aif_contracts.packets import CeilingReason, Grant, QualityTier
from aif_contracts.performance import PerformanceRecord
from aif_orchestrator.engine.told_attempts import performance_messages
from aif_orchestrator.execution.commands import AttemptAccount, RecordAttempt
from aif_orchestrator.store.accounts import AccountStore, DefaultBudget
from aif_orchestrator.store.attempts import AttemptStore, Ended
from aif_orchestrator.store.batches import BatchStore, Decided
from aif_orchestrator.store.outbox import OutboxRow, OutboxStore
from aif_runtime.failures import AlreadyStored
from aif_runtime.postgres import Database
from aif_runtime.sql_files import load_queries
from support.orchestrator_line import orchestrator_database

QUERIES = load_queries("aif_orchestrator.store")
FREE = Grant(models=(), max_cost_usd="0")
BEGINNING = datetime(2026, 5, 1, tzinfo=UTC)
BEGAN_AT_MS = 1_777_593_600_000
EXECUTION = """
INSERT INTO executions (
    execution_id, client_id, template, template_version, status, created_at, ended_at, wake_at, searched
)
VALUES ($1, $2, $3, $4, 'paused', now(), NULL, now(), '')
"""
CLIENTS = ("acme", "globex")
TEMPLATES = (("course", "1.0.0"), ("quiz", "2.1.0"))
SIGNS = "aZ9 _-.:,;{}()'\"\\\n\tß中\u2028💧"

NOTHING_SPENT = RecordAttempt(
    record=PerformanceRecord(
        execution_id="exec_0",
        stage_id="nothing",
        attempt=1,
        client_id="acme",
        worker_name="maker",
        action="make",
        template="course",
        template_version="1.0.0",
        success=True,
        execution_time_ms=0,
        queue_time_ms=0,
        metrics=Metrics(),
        timestamp="2026-05-01T00:00:00.000Z",
    ),
    account=AttemptAccount(dispatches=1),
)
EVERYTHING_TOLD = RecordAttempt(
    record=PerformanceRecord(
        execution_id="exec_0",
        stage_id="everything",
        attempt=3,
        client_id="acme",
        worker_name="content_granulator",
        action="granulate",
        template="course",
        template_version="1.0.0",
        success=False,
        execution_time_ms=1001,
        queue_time_ms=1002,
        metrics=Metrics(
            tokens_used=Tokens(
                prompt_tokens=1,
                completion_tokens=2,
                total_tokens=3,
                cache_read_tokens=4,
                cache_write_tokens=5,
                reasoning_tokens=6,
            ),
            provider="openai",
            model="gpt-large",
            fallback_from="gpt-larger",
            fallback_reason="rate_limited",
            cost_usd=None,
            cost_lines=CostLines(
                ai_generation_usd="0.000000000001", api_calls_usd="0.2", storage_usd="0.3", compute_usd="999999999999"
            ),
            unanswered={"exec_0.everything.3.1": "0.7", "exec_0.everything.3.2": "0.8"},
            saved_usd="0.9",
            processing_time_ms=1003,
            breakdown=TimeBreakdown(ai_generation_ms=11, validation_ms=12, storage_ms=13),
            resource_usage=ResourceUsage(api_calls=21, kv_operations=22, r2_operations=23, cpu_time_ms=24, memory_mb=25),
        ),
        timestamp="2026-05-01T00:00:00.007Z",
        quality_score=0.1,
        element_count=31,
        input_size_bytes=32,
        output_size_bytes=33,
        failure_code="output_invalid",
        timeout_ms=34,
    ),
    account=AttemptAccount(
        dispatches=5,
        leg=2,
        instance_id="worker_a",
        started_at=BEGAN_AT_MS + 41,
        grant=Grant(
            models=("gpt-larger", "gpt-large"),
            max_cost_usd="0.5",
            max_tokens=51,
            energy=52,
            quality=QualityTier.PREMIUM,
            quality_reason=CeilingReason.ENERGY,
            prefer_providers=("openai",),
            max_fallbacks=53,
            cache=True,
            parameters={"temperature": 0.5, "tone": ["dry", None]},
        ),
        message="a word has no meaning",
        output=BlobRef(
            storage_type=StorageType.OBJECT, storage_key="data/out", size_bytes=33, sha256="0f" * 32, media_type="text/plain"
        ),
    ),
)


class AnyAttempts:
    """Attempts with whatever can be in them."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def attempt(self, number: int) -> RecordAttempt:
        chance = self._chance
        failure = self._maybe(self._text())
        output = self._maybe(self._output())
        execution = number % 7
        template, version = TEMPLATES[execution % 2]
        return RecordAttempt(
            record=PerformanceRecord(
                execution_id=f"exec_{execution}",
                stage_id=self._text(),
                attempt=number + 1,
                client_id=CLIENTS[execution % 2],
                worker_name=chance.choice(("maker", "content_granulator", "topic_researcher")),
                action=self._text(),
                template=template,
                template_version=version,
                success=failure is None,
                execution_time_ms=self._count(),
                queue_time_ms=self._count(),
                metrics=chance.choice((Metrics(), self._metrics(), self._metrics())),
                timestamp=f"2026-05-01T10:00:{chance.randrange(60):02d}.{chance.randrange(1000):03d}Z",
                quality_score=self._maybe(chance.random()),
                element_count=self._maybe(self._count()),
                input_size_bytes=self._count(),
                output_size_bytes=0 if output is None else output.size_bytes,
                failure_code=failure,
                timeout_ms=self._maybe(self._count()),
            ),
            account=AttemptAccount(
                dispatches=chance.randrange(1, 1000),
                leg=chance.randrange(1, 200),
                instance_id=self._maybe(self._text()),
                started_at=self._maybe(BEGAN_AT_MS + chance.randrange(10**9)),
                grant=self._maybe(self._grant()),
                message=self._text(),
                output=output,
            ),
        )

    def _maybe(self, value: Any) -> Any:
        return self._chance.choice((None, value, value))

    def _text(self) -> str:
        return "".join(self._chance.choices(SIGNS, k=self._chance.choice((0, 1, 8, 40))))

    def _count(self) -> int:
        return self._chance.choice((0, 1, 127, 128, 255, 65_536, 2**31, 2**40))

    def _usd(self) -> str:
        return self._chance.choice(("0", "1", "0.0001875", "0.000000000001", "999999999999", "12.5"))

    def _output(self) -> BlobRef:
        return BlobRef(
            storage_type=self._chance.choice(list(StorageType)),
            storage_key=self._text() or "key",
            size_bytes=self._count(),
            sha256=self._chance.randbytes(32).hex(),
            media_type=self._chance.choice(("application/json", "text/markdown", "")),
        )

    def _grant(self) -> Grant:
        chance = self._chance
        return Grant(
            models=self._maybe(tuple(self._text() for _ in range(chance.randrange(3)))),
            max_cost_usd=self._usd(),
            max_tokens=self._maybe(self._count()),
            energy=self._count(),
            quality=self._maybe(chance.choice(list(QualityTier))),
            quality_reason=self._maybe(chance.choice(list(CeilingReason))),
            prefer_providers=tuple(self._text() for _ in range(chance.randrange(3))),
            max_fallbacks=self._maybe(self._count()),
            cache=chance.random() < 0.5,
            parameters={self._text(): self._maybe(chance.random()) for _ in range(chance.randrange(3))},
        )

    def _metrics(self) -> Metrics:
        return Metrics(
            tokens_used=Tokens(**{name: self._count() for name in Tokens.__struct_fields__}),
            provider=self._maybe(self._text()),
            model=self._maybe(self._text()),
            fallback_from=self._maybe(self._text()),
            fallback_reason=self._maybe(self._text()),
            cost_usd=self._maybe(self._usd()),
            cost_lines=CostLines(**{name: self._usd() for name in CostLines.__struct_fields__}),
            unanswered={self._text(): self._usd() for _ in range(self._chance.randrange(3))},
            saved_usd=self._usd(),
            processing_time_ms=self._count(),
            breakdown=TimeBreakdown(**{name: self._count() for name in TimeBreakdown.__struct_fields__}),
            resource_usage=ResourceUsage(**{name: self._count() for name in ResourceUsage.__struct_fields__}),
        )


ATTEMPTS = [NOTHING_SPENT, EVERYTHING_TOLD, *map(AnyAttempts(2026).attempt, range(600))]
RECORDS = [ended.record for ended in ATTEMPTS]


@pytest.fixture
async def database(fresh_orchestrator_database: str) -> AsyncIterator[Database]:
    async with orchestrator_database(fresh_orchestrator_database) as opened:
        async with opened.connection() as connection:
            for number in range(7):
                await connection.execute(EXECUTION, f"exec_{number}", CLIENTS[number % 2], *TEMPLATES[number % 2])
        yield opened


async def test_what_a_dead_replica_has_not_told_of_attempts_is_told_record_for_record_in_the_same_messages(
    database: Database,
) -> None:
    await _commit(database, ATTEMPTS)

    [row] = await _left_to_tell(database)

    assert row.records == RECORDS
    assert performance_messages(row.records) == performance_messages(RECORDS)
    assert row.messages == []


async def test_the_row_of_each_batch_tells_of_the_attempts_of_that_batch(database: Database) -> None:
    await _commit(database, ATTEMPTS[:3])
    await _commit(database, ATTEMPTS[3:5])

    first, second = await _left_to_tell(database)

    assert (first.records, second.records) == (RECORDS[:3], RECORDS[3:5])


async def test_nothing_is_told_of_attempts_that_were_deleted_meanwhile(database: Database) -> None:
    await _commit(database, ATTEMPTS[:5])
    async with database.connection() as connection:
        await connection.execute("DELETE FROM stage_attempts WHERE stage_id = 'everything'")
        await connection.execute("DELETE FROM executions WHERE execution_id = $1", RECORDS[3].execution_id)

    [row] = await _left_to_tell(database)

    assert row.records == [RECORDS[0], RECORDS[2], RECORDS[4]]


async def test_an_attempt_ends_once(database: Database) -> None:
    await _commit(database, ATTEMPTS[:1])

    with pytest.raises(AlreadyStored):
        await _commit(database, ATTEMPTS[:1])


async def test_all_that_was_reported_of_an_attempt_is_read_again(database: Database) -> None:
    await _commit(database, ATTEMPTS)

    read = await _read(database, {record.execution_id for record in RECORDS})

    expected = {(each.record.execution_id, each.record.stage_id, each.record.attempt): _view(each) for each in ATTEMPTS}
    assert read == expected


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_attempts_that_ended_together_are_listed_by_stage_and_number_on_whatever_pages(
    database: Database, limit: int
) -> None:
    early = "2026-04-30T23:59:59.999Z"
    named = [
        ("b", 1, NOTHING_SPENT.record.timestamp),
        ("a", 2, NOTHING_SPENT.record.timestamp),
        ("a", 1, NOTHING_SPENT.record.timestamp),
        ("z", 1, early),
    ]
    records = [
        replace(NOTHING_SPENT.record, execution_id="exec_1", stage_id=stage_id, attempt=attempt, timestamp=at)
        for stage_id, attempt, at in named
    ]
    await _commit(database, [replace(NOTHING_SPENT, record=record) for record in records])

    listed: list[tuple[str, int]] = []
    after: Ended | None = None
    async with database.connection() as connection:
        while page := await AttemptStore(QUERIES).list_ended(connection, "exec_1", after, limit):
            assert len(page) <= limit
            listed += [(each.view.stage_id, each.view.attempt) for each in page]
            after = page[-1].place

    assert listed == [("z", 1), ("a", 1), ("a", 2), ("b", 1)]


@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
async def test_the_calls_of_an_execution_are_added_up_once_for_a_page_of_its_attempts(database: Database, plan: str) -> None:
    records = [replace(NOTHING_SPENT.record, execution_id="exec_1", attempt=attempt) for attempt in range(1, 51)]
    await _commit(database, [replace(NOTHING_SPENT, record=record) for record in records])
    async with database.transaction() as connection:
        await connection.execute(f"SET LOCAL plan_cache_mode = {plan}")
        await connection.execute(f"PREPARE listed (text, timestamptz, text, int, bigint) AS {QUERIES['list_attempts']}")
        explained = await connection.fetchval("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE listed ('exec_1', NULL, NULL, NULL, 100)")
        await connection.execute("DEALLOCATE listed")

    sums = [node for node in _nodes(json.loads(explained)[0]["Plan"]) if node["Node Type"] == "Aggregate"]
    assert [node["Actual Loops"] for node in sums] == [1]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _view(ended: RecordAttempt) -> AttemptView:
    record, account = ended.record, ended.account
    started_at = account.started_at
    return AttemptView(
        stage_id=record.stage_id,
        attempt=record.attempt,
        worker_name=record.worker_name,
        action=record.action,
        outcome=AttemptOutcome.COMPLETED if record.failure_code is None else AttemptOutcome.FAILED,
        queue_time_ms=record.queue_time_ms,
        execution_time_ms=record.execution_time_ms,
        metrics=record.metrics,
        packet_id=f"packet_{record.execution_id[5:]}.{record.stage_id}.{account.dispatches}",
        instance_id=account.instance_id,
        started_at=None if started_at is None else _moment(started_at),
        ended_at=record.timestamp,
        grant=account.grant if account.grant is not None else FREE,
        failure_code=record.failure_code,
        message=account.message,
        quality_score=record.quality_score,
        element_count=record.element_count,
        output=account.output,
    )


def _moment(at_ms: int) -> str:
    moment = BEGINNING + timedelta(milliseconds=at_ms - BEGAN_AT_MS)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


async def _commit(database: Database, attempts: Sequence[RecordAttempt]) -> None:
    decided = Decided(
        checked={},
        revisions=(),
        entries=(),
        attempts=attempts,
        calls=(),
        settlements=(),
        moves=(),
        messages=performance_messages([ended.record for ended in attempts]),
        packets=(),
        published=(),
    )
    async with database.connection() as connection:
        await BatchStore(QUERIES, AccountStore(QUERIES, DefaultBudget())).commit(connection, decided)


async def _left_to_tell(database: Database) -> list[OutboxRow]:
    async with database.transaction() as connection:
        return await OutboxStore(QUERIES).lock_stale(connection, older_than_seconds=0, but_not=())


async def _read(database: Database, execution_ids: set[str]) -> dict[tuple[str, str, int], AttemptView]:
    read: dict[tuple[str, str, int], AttemptView] = {}
    async with database.connection() as connection:
        for execution_id in execution_ids:
            for stored in await AttemptStore(QUERIES).list_ended(connection, execution_id, None, 1000):
                read[execution_id, stored.view.stage_id, stored.view.attempt] = stored.view
    return read
