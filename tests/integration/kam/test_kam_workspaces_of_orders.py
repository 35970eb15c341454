"""An order names a workspace that its client has, or none; whichever way it comes."""

import json
from typing import Any

import httpx
import pytest

from aif_contracts import subjects
from aif_runtime.bus import Outgoing
from integration.kam.gateway_under_test import GatewayUnderTest
from support.waiting import eventually

TEMPLATE = {"selected_template": "content_granulation_course"}
TOPIC = {"topic": "bees"}
WAYS: dict[str, dict[str, Any]] = {
    "/api/kam/requests": {},
    "/api/kam/orders": {**TEMPLATE, "parameters": TOPIC},
    "/api/v1/ai/pipelines/execute": {"pipeline_name": "content_granulation_course", "input_data": TOPIC},
    "/api/kam/batches": {**TEMPLATE, "inputs": [TOPIC]},
    "/api/kam/schedules": {**TEMPLATE, "parameters": TOPIC, "name": "Bees", "cron": "0 0 1 1 *"},
}


@pytest.fixture(autouse=True)
async def spring(alice: httpx.AsyncClient) -> None:
    made = await alice.post("/api/kam/workspaces", json={"workspace_id": "spring", "name": "Spring"})
    assert made.status_code == 201


@pytest.mark.parametrize("path", WAYS)
async def test_a_workspace_that_the_client_has_is_taken_and_another_is_refused_by_its_field(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, bob: httpx.AsyncClient, path: str
) -> None:
    own = await alice.post(path, json={**WAYS[path], "workspace_id": "spring"})
    misspelt = await alice.post(path, json={**WAYS[path], "workspace_id": "sprnig"})
    of_nobody = await alice.post(path, json={**WAYS[path], "workspace_id": "zoo"})
    of_another = await bob.post(path, json={**WAYS[path], "workspace_id": "spring"})

    assert own.status_code in (201, 202), own.text
    refused = (misspelt, of_nobody, of_another)
    assert [each.json()["type"] for each in refused] == ["urn:aif:problem:unknown_workspace"] * 3
    make_it = "leave it out, or make it first at /api/kam/workspaces"
    assert [(each.status_code, each.json()["errors"]) for each in refused] == [
        (422, [{"field": "workspace_id", "message": f"there is no workspace {name!r}", "mend": mend}])
        for name, mend in (("sprnig", "did you mean spring?"), ("zoo", make_it), ("spring", make_it))
    ]
    assert len(await kam.rows("SELECT 1 FROM client_requests WHERE client_id = 'bob'")) == 0


async def test_a_published_order_in_an_unknown_workspace_is_a_refused_request(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    order = {"template": "content_granulation_course", "parameters": TOPIC, "workspace_id": "zoo"}
    await kam.bus.publish([Outgoing(subject=subjects.submit("alice"), payload=json.dumps(order).encode())])

    async def requests() -> list[dict[str, Any]]:
        return list((await alice.get("/api/kam/requests")).json()["requests"])

    [request] = await eventually(requests)
    assert (request["status"], request["problem"]["code"]) == ("refused", "unknown_workspace")
    assert kam.orchestrator.orders == {}


@pytest.mark.parametrize("path", WAYS)
async def test_a_key_gets_its_first_answer_though_the_workspace_is_gone(alice: httpx.AsyncClient, path: str) -> None:
    body = {**WAYS[path], "workspace_id": "spring"}
    keyed = {"Idempotency-Key": "bees-1"}
    first = await alice.post(path, json=body, headers=keyed)
    await alice.delete("/api/kam/workspaces/spring")

    again = await alice.post(path, json=body, headers=keyed)

    assert again.is_success, again.text
    assert again.json() == first.json()


async def test_a_schedule_whose_workspace_is_gone_tells_so_when_it_is_due(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    made = await alice.post("/api/kam/schedules", json={**WAYS["/api/kam/schedules"], "workspace_id": "spring"})
    await alice.delete("/api/kam/workspaces/spring")
    await kam.rows("UPDATE schedules SET next_at = now(), look_at = now() RETURNING 1")

    for firing in await kam.gateway.firings.take():
        await kam.gateway.firings.fire(firing)

    view = (await alice.get(made.json()["links"]["self"])).json()
    assert (view["last_outcome"], view["last_problem"]["code"]) == ("refused", "unknown_workspace")
    assert kam.orchestrator.orders == {}
