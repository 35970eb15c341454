"""What a page of an execution's events reads of its journal."""

from typing import Any, cast

from aif_orchestrator.store.executions import ExecutionStore
from aif_runtime.postgres import Connection, Database
from aif_runtime.sql_files import load_queries

ENTRIES = """
INSERT INTO execution_journal (execution_id, version, leg, is_final, first_sequence, last_sequence, events, is_whole, change)
SELECT 'exec_1', n, 1, false, 10 * n - 9, 10 * n, '[]', false, NULL FROM generate_series(1, 100) AS n
"""


class Reader:
    """Stands for a connection and counts what it fetches."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.rows = 0

    async def fetch(self, query: str, *values: object) -> list[Any]:
        rows = await self._connection.fetch(query, *values)
        self.rows += len(rows)
        return list(rows)


async def test_a_page_of_events_reads_the_entries_that_hold_them_and_no_others(fresh_orchestrator_database: str) -> None:
    store = ExecutionStore(load_queries("aif_orchestrator.store"))
    database = await Database.open(fresh_orchestrator_database, application_name="test", schema="orchestrator")
    read = {}
    try:
        async with database.connection() as connection:
            await connection.execute(ENTRIES)
            for after, limit in ((0, 10), (0, 500), (195, 20), (990, 500), (1000, 500), (2**31 - 1, 1000)):
                reader = Reader(connection)
                await store.list_events(cast(Connection, reader), "exec_1", after, limit)
                read[after, limit] = reader.rows
    finally:
        await database.close()

    assert read == {(0, 10): 1, (0, 500): 50, (195, 20): 3, (990, 500): 1, (1000, 500): 0, (2**31 - 1, 1000): 0}
