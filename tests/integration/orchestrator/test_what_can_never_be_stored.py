"""Whatever a replica does wrong: the database stores no execution, attempt or dead letter that contradicts itself."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from aif_runtime.postgres import Connection
from support.orchestrator_line import orchestrator_database

SOUND = """
INSERT INTO executions (execution_id, client_id, template, template_version, status, created_at, ended_at, wake_at, searched)
VALUES ('exec_1', 'acme', 'line', '1.0.0', 'completed', now(), now(), NULL, repeat('x', 500));
INSERT INTO execution_journal (execution_id, version, leg, is_final, first_sequence, last_sequence, events, is_whole, change)
VALUES ('exec_1', 1, 1, false, 1, 1, '\\x00', true, '\\x00'), ('exec_1', 2, 1, true, NULL, NULL, NULL, false, '\\x00');
INSERT INTO stage_attempts (
    execution_id, stage_id, attempt, worker_name, action, success, tokens_used, prompt_tokens, completion_tokens,
    execution_time_ms, queue_time_ms, ended_at, account
)
VALUES ('exec_1', 'only', 1, 'maker', 'make', true, 0, 0, 0, 1, 1, now(), '\\x00');
INSERT INTO dead_letters (dead_letter_id, origin, subject, reason, found_by, deliveries, headers, payload, size_bytes)
VALUES ('dead_1', 'reports', 'aif.report', 'broken', 'orchestrator', 0, '{}', '\\x0000', 2);
"""


@pytest.fixture
async def connection(fresh_orchestrator_database: str) -> AsyncIterator[Connection]:
    async with orchestrator_database(fresh_orchestrator_database) as opened, opened.connection() as connection:
        await connection.execute(SOUND)
        yield connection


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE executions SET status = 'running'",
        "UPDATE executions SET ended_at = NULL, wake_at = now()",
        "UPDATE executions SET ended_at = NULL, status = 'running'",
        "UPDATE executions SET ended_at = NULL, wake_at = now(), status = 'lost'",
        "UPDATE executions SET searched = searched || 'x'",
        "UPDATE execution_journal SET version = 0 WHERE version = 1",
        "UPDATE execution_journal SET leg = 0",
        "UPDATE execution_journal SET is_whole = false",
        "UPDATE execution_journal SET events = NULL WHERE version = 1",
        "UPDATE execution_journal SET first_sequence = NULL WHERE version = 1",
        "UPDATE execution_journal SET last_sequence = NULL WHERE version = 1",
        "UPDATE execution_journal SET first_sequence = 2 WHERE version = 1",
        "UPDATE stage_attempts SET attempt = 0",
        "UPDATE stage_attempts SET success = false",
        "UPDATE stage_attempts SET failure_code = 'timeout'",
        "UPDATE dead_letters SET deliveries = -1",
        "UPDATE dead_letters SET size_bytes = 1",
        "UPDATE dead_letters SET status = 'lost', decided_at = now(), decided_by = 'admin'",
        "UPDATE dead_letters SET status = 'replayed', decided_at = now()",
        "UPDATE dead_letters SET status = 'replayed', decided_by = 'admin'",
        "UPDATE dead_letters SET decided_at = now(), decided_by = 'admin'",
    ],
)
async def test_what_contradicts_itself_is_not_stored(connection: Connection, change: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute(change)


async def test_a_leg_ends_once(connection: Connection) -> None:
    with pytest.raises(asyncpg.UniqueViolationError, match="one_final_event"):
        await connection.execute("UPDATE execution_journal SET is_final = true")
