"""A database as it is after a million executions: the rows of a real one, multiplied set by set.

Ids, times and clients differ as they do in life; whatever else a row holds is as long as in the real one. Foreign keys are not
looked up for each row, and nothing is logged: the tables are emptied in the same transaction, so Postgres only has to bring the
files to the disk.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from msgspec import Struct

from aif_runtime.ids import id_mint

AT_ONCE = 25_000
SPREAD = timedelta(days=80)
"""Less than executions are kept."""
CLIENTS = 200
LIMIT_SECONDS = 1800.0

TABLES = ("executions", "execution_journal", "stage_attempts")
EMPTY = "TRUNCATE executions, execution_journal, stage_attempts"
MULTIPLY_EXECUTIONS = """
INSERT INTO executions (
    execution_id, client_id, request_id, template, template_version, status, created_at, ended_at, wake_at, searched
)
SELECT new.id, 'client_' || new.number % $4, 'req_' || substr(new.id, 6), template, template_version,
       CASE WHEN new.number % 50 = 0 THEN 'failed' ELSE status END,
       new.created_at, new.created_at + (real.ended_at - real.created_at), NULL,
       overlay(searched PLACING lower(new.id) FROM 1)
FROM real_executions AS real,
     unnest($1::text[], $2::timestamptz[], $3::int[]) AS new (id, created_at, number)
"""
MULTIPLY_JOURNAL = """
INSERT INTO execution_journal (
    execution_id, version, leg, is_final, first_sequence, last_sequence, events, is_whole, change
)
SELECT new.id, version, leg, is_final, first_sequence, last_sequence, events, is_whole,
       overlay(change PLACING new.id::bytea FROM position(execution_id::bytea IN change))
FROM unnest($1::text[]) AS new (id), real_execution_journal
"""
MULTIPLY_ATTEMPTS = """
INSERT INTO stage_attempts (
    execution_id, stage_id, attempt, worker_name, action, success, failure_code, tokens_used, prompt_tokens,
    completion_tokens, cost_usd, execution_time_ms, queue_time_ms, model, quality_score, ended_at, account
)
SELECT new.id, stage_id, attempt, worker_name, action, success, failure_code, tokens_used, prompt_tokens,
       completion_tokens, cost_usd, execution_time_ms, queue_time_ms, model, quality_score,
       new.created_at + (real.ended_at - began.created_at), account
FROM unnest($1::text[], $2::timestamptz[]) AS new (id, created_at), real_stage_attempts AS real,
     real_executions AS began
"""


class RealRows(Struct, frozen=True):
    """Of one execution that has ended, by table."""

    rows: dict[str, list[tuple[Any, ...]]]


async def read_rows(admin_url: str, schema: str, execution_id: str) -> RealRows:
    connection = await _connect(admin_url, schema)
    try:
        found = {
            "executions": await connection.fetch("SELECT * FROM executions WHERE execution_id = $1", execution_id),
            "execution_journal": await connection.fetch(
                "SELECT * FROM execution_journal WHERE execution_id = $1", execution_id
            ),
            "stage_attempts": await connection.fetch("SELECT * FROM stage_attempts WHERE execution_id = $1", execution_id),
        }
    finally:
        await connection.close()
    return RealRows({table: [tuple(row) for row in rows] for table, rows in found.items()})


async def multiply(admin_url: str, schema: str, real: RealRows, count: int) -> str:
    """Leave `count` ended executions in the tables and nothing else, vacuumed and analysed; tells the tables' sizes."""
    connection = await _connect(admin_url, schema)
    try:
        # No triggers: each row's foreign key is right by the way it is made.
        await connection.execute("SET session_replication_role = replica")
        async with connection.transaction():
            for table in TABLES:
                await connection.execute(f"CREATE TEMP TABLE real_{table} (LIKE {schema}.{table}) ON COMMIT DROP")
                await connection.copy_records_to_table(f"real_{table}", records=real.rows[table])
            await connection.execute(EMPTY)
            await _insert(connection, count)
            # In life they would have been added to the totals of usage on the way.
            await connection.execute("UPDATE usage_mark SET rolled_until = now()")
        # What autovacuum would have done on the way; and what is to be measured is not the disk catching up.
        await connection.execute("VACUUM (ANALYZE)")
        await connection.execute("CHECKPOINT")
        sizes = {table: await connection.fetchval("SELECT pg_total_relation_size($1::regclass)", table) for table in TABLES}
    finally:
        await connection.close()
    return ", ".join(f"{table} {size / 1e9:.1f} GB" for table, size in sizes.items())


async def _connect(admin_url: str, schema: str) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(admin_url, command_timeout=LIMIT_SECONDS, server_settings={"search_path": schema})


async def _insert(connection: "asyncpg.Connection[asyncpg.Record]", count: int) -> None:
    clock = _Past(datetime.now(UTC) - SPREAD)
    new_id = id_mint(clock=clock)
    for start in range(0, count, AT_ONCE):
        numbers = range(start, min(count, start + AT_ONCE))
        ids: list[str] = []
        times: list[datetime] = []
        for _ in numbers:
            clock.pass_by(SPREAD / count)
            ids.append(new_id("exec"))
            times.append(clock.now())
        await connection.execute(MULTIPLY_EXECUTIONS, ids, times, list(numbers), CLIENTS)
        await connection.execute(MULTIPLY_JOURNAL, ids)
        await connection.execute(MULTIPLY_ATTEMPTS, ids, times)


class _Past:
    """A clock that is moved on by hand, from a time long ago."""

    def __init__(self, begins_at: datetime) -> None:
        self._now = begins_at

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._now.timestamp()

    def pass_by(self, time: timedelta) -> None:
        self._now += time
