"""One key, one effect, one answer: whatever is repeated, at once or later, and whoever dies in between."""

import asyncio
import json

import httpx
import pytest

from aif_contracts.orders import Refusal
from aif_kam.request_store import RequestStore
from aif_runtime.sql_files import load_queries
from integration.kam.gateway_under_test import BEES, GatewayUnderTest
from support.waiting import eventually

ORDER = {"selected_template": "content_granulation_course", "parameters": {"topic": "bees"}}


async def test_fifty_concurrent_creations_with_one_key_are_one_request(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *(alice.post("/api/kam/requests", json={"message": "x"}, headers={"Idempotency-Key": "k1"}) for _ in range(50))
    )

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert len(await kam.rows("SELECT 1 FROM client_requests")) == 1


async def test_fifty_concurrent_orders_with_one_key_are_one_execution(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k2"}
    answers = await asyncio.gather(*(alice.post("/api/kam/orders", json=ORDER, headers=headers) for _ in range(50)))

    assert {answer.status_code for answer in answers} <= {202, 409}
    in_flight = [answer for answer in answers if answer.status_code == 409]
    assert all(answer.headers["retry-after"] == "1" for answer in in_flight)
    accepted = {answer.content for answer in answers if answer.status_code == 202}
    assert len(accepted) == 1
    later = await alice.post("/api/kam/orders", json=ORDER, headers=headers)
    assert (later.status_code, later.content) == (202, accepted.pop())
    assert len(kam.orchestrator.orders) == 1
    assert len(await kam.rows("SELECT 1 FROM client_requests")) == 1


@pytest.mark.parametrize(("path", "body"), [("/api/kam/requests", {"message": "x"}), ("/api/kam/orders", ORDER)])
async def test_an_answer_that_was_given_before_says_so(alice: httpx.AsyncClient, path: str, body: dict[str, object]) -> None:
    headers = {"Idempotency-Key": "k5"}
    first = await alice.post(path, json=body, headers=headers)
    again = await alice.post(path, json=body, headers=headers)

    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.content == first.content


@pytest.mark.parametrize(
    ("path", "first", "second"),
    [
        ("/api/kam/requests", {"message": "one"}, {"message": "two"}),
        ("/api/kam/orders", ORDER, {**ORDER, "parameters": {"topic": "wasps"}}),
    ],
)
async def test_the_same_key_with_another_body_is_refused(
    alice: httpx.AsyncClient, path: str, first: dict[str, object], second: dict[str, object]
) -> None:
    headers = {"Idempotency-Key": "k3"}
    await alice.post(path, json=first, headers=headers)

    other = await alice.post(path, json=second, headers=headers)

    assert (other.status_code, other.json()["type"]) == (422, "urn:aif:problem:idempotency_key_reused")
    assert other.json()["errors"][0]["field"] == "Idempotency-Key"


async def test_a_key_of_one_client_is_none_of_another(alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "shared"}
    of_alice = await alice.post("/api/kam/requests", json={"message": "x"}, headers=headers)
    of_bob = await bob.post("/api/kam/requests", json={"message": "x"}, headers=headers)

    assert of_bob.status_code == 201
    assert of_bob.json()["request_id"] != of_alice.json()["request_id"]


async def test_an_upload_repeated_with_its_key_is_stored_once(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k4"}
    first = await alice.post("/api/kam/sources?file_name=bees.md", content=BEES.encode(), headers=headers)
    again = await alice.post("/api/kam/sources?file_name=bees.md", content=BEES.encode(), headers=headers)

    assert (again.status_code, again.content) == (201, first.content)
    assert len(await kam.rows("SELECT 1 FROM sources")) == 1


async def test_a_lost_answer_is_unknown_and_the_retry_gets_the_same_execution(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    await alice.get("/api/kam/templates")
    kam.orchestrator.loses_answers = True
    headers = {"Idempotency-Key": "k5"}

    unknown = await alice.post("/api/kam/orders", json=ORDER, headers=headers)

    assert (unknown.status_code, unknown.headers["retry-after"]) == (503, "2")
    rows = await kam.rows("SELECT status, execution_id FROM client_requests")
    assert [row["status"] for row in rows] == ["submitting"]
    kam.orchestrator.loses_answers = False
    retried = await alice.post("/api/kam/orders", json=ORDER, headers=headers)
    assert retried.status_code == 202
    assert retried.json()["execution_id"] == rows[0]["execution_id"]
    assert list(kam.orchestrator.orders) == [rows[0]["execution_id"]]


async def test_an_order_that_the_orchestrator_cannot_store_yet_is_to_come_again_and_is_carried_out_then(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    message = "the blobs of an older execution of this id are being deleted"
    kam.orchestrator.refusal = Refusal(code="database_unavailable", message=message, retry_after_ms=1_000)
    headers = {"Idempotency-Key": "k5"}

    not_yet = await alice.post("/api/kam/orders", json=ORDER, headers=headers)
    kam.orchestrator.refusal = None
    again = await alice.post("/api/kam/orders", json=ORDER, headers=headers)

    assert (not_yet.status_code, not_yet.headers["retry-after"]) == (503, "2")
    assert not_yet.json()["type"] == "urn:aif:problem:orchestrator_unavailable"
    assert "try again in a moment" in not_yet.json()["detail"]
    assert again.status_code == 202
    assert list(kam.orchestrator.orders) == [again.json()["execution_id"]]


async def test_the_sweeper_finishes_what_nobody_asks_for_and_writes_the_answer_down(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    await alice.get("/api/kam/templates")
    kam.orchestrator.is_away = True
    headers = {"Idempotency-Key": "k6"}
    assert (await alice.post("/api/kam/orders", json=ORDER, headers=headers)).status_code == 503
    kam.orchestrator.is_away = False

    assert await kam.gateway.submissions.sweep() == 1

    asked = kam.orchestrator.asked_to_execute
    retried = await alice.post("/api/kam/orders", json=ORDER, headers=headers)
    assert retried.status_code == 202
    assert kam.orchestrator.asked_to_execute == asked
    assert await kam.gateway.submissions.sweep() == 0


async def test_one_order_that_nobody_answers_does_not_hold_up_those_behind_it(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    await alice.get("/api/kam/templates")
    kam.orchestrator.is_away = True
    for _ in range(3):
        await alice.post("/api/kam/orders", json=ORDER)
    kam.orchestrator.is_away = False
    first, *others = [
        row["execution_id"] for row in await kam.rows("SELECT execution_id FROM client_requests ORDER BY asked_at")
    ]
    kam.orchestrator.never_answers = {first}

    assert await kam.gateway.submissions.sweep() == 2

    assert set(kam.orchestrator.orders) == set(others)
    kam.orchestrator.never_answers = set()
    assert await kam.gateway.submissions.sweep() == 1


async def test_executing_again_without_a_key_while_the_outcome_is_unknown_gets_the_same_execution(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    request_id = (await alice.post("/api/kam/requests", json={})).json()["request_id"]
    await alice.put(f"/api/kam/requests/{request_id}", json={"selected_template": "content_granulation_course"})
    kam.orchestrator.loses_answers = True
    path, body = f"/api/kam/requests/{request_id}/execute", {"parameters": {"topic": "bees"}}
    assert (await alice.post(path, json=body)).status_code == 503
    kam.orchestrator.loses_answers = False

    again = await alice.post(path, json=body)

    assert again.status_code == 202
    assert list(kam.orchestrator.orders) == [again.json()["execution_id"]]
    third = await alice.post(path, json=body)
    assert (third.status_code, third.json()["execution_id"]) == (202, again.json()["execution_id"])
    other = await alice.post(path, json={"parameters": {"topic": "wasps"}})
    assert (other.status_code, other.json()["type"]) == (409, "urn:aif:problem:already_executed")


async def test_a_key_whose_caller_died_is_answered_from_the_events_that_came(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    await alice.get("/api/kam/templates")
    kam.orchestrator.loses_answers = True
    headers = {"Idempotency-Key": "k7"}
    await alice.post("/api/kam/orders", json=ORDER, headers=headers)
    execution_id = next(iter(kam.orchestrator.orders))
    await kam.orchestrator.complete(execution_id, await kam.store_structure())

    async def has_ended() -> bool:
        return bool((await kam.rows("SELECT status FROM client_requests"))[0]["status"] == "completed")

    await eventually(has_ended)
    kam.orchestrator.is_away = True

    retried = await alice.post("/api/kam/orders", json=ORDER, headers=headers)

    assert (retried.status_code, retried.json()["status"]) == (202, "completed")
    assert retried.json()["execution_id"] == execution_id


async def test_an_acceptance_that_comes_after_the_end_does_not_turn_it_back(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    kam.orchestrator.loses_answers_to_execute = True
    await alice.post("/api/kam/orders", json=ORDER)
    kam.orchestrator.loses_answers_to_execute = False
    execution_id = next(iter(kam.orchestrator.orders))
    request_id = (await kam.rows("SELECT request_id FROM client_requests"))[0]["request_id"]
    async with kam.database.connection() as connection:
        as_it_was_asked_for = await RequestStore(load_queries("aif_kam")).find(connection, request_id, "alice")
    await kam.orchestrator.complete(execution_id, await kam.store_structure())

    async def has_ended() -> bool:
        return bool((await kam.rows("SELECT status FROM client_requests"))[0]["status"] == "completed")

    await eventually(has_ended)
    assert as_it_was_asked_for is not None
    await kam.gateway.submissions.submit(as_it_was_asked_for)

    assert await has_ended()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/kam/requests", b'{"message": "x"}'),
        ("/api/kam/orders", json.dumps(ORDER).encode()),
        ("/api/kam/sources?file_name=bees.md", BEES.encode()),
    ],
)
async def test_a_key_is_good_for_a_day_and_then_free_for_anything(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, path: str, body: bytes
) -> None:
    headers = {"Idempotency-Key": "k8"}
    first = await alice.post(path, content=body, headers=headers)
    await kam.rows("UPDATE idempotency_keys SET created_at = now() - interval '23 hours 59 minutes'")
    within_a_day = await alice.post(path, content=body, headers=headers)
    await kam.rows("UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 minute'")

    later = await alice.post(path, content=body, headers=headers)
    again = await alice.post(path, content=body, headers=headers)

    assert within_a_day.content == first.content
    assert (later.status_code, "idempotent-replayed" in later.headers) == (first.status_code, False)
    assert later.content != first.content
    assert again.content == later.content


async def test_keys_that_nobody_may_use_any_more_are_deleted_by_the_sweeper(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    for key in ("old", "young"):
        await alice.post("/api/kam/requests", json={}, headers={"Idempotency-Key": key})
    await kam.rows("UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 minute' WHERE key = 'old'")

    await kam.gateway.submissions.sweep()

    assert [row["key"] for row in await kam.rows("SELECT key FROM idempotency_keys")] == ["young"]
