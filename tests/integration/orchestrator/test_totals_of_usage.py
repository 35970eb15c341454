"""Usage that is rolled up into totals is told as if it were added up from everything, at any moment of any history."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from aif_contracts.metering import Basis, CallOutcome, Metrics, ProviderCall
from aif_contracts.packets import Granted, WorkPacket
from aif_contracts.reports import Completed, Failed
from aif_contracts.usage import UsageDimension, UsageFilter, UsageOrder
from aif_orchestrator.calls.store import BookedCallStore, Settlement
from aif_orchestrator.retention import Retention
from aif_orchestrator.store.executions import ExecutionStore
from aif_orchestrator.usage.rolling import Pace, UsageRolling
from aif_orchestrator.usage.store import Grouping, Span, UsageStore
from aif_runtime.bus import Delivery
from aif_runtime.memory_blobs import MemoryBlobStore
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.postgres import Connection, Database
from aif_runtime.sql_files import load_queries
from support.execution_story import call, deliverable, pipeline, stage
from support.orchestrator_line import Client, HandWorker, inline_ref, orchestrator_database, running_orchestrator
from support.waiting import eventually

LINE = pipeline(stage("one"), name="line", outputs=(deliverable("one"),))
CLIENTS = ("acme", "beta")
STEPS = 70
COMMITTED_WITHIN_SECONDS = 0.5
NOT_ROLLED = datetime(2000, 1, 1, tzinfo=UTC)
FORGET_THE_TOTALS = "TRUNCATE usage_of_executions, usage_of_attempts, usage_of_calls, unrolled_executions"
AGE = """
UPDATE executions SET created_at = created_at - interval '100 days', ended_at = ended_at - interval '100 days'
WHERE execution_id = $1
"""
READ_AS_IT_STANDS = """
INSERT INTO unrolled_executions (execution_id, since) VALUES ($1, now() - interval '1 hour') ON CONFLICT DO NOTHING
"""
ENDED_AT_ONCE = """
INSERT INTO executions (execution_id, client_id, template, template_version, status, created_at, ended_at, searched)
VALUES ($1, 'acme', 'line', '1.0.0', 'completed', now() - make_interval(mins => $2), now(), '')
"""
CALL_WITHOUT_EXECUTION = """
INSERT INTO provider_calls (
    call_key, execution_id, client_id, stage_id, attempt, worker_name, action, capability, provider, model, purpose, reason,
    outcome, prompt_tokens, completion_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, audio_ms, characters,
    cost_usd, basis, latency_ms, booked_at
)
VALUES ($1 || '.one.1.1', $1, 'acme', 'one', 1, 'maker', 'make', 'llm_generation', 'openai', 'gpt-4o-mini', 'first_try', '',
        'answered', 1, 1, 0, 0, 0, 0, 0, 0.25, 'usage', 1, now() - make_interval(mins => $2))
"""

DAY_OF_THE_TOTALS = "SELECT min(created_on) FROM usage_of_executions"
WAITS_FOR_LOCKS = "SELECT count(*) FROM pg_locks WHERE NOT granted"
NO_MORE_THAN_TEN_IN_TIME = """
CREATE FUNCTION refuse_more_than_ten() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.executions > 10 AND NOT NEW.is_sum THEN
        RAISE EXCEPTION 'canceling statement due to statement timeout' USING ERRCODE = 'query_canceled';
    END IF;
    RETURN NEW;
END
$$
"""
REFUSE_MORE_THAN_TEN = """
CREATE TRIGGER usage_of_executions_refused BEFORE INSERT ON usage_of_executions
    FOR EACH ROW EXECUTE FUNCTION refuse_more_than_ten()
"""

Figures = list[dict[str, Any]]


class Told(dict[str, Figures]):
    """Sums by what was asked for."""


class Factory:
    """An orchestrator, a client of each name, and a worker that is moved by hand."""

    def __init__(self, database: Database, *, least_age_seconds: float = 0, at_once: int = 500) -> None:
        self.database = database
        self.usage = UsageStore(load_queries("aif_orchestrator.usage"))
        self.rolling = UsageRolling(
            database=database,
            usage=self.usage,
            pace=Pace(least_age_seconds=least_age_seconds, at_once=at_once, pause_seconds=0),
        )
        self._broker = MemoryBroker()
        self.bus = MemoryBus(self._broker)
        self.clients = {name: Client(self.bus, name) for name in CLIENTS}
        self.worker = HandWorker(self.bus)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.worker.register()
        patient: dict[str, Any] = {"orchestrator_unclaimed_seconds": 60.0, "orchestrator_lease_seconds": 60.0}
        async with (
            MemoryBus(self._broker) as own,
            running_orchestrator(own, MemoryBlobStore(), self.database, (LINE,), **patient),
        ):
            yield

    async def told(self) -> tuple[Told, Told]:
        """What is told, and what is told when nothing is rolled up; both of the same moment."""
        async with self.database.transaction() as connection:
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            mark = await connection.fetchval("SELECT rolled_until FROM usage_mark")
            rolled = await self._figures(connection, mark)
            await connection.execute("SAVEPOINT before")
            await connection.execute(FORGET_THE_TOTALS)
            await connection.execute("UPDATE usage_mark SET rolled_until = $1", NOT_ROLLED)
            unrolled = await self._figures(connection, NOT_ROLLED)
            await connection.execute("ROLLBACK TO SAVEPOINT before")
        return rolled, unrolled

    async def _figures(self, connection: Connection, mark: datetime) -> Told:
        now = datetime.now(UTC)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        spans = {
            "of whole days": Span(since=midnight - timedelta(days=120), until=midnight + timedelta(days=1)),
            "of parts of days": Span(since=now - timedelta(days=100, hours=7), until=now + timedelta(seconds=1)),
        }
        told = Told()
        for client_id in (None, *CLIENTS):
            for words, span in spans.items():
                for dimensions in (("day", "template", "outcome"), ("client", "model", "purpose")):
                    grouping = Grouping(
                        dimensions=[UsageDimension(each) for each in dimensions], order=UsageOrder.KEY, offset=0, limit=500
                    )
                    report = await self.usage.report(connection, mark, span, client_id, UsageFilter(), grouping)
                    told[f"{dimensions} {words} of {client_id}"] = _rows([*report.rows, report.totals])
            span = spans["of whole days"]
            executions = await self.usage.month_executions(connection, mark, span, client_id)
            told[f"executions of {client_id}"] = sorted(_rows(executions), key=lambda row: str(row["status"]))
            told[f"attempts of {client_id}"] = _rows(await self.usage.month_attempts(connection, mark, span, client_id))
        spent = "SELECT * FROM spent_since($1) WHERE spent_usd > 0 ORDER BY client_id"
        told["spent"] = _rows(await connection.fetch(spent, midnight - timedelta(days=2)))
        return told

    async def is_exact(self) -> bool:
        rolled, unrolled = await self.told()
        assert rolled == unrolled
        return True

    async def ends_one(self, execution_id: str, *, cost_usd: str = "0.25") -> None:
        await self.clients["acme"].execute(execution_id, "line")
        await self.worker.does_next({"made": "it"}, cost_usd=cost_usd)
        await eventually(lambda: self.clients["acme"].has_ended(execution_id))

    async def delete(self, execution_id: str) -> None:
        """It ended long ago, if it has ended; and is rolled up or not by then."""
        async with self.database.transaction() as connection:
            await connection.execute("SELECT unroll_usage(ARRAY[$1::text])", execution_id)
            await connection.execute(READ_AS_IT_STANDS, execution_id)
            await connection.execute(AGE, execution_id)
        await self.rolling.roll()
        executions = ExecutionStore(load_queries("aif_orchestrator.store"))
        await Retention(database=self.database, executions=executions, keep_days=90).delete_old()

    async def runs(self, statement: str, *values: object) -> None:
        async with self.database.connection() as connection:
            await connection.execute(statement, *values)

    async def has_rolled_up(self) -> bool:
        await self.rolling.roll()
        return await self.count("usage_of_calls") > 0 and await self.count("usage_of_executions") > 0

    async def brings_together(self) -> None:
        async with self.database.transaction() as connection:
            await self.usage.bring_together(connection, await connection.fetchval(DAY_OF_THE_TOTALS))

    async def has_ended_or_waits(self, task: asyncio.Task[None]) -> bool:
        async with self.database.connection() as connection:
            return task.done() or await connection.fetchval(WAITS_FOR_LOCKS) > 0

    async def count(self, table: str) -> int:
        async with self.database.connection() as connection:
            counted: int = await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 names of ours
        return counted


def _rows(records: Sequence[Any]) -> Figures:
    """A sum of nothing is None or 0."""
    return [{name: value or 0 for name, value in record.items()} for record in records]


class RandomHistory:
    """Orders that end in every way, charges that come at any time, decisions, deletions; and rolling up in between."""

    def __init__(self, factory: Factory, seed: int) -> None:
        self._factory = factory
        self._random = random.Random(seed)
        self._owners: dict[str, str] = {}
        self._under_way: list[tuple[Delivery, WorkPacket, int]] = []
        self._over: list[tuple[WorkPacket, int]] = []
        self._calls: dict[str, ProviderCall] = {}

    async def goes_on(self) -> None:
        moves = {
            self._orders: 3,
            self._is_taken: 4,
            self._reports: 4,
            self._books: 5,
            self._ends_a_call: 4,
            self._reports_late: 2,
            self._cancels: 1,
            self._resumes: 2,
            self._settles: 2,
            self._deletes: 1,
            self._orders_anew: 1,
            self._factory.rolling.roll: 4,
        }
        (move,) = self._random.choices(list(moves), list(moves.values()))
        await move()

    async def _orders(self) -> None:
        execution_id = f"exec_{len(self._owners) + 1}"
        self._owners[execution_id] = self._random.choice(CLIENTS)
        await self._begin(execution_id)

    async def _orders_anew(self) -> None:
        if self._owners:
            await self._begin(self._any_execution())

    async def _begin(self, execution_id: str) -> None:
        await self._factory.clients[self._owners[execution_id]].execute(execution_id, "line")

    async def _is_taken(self) -> None:
        try:
            delivery, packet = await self._factory.worker.take(wait_seconds=0.05)
        except AssertionError:
            return
        answer = await self._factory.worker.claim(packet)
        if isinstance(answer, Granted):
            self._under_way.append((delivery, packet, answer.attempt))
        else:
            await delivery.ack()

    async def _reports(self) -> None:
        if not self._under_way:
            return
        delivery, packet, attempt = self._under_way.pop(self._random.randrange(len(self._under_way)))
        await self._report(packet, attempt)
        self._over.append((packet, attempt))
        await delivery.ack()

    async def _reports_late(self) -> None:
        """Once more, with other figures; or for the first time, of one that was cancelled."""
        if self._over:
            await self._report(*self._random.choice(self._over))

    async def _report(self, packet: WorkPacket, attempt: int) -> None:
        said: dict[str, Any] = {
            "packet_id": packet.packet_id,
            "execution_id": packet.execution_id,
            "stage_id": packet.stage_id,
            "attempt": attempt,
            "worker_name": "maker",
            "instance_id": "worker_a",
            "metrics": Metrics(processing_time_ms=self._random.randrange(1, 50), cost_usd=self._cost()),
        }
        if self._random.random() < 0.5:
            await self._factory.worker.report(Completed(output=inline_ref({"made": "it"}), **said))
        else:
            await self._factory.worker.report(Failed(code="boom", message="it did not work", retryable=False, **said))

    async def _books(self) -> None:
        """Of an attempt under way, of one that is over, or of an execution that nobody knows."""
        if not self._owners:
            return
        execution_id = self._any_execution() if self._random.random() < 0.9 else f"exec_unknown_{len(self._calls) % 3}"
        key = f"{execution_id}.one.1.{len(self._calls) + 1}"
        outcome = self._random.choice([CallOutcome.STARTED, *CallOutcome])
        self._calls[key] = told = replace(
            call("one", 1, 1, None if outcome in (CallOutcome.STARTED, CallOutcome.IN_DOUBT) else self._cost()),
            call_key=key,
            execution_id=execution_id,
            client_id=self._owners.get(execution_id, "acme"),
            outcome=outcome,
            model=self._random.choice(["small", "large"]),
            upper_bound_usd="0.75",
        )
        await self._factory.worker.books(told)

    async def _ends_a_call(self) -> None:
        if self._calls:
            told = self._random.choice(list(self._calls.values()))
            await self._factory.worker.books(replace(told, outcome=CallOutcome.ANSWERED, cost_usd=self._cost()))

    async def _cancels(self) -> None:
        if self._owners:
            execution_id = self._any_execution()
            await self._factory.clients[self._owners[execution_id]].cancel(execution_id)

    async def _resumes(self) -> None:
        if self._owners:
            execution_id = self._any_execution()
            await self._factory.clients[self._owners[execution_id]].resume(execution_id)

    async def _settles(self) -> None:
        """As it is settled where no execution knows the call any more."""
        if not self._calls:
            return
        settlement = Settlement(
            call_key=self._random.choice(list(self._calls)), cost_usd=self._cost(), basis=Basis.STATEMENT, note="bill"
        )
        async with self._factory.database.transaction() as connection:
            await BookedCallStore(load_queries("aif_orchestrator.calls")).settle(connection, settlement)

    async def _deletes(self) -> None:
        if self._owners:
            await self._factory.delete(self._any_execution())

    def _any_execution(self) -> str:
        return self._random.choice(list(self._owners))

    def _cost(self) -> str:
        return f"0.{self._random.randrange(1, 10**6):06d}"


@pytest.fixture
async def factory(fresh_orchestrator_database: str) -> AsyncIterator[Factory]:
    async with orchestrator_database(fresh_orchestrator_database) as database:
        factory = Factory(database)
        yield factory
        await factory.bus.close()


@pytest.mark.parametrize("seed", range(4))
async def test_totals_and_what_is_not_among_them_are_all_there_is_at_any_moment_of_any_history(
    fresh_orchestrator_database: str, seed: int
) -> None:
    async with orchestrator_database(fresh_orchestrator_database) as database:
        factory = Factory(database, least_age_seconds=COMMITTED_WITHIN_SECONDS, at_once=3)
        history = RandomHistory(factory, seed)
        async with factory.running():
            for _ in range(STEPS):
                await history.goes_on()
                assert await factory.is_exact()
            await eventually(factory.has_rolled_up)
            assert await factory.is_exact()
        await factory.bus.close()


async def test_a_late_charge_of_an_execution_that_is_rolled_up_is_told_at_once(factory: Factory) -> None:
    async with factory.running():
        await factory.ends_one("exec_1")
        await factory.rolling.roll()
        rolled_up = await factory.count("unrolled_executions")

        await factory.worker.books(call("one", 1, 1, "0.5"))
        await eventually(lambda: factory.count("provider_calls"))

        assert rolled_up == 0
        assert await factory.count("unrolled_executions") == 1
        assert await factory.is_exact()
        await factory.rolling.roll()
        assert await factory.count("unrolled_executions") == 0
        assert await factory.is_exact()


async def test_a_decision_about_a_call_whose_execution_is_not_kept_is_told_at_once(factory: Factory) -> None:
    await factory.runs(CALL_WITHOUT_EXECUTION, "exec_1", 5)
    await factory.runs("UPDATE provider_calls SET cost_usd = NULL, outcome = 'in_doubt'")
    await factory.rolling.roll()
    settlement = Settlement(call_key="exec_1.one.1.1", cost_usd="0.125", basis=Basis.STATEMENT, note="bill")

    async with factory.database.transaction() as connection:
        await BookedCallStore(load_queries("aif_orchestrator.calls")).settle(connection, settlement)

    assert await factory.is_exact()
    rolled, _ = await factory.told()
    assert rolled["('day', 'template', 'outcome') of whole days of acme"][-1]["cost_usd"] == Decimal("0.125")


async def test_what_is_deleted_is_no_order_any_more_and_its_calls_stay(factory: Factory) -> None:
    async with factory.running():
        await factory.ends_one("exec_1")
        await factory.worker.books(call("one", 1, 1, "0.25"))
        await eventually(lambda: factory.count("provider_calls"))
        await factory.delete("exec_1")

        rolled, _ = await factory.told()

    assert await factory.is_exact()
    assert rolled["executions of acme"] == []
    (row, _) = rolled["('day', 'template', 'outcome') of whole days of acme"]
    assert (row["key_2"], row["cost_usd"]) == (0, Decimal("0.25"))
    await factory.rolling.roll()
    assert await factory.count("unrolled_executions") == 0
    assert await factory.is_exact()


async def test_what_is_rolled_up_is_not_read_again(factory: Factory) -> None:
    async with factory.running():
        await factory.ends_one("exec_1")
        await factory.ends_one("exec_2")
    await factory.rolling.roll()
    await factory.runs("DELETE FROM execution_journal")
    await factory.runs("DELETE FROM stage_attempts")

    rolled, unrolled = await factory.told()

    assert [row["deliverables"] for row in rolled["executions of acme"]] == [2]
    assert [row["deliverables"] for row in unrolled["executions of acme"]] == [0]
    assert [row["attempts"] for row in rolled["attempts of acme"]] == [2]


async def test_of_each_day_one_row_of_a_kind_is_left_however_often_it_was_rolled_up(factory: Factory) -> None:
    for number in range(5):
        await factory.runs(ENDED_AT_ONCE, f"exec_{number}", 0)
        await factory.rolling.roll()

    assert await factory.count("usage_of_executions") <= 2
    assert await factory.is_exact()


async def test_two_replicas_that_bring_a_day_together_at_once_lose_nothing_of_what_is_taken_out_meanwhile(
    factory: Factory,
) -> None:
    await factory.runs(ENDED_AT_ONCE, "exec_1", 4)
    await factory.runs(ENDED_AT_ONCE, "exec_2", 4)
    await factory.rolling.roll()
    async with factory.database.transaction() as connection:
        await connection.execute("UPDATE usage_of_executions SET is_sum = false")
        await factory.usage.bring_together(connection, await connection.fetchval(DAY_OF_THE_TOTALS))
        await factory.runs("SELECT unroll_usage(ARRAY['exec_1'])")

        other = asyncio.create_task(factory.brings_together())
        await eventually(lambda: factory.has_ended_or_waits(other))
    await other

    assert await factory.is_exact()
    rolled, _ = await factory.told()
    assert [row["executions"] for row in rolled["executions of acme"]] == [2]


async def test_where_many_at_once_take_too_long_fewer_are_added_at_a_time(fresh_orchestrator_database: str) -> None:
    async with orchestrator_database(fresh_orchestrator_database) as database:
        factory = Factory(database, at_once=40)
        for number in range(20):
            await factory.runs(ENDED_AT_ONCE, f"exec_{number}", 4)
        await factory.runs(NO_MORE_THAN_TEN_IN_TIME)
        await factory.runs(REFUSE_MORE_THAN_TEN)

        await factory.rolling.roll()

        async with factory.database.connection() as connection:
            assert await connection.fetchval("SELECT sum(executions) FROM usage_of_executions") == 20
        await factory.bus.close()


async def test_an_execution_that_is_stored_long_after_it_was_created_is_told_though_the_mark_has_passed_it(
    factory: Factory,
) -> None:
    await factory.rolling.roll()

    await factory.runs(ENDED_AT_ONCE, "exec_late", 60)

    assert await factory.is_exact()
    rolled, _ = await factory.told()
    assert [row["executions"] for row in rolled["executions of acme"]] == [1]


async def test_what_begins_while_the_clock_is_set_back_behind_the_mark_is_told_from_the_next_look_on(factory: Factory) -> None:
    await factory.runs(ENDED_AT_ONCE, "exec_before", 3)
    await factory.rolling.roll()
    await factory.runs("UPDATE usage_mark SET rolled_until = now() + interval '1 day'")
    await factory.runs(ENDED_AT_ONCE, "exec_after", 0)

    await factory.rolling.roll()

    assert await factory.is_exact()
    rolled, _ = await factory.told()
    assert [row["executions"] for row in rolled["executions of acme"]] == [2]


async def test_an_execution_that_takes_over_the_calls_of_a_deleted_one_is_told_with_them(factory: Factory) -> None:
    await factory.runs(CALL_WITHOUT_EXECUTION, "exec_1", 5)
    async with factory.running():
        await factory.rolling.roll()
        await factory.clients["acme"].execute("exec_1", "line")

        assert await factory.is_exact()
        rolled, _ = await factory.told()

    (row, _) = rolled["('day', 'template', 'outcome') of whole days of acme"]
    assert (row["key_2"], row["calls"]) == ("line", 1)
