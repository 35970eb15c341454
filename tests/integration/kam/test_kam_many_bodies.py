"""Many slow senders of large JSON bodies at once: together they have so much of the memory, and nobody all of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest_asyncio

from aif_kam.body_room import BodyRoom
from integration.kam.gateway_under_test import BEES, GatewayUnderTest, open_gateway
from support.waiting import eventually

KIB = 1024
ORDER = {"selected_template": "content_granulation_course", "parameters": {"source_text": BEES}}


@pytest_asyncio.fixture
async def narrow(fresh_kam_database: str) -> AsyncIterator[GatewayUnderTest]:
    async with open_gateway(fresh_kam_database, bodies=BodyRoom(room_bytes=1200 * KIB)) as kam:
        yield kam


@asynccontextmanager
async def sending(kam: GatewayUnderTest, who: str, size: int) -> AsyncIterator[asyncio.StreamReader]:
    """A sender of a batch who has sent so much of it and then waits."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(kam.url.rpartition(":")[2]))
    head = f"POST /api/kam/batches HTTP/1.1\r\nHost: x\r\nX-API-Key: {kam.keys[who]}\r\nContent-Length: {size + 1}\r\n\r\n"
    writer.write(head.encode() + b" " * size)
    await writer.drain()
    try:
        yield reader
    finally:
        writer.close()


async def test_a_caller_holds_no_more_than_it_leaves_free_and_the_others_are_served(narrow: GatewayUnderTest) -> None:
    bodies = narrow.gateway.parts.bodies
    async with AsyncExitStack() as under_way, narrow.client("bob") as bob:
        for _ in range(3):
            await under_way.enter_async_context(sending(narrow, "alice", 200 * KIB))
        await eventually(lambda: bodies.held_bytes == 600 * KIB)
        reader = await under_way.enter_async_context(sending(narrow, "alice", 200 * KIB))

        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).lower()
        problem = await asyncio.wait_for(reader.readuntil(b"}"), 30)

        assert head.startswith(b"http/1.1 503 ")
        assert b"\r\nretry-after: 5\r\n" in head
        assert b'"urn:aif:problem:too_many_bodies"' in problem
        assert bodies.held_bytes == 600 * KIB
        assert (await bob.post("/api/kam/orders", json=ORDER)).status_code == 202


async def test_what_was_held_is_free_again_when_its_sender_has_gone_or_its_answer(narrow: GatewayUnderTest) -> None:
    bodies = narrow.gateway.parts.bodies
    async with sending(narrow, "alice", 600 * KIB):
        await eventually(lambda: bodies.held_bytes == 600 * KIB)

    await eventually(lambda: bodies.held_bytes == 0)
    async with narrow.client("alice") as alice:
        answers = [(await alice.post("/api/kam/batches", content=b" " * 500 * KIB)).status_code for _ in range(5)]
        assert answers == [400] * 5
    await eventually(lambda: bodies.held_bytes == 0)


async def test_an_upload_holds_none_of_it(narrow: GatewayUnderTest) -> None:
    document = b"# Bees\n\n" + b"Bees live in hives. " * 100_000
    async with narrow.client("alice") as alice:
        taken = await alice.post("/api/kam/sources?file_name=bees.md", content=document)

    assert taken.status_code == 201
