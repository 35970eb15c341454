"""The fixtures that all other integration tests stand on."""

from typing import Any
from urllib.parse import urlsplit

import asyncpg
import nats
import pytest

from aif_runtime.migrations import load_migrations
from support.databases import DatabaseShelf


@pytest.mark.parametrize("round_number", [1, 2])
async def test_every_test_gets_an_empty_database(fresh_database: str, round_number: int) -> None:
    connection = await asyncpg.connect(fresh_database)

    tables_before = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    await connection.execute("CREATE TABLE left_behind ()")
    await connection.close()

    assert tables_before == 0


async def test_what_a_test_changes_in_its_rows_is_put_back_before_the_next_one(database_shelf: DatabaseShelf) -> None:
    url = await database_shelf.borrow("orchestrator")
    await run(
        url,
        "INSERT INTO audit_log VALUES (1, 'a', 'A', 'info', 'b', NULL, NULL, now(), '', repeat('0', 64))",
        "UPDATE audit_head SET sequence = 1",
        "DELETE FROM schema_migrations",
    )
    await database_shelf.give_back(url)

    again = await database_shelf.borrow("orchestrator")

    assert again == url
    assert await value(again, "SELECT count(*) FROM audit_log") == 0
    assert await value(again, "SELECT sequence FROM audit_head") == 0
    assert await value(again, "SELECT count(*) FROM schema_migrations") == len(load_migrations("aif_orchestrator"))
    await database_shelf.give_back(again)


async def test_a_sequence_begins_anew_for_every_test(database_shelf: DatabaseShelf) -> None:
    url = await database_shelf.borrow("kam")
    first = await value(url, "SELECT nextval('configuration_revisions')")
    await database_shelf.give_back(url)

    again = await database_shelf.borrow("kam")

    assert again == url
    assert await value(again, "SELECT nextval('configuration_revisions')") == first
    await database_shelf.give_back(again)


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE left_behind ()",
        "DROP TABLE idempotency_keys",
        "ALTER TABLE clients ADD COLUMN left_behind integer",
        "ALTER TABLE clients DISABLE TRIGGER clients_push_profile",
        "ALTER TABLE clients ALTER COLUMN tier SET DEFAULT 'free'",
        "DROP INDEX client_requests_of_client",
        "CREATE FUNCTION left_behind() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "REVOKE INSERT ON clients FROM CURRENT_USER",
        "CREATE SCHEMA left_behind",
    ],
)
async def test_a_database_whose_tables_were_changed_is_lent_to_nobody_again(
    database_shelf: DatabaseShelf, postgres_admin_url: str, change: str
) -> None:
    url = await database_shelf.borrow("kam")
    await run(url, change)
    await database_shelf.give_back(url)

    another = await database_shelf.borrow("kam")

    assert another != url
    assert await value(postgres_admin_url, "SELECT count(*) FROM pg_database WHERE datname = $1", urlsplit(url).path[1:]) == 0
    await database_shelf.give_back(another)


async def test_who_is_still_connected_when_a_database_is_given_back_is_cut_off(database_shelf: DatabaseShelf) -> None:
    url = await database_shelf.borrow("kam")
    forgotten = await asyncpg.connect(url)
    await forgotten.execute("BEGIN; LOCK TABLE kam.clients")

    await database_shelf.give_back(url)

    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, asyncpg.InterfaceError)):
        await forgotten.execute("SELECT 1")


@pytest.mark.parametrize("round_number", [1, 2])
async def test_every_test_gets_a_nats_server_without_streams(fresh_nats: str, round_number: int) -> None:
    connection = await nats.connect(fresh_nats)
    jetstream = connection.jetstream()

    streams_before = await jetstream.streams_info()
    await jetstream.add_stream(name="left_behind", subjects=["left.behind"])
    await jetstream.create_key_value(bucket="left_behind")
    await jetstream.create_object_store("left_behind")
    await connection.close()

    assert streams_before == []


async def run(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url, server_settings={"search_path": "kam, orchestrator"})
    try:
        # The log of what was done may be changed by nobody; here somebody does.
        await connection.execute("SET session_replication_role = replica")
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def value(url: str, question: str, *arguments: str) -> Any:
    connection = await asyncpg.connect(url, server_settings={"search_path": "kam, orchestrator"})
    try:
        return await connection.fetchval(question, *arguments)
    finally:
        await connection.close()
