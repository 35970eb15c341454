"""What an execution may spend: checked, carried to the orchestrator whichever way the order came, and shown."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from aif_contracts import subjects
from aif_contracts.orders import FieldMistake, Refusal
from aif_runtime.bus import Outgoing
from integration.kam.gateway_under_test import GatewayUnderTest
from support.waiting import eventually

TEMPLATE = "content_granulation_course"
ORDER: dict[str, Any] = {"selected_template": TEMPLATE, "parameters": {"topic": "bees"}}
BATCH: dict[str, Any] = {"selected_template": TEMPLATE, "inputs": [{"topic": "bees"}, {"topic": "wasps"}]}
SCHEDULE: dict[str, Any] = {**ORDER, "name": "Bees", "cron": "0 0 1 1 *"}
PIPELINE: dict[str, Any] = {"pipeline_name": TEMPLATE, "input_data": {"topic": "bees"}}
ORDERING = [
    ("/api/kam/orders", ORDER),
    ("/api/v1/ai/pipelines/execute", PIPELINE),
    ("/api/kam/batches", BATCH),
    ("/api/kam/schedules", SCHEDULE),
]
NO_AMOUNTS = ["a lot", "", "-1", "1e3", "0,5", ".5", "NaN", "0.0000000000001", "1234567890123", 0.5, 1, True]


def limits_asked_for(kam: GatewayUnderTest) -> list[str | None]:
    return [order.max_cost_usd for order in kam.orchestrator.orders.values()]


async def chosen_request(client: httpx.AsyncClient) -> str:
    request_id = str((await client.post("/api/kam/requests", json={})).json()["request_id"])
    await client.put(f"/api/kam/requests/{request_id}", json={"selected_template": TEMPLATE})
    return request_id


@pytest.mark.parametrize(("path", "body"), ORDERING[:2])
async def test_an_order_carries_its_limit_to_the_orchestrator_and_shows_it(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    placed = await alice.post(path, json={**body, "max_cost_usd": "0.50"})

    assert placed.status_code == 202, placed.text
    assert limits_asked_for(kam) == ["0.5"]
    links = placed.json()["links"]
    assert (await alice.get(links["request"])).json()["max_cost_usd"] == "0.5"
    assert (await alice.get(links["execution"])).json()["max_cost_usd"] == "0.5"


async def test_an_order_without_a_limit_leaves_it_to_the_operator(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    placed = await alice.post("/api/kam/orders", json=ORDER)

    assert limits_asked_for(kam) == [None]
    assert (await alice.get(placed.json()["links"]["request"])).json()["max_cost_usd"] is None


async def test_the_smallest_and_the_largest_amount_stay_exact(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    for amount in ("0.000000000001", "999999999999.999999999999"):
        placed = await alice.post("/api/kam/orders", json={**ORDER, "max_cost_usd": amount})
        assert (await alice.get(placed.json()["links"]["request"])).json()["max_cost_usd"] == amount

    assert limits_asked_for(kam) == ["0.000000000001", "999999999999.999999999999"]


async def test_a_request_executed_again_with_another_limit_is_refused(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    path = f"/api/kam/requests/{await chosen_request(alice)}/execute"
    body = {"parameters": {"topic": "bees"}, "max_cost_usd": "0.5"}

    first = await alice.post(path, json=body)
    again = await alice.post(path, json={**body, "max_cost_usd": "0.50"})
    others = [
        await alice.post(path, json={**body, "max_cost_usd": "0.51"}),
        await alice.post(path, json={"parameters": {"topic": "bees"}}),
        await alice.post(path, json={"parameters": {"topic": "bees"}, "start_at": "0.5"}),
    ]

    assert (first.status_code, again.json()["execution_id"]) == (202, first.json()["execution_id"])
    assert [(other.status_code, other.json()["type"]) for other in others] == [(409, "urn:aif:problem:already_executed")] * 3
    assert limits_asked_for(kam) == ["0.5"]


async def test_a_limit_above_the_operators_is_refused_by_name_and_can_be_mended(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    mistake = FieldMistake(field="max_cost_usd", message="at most 25 USD, not 26", mend="leave it out")
    kam.orchestrator.refusal = Refusal(code="limit_not_allowed", message="at most 25 USD, not 26", mistakes=(mistake,))
    path = f"/api/kam/requests/{await chosen_request(alice)}/execute"

    refused = await alice.post(path, json={"parameters": {"topic": "bees"}, "max_cost_usd": "26"})
    kam.orchestrator.refusal = None
    mended = await alice.post(path, json={"parameters": {"topic": "bees"}, "max_cost_usd": "25"})

    assert (refused.status_code, refused.json()["type"]) == (422, "urn:aif:problem:limit_not_allowed")
    assert refused.json()["errors"] == [{"field": "max_cost_usd", "message": "at most 25 USD, not 26", "mend": "leave it out"}]
    assert mended.status_code == 202
    assert limits_asked_for(kam) == ["25"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/kam/schedules", {"name": "bees", "cron": "0 6 * * *", "parameters": {"topic": "bees"}}),
        ("/api/kam/batches", {"inputs": [{"topic": "bees"}]}),
    ],
)
async def test_a_limit_of_orders_to_come_is_refused_when_it_is_given(
    alice: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    wish = {**body, "selected_template": "content_granulation_course"}

    refused = await alice.post(path, json={**wish, "max_cost_usd": "25.01"})
    taken = await alice.post(path, json={**wish, "max_cost_usd": "25"})

    assert (refused.status_code, refused.json()["type"]) == (422, "urn:aif:problem:limit_not_allowed")
    assert [each["field"] for each in refused.json()["errors"]] == ["max_cost_usd"]
    assert taken.status_code in (201, 202)


async def test_a_lost_answer_is_asked_for_again_with_the_same_limit(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    await alice.get("/api/kam/templates")
    kam.orchestrator.is_away = True
    assert (await alice.post("/api/kam/orders", json={**ORDER, "max_cost_usd": "0.5"})).status_code == 503
    kam.orchestrator.is_away = False

    await kam.gateway.submissions.sweep()

    assert limits_asked_for(kam) == ["0.5"]


@pytest.mark.parametrize(("path", "body"), ORDERING)
async def test_what_is_no_amount_is_refused_by_name(alice: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
    for amount in NO_AMOUNTS:
        refused = await alice.post(path, json={**body, "max_cost_usd": amount})

        assert refused.status_code == 422, amount
        assert [(error["field"], error["mend"]) for error in refused.json()["errors"]] == [
            ("max_cost_usd", 'send a text such as "0.50"')
        ]


@pytest.mark.parametrize(("path", "body"), ORDERING)
async def test_an_order_that_may_spend_nothing_is_refused_before_anything_is_stored(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    refused = await alice.post(path, json={**body, "max_cost_usd": "0.00"})

    assert (refused.status_code, refused.json()["type"]) == (422, "urn:aif:problem:limit_not_allowed")
    assert [error["field"] for error in refused.json()["errors"]] == ["max_cost_usd"]
    for table in ("client_requests", "batches", "schedules"):
        assert await kam.rows(f"SELECT 1 FROM {table}") == []  # noqa: S608 names of ours


async def test_an_order_on_the_bus_has_a_limit_too(kam: GatewayUnderTest) -> None:
    order = {"template": TEMPLATE, "parameters": {"topic": "bees"}, "max_cost_usd": "0.75"}
    await kam.bus.publish([Outgoing(subject=subjects.submit("alice"), payload=json.dumps(order).encode(), headers={})])

    await eventually(lambda: kam.orchestrator.orders)
    assert limits_asked_for(kam) == ["0.75"]


@pytest.mark.parametrize("amount", ["a lot", "0"])
async def test_an_order_on_the_bus_with_a_bad_limit_is_kept_with_the_reason(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, amount: str
) -> None:
    order = {"template": TEMPLATE, "parameters": {"topic": "bees"}, "max_cost_usd": amount}
    await kam.bus.publish([Outgoing(subject=subjects.submit("alice"), payload=json.dumps(order).encode(), headers={})])

    async def refused() -> list[dict[str, Any]]:
        return list((await alice.get("/api/kam/requests", params={"status": "refused"})).json()["requests"])

    problem = (await eventually(refused))[0]["problem"]
    assert "max_cost_usd" in problem["errors"][0]["field"] + problem["errors"][0]["message"]
    assert kam.orchestrator.orders == {}


async def test_the_limit_of_a_batch_is_that_of_each_of_its_executions(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    placed = await alice.post("/api/kam/batches", json={**BATCH, "max_cost_usd": "0.20"})
    while await kam.gateway.dispatch.submit_some():
        pass

    assert limits_asked_for(kam) == ["0.2", "0.2"]
    assert placed.json()["max_cost_usd"] == "0.2"
    items = (await alice.get(placed.json()["links"]["items"])).json()["items"]
    assert [item["request"]["max_cost_usd"] for item in items] == ["0.2", "0.2"]


async def test_an_item_of_a_batch_is_the_same_order_only_with_its_limit(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    placed = await alice.post("/api/kam/batches", json={**BATCH, "max_cost_usd": "0.2"})
    items = (await alice.get(placed.json()["links"]["items"])).json()["items"]
    path = f"/api/kam/requests/{items[0]['request']['request_id']}/execute"

    same = await alice.post(path, json={"parameters": {"topic": "bees"}, "max_cost_usd": "0.2"})
    other = await alice.post(path, json={"parameters": {"topic": "bees"}})

    assert (same.status_code, same.json()["execution_id"]) == (202, items[0]["request"]["execution"]["execution_id"])
    assert (other.status_code, other.json()["type"]) == (409, "urn:aif:problem:already_executed")


async def test_every_order_of_a_schedule_has_its_limit_until_it_is_changed(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    made = (await alice.post("/api/kam/schedules", json={**SCHEDULE, "overlap": "allow", "max_cost_usd": "0.30"})).json()
    path = made["links"]["self"]
    await fire(kam, datetime(2026, 1, 1, tzinfo=UTC))
    changed = (await alice.put(path, json={**SCHEDULE, "overlap": "allow", "max_cost_usd": "0.4"})).json()
    await fire(kam, datetime(2026, 2, 1, tzinfo=UTC))
    without = (await alice.put(path, json={**SCHEDULE, "overlap": "allow"})).json()
    await fire(kam, datetime(2026, 3, 1, tzinfo=UTC))

    assert [made["max_cost_usd"], changed["max_cost_usd"], without["max_cost_usd"]] == ["0.3", "0.4", None]
    assert limits_asked_for(kam) == ["0.3", "0.4", None]


async def fire(kam: GatewayUnderTest, at: datetime) -> None:
    """Let the schedule be due at that time."""
    await kam.rows("UPDATE schedules SET firing_at = $1, next_at = '2099-01-01', look_at = $1 RETURNING 1", at)
    for firing in await kam.gateway.firings.take():
        await kam.gateway.firings.fire(firing)


async def test_the_description_of_the_api_tells_what_the_limit_is(alice: httpx.AsyncClient) -> None:
    described = (await alice.get("/schema")).json()["components"]["schemas"]

    for name in ("ExecuteRequest", "PlaceOrder", "ExecutePipeline", "BatchWish", "ScheduleWish"):
        limit = described[name]["properties"]["max_cost_usd"]
        assert "What an execution may spend at AI providers" in limit["description"]
        assert limit["examples"] == ["0.50"]
    for name in ("RequestView", "BatchView", "ScheduleView", "ExecutionView"):
        assert "max_cost_usd" in described[name]["properties"]
