"""Those who only read hold up nobody who changes something."""

import asyncio
from contextlib import AsyncExitStack

import httpx

from aif_contracts.orders import Refusal
from aif_runtime.postgres import READERS_CONNECTIONS, reading
from integration.kam.gateway_under_test import GatewayUnderTest

ORDER = {"selected_template": "content_granulation_course", "parameters": {"topic": "bees"}}
WISH = {"request_type": "pipeline_execution", "urgency_level": "normal", "message": "a course"}


async def test_while_readers_have_all_the_connections_that_they_may_have_requests_are_made(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    async with AsyncExitStack() as held:
        with reading():
            for _ in range(READERS_CONNECTIONS):
                await held.enter_async_context(kam.database.connection())

        listed, made, health = await asyncio.gather(
            alice.get("/api/kam/requests"), alice.post("/api/kam/requests", json=WISH), alice.get("/health")
        )

    assert (listed.status_code, made.status_code, health.status_code) == (503, 201, 200)
    assert listed.headers["Retry-After"]
    assert listed.json()["type"] == "urn:aif:problem:too_many_readers"
    assert listed.json()["detail"] == "too many read at once; try again in a moment"
    assert len((await alice.get("/api/kam/requests")).json()["requests"]) == 1


async def test_whoever_reads_while_too_many_ask_the_orchestrator_hears_so_and_when_to_come_again(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    kam.orchestrator.refusal_to_readers = Refusal(
        code="too_many_readers", message="too many read at once", retry_after_ms=1_000
    )

    listed = await alice.get("/api/v1/ai/pipelines")

    assert (listed.status_code, listed.headers["Retry-After"]) == (503, "1")
    assert listed.json()["type"] == "urn:aif:problem:too_many_readers"
    assert listed.json()["detail"] == "too many read at once"
    assert (await alice.post("/api/kam/orders", json=ORDER)).status_code == 202
