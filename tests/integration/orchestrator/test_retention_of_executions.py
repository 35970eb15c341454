"""What ended long ago is deleted, all of it and nothing else; the bill stays."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from msgspec.structs import replace

from aif_orchestrator import retention as orchestrator_retention
from aif_orchestrator.retention import Retention
from aif_orchestrator.store.calls import CallStore
from aif_orchestrator.store.executions import ExecutionStore
from aif_runtime.postgres import Database
from aif_runtime.sql_files import load_queries
from support.execution_story import call
from support.orchestrator_line import orchestrator_database
from support.waiting import eventually

ENDED = """
INSERT INTO executions (
    execution_id, client_id, template, template_version, status, created_at, ended_at, wake_at, searched
)
SELECT 'exec_' || $1 || '_' || n, 'acme', 'line', '1.0.0', 'completed',
       now() - make_interval(days => $2) - interval '1 hour', now() - make_interval(days => $2), NULL, ''
FROM generate_series(1, $3::int) AS n
"""
LIVING = """
INSERT INTO executions (
    execution_id, client_id, template, template_version, status, created_at, ended_at, wake_at, searched
)
VALUES ('exec_living', 'acme', 'line', '1.0.0', 'paused', now() - interval '400 days', NULL, now(), '')
"""
JOURNAL = """
INSERT INTO execution_journal (
    execution_id, version, leg, is_final, first_sequence, last_sequence, events, is_whole, change
)
SELECT execution_id, 1, 1, false, 1, 3, '\\x00', true, '\\x00' FROM executions
"""
ATTEMPTS = """
INSERT INTO stage_attempts (
    execution_id, stage_id, attempt, worker_name, action, success, tokens_used, prompt_tokens, completion_tokens,
    execution_time_ms, queue_time_ms, ended_at, account
)
SELECT execution_id, 'only', 1, 'maker', 'make', true, 0, 0, 0, 1, 1, now(), '\\x00' FROM executions
"""
BEGIN = """
SELECT commit_batch(
    '{}', ARRAY[ROW($1, 'acme', NULL, 'line', '1.0.0', 'running', 0, NULL, 0, '')::new_execution],
    '{}', '{}', '{}', '', '{}', NULL
)
"""
ANEW = replace(call("only", 1, 1, "0.5"), call_key="exec_old_1.only.1.1", execution_id="exec_old_1")
CALLS = """
INSERT INTO provider_calls (
    call_key, execution_id, client_id, stage_id, attempt, worker_name, action, capability, provider, model, purpose, reason,
    outcome, prompt_tokens, completion_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, audio_ms, characters,
    basis, latency_ms
)
SELECT execution_id || '.only.1.1', execution_id, 'acme', 'only', 1, 'maker', 'make', 'llm_generation', 'openai', 'gpt-4o-mini',
       'first_try', '', 'answered', 0, 0, 0, 0, 0, 0, 0, 'usage', 1
FROM executions
"""
ADD_ALL_TO_THE_TOTALS = "SELECT roll_usage_on(interval '0', 500)"
GOES_ON = "UPDATE executions SET status = 'running', ended_at = NULL, wake_at = now() WHERE execution_id = $1"
WAITS_FOR_LOCKS = "SELECT count(*) FROM pg_locks WHERE NOT granted"

REFUSE_DELETIONS = """
CREATE SEQUENCE refusals MINVALUE 0;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% deletions refused', nextval('refusals') USING ERRCODE = 'lock_not_available'; END $$;
CREATE TRIGGER refuse BEFORE DELETE ON executions FOR EACH STATEMENT EXECUTE FUNCTION refuse();
"""
REFUSED = "SELECT last_value >= 2 FROM refusals"


@pytest.fixture
async def database(fresh_orchestrator_database: str) -> AsyncIterator[Database]:
    async with orchestrator_database(fresh_orchestrator_database) as opened:
        async with opened.connection() as connection:
            await connection.execute(ENDED, "old", 91, 7)
            await connection.execute(ENDED, "young", 89, 3)
            await connection.execute(LIVING)
            for statement in (JOURNAL, ATTEMPTS, CALLS):
                await connection.execute(statement)
        yield opened


async def test_executions_that_ended_long_ago_go_with_their_events_and_attempts_and_their_calls_stay(
    database: Database,
) -> None:
    deleted = await retention(database, keep_days=90, at_once=3).delete_old()

    assert deleted == 7
    assert await ids(database, "executions") == ["exec_living", "exec_young_1", "exec_young_2", "exec_young_3"]
    assert await ids(database, "execution_journal") == ["exec_living", "exec_young_1", "exec_young_2", "exec_young_3"]
    assert await ids(database, "stage_attempts") == ["exec_living", "exec_young_1", "exec_young_2", "exec_young_3"]
    assert len(await ids(database, "provider_calls")) == 11


async def test_what_failed_attempts_have_spent_on_nothing_is_known_after_they_are_deleted(database: Database) -> None:
    failed = "UPDATE stage_attempts SET success = false, failure_code = 'timeout' WHERE execution_id = ANY ($1)"
    async with database.connection() as connection:
        await connection.execute(failed, ["exec_old_2", "exec_young_1"])

    await retention(database, keep_days=90).delete_old()

    async with database.connection() as connection:
        wasted = await connection.fetch("SELECT execution_id FROM judged_calls WHERE is_wasted ORDER BY 1")
    assert [row["execution_id"] for row in wasted] == ["exec_old_2", "exec_young_1"]


async def test_the_calls_of_an_execution_that_is_begun_anew_under_its_id_stand_on_the_bill_beside_the_older_ones(
    database: Database,
) -> None:
    await retention(database, keep_days=90).delete_old()

    async with database.connection() as connection:
        await connection.execute(BEGIN, "exec_old_1")
        await CallStore(load_queries("aif_orchestrator.store")).keep(connection, [ANEW])
        bill = await connection.fetch(
            "SELECT cost_usd, call_key LIKE 'exec_old_1.only.1.1~%' AS is_older FROM provider_calls "
            "WHERE execution_id = 'exec_old_1' ORDER BY booked_at"
        )

    assert [tuple(row) for row in bill] == [(None, True), (Decimal("0.5"), False)]


async def test_a_second_time_there_is_nothing_to_do(database: Database) -> None:
    await retention(database, keep_days=90).delete_old()

    assert await retention(database, keep_days=90).delete_old() == 0


async def test_what_has_ended_lately_stays_however_long_ago_it_began(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("UPDATE executions SET created_at = now() - interval '400 days' WHERE execution_id ~ 'young'")

    assert await retention(database, keep_days=90).delete_old() == 7


async def test_the_oldest_go_first_and_no_more_of_them_at_once_than_are_asked_for(database: Database) -> None:
    older = "UPDATE executions SET created_at = created_at - interval '1 day' WHERE execution_id = ANY ($1)"
    async with database.connection() as connection:
        await connection.execute(older, ["exec_old_3", "exec_old_6"])

        assert await _store().delete_old(connection, ended_before_days=90, limit=2) == 2

    left = await ids(database, "executions")
    assert left == ["exec_living", *(f"exec_old_{n}" for n in (1, 2, 4, 5, 7)), *(f"exec_young_{n}" for n in (1, 2, 3))]


async def test_what_is_resumed_while_it_is_being_deleted_stays_and_neither_fails(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("DELETE FROM unrolled_executions")
        await connection.execute(ADD_ALL_TO_THE_TOTALS)

    async with database.transaction() as resuming:
        await resuming.execute("SELECT unroll_usage(ARRAY['exec_old_1'])")
        deleting = asyncio.create_task(retention(database, keep_days=90).delete_old())
        await eventually(lambda: somebody_waits(database))
        await resuming.execute(GOES_ON, "exec_old_1")

    assert await deleting == 6
    assert (await ids(database, "executions"))[:2] == ["exec_living", "exec_old_1"]


async def test_zero_days_keep_everything_for_ever(database: Database) -> None:
    assert await retention(database, keep_days=0).delete_old() == 0
    assert len(await ids(database, "executions")) == 11


async def test_several_replicas_share_the_work(database: Database) -> None:
    deleted = await asyncio.gather(*(retention(database, keep_days=90, at_once=2).delete_old() for _ in range(4)))

    assert sum(deleted) == 7
    assert await ids(database, "executions") == ["exec_living", "exec_young_1", "exec_young_2", "exec_young_3"]


async def test_an_execution_that_somebody_works_on_is_left_for_the_next_time(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("SELECT 1 FROM executions WHERE execution_id = 'exec_old_4' FOR UPDATE")

        assert await retention(database, keep_days=90).delete_old() == 6

    assert await retention(database, keep_days=90).delete_old() == 1


async def test_what_could_not_be_deleted_while_the_database_was_away_is_deleted_the_next_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orchestrator_retention, "EVERY_SECONDS", 0.01)
    async with database.connection() as connection:
        await connection.execute(REFUSE_DELETIONS)

        running = asyncio.create_task(retention(database, keep_days=90).run())
        await eventually(lambda: connection.fetchval(REFUSED), what="it is tried in vain")
        await connection.execute("DROP TRIGGER refuse ON executions")

        await eventually(lambda: connection.fetchval("SELECT count(*) = 4 FROM executions"), what="the old ones are gone")
    running.cancel()
    await asyncio.wait([running])


def retention(database: Database, *, keep_days: int, at_once: int = 200) -> Retention:
    return Retention(database=database, executions=_store(), keep_days=keep_days, at_once=at_once)


def _store() -> ExecutionStore:
    return ExecutionStore(load_queries("aif_orchestrator.store"))


async def ids(database: Database, table: str) -> list[str]:
    async with database.connection() as connection:
        rows = await connection.fetch(f"SELECT execution_id FROM {table} ORDER BY 1")  # noqa: S608 a name of this file
        return [row["execution_id"] for row in rows]


async def somebody_waits(database: Database) -> bool:
    async with database.connection() as connection:
        waiting: int = await connection.fetchval(WAITS_FOR_LOCKS)
    return waiting > 0
