"""Requests are listed by indexes, however many there are and whatever was asked before."""

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest

from aif_kam.request_store import RequestStatus, RequestStore
from aif_runtime.postgres import Connection, Database
from aif_runtime.sql_files import load_queries

MANY = """
INSERT INTO client_requests (request_id, client_id, origin, request_type, message, urgency_level, status, execution_id,
                             selected_template)
SELECT 'req_' || lpad(n::text, 6, '0'), CASE WHEN n % 1000 = 0 THEN 'small' ELSE 'large' END, 'order',
       'pipeline_execution', '', 'normal',
       CASE WHEN n % 97 = 0 THEN 'failed' ELSE 'completed' END, 'exec_' || n, 'course'
FROM generate_series(1, 20000) AS n
"""


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


@pytest.fixture
def store() -> RequestStore:
    return RequestStore(load_queries("aif_kam"))


@pytest.mark.parametrize(
    ("client_id", "status", "index"),
    [
        (None, None, "client_requests_pkey"),
        ("small", None, "client_requests_of_client"),
        (None, RequestStatus.FAILED, "client_requests_by_status"),
        (None, RequestStatus.CREATED, "client_requests_by_status"),
        ("large", RequestStatus.FAILED, "client_requests_of_client_by_status"),
        ("large", RequestStatus.CREATED, "client_requests_of_client_by_status"),
    ],
)
async def test_among_many_requests_those_of_a_client_or_a_status_are_found_by_an_index(
    fresh_kam_database: str, store: RequestStore, client_id: str | None, status: RequestStatus | None, index: str
) -> None:
    database = await Database.open(fresh_kam_database, application_name="test", schema="kam")
    try:
        async with database.connection() as connection:
            await connection.execute("INSERT INTO clients (client_id) VALUES ('small'), ('large')")
            await connection.execute(MANY)
            await connection.execute("ANALYZE client_requests")
        async with database.transaction() as connection:
            explainer = Explainer(connection)
            await store.list_page(cast(Connection, explainer), client_id=client_id, status=status, before=None, limit=21)
    finally:
        await database.close()

    scans = [node.get("Index Name", node["Node Type"]) for node in explainer.nodes if "Scan" in node["Node Type"]]
    assert scans == [index]
    assert not any("Sort" in node["Node Type"] for node in explainer.nodes)


async def test_a_list_of_requests_is_never_planned_for_filters_that_others_gave(
    fresh_kam_database: str, store: RequestStore
) -> None:
    database = await Database.open(fresh_kam_database, application_name="test", schema="kam", min_size=1, max_size=1)
    try:
        for _ in range(10):
            async with database.transaction() as connection:
                await store.list_page(connection, client_id=None, status=RequestStatus.FAILED, before=None, limit=21)
        async with database.connection() as connection:
            planned = await connection.fetch(
                "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE $1",
                "%SELECT * FROM client_requests%ORDER BY request_id DESC%",
            )
    finally:
        await database.close()

    assert [tuple(row) for row in planned] == [(0, 10)]


async def test_of_many_requests_dead_versions_are_cleared_away_when_they_are_a_fiftieth(fresh_kam_database: str) -> None:
    database = await Database.open(fresh_kam_database, application_name="test", schema="kam")
    try:
        async with database.connection() as connection:
            share = await connection.fetchval(
                "SELECT option_value FROM pg_class, pg_options_to_table(reloptions)"
                " WHERE oid = 'client_requests'::regclass AND option_name = 'autovacuum_vacuum_scale_factor'"
            )
    finally:
        await database.close()

    assert share == "0.02"


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
