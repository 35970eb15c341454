"""Two gateways and two orchestrators: what was said at one gateway holds at the other, from the answer on."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest_asyncio

from aif_console.factory.factory import Factory
from aif_pipelines.document_text import read_document
from support.http_client import SAMPLES, FactoryClient, client_of
from support.replicas import InTurn, replicas_beside

ROUNDS = 6
PIPELINE = read_document((SAMPLES / "reviewed_course.yaml").read_bytes()).value


@pytest_asyncio.fixture
async def gateways(factory: Factory) -> AsyncIterator[tuple[FactoryClient, FactoryClient]]:
    async with replicas_beside(factory, {"kam": 1, "orchestrator": 1}) as replicas:
        one, other = replicas.kam_urls
        async with client_of(factory, InTurn([one])) as first, client_of(factory, InTurn([other])) as second:
            yield first, second


async def test_a_pipeline_saved_at_one_gateway_is_ordered_at_the_other_at_once_in_its_new_version(
    gateways: tuple[FactoryClient, FactoryClient],
) -> None:
    here, there = gateways
    source_id = await here.upload(SAMPLES / "beekeeping.md")
    ordered: list[dict[str, Any]] = []
    for number in range(ROUNDS):
        saved = await here.http.post("/api/kam/pipelines", json=_version(number))
        assert saved.status_code == httpx.codes.CREATED, saved.text

        ordered.append(await there.order("own_course", {"source": source_id, f"since_{number}": "yes"}))

    for number, each in enumerate(ordered):
        execution = await here.http.get(f"/api/v1/ai/pipelines/{each['execution_id']}")
        assert execution.json()["template_version"] == f"1.0.{number}", execution.text


async def test_an_order_of_one_gateway_is_watched_and_decided_at_the_other(
    gateways: tuple[FactoryClient, FactoryClient],
) -> None:
    here, there = gateways
    source_id = await here.upload(SAMPLES / "beekeeping.md")
    saved = await here.http.post("/api/kam/pipelines", json=PIPELINE)
    assert saved.status_code == httpx.codes.CREATED, saved.text

    placed = await there.order("reviewed_course", {"source": source_id})
    approve = f"/api/v1/ai/pipelines/{placed['execution_id']}/approve"
    async for _, event in here.stream(placed["request_id"]):
        if event["data"]["event_type"] == "APPROVAL_REQUESTED":
            approved = await here.http.post(approve, json={})
            again = await there.http.post(approve, json={})

    assert approved.status_code == httpx.codes.OK, approved.text
    assert (again.status_code, again.json()["type"]) == (httpx.codes.CONFLICT, "urn:aif:problem:nothing_to_approve")
    assert await here.events(placed["request_id"]) == await there.events(placed["request_id"])
    for gateway in gateways:
        assert (await gateway.ended(placed["request_id"]))["status"] == "completed"


def _version(number: int) -> dict[str, Any]:
    """With a parameter that no version before it has."""
    course, _ = PIPELINE["stages"]
    parameters = PIPELINE["parameters"]
    return {
        **PIPELINE,
        "name": "own_course",
        "version": f"1.0.{number}",
        "parameters": {**parameters, "properties": {**parameters["properties"], f"since_{number}": {"type": "string"}}},
        "stages": [{**course, "rules": []}],
        "output": [{"name": "course", "stage": "course"}],
    }
