"""A large result goes out as it is read."""

from pathlib import Path

import httpx
import msgspec

from aif_kam.results import Results
from aif_runtime.obstore_blobs import PIECE_BYTES, ObstoreBlobStore
from integration.kam.gateway_under_test import BEES, GatewayUnderTest
from support.waiting import eventually

STRUCTURE = {"title": "Bees", "text": '"<structure>" ' * 100_000}


async def ended_order(kam: GatewayUnderTest, alice: httpx.AsyncClient, blobs: ObstoreBlobStore | None = None) -> str:
    """The id of a request whose result is the structure."""
    order = {"selected_template": "content_granulation_course", "parameters": {"source_text": BEES}}
    ordered = (await alice.post("/api/kam/orders", json=order)).json()
    blob = await (blobs or kam.blobs).put("deliverables/course", msgspec.json.encode(STRUCTURE), inline_limit_bytes=0)
    await kam.orchestrator.complete(ordered["execution_id"], blob)

    async def has_ended() -> bool:
        read = await alice.get(f"/api/kam/requests/{ordered['request_id']}")
        return bool(read.json()["status"] == "completed")

    await eventually(has_ended)
    return str(ordered["request_id"])


async def test_a_large_result_is_never_whole_in_memory(kam: GatewayUnderTest, alice: httpx.AsyncClient, tmp_path: Path) -> None:
    blobs = ObstoreBlobStore.from_url(tmp_path.as_uri())
    request = await kam.gateway.parts.tracker.find(await ended_order(kam, alice, blobs), "alice")

    result = await Results(blobs=blobs, orchestrator=kam.gateway.parts.orchestrator).of(request)
    pieces = [piece async for piece in result.pieces]

    assert max(map(len, pieces)) < 2 * PIECE_BYTES
    assert sum(map(len, pieces)) == result.size_bytes
    assert msgspec.json.decode(b"".join(pieces))["structure"] == STRUCTURE


async def test_a_result_says_how_long_it_is_and_is_complete(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    address = f"/api/kam/requests/{await ended_order(kam, alice)}/result"

    got, head = await alice.get(address), await alice.head(address)

    assert got.json()["structure"] == STRUCTURE
    assert list(got.json()) == [
        *("request_id", "execution_id", "status", "structure", "metrics", "generators", "deliverables"),
    ]
    assert got.headers["content-type"].startswith("application/json")
    assert head.headers["content-length"] == got.headers["content-length"] == str(len(got.content))
