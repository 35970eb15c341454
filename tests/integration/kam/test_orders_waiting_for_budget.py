"""Orders that nobody sits and waits for: while others have reserved what is left of their client's budget, they wait for it."""

import json

import httpx

from aif_contracts import subjects
from aif_contracts.orders import Refusal
from aif_kam.bus_orders import REQUESTS_CONSUMER
from aif_runtime.bus import Outgoing
from integration.kam.gateway_under_test import BEES, GatewayUnderTest
from support.waiting import eventually

COURSE = "content_granulation_course"
RESERVED = Refusal(code="budget_reserved", message="others have reserved it", retry_after_ms=5000)


async def publish(kam: GatewayUnderTest, key: str | None = None) -> None:
    order = {"template": COURSE, "parameters": {"source_text": BEES}, "idempotency_key": key}
    await kam.bus.publish([Outgoing(subject=subjects.submit("alice"), payload=json.dumps(order).encode())])


async def order_batch(client: httpx.AsyncClient, count: int) -> str:
    inputs = [{"topic": str(number)} for number in range(count)]
    body = {"selected_template": COURSE, "parameters": {"source_text": BEES}, "inputs": inputs}
    return str((await client.post("/api/kam/batches", json=body)).json()["batch_id"])


async def statuses(kam: GatewayUnderTest) -> list[str]:
    return [row["status"] for row in await kam.rows("SELECT status FROM client_requests ORDER BY request_id")]


async def waits(kam: GatewayUnderTest) -> bool:
    return bool(await kam.rows("SELECT 1 FROM client_requests WHERE wait_until > now()"))


async def let_the_wait_be_over(kam: GatewayUnderTest) -> None:
    await kam.rows("UPDATE client_requests SET wait_until = now() WHERE wait_until IS NOT NULL")


async def test_an_order_from_the_bus_waits_and_is_begun_when_it_fits(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    kam.orchestrator.refusal = RESERVED
    await publish(kam)
    await eventually(lambda: kam.orchestrator.asked_to_execute == 1)

    async def says_why() -> bool:
        (request,) = (await alice.get("/api/kam/requests")).json()["requests"]
        return bool(request["status"] == "submitting" and (request["problem"] or {}).get("code") == "budget_reserved")

    await eventually(says_why)
    too_early = await kam.gateway.submissions.sweep()
    kam.orchestrator.refusal = None
    await let_the_wait_be_over(kam)
    in_time = await kam.gateway.submissions.sweep()

    (request,) = (await alice.get("/api/kam/requests")).json()["requests"]
    assert (too_early, in_time) == (0, 1)
    assert (request["status"], request["problem"]) == ("running", None)
    assert len(kam.orchestrator.orders) == 1


async def test_an_order_that_waits_is_accepted_so_its_repetition_does_nothing_not_even_after_it_was_cancelled(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    kam.orchestrator.refusal = RESERVED
    await publish(kam, "one")
    await eventually(lambda: waits(kam))
    (request,) = (await alice.get("/api/kam/requests")).json()["requests"]
    await alice.delete(f"/api/kam/requests/{request['request_id']}")

    await publish(kam, "one")
    await publish(kam, "two")

    async def all_are_settled() -> bool:
        return len(await statuses(kam)) == 2 and kam.broker.consumer(REQUESTS_CONSUMER).seconds_to_redelivery() is None

    await eventually(all_are_settled)
    assert await statuses(kam) == ["cancelled", "submitting"]


async def test_what_never_fits_is_refused_after_it_has_waited(kam: GatewayUnderTest) -> None:
    kam.orchestrator.refusal = RESERVED
    await publish(kam)
    await eventually(lambda: waits(kam))
    kam.orchestrator.refusal = Refusal(code="budget_exceeded", message="no")
    await let_the_wait_be_over(kam)
    await kam.gateway.submissions.sweep()

    assert await statuses(kam) == ["refused"]


async def test_one_waiting_request_of_a_batch_holds_back_the_others_of_its_client(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    kam.orchestrator.refusal = RESERVED
    await order_batch(alice, 40)

    claimed = [await kam.gateway.dispatch.submit_some() for _ in range(3)]
    asked_for_alice = kam.orchestrator.asked_to_execute
    await order_batch(bob, 2)
    kam.orchestrator.refusal = None
    await kam.gateway.dispatch.submit_some()

    assert claimed == [32, 0, 0]
    assert asked_for_alice == 32
    assert {order.client_id for order in kam.orchestrator.orders.values()} == {"bob"}
    assert (await statuses(kam)).count("running") == 2


async def test_a_batch_that_waits_is_begun_when_it_fits(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    kam.orchestrator.refusal = RESERVED
    await order_batch(alice, 3)
    await kam.gateway.dispatch.submit_some()
    kam.orchestrator.refusal = None
    await let_the_wait_be_over(kam)

    await kam.gateway.dispatch.submit_some()

    assert await statuses(kam) == ["running", "running", "running"]
    assert len(kam.orchestrator.orders) == 3


async def test_a_batch_that_waits_can_be_cancelled_without_having_begun(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    kam.orchestrator.refusal = RESERVED
    batch_id = await order_batch(alice, 3)
    await kam.gateway.dispatch.submit_some()

    await alice.delete(f"/api/kam/batches/{batch_id}")

    assert await statuses(kam) == ["cancelled", "cancelled", "cancelled"]
    assert kam.orchestrator.orders == {}


async def test_a_batch_that_was_cancelled_while_it_waited_holds_nobody_back(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    kam.orchestrator.refusal = RESERVED
    batch_id = await order_batch(alice, 1)
    await kam.gateway.dispatch.submit_some()
    await alice.delete(f"/api/kam/batches/{batch_id}")
    kam.orchestrator.refusal = None
    await order_batch(alice, 1)

    await kam.gateway.dispatch.submit_some()

    assert await statuses(kam) == ["cancelled", "running"]


async def test_a_request_that_waits_can_be_cancelled_without_having_begun(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    kam.orchestrator.refusal = RESERVED
    await order_batch(alice, 1)
    await kam.gateway.dispatch.submit_some()
    (request,) = (await alice.get("/api/kam/requests")).json()["requests"]

    cancelled = await alice.delete(f"/api/kam/requests/{request['request_id']}")

    assert cancelled.json()["status"] == "cancelled"
    assert await statuses(kam) == ["cancelled"]


async def test_a_batch_cancelled_while_somebody_asks_for_it_does_not_wait_for_its_budget(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    kam.orchestrator.refusal = RESERVED
    batch_id = await order_batch(alice, 2)
    await kam.rows("UPDATE client_requests SET asked_at = now() - interval '11 seconds'")
    await alice.delete(f"/api/kam/batches/{batch_id}")

    await kam.gateway.dispatch.submit_some()

    batch = (await alice.get(f"/api/kam/batches/{batch_id}")).json()
    assert (batch["status"], batch["counts"]) == ("ended", {"cancelled": 2})
    assert [row["execution_id"] for row in await kam.rows("SELECT execution_id FROM client_requests")] == [None, None]


async def test_an_order_that_waits_keeps_the_tier_of_its_client_who_is_disabled_meanwhile(kam: GatewayUnderTest) -> None:
    await kam.rows("UPDATE clients SET tier = 'free' WHERE client_id = 'alice' RETURNING 1")
    kam.orchestrator.refusal = RESERVED
    await publish(kam)
    await eventually(lambda: kam.orchestrator.asked_to_execute == 1)
    await eventually(lambda: waits(kam))
    await kam.rows("UPDATE clients SET disabled_at = now() WHERE client_id = 'alice' RETURNING 1")

    kam.orchestrator.refusal = None
    await let_the_wait_be_over(kam)
    await kam.gateway.submissions.sweep()

    (order,) = kam.orchestrator.orders.values()
    assert order.tier == "free"
