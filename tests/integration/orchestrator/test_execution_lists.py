"""Executions listed, filtered and searched; and that Postgres finds them by its indexes however many there are."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec
import pytest

from aif_contracts import subjects
from aif_contracts.orders import Execute, ExecutionStatus, ListExecutions
from aif_orchestrator.store.executions import ExecutionStore, Wanted
from aif_runtime.bus import Bus
from aif_runtime.memory_blobs import MemoryBlobStore
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.postgres import Connection, Database
from aif_runtime.sql_files import load_queries
from support.execution_story import pipeline, schema_of, stage
from support.orchestrator_line import Client, HandWorker, orchestrator_database, running_orchestrator
from support.orchestrator_questions import Questions

TEA = pipeline(stage("only"), name="tea_line", parameters=schema_of("topic", "note"))
COFFEE = pipeline(stage("only"), name="coffee_line", parameters=schema_of("topic", "note"))


class Rig:
    def __init__(self, bus: Bus, database: Database) -> None:
        self.bus = bus
        self.database = database
        self.asks = Questions(bus)

    async def orders(self, execution_id: str, template: str, client_id: str = "acme", **order: Any) -> None:
        execute = Execute(execution_id=execution_id, client_id=client_id, template_name=template, **order)
        answer = await self.bus.ask(subjects.EXECUTE, msgspec.json.encode(execute), wait_seconds=5)
        assert json.loads(answer)["reply"] == "accepted", answer

    async def was_ordered(self, execution_id: str, at: str) -> None:
        """As if it had been ordered at another time."""
        async with self.database.connection() as connection:
            await connection.execute(
                "UPDATE executions SET created_at = $2 WHERE execution_id = $1", execution_id, datetime.fromisoformat(at)
            )


@pytest.fixture
async def rig(fresh_orchestrator_database: str) -> AsyncIterator[Rig]:
    async with orchestrator_database(fresh_orchestrator_database) as database:
        bus = MemoryBus(MemoryBroker())
        await HandWorker(bus).register()
        settings: dict[str, Any] = {"orchestrator_unclaimed_seconds": 60.0, "orchestrator_lease_seconds": 60.0}
        async with running_orchestrator(bus, MemoryBlobStore(), database, (TEA, COFFEE), **settings):
            yield Rig(bus, database)
        await bus.close()


async def test_each_filter_shows_what_it_names_and_no_foreign_executions(rig: Rig) -> None:
    await rig.orders("exec_1", "tea_line", request_id="req_1", parameters={"topic": "Oolong"})
    await rig.orders("exec_2", "coffee_line", request_id="req_2", parameters={"topic": "Arabica"})
    await rig.orders("exec_3", "tea_line", request_id="req_3", parameters={"topic": "Green"})
    await rig.orders("exec_4", "tea_line", client_id="rival", parameters={"topic": "Oolong"})
    await Client(rig.bus).cancel("exec_3")

    assert await rig.asks.ids() == ["exec_3", "exec_2", "exec_1"]
    assert await rig.asks.ids(status="cancelled") == ["exec_3"]
    assert await rig.asks.ids(status="running") == ["exec_2", "exec_1"]
    assert await rig.asks.ids(template="tea_line") == ["exec_3", "exec_1"]
    assert await rig.asks.ids(template="tea_line", status="running") == ["exec_1"]
    assert await rig.asks.ids(request_id="req_2") == ["exec_2"]
    assert await rig.asks.ids(text="oolong") == ["exec_1"]
    assert await Questions(rig.bus, None).ids(text="oolong") == ["exec_4", "exec_1"]


async def test_a_search_looks_into_id_template_and_parameters_in_any_case_and_takes_signs_as_they_are(rig: Rig) -> None:
    await rig.orders("exec_ABC", "tea_line", parameters={"topic": "100% Ceylon", "note": "N" * 5_000})
    await rig.orders("exec_XYZ", "coffee_line", parameters={"topic": "1000 Ceylon_Blend"})

    assert await rig.asks.ids(text="abc") == ["exec_ABC"]
    assert await rig.asks.ids(text="COFFEE") == ["exec_XYZ"]
    assert await rig.asks.ids(text="ceylon") == ["exec_XYZ", "exec_ABC"]
    assert await rig.asks.ids(text="100%") == ["exec_ABC"]
    assert await rig.asks.ids(text="n_b") == ["exec_XYZ"]
    assert await rig.asks.ids(text="\\") == []


async def test_texts_are_stored_as_they_are_whatever_they_mean_to_a_database(rig: Rig) -> None:
    topic = 'say "tea", \\ or {NULL},"\\"\n\t; äß中'
    await rig.orders("exec_1", "tea_line", request_id='req "1" \\', parameters={"topic": topic})

    assert await rig.asks.ids(text=topic) == ["exec_1"]
    assert await rig.asks.ids(request_id='req "1" \\') == ["exec_1"]
    assert (await Client(rig.bus).get("exec_1")).request_id == 'req "1" \\'


async def test_times_are_taken_with_their_offsets_the_first_included_and_the_last_not(rig: Rig) -> None:
    for day in (1, 2, 3):
        await rig.orders(f"exec_{day}", "tea_line")
        await rig.was_ordered(f"exec_{day}", f"2026-05-0{day}T12:00:00Z")

    assert await rig.asks.ids(created_after="2026-05-02T12:00:00Z") == ["exec_3", "exec_2"]
    assert await rig.asks.ids(created_before="2026-05-02T12:00:00Z") == ["exec_1"]
    assert await rig.asks.ids(created_after="2026-05-02T14:00:00+02:00", created_before="2026-05-03T00:00:00Z") == ["exec_2"]


@pytest.mark.parametrize("text", ["yesterday", "2026-05-01", "2026-05-01T12:00:00", "", "0001-01-01T00:00:00+14:00"])
async def test_a_time_that_is_none_is_refused_with_its_field(rig: Rig, text: str) -> None:
    request = ListExecutions(client_id="acme", created_after="2026-05-01T00:00:00Z", created_before=text)

    refusal = await rig.asks.refused(subjects.LIST, request)

    assert refusal.code == "invalid_filter"
    assert [mistake.field for mistake in refusal.mistakes] == ["created_before"]
    assert "RFC 3339" in refusal.mistakes[0].mend


async def test_filtered_pages_follow_each_other(rig: Rig) -> None:
    for number in range(7):
        await rig.orders(f"exec_{number}", "tea_line" if number % 2 else "coffee_line")

    first = await rig.asks.executions(template="coffee_line", limit=3)
    second = await rig.asks.executions(template="coffee_line", limit=3, cursor=first.next_cursor)

    assert [each.execution_id for each in first.executions] == ["exec_6", "exec_4", "exec_2"]
    assert [each.execution_id for each in second.executions] == ["exec_0"]
    assert second.next_cursor is None


MANY = """
INSERT INTO executions (
    execution_id, client_id, request_id, template, template_version, status, created_at, ended_at, wake_at, searched
)
SELECT 'exec_' || lpad(n::text, 9, '0'), 'client_' || n % 20, 'req_' || n,
       CASE WHEN n % 1000 = 0 THEN 'rare_line' ELSE 'tea_line' END, '1.0.0',
       CASE WHEN n % 97 = 0 THEN 'failed' ELSE 'completed' END,
       now() - (100000 - n) * interval '1 minute', now() - (100000 - n) * interval '1 minute', NULL,
       'exec_' || lpad(n::text, 9, '0') || ' tea_line ' || md5(n::text)
FROM generate_series($1::int + 1, $1::int + 20000) AS n
"""
BEGUN = """
INSERT INTO execution_journal (execution_id, version, leg, is_final, is_whole, change)
SELECT execution_id, 1, 1, false, true, decode(repeat('ab', 1000), 'hex') FROM executions
"""


async def test_among_a_hundred_thousand_every_filter_is_answered_by_an_index(fresh_database: str) -> None:
    filters = {
        "none": Wanted(client_id=None),
        "client": Wanted(client_id="client_7"),
        "status": Wanted(client_id=None, status=ExecutionStatus.FAILED),
        "usual status": Wanted(client_id=None, status=ExecutionStatus.COMPLETED),
        "status of a client": Wanted(client_id="client_7", status=ExecutionStatus.RUNNING),
        "template": Wanted(client_id=None, template="rare_line"),
        "usual template": Wanted(client_id="client_7", template="tea_line"),
        "request": Wanted(client_id="client_7", request_id="req_77"),
        "time": Wanted(client_id=None, created_before=datetime.now(UTC) - timedelta(days=69)),
        "text that is nowhere": Wanted(client_id=None, text="nowhere at all"),
        "a client's text that is nowhere": Wanted(client_id="client_7", text="nowhere at all"),
    }
    async with orchestrator_database(fresh_database) as database:
        async with database.connection() as connection:
            for before in range(0, 100_000, 20_000):
                await connection.execute(MANY, before)
            await connection.execute(BEGUN)
            await connection.execute("VACUUM (ANALYZE) executions, execution_journal")

        plans = {name: await _scans(database, wanted) for name, wanted in filters.items()}
        due = await _bounds_of_due(database)

    sequential = {name for name, scans in plans.items() if any("Seq" in scan for scan in scans)}
    assert sequential <= {"text that is nowhere"}, "what nobody has said is looked for among all, row by row or in an index"
    assert plans["none"][0] == "Index Only Scan executions_pkey"
    assert plans["client"][0] == "Index Only Scan executions_by_client"
    assert plans["status"][0] == "Index Only Scan executions_by_status"
    assert plans["template"][0] == "Index Only Scan executions_by_template"
    assert plans["time"][0] == "Index Scan executions_by_time"
    assert plans["request"][0] == "Index Scan executions_by_request"
    assert plans["a client's text that is nowhere"][0] == "Index Only Scan executions_by_client"
    assert due == ["(wake_at <= now())"], "what waits is not even looked at"


@pytest.mark.parametrize(
    ("table", "share"),
    [("executions", "0.01"), ("execution_journal", "0.02"), ("stage_attempts", "0.02"), ("provider_calls", "0.02")],
)
async def test_of_a_large_table_dead_versions_are_cleared_away_when_they_are_few(
    fresh_orchestrator_database: str, table: str, share: str
) -> None:
    async with orchestrator_database(fresh_orchestrator_database) as database, database.connection() as connection:
        found = await connection.fetchval(
            "SELECT option_value FROM pg_class, pg_options_to_table(reloptions)"
            " WHERE oid = $1::text::regclass AND option_name = 'autovacuum_vacuum_scale_factor'",
            table,
        )

    assert found == share


class Explainer:
    """Stands for a connection and keeps how Postgres would do what is fetched."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.nodes: list[dict[str, Any]] = []

    async def execute(self, query: str) -> None:
        await self._connection.execute(query)

    async def fetch(self, query: str, *values: object) -> list[Any]:
        plan = json.loads(await self._connection.fetchval(f"EXPLAIN (FORMAT JSON) {query}", *values))
        self.nodes += _nodes(plan[0]["Plan"])
        return []

    async def fetchrow(self, query: str, *values: object) -> dict[str, Any]:
        await self.fetch(query, *values)
        return {"execution_ids": [], "at_ms": 0}


async def _scans(database: Database, wanted: Wanted) -> list[str]:
    """How each table and index is gone through."""
    store = ExecutionStore(load_queries("aif_orchestrator.store"))
    async with database.transaction() as connection:
        explainer = Explainer(connection)
        await store.list_page(cast(Connection, explainer), wanted, before=None, limit=21)
    scans = [f"{node['Node Type']} {node.get('Index Name', '')}" for node in explainer.nodes if "Scan" in node["Node Type"]]
    assert len(scans) >= 2, "ids are picked, then the journal is read"
    return scans


async def _bounds_of_due(database: Database) -> list[str]:
    store = ExecutionStore(load_queries("aif_orchestrator.store"))
    async with database.transaction() as connection:
        explainer = Explainer(connection)
        await store.list_due(cast(Connection, explainer), 100)
    return [str(node.get("Index Cond", "")) for node in explainer.nodes if "Scan" in node["Node Type"]]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
