"""The classifier's parts with a real Postgres and the bus in memory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import asyncpg
import msgspec
import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from aif_classifier.analysis import Analysis
from aif_classifier.findings import Thresholds
from aif_classifier.intake import CONSUMER, Intake
from aif_classifier.retention import Retention
from aif_classifier.samples import Sample, Slice
from aif_classifier.settings import ClassifierSettings
from aif_classifier.store import InsightStore, PerformanceStore
from aif_classifier.wiring import assemble
from aif_contracts import subjects
from aif_contracts.dead_letters import DeadLetter
from aif_contracts.metering import Metrics
from aif_contracts.orders import Refusal
from aif_contracts.performance import InsightsQuery, PerformanceRecord, RecommendationType, WorkerInsights
from aif_orchestrator.engine.told_attempts import performance_messages
from aif_runtime.bus import Bus, ConsumerSpec, Outgoing
from aif_runtime.clock import SystemClock
from aif_runtime.failures import DatabaseUnavailable
from aif_runtime.ids import id_mint
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.postgres import Connection, Database
from aif_runtime.process import Part
from aif_runtime.redaction import Redactor
from aif_runtime.settings import Secret
from aif_runtime.sql_files import load_queries
from aif_runtime.telemetry import TracingOff
from support.manual_clock import ManualClock
from support.performance_samples import record
from support.waiting import eventually

WORKER = "content_granulator"


async def test_a_record_delivered_twice_counts_once(database: Database, broker: MemoryBroker) -> None:
    async with _running(database, broker) as (bus, registry):
        await _publish(bus, [record(1), record(2)])
        await _publish(bus, [record(1), record(1, attempt=2)])
        await eventually(lambda: _settled(registry) == 4, what="all records settled")

        insights = await _ask(bus, InsightsQuery())

        assert [(f.attempts, f.successes) for f in insights.figures] == [(3, 3)]


async def test_poison_goes_to_the_dead_letters_and_its_neighbours_are_stored(database: Database, broker: MemoryBroker) -> None:
    poison = b'{"execution_id": 7}'
    async with _running(database, broker) as (bus, _):
        await _publish(bus, [record(1)])
        await bus.publish([Outgoing(subject=subjects.performance(WORKER), payload=poison)])
        await _publish(bus, [record(2, quality_score=7.0), record(3)])

        letters = sorted(await _dead_letters(bus, 2), key=lambda letter: letter.reason)

        assert letters[0].reason == "quality_score is 7.0: it lies between 0 and 1"
        assert [said["execution_id"] for said in msgspec.json.decode(letters[0].payload)] == ["exec_2"]
        assert letters[1].reason.startswith("the message is no array of records")
        assert letters[1].payload == poison
        assert {(letter.found_by, letter.subject) for letter in letters} == {("classifier", subjects.performance(WORKER))}
        assert await _rows(database) == ["exec_1", "exec_3"]


async def test_a_replica_killed_between_the_commit_and_the_acknowledgement_leaves_one_row(database: Database) -> None:
    clock = ManualClock()
    bus = MemoryBus(MemoryBroker(clock=clock.monotonic))
    await _publish(bus, [record(1)])
    await _publish(bus, [record(2)])
    first = await bus.open_consumer(CONSUMER)
    doomed = await first.fetch(10, 1.0)
    await _intake(bus, database).take([_Unacknowledged(delivery) for delivery in doomed])
    assert await _rows(database) == ["exec_1", "exec_2"]

    clock.advance(CONSUMER.ack_wait_seconds)
    again = await first.fetch(10, 1.0)
    await _intake(bus, database).take(again)
    clock.advance(CONSUMER.ack_wait_seconds)

    assert [delivery.num_delivered for delivery in again] == [2, 2]
    assert await _rows(database) == ["exec_1", "exec_2"]
    assert await first.fetch(10, 0.0) == []


async def test_a_replica_killed_before_the_commit_loses_nothing(database: Database) -> None:
    clock = ManualClock()
    bus = MemoryBus(MemoryBroker(clock=clock.monotonic))
    await _publish(bus, [record(1)])
    deliveries = await bus.open_consumer(CONSUMER)
    doomed = await deliveries.fetch(10, 1.0)
    with pytest.raises(asyncio.CancelledError):
        await _intake(bus, database, store=_KilledBeforeCommit(load_queries("aif_classifier"))).take(doomed)
    assert await _rows(database) == []

    clock.advance(CONSUMER.ack_wait_seconds)
    await _intake(bus, database).take(await deliveries.fetch(10, 1.0))

    assert await _rows(database) == ["exec_1"]


async def test_while_the_database_is_away_records_are_handed_back_and_none_is_buried(
    database: Database, broker: MemoryBroker
) -> None:
    bus = MemoryBus(broker)
    away = _AwayStore(load_queries("aif_classifier"))
    delivery = _Watched(msgspec.json.encode([record(1)]), num_delivered=40)

    with pytest.raises(DatabaseUnavailable):
        await _intake(bus, database, store=away).take([delivery])

    assert delivery.settled == "later: 60.0 s"


async def test_a_record_that_the_database_refuses_unforeseen_is_buried_in_the_end_and_holds_nobody_up(
    database: Database, broker: MemoryBroker
) -> None:
    bus = MemoryBus(broker)
    store = _RefusesExecutionTwo(load_queries("aif_classifier"))
    good, young, old = (
        _Watched(msgspec.json.encode([record(number) for number in numbers]), num_delivered=deliveries)
        for numbers, deliveries in (((1,), 1), ((2, 3), 5), ((4, 2), 6))
    )

    await _intake(bus, database, store=store).take([good, young, old])

    assert (good.settled, young.settled, old.settled) == ("acked", "later: 32.0 s", "acked")
    (letter,) = await _dead_letters(bus, 1)
    assert letter.reason == "the database refused it: ValueError"
    assert [said["execution_id"] for said in msgspec.json.decode(letter.payload)] == ["exec_2"]
    assert await _rows(database) == ["exec_1", "exec_3", "exec_4"]


async def test_the_longest_names_and_the_largest_costs_are_stored_analysed_and_told(
    database: Database, broker: MemoryBroker
) -> None:
    # Random, because what repeats is compressed before it is measured.
    names = ["".join(chr(0x4E00 + byte) for byte in Random(seed).randbytes(133)) for seed in range(5)]
    dear, cheap = [
        Metrics(model=model, cost_usd=cost) for model, cost in ((names[3], "1000000"), (names[4], "999.999999999999"))
    ]

    async with _running(database, broker) as (bus, _):
        named = [
            replace(
                record(number, worker_name=names[0], action=names[1], template=names[2], metrics=dear if number % 3 else cheap),
                client_id=names[3],
            )
            for number in range(200)
        ]
        await bus.publish([Outgoing(subject=subjects.performance(WORKER), payload=msgspec.json.encode(named))])

        (made,) = await eventually(lambda: _recommendations(bus, of_samples=200), what="a recommendation")

        assert (made.parameter, made.recommended_value) == ("model", names[4])
        figures = (await _ask(bus, InsightsQuery())).figures
        assert [f.cost_usd_total for f in figures if f.model == names[3]] == ["133000000"]


async def test_insights_tell_figures_per_model_with_unknown_costs_left_out(database: Database, broker: MemoryBroker) -> None:
    local = Metrics(provider="local_extractive", cost_usd=None)
    async with _running(database, broker) as (bus, registry):
        await _publish(
            bus,
            [
                record(1, execution_time_ms=1000, queue_time_ms=10),
                record(2, execution_time_ms=2000, queue_time_ms=30, quality_score=0.7),
                record(3, success=False, failure_code="timeout", quality_score=None, execution_time_ms=9000),
                record(4, success=False, failure_code="cancelled", quality_score=None, execution_time_ms=9000),
                record(5, metrics=local, quality_score=None),
                record(6, worker_name="topic_researcher", action="research", quality_score=None),
            ],
        )
        await eventually(lambda: _settled(registry) == 6, what="all records settled")

        insights = await _ask(bus, InsightsQuery(worker_name=WORKER, analysis_period="24h"))

        unnamed, large = insights.figures
        assert (unnamed.model, unnamed.attempts, unnamed.cost_usd_mean, unnamed.cost_usd_total) == (None, 1, None, "0")
        assert (large.model, large.attempts, large.successes) == ("gpt-large", 4, 2)
        assert large.success_rate == pytest.approx(2 / 3)
        assert large.failures_by_code == {"timeout": 1, "cancelled": 1}
        assert (large.time_ms_p50, large.time_ms_p95, large.queue_ms_p50) == (5500, 9000, 20)
        assert (large.tokens_mean, large.cost_usd_mean, large.cost_usd_total) == (100, "0.01", "0.04")
        assert large.quality_mean == pytest.approx(0.8)
        # Wilson's lower end of 3 of 4 is 0.3006, the mean quality 0.8
        assert insights.performance_score == pytest.approx(0.3006 * 0.8, abs=5e-5)
        assert insights.analysis_period == "24h"


async def test_attempts_outside_the_period_are_not_in_the_figures(database: Database, broker: MemoryBroker) -> None:
    async with _running(database, broker) as (bus, registry):
        await _publish(bus, [record(1), record(2, timestamp=_ago(timedelta(hours=25)))])
        await eventually(lambda: _settled(registry) == 2, what="all records settled")

        day, two_days = [await _ask(bus, InsightsQuery(analysis_period=period)) for period in ("24h", "2d")]

        assert [f.attempts for f in day.figures] == [1]
        assert [f.attempts for f in two_days.figures] == [2]


async def test_figures_of_more_workers_than_an_answer_holds_are_refused_with_the_mend(
    database: Database, broker: MemoryBroker
) -> None:
    async with _running(database, broker) as (bus, registry):
        await _publish(bus, [record(number, worker_name=f"worker_{number}") for number in range(3000)])
        await eventually(lambda: _settled(registry) == 3000, what="all records settled")

        everybody = await bus.ask(subjects.INSIGHTS, b"{}", wait_seconds=5)
        one = await _ask(bus, InsightsQuery(worker_name="worker_7"))

        refusal = msgspec.json.decode(everybody, type=Refusal)
        assert refusal.code == "answer_too_large"
        assert [(mistake.field, mistake.mend[:15]) for mistake in refusal.mistakes] == [("worker_name", "name one worker")]
        assert [f.attempts for f in one.figures] == [1]


async def test_figures_take_the_time_that_they_are_given(database: Database) -> None:
    patient, hurried = [PerformanceStore(load_queries("aif_classifier"), within_seconds=seconds) for seconds in (15.0, 0.25)]
    async with database.transaction() as connection:
        await patient.list_figures(connection, timedelta(days=7), None)
        assert await connection.fetchval("SHOW statement_timeout") == "15s"
    async with database.transaction() as connection:
        await hurried.list_figures(connection, timedelta(days=7), None)
        assert await connection.fetchval("SHOW statement_timeout") == "250ms"
    async with database.transaction() as connection:
        assert await connection.fetchval("SHOW statement_timeout") == "5s"


async def test_without_attempts_there_are_no_figures_and_no_score(database: Database, broker: MemoryBroker) -> None:
    async with _running(database, broker) as (bus, _):
        insights = await _ask(bus, InsightsQuery(worker_name="nobody"))

        assert (insights.figures, insights.performance_score, insights.ai_recommendations) == ((), None, ())


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (b"", ""),
        (b'{"analysis_period": "a week"}', "analysis_period"),
        (b'{"analysis_period": "1000d"}', "analysis_period"),
        (b'{"worker_name": 7}', "worker_name"),
        (b'{"worker_name": "a\\u0000b"}', ""),
    ],
)
async def test_a_query_that_cannot_be_read_is_refused_with_the_field_and_the_mend(
    database: Database, broker: MemoryBroker, payload: bytes, field: str
) -> None:
    async with _running(database, broker) as (bus, _):
        reply = await bus.ask(subjects.INSIGHTS, payload, wait_seconds=5)

        refusal = msgspec.json.decode(reply, type=Refusal)
        assert refusal.code == "invalid_query"
        assert [(mistake.field, bool(mistake.mend)) for mistake in refusal.mistakes] == [(field, True)]


async def test_without_the_database_the_answer_is_a_refusal_to_ask_again(database: Database, broker: MemoryBroker) -> None:
    async with _running(database, broker) as (bus, _):
        await database.close()

        reply = await bus.ask(subjects.INSIGHTS, b"{}", wait_seconds=5)

        refusal = msgspec.json.decode(reply, type=Refusal)
        assert (refusal.code, refusal.retry_after_ms) == ("database_unavailable", 2000)


async def test_a_recommendation_is_made_brought_up_to_date_and_withdrawn(database: Database, broker: MemoryBroker) -> None:
    async with _running(database, broker) as (bus, _):
        await _publish(bus, [_costly(number, number % 10 < 7) for number in range(100)])
        made = await eventually(lambda: _recommendations(bus), what="a recommendation")
        assert [(r.recommendation_type, r.sample_size, r.current_value) for r in made] == [
            (RecommendationType.COST, 100, "30.0 %")
        ]
        assert made[0].icon == "💰"
        assert made[0].implementation_status == "pending"

        await _publish(bus, [_costly(number, number % 10 < 7) for number in range(100, 200)])
        updated = await eventually(lambda: _recommendations(bus, of_samples=200), what="the recommendation brought up to date")
        assert [r.recommendation_id for r in updated] == [made[0].recommendation_id]
        assert [r.created_at for r in updated] == [made[0].created_at]

        await _publish(bus, [_costly(number, True) for number in range(200, 1200)])
        await eventually(lambda: _no_recommendation(bus), what="the recommendation withdrawn")

        async with database.connection() as connection:
            statuses = await connection.fetch("SELECT implementation_status, saving_usd::text FROM optimization_insights")
        assert [tuple(row) for row in statuses] == [("withdrawn", "0.600000000000")]


async def test_a_slice_that_cannot_be_analysed_holds_up_no_other(database: Database, broker: MemoryBroker) -> None:
    bus = MemoryBus(broker)
    await _publish(bus, [_costly(number, number % 10 < 7) for number in range(100)])
    await _publish(bus, [record(number, template="hostile") for number in range(200, 230)])
    deliveries = await bus.open_consumer(CONSUMER)
    await _intake(bus, database).take(await deliveries.fetch(256, 1.0))
    queries = load_queries("aif_classifier")
    insights = InsightStore(queries, new_id=id_mint())

    await Analysis(
        database=database,
        attempts=_CannotReadHostile(queries),
        insights=insights,
        touched=set(),
        window=timedelta(days=7),
        thresholds=Thresholds(),
        clock=SystemClock(),
    ).look(asyncio.Event())

    async with database.connection() as connection:
        assert len(await insights.list_pending(connection, None)) == 1


async def test_a_replica_that_starts_looks_at_the_attempts_of_before(database: Database, broker: MemoryBroker) -> None:
    bus = MemoryBus(broker)
    await _publish(bus, [_costly(number, number % 10 < 7) for number in range(100)])
    deliveries = await bus.open_consumer(CONSUMER)
    await _intake(bus, database).take(await deliveries.fetch(256, 1.0))

    async with _running(database, broker) as (bus, _):
        made = await eventually(lambda: _recommendations(bus), what="a recommendation")

        assert len(made) == 1


async def test_attempts_older_than_the_retention_are_deleted_in_small_batches(database: Database, broker: MemoryBroker) -> None:
    attempts = PerformanceStore(load_queries("aif_classifier"))
    old = [record(number, timestamp=_ago(timedelta(days=90, minutes=1))) for number in range(7)]
    kept = record(8, timestamp=_ago(timedelta(days=89)))
    bus = MemoryBus(broker)
    await _publish(bus, [*old, kept])
    deliveries = await bus.open_consumer(CONSUMER)
    await _intake(bus, database).take(await deliveries.fetch(256, 1.0))
    retention = Retention(
        database=database,
        attempts=attempts,
        insights=InsightStore(load_queries("aif_classifier"), new_id=id_mint()),
        keep=timedelta(days=90),
        batch_rows=3,
    )

    await retention.delete_old(asyncio.Event())

    assert await _rows(database) == ["exec_8"]


async def test_recommendations_withdrawn_longer_ago_than_the_retention_are_deleted(database: Database) -> None:
    queries = load_queries("aif_classifier")
    insert = (
        "INSERT INTO optimization_insights (recommendation_id, insight_key, worker_name, action, template,"
        " recommendation_type, description, confidence_score, sample_size, evidence, implementation_status, updated_at)"
        " SELECT $1 || n, $1 || n, 'w', 'a', 't', 'cost', 'd', 0.95, 100, '{}', $2, now() - $3::interval"
        " FROM generate_series(1, 4) AS n"
    )
    async with database.connection() as connection:
        await connection.execute(insert, "old_", "withdrawn", timedelta(days=90, minutes=1))
        await connection.execute(insert, "young_", "withdrawn", timedelta(days=89))
        await connection.execute(insert, "pending_", "pending", timedelta(days=91))

    await Retention(
        database=database,
        attempts=PerformanceStore(queries),
        insights=InsightStore(queries, new_id=id_mint()),
        keep=timedelta(days=90),
        batch_rows=3,
    ).delete_old(asyncio.Event())

    async with database.connection() as connection:
        left = await connection.fetch(
            "SELECT DISTINCT split_part(recommendation_id, '_', 1) AS kind FROM optimization_insights"
        )
    assert {row["kind"] for row in left} == {"young", "pending"}


async def test_a_clock_that_runs_ahead_does_not_keep_an_attempt_for_ever(database: Database, broker: MemoryBroker) -> None:
    bus = MemoryBus(broker)
    await _publish(bus, [record(1, timestamp="2999-01-01T00:00:00Z")])
    deliveries = await bus.open_consumer(CONSUMER)

    await _intake(bus, database).take(await deliveries.fetch(256, 1.0))

    async with database.connection() as connection:
        assert await connection.fetchval('SELECT "timestamp" <= now() FROM worker_performance_log')


async def test_the_table_refuses_a_second_pending_recommendation_with_the_same_key(database: Database) -> None:
    insert = (
        "INSERT INTO optimization_insights (recommendation_id, insight_key, worker_name, action, template,"
        " recommendation_type, description, confidence_score, sample_size, evidence)"
        " VALUES ($1, 'key', 'w', 'a', 't', 'cost', 'd', 0.95, 100, '{}')"
    )
    async with database.connection() as connection:
        await connection.execute(insert, "rec_1")

        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute(insert, "rec_2")


class _Unacknowledged:
    """A delivery whose acknowledgement is lost with its process."""

    def __init__(self, delivery: Any) -> None:
        self._delivery = delivery

    def __getattr__(self, name: str) -> Any:
        return getattr(self._delivery, name)

    async def ack(self) -> None:
        return None


class _Watched:
    """A delivery that tells how it was settled."""

    subject = subjects.performance(WORKER)
    headers: dict[str, str] = {}  # noqa: RUF012 never written
    stream_sequence = 1

    def __init__(self, payload: bytes, *, num_delivered: int) -> None:
        self.payload = payload
        self.num_delivered = num_delivered
        self.settled = ""

    async def ack(self) -> None:
        self.settled = "acked"

    async def retry_later(self, delay_seconds: float) -> None:
        self.settled = f"later: {delay_seconds} s"

    async def discard(self) -> None:
        self.settled = "discarded"

    async def still_working(self) -> None:
        raise AssertionError("nothing here takes that long")


class _KilledBeforeCommit(PerformanceStore):
    async def insert_attempts(self, connection: Connection, rows: Sequence[Any]) -> tuple[Slice, ...]:
        await super().insert_attempts(connection, rows)
        raise asyncio.CancelledError


class _AwayStore(PerformanceStore):
    async def insert_attempts(self, connection: Connection, rows: Sequence[Any]) -> tuple[Slice, ...]:
        raise DatabaseUnavailable("gone")


class _RefusesExecutionTwo(PerformanceStore):
    async def insert_attempts(self, connection: Connection, rows: Sequence[Any]) -> tuple[Slice, ...]:
        if any(row.execution_id == "exec_2" for row in rows):
            raise ValueError("no twos")
        return await super().insert_attempts(connection, rows)


class _CannotReadHostile(PerformanceStore):
    async def list_samples(self, connection: Connection, slice_: Slice, window: timedelta, at_most: int) -> tuple[Sample, ...]:
        if slice_.template == "hostile":
            raise ValueError("nobody foresaw this")
        return await super().list_samples(connection, slice_, window, at_most)


@contextlib.asynccontextmanager
async def _running(database: Database, broker: MemoryBroker) -> AsyncIterator[tuple[MemoryBus, CollectorRegistry]]:
    """A classifier with all its parts: the bus of another process, and the classifier's metrics."""
    registry = CollectorRegistry()
    settings = ClassifierSettings(
        classifier_database_url=Secret("unused"), classifier_analysis_interval=timedelta(milliseconds=20)
    )
    stop = asyncio.Event()
    async with MemoryBus(broker) as own, MemoryBus(broker) as other, asyncio.TaskGroup() as running:
        parts = await assemble(
            settings=settings,
            bus=own,
            database=database,
            clock=SystemClock(),
            new_id=id_mint(),
            tracing=TracingOff(),
            registry=registry,
            redactor=Redactor(),
        )
        running.create_task(_run_all(parts, stop))
        try:
            yield other, registry
        finally:
            stop.set()


async def _run_all(parts: Sequence[Part], stop: asyncio.Event) -> None:
    await asyncio.gather(*(part.run(stop) for part in parts))


def _intake(bus: Bus, database: Database, store: PerformanceStore | None = None) -> Intake:
    return Intake(
        bus=bus,
        database=database,
        store=store or PerformanceStore(load_queries("aif_classifier")),
        touched=set(),
        registry=CollectorRegistry(),
        redactor=Redactor(),
    )


def _costly(number: int, success: bool) -> PerformanceRecord:
    return record(number, success=success, failure_code=None if success else "output_rejected", timeout_ms=None)


async def _publish(bus: Bus, records: Sequence[PerformanceRecord]) -> None:
    """As the orchestrator does, those of a worker together; but the broker knows no message again."""
    await bus.publish([replace(message, message_id=None) for message in performance_messages(records)])


async def _ask(bus: Bus, query: InsightsQuery) -> WorkerInsights:
    reply = await bus.ask(subjects.INSIGHTS, msgspec.json.encode(query), wait_seconds=5)
    return msgspec.json.decode(reply, type=WorkerInsights)


async def _recommendations(bus: Bus, of_samples: int = 100) -> Any:
    found = (await _ask(bus, InsightsQuery())).ai_recommendations
    return found if found and found[0].sample_size == of_samples else None


async def _no_recommendation(bus: Bus) -> bool:
    insights = await _ask(bus, InsightsQuery())
    return sum(f.attempts for f in insights.figures) == 1200 and not insights.ai_recommendations


async def _dead_letters(bus: Bus, number: int) -> list[DeadLetter]:
    dead = await bus.open_consumer(ConsumerSpec(stream=subjects.STREAM_DEAD, durable="test", filter_subject=subjects.ALL_DEAD))
    letters: list[DeadLetter] = []

    async def all_there() -> bool:
        letters.extend(msgspec.json.decode(found.payload, type=DeadLetter) for found in await dead.fetch(10, 0.05))
        return len(letters) >= number

    await eventually(all_there, what=f"{number} dead letters")
    await dead.close()
    return letters


async def _rows(database: Database) -> list[str]:
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT execution_id FROM worker_performance_log ORDER BY execution_id")
    return [row["execution_id"] for row in rows]


def _settled(registry: CollectorRegistry) -> float:
    outcomes = [{"outcome": outcome} for outcome in ("stored", "repeated", "buried")]
    return sum(registry.get_sample_value("aif_classifier_records_total", outcome) or 0 for outcome in outcomes)


def _ago(time: timedelta) -> str:
    return (datetime.now(UTC) - time).isoformat()
