"""Whom the sweeper wakes, and from when on silence means something to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from aif_orchestrator.engine.arrivals import NotApplied
from aif_orchestrator.engine.database_clock import DatabaseClock
from aif_orchestrator.engine.engine import Engine
from aif_orchestrator.engine.sweeper import AT_ONCE, Sweeper
from aif_orchestrator.execution.happenings import ClockSetBack, Happening, TimePassed
from aif_orchestrator.store.executions import ExecutionStore
from aif_runtime.failures import DatabaseUnavailable
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.postgres import Database
from aif_runtime.sql_files import load_queries
from support.manual_clock import ManualClock
from support.orchestrator_line import orchestrator_database
from support.waiting import eventually

DUE = """
INSERT INTO executions (
    execution_id, client_id, template, template_version, status, created_at, ended_at, wake_at, searched
)
SELECT 'exec_' || n, 'acme', 'line', '1.0.0', 'running', now(), NULL, now() + make_interval(secs => $1::int - $2::int + n), ''
FROM generate_series(1, $2::int) AS n
"""
"""The last of them so many seconds from now, each a second after the one before."""


class WatchedBus(MemoryBus):
    """Counts how often it was asked whether the broker is there: once in each round."""

    rounds = 0

    @property
    def is_connected(self) -> bool:
        self.rounds += 1
        return super().is_connected


class SweptCore:
    """A sweeper over a database that has one connection for it, and in place of the core the test."""

    def __init__(self, database: Database, swept_database: Database, every_seconds: float, hearing_seconds: float) -> None:
        self.clock = ManualClock()
        self.broker = MemoryBroker(clock=self.clock.monotonic)
        self.bus = WatchedBus(self.broker)
        self.database = database
        self.swept_database = swept_database
        self.database_clock = DatabaseClock(self.clock)
        self.woken: list[str] = []
        self.told_set_back: list[str] = []
        self.failures: dict[str, Exception] = {}
        """What comes of waking, by execution."""
        self.sweeper = Sweeper(
            database=swept_database,
            bus=self.bus,
            executions=ExecutionStore(load_queries("aif_orchestrator.store")),
            engine=cast(Engine, self),
            clock=self.clock,
            database_clock=self.database_clock,
            every_seconds=every_seconds,
            hearing_seconds=hearing_seconds,
        )

    async def apply(self, execution_id: str, happening: Happening) -> None:
        if happening == ClockSetBack():
            self.told_set_back.append(execution_id)
            if failure := self.failures.pop(execution_id, None):
                raise failure
            return
        assert happening == TimePassed()
        self.woken.append(execution_id)
        if failure := self.failures.get(execution_id):
            raise failure
        async with self.database.connection() as connection:
            await connection.execute(
                "UPDATE executions SET wake_at = now() + interval '1 day' WHERE execution_id = $1", execution_id
            )

    async def due(self, how_many: int = 1, *, in_seconds: int = -1) -> None:
        async with self.database.connection() as connection:
            await connection.execute("DELETE FROM executions")
            await connection.execute(DUE, in_seconds, how_many)

    async def believes_to_be_ahead(self, seconds: int) -> None:
        """Has seen the database's clock before that was set back by so much."""
        async with self.database.connection() as connection:
            now = await connection.fetchval("SELECT now()")
        self.database_clock.seen(int(now.timestamp() + seconds) * 1000, self.clock.monotonic())

    async def loses_its_connection(self) -> None:
        """In the middle of a question: one that is lost between two of them is replaced, and nobody has noticed."""

        async def cut() -> bool:
            count: int = await connection.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE NOT granted AND relation = 'executions'::regclass"
            )
            return count == 1

        async with self.database.transaction() as connection:
            await connection.execute("LOCK TABLE executions")
            await eventually(cut, what="the sweeper waits for an answer")

    async def rounds(self, how_many: int = 2) -> None:
        """With two of them a whole one has passed."""
        seen = self.bus.rounds
        await eventually(lambda: self.bus.rounds >= seen + how_many, what="rounds of sweeping")

    async def hears(self) -> None:
        await self.rounds(1)
        self.clock.advance(5)

    async def wakes_after_five_more_seconds(self) -> None:
        self.woken.clear()
        await self.due()
        await self.rounds()
        self.clock.advance(4.9)
        await self.rounds()
        assert self.woken == []

        self.clock.advance(0.1)
        await eventually(lambda: self.woken == ["exec_1"], what="it is woken")


@asynccontextmanager
async def sweeping(database_url: str, *, every_seconds: float, hearing_seconds: float) -> AsyncIterator[SweptCore]:
    swept_database = await Database.open(
        database_url, application_name="sweeper", schema="orchestrator", max_size=1, acquire_seconds=0.5
    )
    async with orchestrator_database(database_url) as database:
        swept = SweptCore(database, swept_database, every_seconds, hearing_seconds)
        running = asyncio.create_task(swept.sweeper.run())
        yield swept
        running.cancel()
        await asyncio.wait([running])
    await swept_database.close()


@pytest.fixture
async def swept(fresh_orchestrator_database: str) -> AsyncIterator[SweptCore]:
    """Under way, with five seconds of hearing before anybody is woken."""
    async with sweeping(fresh_orchestrator_database, every_seconds=0.001, hearing_seconds=5) as swept:
        yield swept


async def test_after_a_start_workers_have_time_to_be_heard_before_anybody_is_woken(swept: SweptCore) -> None:
    await swept.wakes_after_five_more_seconds()


async def test_while_the_broker_is_away_nobody_is_woken_and_then_workers_have_time_to_be_heard_again(swept: SweptCore) -> None:
    await swept.hears()

    swept.broker.go_down()
    await swept.due()
    await swept.rounds()
    assert swept.woken == []
    swept.broker.come_back()

    await swept.wakes_after_five_more_seconds()


async def test_after_the_database_was_away_workers_have_time_to_be_heard_again(swept: SweptCore) -> None:
    await swept.hears()

    await swept.loses_its_connection()
    await swept.rounds()

    await swept.wakes_after_five_more_seconds()


async def test_many_who_wait_for_a_connection_do_not_keep_what_is_due_from_being_woken(swept: SweptCore) -> None:
    await swept.hears()
    await swept.due()
    await eventually(lambda: swept.woken == ["exec_1"], what="it is woken")

    with pytest.raises(DatabaseUnavailable):
        async with swept.swept_database.connection():
            pass

    await swept.due(2)
    await eventually(lambda: swept.woken == ["exec_1", "exec_1", "exec_2"], what="both are woken")


async def test_after_the_core_could_not_reach_the_database_workers_have_time_to_be_heard_again(swept: SweptCore) -> None:
    await swept.hears()
    swept.failures["exec_1"] = DatabaseUnavailable("away")
    await swept.due()
    await eventually(lambda: swept.woken, what="it is woken in vain")

    swept.failures.clear()

    await swept.wakes_after_five_more_seconds()


async def test_who_cannot_be_woken_keeps_nobody_asleep_and_is_woken_again(swept: SweptCore) -> None:
    swept.failures["exec_1"] = NotApplied("a mistake of ours")
    await swept.due(2)
    await swept.hears()

    await eventually(lambda: swept.woken[:3] == ["exec_1", "exec_2", "exec_1"], what="it is woken again")


async def test_a_mistake_in_waking_is_not_passed_over(swept: SweptCore) -> None:
    swept.failures["exec_1"] = ZeroDivisionError()
    await swept.due()

    with pytest.raises(ZeroDivisionError):
        await swept.sweeper.sweep()


async def test_nobody_is_woken_before_the_time(swept: SweptCore) -> None:
    await swept.due(2, in_seconds=60)
    await swept.hears()
    await swept.rounds()
    early = list(swept.woken)

    await swept.due(2, in_seconds=0)
    await eventually(lambda: swept.woken == ["exec_1", "exec_2"], what="both are woken")

    assert early == []


async def test_where_more_are_due_than_are_woken_at_once_the_rest_does_not_wait_for_the_next_round(
    fresh_orchestrator_database: str,
) -> None:
    async with orchestrator_database(fresh_orchestrator_database) as database, database.connection() as connection:
        await connection.execute(DUE, -1, AT_ONCE + 1)

    async with sweeping(fresh_orchestrator_database, every_seconds=3600, hearing_seconds=0) as swept:
        await eventually(lambda: len(swept.woken) == AT_ONCE + 1, what="all are woken")


async def test_when_the_clock_was_set_back_everybody_who_sleeps_is_told_once(swept: SweptCore) -> None:
    await swept.due(AT_ONCE + 1, in_seconds=3600)
    await swept.believes_to_be_ahead(86_400)

    await swept.hears()
    await eventually(lambda: len(swept.told_set_back) >= AT_ONCE + 1, what="all are told")
    await swept.rounds()

    assert sorted(swept.told_set_back) == sorted(f"exec_{number}" for number in range(1, AT_ONCE + 2))
    assert swept.woken == []


async def test_who_could_not_be_told_that_the_clock_was_set_back_is_told_later(swept: SweptCore) -> None:
    await swept.due(2, in_seconds=3600)
    swept.failures["exec_2"] = DatabaseUnavailable("away")
    await swept.believes_to_be_ahead(86_400)

    await swept.hears()
    await eventually(lambda: len(swept.told_set_back) == 2, what="they are told in vain")
    await swept.hears()

    await eventually(lambda: swept.told_set_back[2:] == ["exec_1", "exec_2"], what="both are told again")


async def test_a_clock_that_goes_as_it_did_is_nothing_to_tell(swept: SweptCore) -> None:
    await swept.due(2, in_seconds=3600)
    await swept.believes_to_be_ahead(5)

    await swept.hears()
    await swept.rounds()

    assert swept.told_set_back == []
