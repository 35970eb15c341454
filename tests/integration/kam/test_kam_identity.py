"""Whose things are whose: every id of one client is nothing to another."""

from typing import Any

import httpx
import pytest

from aif_kam.api_keys import mint_api_key
from integration.kam.gateway_under_test import BEES, GatewayUnderTest

COURSE = "content_granulation_course"
ORDERS: dict[str, dict[str, Any]] = {
    "/api/kam/requests": {},
    "/api/kam/orders": {"selected_template": COURSE, "parameters": {"source_text": BEES}},
    "/api/kam/batches": {"selected_template": COURSE, "inputs": [{"source_text": BEES}]},
    "/api/kam/schedules": {
        "selected_template": COURSE,
        "name": "bees",
        "cron": "0 6 * * *",
        "parameters": {"source_text": BEES},
    },
    "/api/v1/ai/pipelines/execute": {"pipeline_name": COURSE, "input_data": {"source_text": BEES}},
}
"""Every way to order, by its path."""


async def disable(kam: GatewayUnderTest, client_id: str) -> None:
    await kam.rows("UPDATE clients SET disabled_at = now() WHERE client_id = $1 RETURNING 1", client_id)


CANARY = "canary-7f3a"


async def things_of_alice(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> dict[str, str]:
    source = (await alice.post("/api/kam/sources?file_name=bees.md", content=BEES.encode())).json()["source_id"]
    ordered = await alice.post(
        "/api/kam/orders",
        json={
            "selected_template": "content_granulation_course",
            "message": CANARY,
            "parameters": {"source": source},
        },
    )
    started = ordered.json()
    deliverable = await kam.orchestrator.complete(started["execution_id"], await kam.store_structure())
    await alice.get(f"/api/kam/requests/{started['request_id']}")
    return {
        "request": started["request_id"],
        "execution": started["execution_id"],
        "deliverable": deliverable.deliverable_id,
        "source": source,
    }


async def test_every_id_of_one_client_is_unknown_to_another(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    ids = await things_of_alice(kam, alice)
    calls: list[tuple[str, str, dict[str, Any] | None]] = [
        ("GET", f"/api/kam/requests/{ids['request']}", None),
        ("PUT", f"/api/kam/requests/{ids['request']}", {"selected_template": "content_granulation_course"}),
        ("POST", f"/api/kam/requests/{ids['request']}/execute", {"parameters": {}}),
        ("GET", f"/api/kam/requests/{ids['request']}/result", None),
        ("GET", f"/api/kam/requests/{ids['request']}/events", None),
        ("DELETE", f"/api/kam/requests/{ids['request']}", None),
        ("GET", f"/api/v1/ai/pipelines/{ids['execution']}", None),
        ("GET", f"/api/v1/ai/pipelines/{ids['execution']}/result", None),
        ("GET", f"/api/v1/ai/pipelines/{ids['execution']}/events", None),
        ("DELETE", f"/api/v1/ai/pipelines/{ids['execution']}", None),
        ("GET", f"/api/kam/deliverables/{ids['deliverable']}", None),
    ]

    for method, path, body in calls:
        own = await alice.get(path) if method == "GET" and "events" not in path else None
        assert own is None or own.status_code == 200, path
        foreign = await bob.request(method, path, json=body)
        assert foreign.status_code == 404, f"{method} {path}"
        assert CANARY not in foreign.text
    with_source = await bob.post(
        "/api/kam/orders", json={"selected_template": "content_granulation_course", "parameters": {"source": ids["source"]}}
    )
    assert (with_source.status_code, with_source.json()["errors"][0]["field"]) == (422, "parameters.source")
    for path in ("/api/kam/requests", "/api/v1/ai/pipelines"):
        assert CANARY not in (await bob.get(path)).text
        assert ids["execution"] not in (await bob.get(path)).text
    assert (await bob.get("/api/kam/requests")).json()["requests"] == []


async def test_a_blob_reference_in_the_parameters_is_refused(alice: httpx.AsyncClient) -> None:
    reference = {"storage_type": "KV", "storage_key": "sources/bob/x", "size_bytes": 1, "sha256": "0" * 64}

    refused = await alice.post(
        "/api/kam/orders", json={"selected_template": "content_granulation_course", "parameters": {"source": reference}}
    )

    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "parameters.source")


async def test_a_body_that_names_another_client_is_forbidden(alice: httpx.AsyncClient) -> None:
    for path, body in (
        ("/api/kam/requests", {"client_id": "bob"}),
        ("/api/kam/orders", {"client_id": "bob", "selected_template": "content_granulation_course"}),
        ("/api/v1/ai/pipelines/execute", {"client_id": "bob", "pipeline_name": "content_granulation_course"}),
    ):
        refused = await alice.post(path, json=body)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (403, "client_id")
    assert (await alice.post("/api/kam/sources?client_id=bob&file_name=a.md", content=b"# a")).status_code == 403


async def test_an_admin_key_acts_for_a_named_client_and_sees_all(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    async with kam.client("admin") as admin:
        unnamed = await admin.post("/api/kam/requests", json={})
        named = await admin.post("/api/kam/requests", json={"client_id": "alice"})
        listed = await admin.get("/api/kam/requests")

    assert (unnamed.status_code, unnamed.json()["errors"][0]["field"]) == (422, "client_id")
    assert named.json()["client_id"] == "alice"
    assert [item["request_id"] for item in listed.json()["requests"]] == [named.json()["request_id"]]
    assert (await alice.get(f"/api/kam/requests/{named.json()['request_id']}")).status_code == 200


async def test_an_admin_key_cannot_act_for_a_client_that_there_is_not(kam: GatewayUnderTest) -> None:
    bodies: dict[str, dict[str, Any]] = {
        **ORDERS,
        "/api/v1/ai/pipelines/simulate": {"pipeline_name": "content_granulation_course"},
        "/api/kam/templates/content_granulation_course/simulate": {},
    }

    async with kam.client("admin") as admin:
        answers = [await admin.post(path, json={**body, "client_id": "nobody"}) for path, body in bodies.items()]
        answers.append(await admin.post("/api/kam/requests", json={"client_id": "nobody"}, headers={"Idempotency-Key": "k-1"}))
        answers.append(await admin.post("/api/kam/sources?file_name=bees.md&client_id=nobody", content=BEES.encode()))
        answers.append(await admin.get("/api/v1/ai/pipelines/budget/status?client_id=nobody"))

    for answer in answers:
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:aif:problem:unknown_client"), answer.url
        assert answer.json()["errors"][0]["field"] == "client_id"


@pytest.mark.parametrize(
    "path",
    [
        "/api/kam/usage",
        "/api/v1/ai/pipelines/budget/spend",
        "/api/admin/usage",
        "/api/admin/calls",
        "/api/kam/templates",
        "/api/kam/templates/content_granulation_course",
        "/api/kam/pipelines",
        "/api/kam/pipelines/content_granulation_course",
        "/api/v1/ai/pipelines",
        "/api/kam/requests",
        "/api/kam/batches",
        "/api/kam/schedules",
    ],
)
async def test_an_admin_key_cannot_look_for_a_client_that_there_is_not(kam: GatewayUnderTest, path: str) -> None:
    async with kam.client("admin") as admin:
        refused = await admin.get(f"{path}?client_id=nobody")

    assert (refused.status_code, refused.json()["type"]) == (422, "urn:aif:problem:unknown_client")
    assert refused.json()["errors"][0]["field"] == "client_id"


async def test_an_admin_key_lists_what_a_named_client_has(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    batch = {"selected_template": "content_granulation_course", "inputs": [{"source_text": BEES}]}
    schedule = {"selected_template": "content_granulation_course", "name": "bees", "cron": "0 6 * * *"}
    for client in (alice, bob):
        await client.post("/api/kam/batches", json=batch)
        await client.post("/api/kam/schedules", json={**schedule, "parameters": {"source_text": BEES}})

    async with kam.client("admin") as admin:
        for things in ("requests", "batches", "schedules"):
            of_all = (await admin.get(f"/api/kam/{things}")).json()[things]
            of_bob = (await admin.get(f"/api/kam/{things}?client_id=bob")).json()[things]
            foreign = await alice.get(f"/api/kam/{things}?client_id=bob")

            assert [each["client_id"] for each in of_all] == ["bob", "alice"]
            assert [each["client_id"] for each in of_bob] == ["bob"]
            assert foreign.status_code == 403


@pytest.mark.parametrize(
    "key",
    [
        None,
        "",
        "garbage",
        "af_live_" + "0" * 16 + "_" + "0" * 64 + "_00000000",
        "' OR 1=1 --",
        pytest.param(mint_api_key(), id="a key that nobody was given"),
        "af_live_\u00e9",
    ],
)
async def test_without_a_good_key_nothing_is_told(kam: GatewayUnderTest, key: str | None) -> None:
    headers = {} if key is None else {b"X-API-Key": key.encode("latin-1")}
    async with httpx.AsyncClient(base_url=kam.url) as stranger:
        for method, path in (
            ("GET", "/api/kam/requests"),
            ("POST", "/api/kam/orders"),
            ("GET", "/api/kam/templates"),
            ("GET", "/api/v1/ai/pipelines/"),
            ("POST", "/api/kam/sources"),
            ("GET", "/worker-insights"),
        ):
            refused = await stranger.request(method, path, headers=headers)
            assert refused.status_code == 401, path
            assert refused.headers["content-type"] == "application/problem+json"
            assert "X-API-Key" in refused.json()["detail"]


async def test_a_revoked_key_and_a_disabled_client_are_unknown(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    await disable(kam, "alice")
    assert (await alice.get("/api/kam/requests")).status_code == 401
    async with kam.database.connection() as connection:
        await connection.execute("UPDATE clients SET disabled_at = NULL; UPDATE api_keys SET revoked_at = now()")
    assert (await alice.get("/api/kam/requests")).status_code == 401


async def test_keys_are_stored_as_digests_only(kam: GatewayUnderTest) -> None:
    stored = await kam.rows("SELECT key_id, encode(digest, 'hex') AS digest FROM api_keys")

    for key in kam.keys.values():
        assert not any(key.split("_")[3] in str(tuple(row)) for row in stored)


async def test_nothing_is_ordered_for_a_disabled_client_and_the_operator_still_sees_what_it_has_ordered(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    ordered = (await alice.post("/api/kam/orders", json=ORDERS["/api/kam/orders"])).json()["request_id"]
    await disable(kam, "alice")

    async with kam.client("admin") as admin:
        refused = [await admin.post(path, json={**body, "client_id": "alice"}) for path, body in ORDERS.items()]
        listed = (await admin.get("/api/kam/requests?client_id=alice")).json()["requests"]
        account = await admin.get("/api/admin/clients/alice/account")

    for answer in refused:
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:aif:problem:client_disabled"), answer.url
        assert answer.json()["errors"][0]["field"] == "client_id"
    assert [request["request_id"] for request in listed] == [ordered]
    assert account.status_code == 200
