"""Many uploads at once, slow ones and such as break off: a few are read at a time, and their files go."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from aif_kam.document_gate import DocumentGate
from integration.kam.gateway_under_test import BEES, GatewayUnderTest, open_gateway
from support.waiting import eventually

UPLOAD = "/api/kam/sources?file_name=bees.md"
BEGINNING = b"# Bees\n\n" + b"Bees live in hives. " * 20_000


@asynccontextmanager
async def sending(
    kam: GatewayUnderTest, beginning: bytes, *, length: int = 40_000_000, key: str | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A sender of a long body who has sent the beginning of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(kam.url.rpartition(":")[2]))
    head = f"POST {UPLOAD} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key or kam.keys['bob']}\r\nContent-Length: {length}\r\n\r\n"
    writer.write(head.encode() + beginning)
    await writer.drain()
    try:
        yield reader, writer
    finally:
        writer.close()


def files_without_a_name() -> int:
    links = [f"/proc/self/fd/{each}" for each in os.listdir("/proc/self/fd")]
    return sum(os.path.lexists(link) and os.readlink(link).endswith("(deleted)") for link in links)


async def test_who_comes_when_too_many_documents_wait_is_told_to_come_again(fresh_kam_database: str) -> None:
    gate = DocumentGate(at_once=1, waiting=1)
    async with open_gateway(fresh_kam_database, upload_gate=gate) as kam, kam.client() as alice:
        async with gate.admitted():
            waiting = asyncio.create_task(alice.post(UPLOAD, content=BEES.encode()))
            await eventually(lambda: gate.taken == 2)

            refused = await alice.post(UPLOAD, content=BEES.encode())

        assert (refused.status_code, refused.json()["type"]) == (503, "urn:aif:problem:too_many_documents")
        assert refused.headers["retry-after"] == "10"
        assert (await waiting).status_code == 201
        assert kam.gateway.parts.uploads.held_bytes == 0


async def test_uploads_under_way_hold_no_place_among_the_documents_that_are_read(fresh_kam_database: str) -> None:
    gate = DocumentGate(at_once=1, waiting=0)
    async with open_gateway(fresh_kam_database, upload_gate=gate) as kam, kam.client() as alice:
        async with sending(kam, BEGINNING), sending(kam, BEGINNING), sending(kam, BEGINNING):
            await eventually(lambda: kam.gateway.parts.uploads.held_bytes >= 3 * 128 * 1024)

            read = await alice.post(UPLOAD, content=BEES.encode())

        assert read.status_code == 201


async def test_a_text_in_an_order_does_not_wait_for_uploads(fresh_kam_database: str) -> None:
    gate = DocumentGate(at_once=1, waiting=0)
    order = {"selected_template": "content_granulation_course", "parameters": {"source_text": BEES}}
    async with open_gateway(fresh_kam_database, upload_gate=gate) as kam, kam.client() as alice, gate.admitted():
        accepted = await alice.post("/api/kam/orders", json=order)

    assert accepted.status_code == 202


async def test_the_file_of_an_upload_has_no_name_and_goes_with_its_sender(kam: GatewayUnderTest) -> None:
    before = files_without_a_name()

    async with sending(kam, BEGINNING):
        await eventually(lambda: kam.gateway.parts.uploads.held_bytes > 0)
        await eventually(lambda: files_without_a_name() == before + 1)

    await eventually(lambda: kam.gateway.parts.uploads.held_bytes == 0)
    assert files_without_a_name() == before


@pytest.mark.parametrize(
    ("key", "length", "status"), [("nobody", 40_000_000, "401"), (None, 60_000_000, "413")], ids=["no right", "too large"]
)
async def test_a_body_that_cannot_be_taken_is_refused_before_it_comes(
    kam: GatewayUnderTest, key: str | None, length: int, status: str
) -> None:
    async with sending(kam, b"", key=key, length=length) as (reader, _writer):
        answer = await asyncio.wait_for(reader.readline(), 30)

    assert answer.split()[1].decode() == status


@pytest.mark.parametrize("others", [b"x" * 400_000, b""])
async def test_of_a_form_only_its_file_is_kept(kam: GatewayUnderTest, alice: httpx.AsyncClient, others: bytes) -> None:
    form = {"note": others.decode()}

    taken = await alice.post("/api/kam/sources", data=form, files={"source": ("bees.md", BEES.encode(), "text/markdown")})

    assert (taken.status_code, taken.json()["title"]) == (201, "Bees")
    plain = await alice.post(UPLOAD, content=BEES.encode())
    assert taken.json()["sha256"] == plain.json()["sha256"]


async def test_a_form_of_two_files_is_refused(alice: httpx.AsyncClient) -> None:
    files = [("source", ("a.md", b"# A")), ("source", ("b.md", b"# B"))]

    refused = await alice.post("/api/kam/sources", files=files)

    assert (refused.status_code, refused.json()["detail"]) == (400, "the multipart body holds 2 files, but one is due")
