"""A deliverable goes on where its download ended."""

from collections.abc import Mapping

import httpx
import pytest
import pytest_asyncio

from aif_contracts.blobs import StorageType
from integration.kam.gateway_under_test import GatewayUnderTest

CONTENT = bytes(range(256)) * 4096
SIZE = 1048576


@pytest_asyncio.fixture
async def address(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> str:
    order = {"selected_template": "content_granulation_course", "parameters": {"source_text": "# Bees\n\nThey hum.\n"}}
    ordered = (await alice.post("/api/kam/orders", json=order)).json()
    blob = await kam.blobs.put("deliverables/film", CONTENT, media_type="application/json")
    deliverable = await kam.orchestrator.complete(ordered["execution_id"], blob, stored_only=True)
    await alice.get(ordered["links"]["request"])
    return f"/api/kam/deliverables/{deliverable.deliverable_id}"


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=1000-1999", 1000, 2000),
        ("bytes=1000000-", 1000000, SIZE),
        ("bytes=-100", SIZE - 100, SIZE),
        ("bytes=-99999999", 0, SIZE),
        ("bytes=1048575-99999999", SIZE - 1, SIZE),
        ("Bytes=5-6", 5, 7),
    ],
)
async def test_a_part_is_answered_as_a_part(alice: httpx.AsyncClient, address: str, asked: str, start: int, stop: int) -> None:
    answer = await alice.get(address, headers={"Range": asked})

    assert answer.status_code == 206
    assert answer.content == CONTENT[start:stop]
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert answer.headers["content-length"] == str(stop - start)
    assert answer.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize("asked", ["bytes=7-3", "bytes=0-1,5-6", "lines=1-2", "bytes=-", "bytes=a-b", "bytes", ""])
async def test_what_is_no_single_range_is_ignored(alice: httpx.AsyncClient, address: str, asked: str) -> None:
    answer = await alice.get(address, headers={"Range": asked})

    assert (answer.status_code, len(answer.content)) == (200, SIZE)
    assert "content-range" not in answer.headers


@pytest.mark.parametrize("asked", ["bytes=1048576-", "bytes=2000000-3000000", "bytes=-0"])
async def test_a_part_beyond_the_end_is_refused_with_the_size(alice: httpx.AsyncClient, address: str, asked: str) -> None:
    answer = await alice.get(address, headers={"Range": asked})

    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */1048576")
    assert (answer.json()["type"], answer.json()["errors"][0]["field"]) == ("urn:aif:problem:range_beyond_the_end", "Range")


async def test_another_file_than_the_one_that_was_begun_comes_whole(alice: httpx.AsyncClient, address: str) -> None:
    etag = (await alice.head(address)).headers["etag"]

    same = await alice.get(address, headers={"Range": "bytes=10-", "If-Range": etag})
    other = await alice.get(address, headers={"Range": "bytes=10-", "If-Range": '"other"'})
    by_date = await alice.get(address, headers={"Range": "bytes=10-", "If-Range": "Sun, 22 Nov 2026 10:00:00 GMT"})

    assert [each.status_code for each in (same, other, by_date)] == [206, 200, 200]


@pytest.mark.parametrize("known", ["{etag}", "W/{etag}", '"other", {etag}', "*"])
async def test_a_good_copy_is_not_sent_again(alice: httpx.AsyncClient, address: str, known: str) -> None:
    etag = (await alice.get(address)).headers["etag"]

    answer = await alice.get(address, headers={"If-None-Match": known.format(etag=etag)})

    assert (answer.status_code, answer.content) == (304, b"")


async def test_head_tells_the_size_and_that_parts_can_be_had(alice: httpx.AsyncClient, address: str) -> None:
    answer = await alice.head(address)

    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, str(SIZE), b"")
    assert answer.headers["accept-ranges"] == "bytes"


async def test_changed_bytes_are_told_before_any_of_them(kam: GatewayUnderTest, alice: httpx.AsyncClient, address: str) -> None:
    kept: Mapping[tuple[StorageType, str], bytes] = dict(kam.blobs.stored)
    changed = {place: b"!" + content[1:] for place, content in kept.items() if content == CONTENT}
    kam.blobs.stored.update(changed)

    answer = await alice.get(address)

    assert (answer.status_code, answer.json()["type"]) == (500, "urn:aif:problem:blob_corrupt")
    assert "order it again" in answer.json()["detail"]
