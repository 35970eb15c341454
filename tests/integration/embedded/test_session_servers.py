"""The fixtures that all other integration tests stand on."""

import asyncpg
import nats
import pytest


@pytest.mark.parametrize("round_number", [1, 2])
async def test_every_test_gets_an_empty_database(fresh_database: str, round_number: int) -> None:
    connection = await asyncpg.connect(fresh_database)

    tables_before = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    await connection.execute("CREATE TABLE left_behind ()")
    await connection.close()

    assert tables_before == 0


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
