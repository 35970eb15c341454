"""Orders that start later: the time is checked, carried to the orchestrator and shown."""

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from aif_contracts import subjects
from aif_runtime.bus import Outgoing
from integration.kam.gateway_under_test import GatewayUnderTest
from support.waiting import eventually

TEMPLATE = "content_granulation_course"
ORDER = {"selected_template": TEMPLATE, "parameters": {"topic": "bees"}}
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
ON_THE_WIRE = TOMORROW.strftime("%Y-%m-%dT%H:%M:%S.000Z")


async def test_an_order_carries_its_time_to_the_orchestrator(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    in_berlin = TOMORROW.isoformat().replace("+00:00", "-00:00")
    placed = await alice.post("/api/kam/orders", json={**ORDER, "start_at": in_berlin})

    assert placed.status_code == 202
    assert kam.orchestrator.orders[placed.json()["execution_id"]].start_at == ON_THE_WIRE
    request = (await alice.get(placed.json()["links"]["request"])).json()
    assert request["start_at"] == ON_THE_WIRE


async def test_a_pipeline_executed_directly_carries_it_too(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    body = {"pipeline_name": TEMPLATE, "input_data": {"topic": "bees"}, "start_at": ON_THE_WIRE}
    placed = await alice.post("/api/v1/ai/pipelines/execute", json=body)

    assert kam.orchestrator.orders[placed.json()["execution_id"]].start_at == ON_THE_WIRE


async def test_a_request_executed_again_for_another_time_is_refused(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    request_id = (await alice.post("/api/kam/requests", json={})).json()["request_id"]
    await alice.put(f"/api/kam/requests/{request_id}", json={"selected_template": TEMPLATE})
    path, body = f"/api/kam/requests/{request_id}/execute", {"parameters": {"topic": "bees"}, "start_at": ON_THE_WIRE}

    first = await alice.post(path, json=body)
    again = await alice.post(path, json=body)
    at_once = await alice.post(path, json={"parameters": {"topic": "bees"}})

    assert (first.status_code, again.json()["execution_id"]) == (202, first.json()["execution_id"])
    assert kam.orchestrator.orders[first.json()["execution_id"]].start_at == ON_THE_WIRE
    assert (at_once.status_code, at_once.json()["type"]) == (409, "urn:aif:problem:already_executed")


async def test_a_time_that_has_passed_means_at_once(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    placed = await alice.post("/api/kam/orders", json={**ORDER, "start_at": "2020-01-01T00:00:00Z"})

    assert kam.orchestrator.orders[placed.json()["execution_id"]].start_at is None
    assert (await alice.get(placed.json()["links"]["request"])).json()["start_at"] is None


@pytest.mark.parametrize(
    ("start_at", "message"),
    [
        ("tomorrow", "'tomorrow' is no time with an offset"),
        ("2027-01-01T00:00:00", "'2027-01-01T00:00:00' is no time with an offset"),
        ("2027-13-01T00:00:00Z", "'2027-13-01T00:00:00Z' is no time with an offset"),
        ("9999-12-31T23:59:59-12:00", "'9999-12-31T23:59:59-12:00' is no time with an offset"),
        ("2199-01-01T00:00:00Z", "'2199-01-01T00:00:00Z' is more than a year ahead"),
    ],
)
async def test_a_bad_time_is_refused_by_name(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, start_at: str, message: str
) -> None:
    refused = await alice.post("/api/kam/orders", json={**ORDER, "start_at": start_at})

    assert refused.status_code == 422
    error = refused.json()["errors"][0]
    assert (error["field"], error["message"]) == ("start_at", message)
    assert error["mend"]
    assert await kam.rows("SELECT 1 FROM client_requests") == []


async def test_an_order_on_the_bus_may_start_later(kam: GatewayUnderTest) -> None:
    order = {"template": TEMPLATE, "parameters": {"topic": "bees"}, "start_at": ON_THE_WIRE}
    await kam.bus.publish([Outgoing(subject=subjects.submit("alice"), payload=json.dumps(order).encode(), headers={})])

    orders = await eventually(lambda: kam.orchestrator.orders)
    assert next(iter(orders.values())).start_at == ON_THE_WIRE
