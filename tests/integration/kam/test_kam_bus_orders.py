"""Orders published on the bus end as requests, or among the dead letters with a reason."""

import json
import secrets
from typing import Any

import httpx
import msgspec
import pytest

from aif_contracts import subjects
from aif_contracts.dead_letters import DeadLetter
from aif_contracts.orders import Refusal
from aif_runtime.bus import Outgoing
from aif_runtime.dead_letters import replay_id
from integration.kam.gateway_under_test import BEES, GatewayUnderTest
from support.waiting import eventually

ORDER = {"template": "content_granulation_course", "parameters": {"source_text": BEES}, "urgency_level": "critical"}


async def publish(kam: GatewayUnderTest, client_id: str, order: Any, message_id: str | None = None) -> None:
    payload = order if isinstance(order, bytes) else json.dumps(order).encode()
    headers = {} if message_id is None else {"Nats-Msg-Id": message_id}
    await kam.bus.publish([Outgoing(subject=subjects.submit(client_id), payload=payload, headers=headers)])


async def requests_of(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    return list((await client.get("/api/kam/requests")).json()["requests"])


async def test_a_published_order_becomes_a_running_request(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    await publish(kam, "alice", ORDER)

    request = (await eventually(lambda: requests_of(alice)))[0]
    await eventually(lambda: kam.orchestrator.orders)
    order = next(iter(kam.orchestrator.orders.values()))
    assert (request["origin"], request["client_id"], request["urgency_level"]) == ("bus", "alice", "critical")
    assert (order.client_id, order.priority, order.parameters["structureType"]) == ("alice", "critical", "course")


@pytest.mark.parametrize("by", ["idempotency_key", "message id", "stream sequence"])
async def test_an_order_that_comes_twice_is_one_execution(kam: GatewayUnderTest, alice: httpx.AsyncClient, by: str) -> None:
    kam.orchestrator.loses_answers = by == "stream sequence"
    order = {**ORDER, "idempotency_key": "one"} if by == "idempotency_key" else ORDER
    if by == "stream sequence":
        await alice.get("/api/kam/templates")
    await publish(kam, "alice", order, "m-1" if by == "message id" else None)
    if by != "stream sequence":
        await publish(kam, "alice", order, "m-1" if by == "message id" else None)
    kam.orchestrator.loses_answers = False

    async def is_running() -> bool:
        return bool([row["status"] for row in await kam.rows("SELECT status FROM client_requests")] == ["running"])

    await eventually(is_running)
    assert len(kam.orchestrator.orders) == 1


@pytest.mark.parametrize("message_id", ["a\0b", "\u20ac" * 50, secrets.token_hex(20_000)], ids=["NUL", "no ASCII", "too long"])
async def test_a_message_id_that_is_no_key_makes_the_same_order_all_the_same(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, message_id: str
) -> None:
    await publish(kam, "alice", ORDER, message_id)
    await eventually(lambda: kam.orchestrator.orders)
    await publish(kam, "alice", b"{not json", message_id + "2")

    async def statuses() -> bool:
        return sorted(request["status"] for request in await requests_of(alice)) == ["refused", "running"]

    await eventually(statuses)


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (b"{not json", "invalid_input"),
        (b'{"template": "content_granulation_course", "message": "\\u0000"}', "invalid_input"),
        ({"template": "nope"}, "unknown_template"),
        ({"template": "content_granulation_course", "parameters": {"granularityLevel": "four"}}, "invalid_input"),
        ({"template": "content_granulation_course", "parameters": {"source": "src_foreign"}}, "invalid_input"),
    ],
)
async def test_a_bad_order_is_stored_as_refused_and_buried(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, order: Any, code: str
) -> None:
    async with kam.bus.listen(subjects.dead("requests")) as dead:
        await publish(kam, "alice", order)
        message = await dead.next(10)

    assert message is not None
    letter = msgspec.json.decode(message.payload, type=DeadLetter)
    assert letter.reason.startswith(code)
    assert (letter.subject, letter.found_by) == ("aif.request.submit.alice", "kam")
    request = (await requests_of(alice))[0]
    assert (request["status"], request["problem"]["code"]) == ("refused", code)
    assert request["problem"]["errors"][0]["mend"]
    assert kam.orchestrator.orders == {}


@pytest.mark.parametrize("by", ["idempotency_key", "message id"])
async def test_an_order_under_the_key_of_another_one_is_stored_as_refused_and_buried(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, by: str
) -> None:
    own_key = {"idempotency_key": "one"} if by == "idempotency_key" else {}
    async with kam.bus.listen(subjects.dead("requests")) as dead:
        await publish(kam, "alice", {**ORDER, **own_key}, "m-1")
        await eventually(lambda: kam.orchestrator.asked_to_execute == 1)
        # The broker forgets a message id after two minutes.
        await kam.rows("UPDATE idempotency_keys SET key = 'bus m-2' WHERE key = 'bus m-1'")
        await publish(kam, "alice", {**ORDER, **own_key, "message": "wasps"}, "m-2")
        message = await dead.next(10)

    assert message is not None
    assert msgspec.json.decode(message.payload, type=DeadLetter).reason.startswith("idempotency_key_reused")
    request = (await requests_of(alice))[0]
    assert (request["status"], request["problem"]["code"]) == ("refused", "idempotency_key_reused")


async def test_an_order_that_the_orchestrator_refuses_is_buried_too(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    kam.orchestrator.refusal = Refusal(code="order_refused", message="a topic alone needs a language model")
    async with kam.bus.listen(subjects.dead("requests")) as dead:
        await publish(kam, "alice", ORDER)
        message = await dead.next(10)

    assert message is not None
    assert msgspec.json.decode(message.payload, type=DeadLetter).reason.startswith("order_refused: a topic alone")
    assert (await requests_of(alice))[0]["status"] == "refused"


@pytest.mark.parametrize("key", ["one", None])
async def test_a_refused_order_that_is_replayed_gets_a_new_answer_once(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, key: str | None
) -> None:
    order = {**ORDER, "idempotency_key": key}
    kam.orchestrator.refusal = Refusal(code="order_refused", message="a topic alone needs a language model")
    async with kam.bus.listen(subjects.dead("requests")) as dead:
        await publish(kam, "alice", order, "m-1")
        assert await dead.next(10) is not None
    kam.orchestrator.refusal = None

    for _ in range(2):
        await publish(kam, "alice", order, replay_id("dead_1"))
    await publish(kam, "alice", ORDER, "m-2")

    async def are_answered() -> bool:
        return [request["status"] for request in await requests_of(alice)].count("running") == 2

    await eventually(are_answered)

    assert [request["status"] for request in await requests_of(alice)] == ["running", "running", "refused"]
    assert len(kam.orchestrator.orders) == 2


@pytest.mark.parametrize(("client_id", "reason"), [("stranger", "unknown_client"), ("bob", "client_disabled")])
async def test_an_order_of_nobody_and_of_a_disabled_client_is_buried_and_stored_nowhere(
    kam: GatewayUnderTest, client_id: str, reason: str
) -> None:
    await kam.rows("UPDATE clients SET disabled_at = now() WHERE client_id = 'bob' RETURNING 1")
    async with kam.bus.listen(subjects.dead("requests")) as dead:
        await publish(kam, client_id, ORDER)
        message = await dead.next(10)

    assert message is not None
    assert msgspec.json.decode(message.payload, type=DeadLetter).reason.startswith(f"{reason}: ")
    assert await kam.rows("SELECT 1 FROM client_requests") == []


@pytest.mark.parametrize("answer", [None, "database_unavailable"])
async def test_an_order_waits_while_the_orchestrator_is_away_or_cannot_store_it(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, answer: str | None
) -> None:
    kam.orchestrator.is_away = answer is None
    kam.orchestrator.refusal = None if answer is None else Refusal(code=answer, message="not now", retry_after_ms=1_000)
    async with kam.bus.listen(subjects.ALL_DEAD) as dead:
        await publish(kam, "alice", ORDER)
        assert await dead.next(0.3) is None
        kam.orchestrator.is_away = False
        kam.orchestrator.refusal = None

        await eventually(lambda: kam.orchestrator.orders)
        assert await dead.next(0.1) is None
