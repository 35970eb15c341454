"""Sources that nobody has ordered go after a while, and so do bytes that never became a source; all others stay."""

import asyncio
import random
from datetime import timedelta

import httpx
import pytest
from prometheus_client import CollectorRegistry

from aif_kam.failures import Unavailable
from aif_kam.source_collection import SourceCollection
from aif_kam.source_store import SourceStore
from aif_runtime.sql_files import load_queries
from integration.kam.gateway_under_test import BEES, GatewayUnderTest

COURSE = "content_granulation_course"
SCHEDULE = {"name": "Bees", "selected_template": COURSE, "cron": "0 0 1 1 *"}
TIME_PASSES = (
    "UPDATE sources SET used_at = used_at - $1::interval",
    "UPDATE loose_sources SET since = since - $1::interval, taken_at = taken_at - $1::interval",
)


async def upload(client: httpx.AsyncClient) -> str:
    answer = await client.post("/api/kam/sources?file_name=bees.md", content=BEES.encode())
    return str(answer.json()["source_id"])


async def order(client: httpx.AsyncClient, source_id: str) -> httpx.Response:
    return await client.post("/api/kam/orders", json={"selected_template": COURSE, "parameters": {"source": source_id}})


async def schedule(client: httpx.AsyncClient, source_id: str) -> str:
    answer = await client.post("/api/kam/schedules", json={**SCHEDULE, "parameters": {"source": source_id}})
    return str(answer.json()["schedule_id"])


async def time_passes(kam: GatewayUnderTest, time: timedelta) -> None:
    for statement in TIME_PASSES:
        await kam.rows(statement, time)


def stored(kam: GatewayUnderTest) -> set[str]:
    """Ids of the sources whose bytes are there."""
    return {key.split("/")[2] for _, key in kam.blobs.stored if key.startswith("sources/")}


async def test_a_source_that_was_never_ordered_goes_after_thirty_days_and_its_bytes_a_day_later(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    source_id = await upload(alice)

    await time_passes(kam, timedelta(days=29))
    await kam.gateway.collection.collect()
    assert await kam.rows("SELECT 1 FROM sources")
    await time_passes(kam, timedelta(days=2))
    await kam.gateway.collection.collect()
    assert stored(kam) == {source_id}
    await time_passes(kam, timedelta(hours=25))
    await kam.gateway.collection.collect()

    assert stored(kam) == set()
    assert await kam.rows("SELECT 1 FROM loose_sources") == []
    refused = await order(alice, source_id)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["message"] == f"there is no source {source_id!r}"


async def test_sources_of_orders_and_schedules_stay(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    ordered, scheduled = await upload(alice), await upload(alice)
    await order(alice, ordered)
    schedule_id = await schedule(alice, scheduled)

    for _ in range(3):
        await time_passes(kam, timedelta(days=400))
        await kam.gateway.collection.collect()
    assert stored(kam) == {ordered, scheduled}

    await alice.delete(f"/api/kam/schedules/{schedule_id}")
    for _ in range(2):
        await time_passes(kam, timedelta(days=31))
        await kam.gateway.collection.collect()
    assert stored(kam) == {ordered}


async def test_an_order_is_about_the_source_that_its_blobs_key_names_with_slashes_and_with_dots(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    source_id = await upload(alice)
    await order(alice, source_id)
    named = "SELECT source_id FROM client_requests"
    assert [row["source_id"] for row in await kam.rows(named)] == [source_id]

    slashes, dots = f"sources/alice/{source_id}/", f"sources.alice.{source_id}."
    await kam.rows("UPDATE client_requests SET parameters = replace(parameters::text, $1, $2)::json", slashes, dots)

    assert [row["source_id"] for row in await kam.rows(named)] == [source_id]


async def test_bytes_that_never_became_a_source_go_after_a_day(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    intake = kam.gateway.parts.intake
    await intake.read_texts("alice", [BEES, BEES], ["a", "b"], together="inputs")
    kept = await upload(alice)
    assert len(stored(kam)) == 3

    await time_passes(kam, timedelta(hours=23))
    await kam.gateway.collection.collect()
    assert len(stored(kam)) == 3
    await time_passes(kam, timedelta(hours=2))
    await kam.gateway.collection.collect()

    assert stored(kam) == {kept}


@pytest.mark.parametrize("table", ["sources", "loose_sources"])
async def test_what_another_gateway_is_at_just_now_is_left_to_it(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, table: str
) -> None:
    another_has, free = await upload(alice), await upload(alice)
    await time_passes(kam, timedelta(days=31))
    if table == "loose_sources":
        await kam.gateway.collection.collect()
        await time_passes(kam, timedelta(hours=25))

    async with kam.database.transaction() as another:
        await another.execute(f"SELECT FROM {table} WHERE source_id = $1 FOR UPDATE", another_has)
        await kam.gateway.collection.collect()

    assert [row["source_id"] for row in await kam.rows(f"SELECT source_id FROM {table}")] == [another_has]  # noqa: S608 likewise
    assert stored(kam) == ({another_has, free} if table == "sources" else {another_has})


async def test_a_source_whose_bytes_are_being_deleted_is_not_entered(kam: GatewayUnderTest) -> None:
    intake = kam.gateway.parts.intake
    (source,) = await intake.read_texts("alice", [BEES], ["a"], together="inputs")
    await time_passes(kam, timedelta(hours=25))
    await kam.gateway.collection.collect()

    with pytest.raises(Unavailable, match="send it again"):
        async with kam.database.transaction() as connection:
            await intake.enter(connection, source)

    assert await kam.rows("SELECT 1 FROM sources") == []


async def test_a_source_that_somebody_is_about_to_order_is_not_released(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    source_id = await upload(alice)
    await time_passes(kam, timedelta(days=31))

    assert await kam.gateway.parts.intake.find_blob(source_id, "alice") is not None
    await kam.gateway.collection.collect()

    assert (await order(alice, source_id)).status_code == 202
    for _ in range(2):
        await time_passes(kam, timedelta(days=31))
        await kam.gateway.collection.collect()
    assert stored(kam) == {source_id}


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_what_was_ordered_stays_and_what_nobody_needs_goes(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, seed: int
) -> None:
    chance = random.Random(seed)
    needed: set[str] = set()
    schedules: dict[str, str] = {}

    for _ in range(40):
        there = [row["source_id"] for row in await kam.rows("SELECT source_id FROM sources ORDER BY 1")]
        match chance.choice(
            ["upload", "upload", "order", "schedule", "unschedule", "left", "time", "time", "collect", "collect"]
        ):
            case "upload":
                await upload(alice)
            case "order" if there:
                one = chance.choice(there)
                if (await order(alice, one)).status_code == 202:
                    needed.add(one)
            case "schedule" if there:
                one = chance.choice(there)
                schedules[await schedule(alice, one)] = one
            case "unschedule" if schedules:
                schedule_id = chance.choice(sorted(schedules))
                await alice.delete(f"/api/kam/schedules/{schedule_id}")
                del schedules[schedule_id]
            case "left":
                await kam.gateway.parts.intake.read_texts("alice", [BEES], ["a"], together="inputs")
            case "time":
                await time_passes(kam, timedelta(hours=chance.choice([1, 12, 25, 24 * 20, 24 * 31])))
            case "collect":
                await asyncio.gather(*(collection(kam, at_once=chance.randint(1, 3)).collect() for _ in range(3)))
            case _:
                pass
        assert needed | set(schedules.values()) <= stored(kam)

    for _ in range(3):
        await time_passes(kam, timedelta(days=31))
        while await kam.gateway.collection.collect():
            pass
    assert stored(kam) == needed | set(schedules.values())


def collection(kam: GatewayUnderTest, *, at_once: int) -> SourceCollection:
    return SourceCollection(
        database=kam.database,
        sources=SourceStore(load_queries("aif_kam")),
        blobs=kam.blobs,
        keep_unused_days=30,
        registry=CollectorRegistry(),
        at_once=at_once,
    )
