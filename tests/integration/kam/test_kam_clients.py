"""Clients as the operator makes, names, disables and enables them."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
import pytest_asyncio

from aif_contracts import subjects
from aif_contracts.audit import AuditEntry
from aif_kam.accounts.client_book import MOST_CLIENTS
from aif_runtime.bus import ConsumerSpec
from aif_runtime.failures import BusUnavailable
from integration.kam.gateway_under_test import BEES, GatewayUnderTest
from support.waiting import eventually

CLIENTS = "/api/admin/clients"
ORDER = {"selected_template": "content_granulation_course", "parameters": {"source_text": BEES}}


@pytest_asyncio.fixture
async def admin(kam: GatewayUnderTest) -> AsyncIterator[httpx.AsyncClient]:
    async with kam.client("admin") as client:
        yield client


async def audited(kam: GatewayUnderTest) -> list[AuditEntry]:
    spec = ConsumerSpec(stream=subjects.STREAM_AUDIT, durable=subjects.CONSUMER_AUDIT, filter_subject=subjects.ALL_AUDIT)
    deliveries = await kam.bus.open_consumer(spec)
    return [msgspec.json.decode(delivery.payload, type=AuditEntry) for delivery in await deliveries.fetch(100, 1.0)]


async def test_a_client_that_the_operator_makes_calls_and_orders_with_the_key_that_it_is_given(
    kam: GatewayUnderTest, admin: httpx.AsyncClient
) -> None:
    made = await admin.post(CLIENTS, json={"client_id": "acme", "display_name": "Acme Ltd", "tier": "free"})
    key = (await admin.post("/api/kam/keys", json={"client_id": "acme", "name": "shop"})).json()["key"]
    async with httpx.AsyncClient(base_url=kam.url, headers={"X-API-Key": key}, timeout=60) as acme:
        profile = (await acme.get("/api/kam/profile")).json()
        ordered = await acme.post("/api/kam/orders", json=ORDER)

    view = made.json()
    assert (made.status_code, view.pop("created_at")[-1]) == (201, "Z")
    assert view == {
        "client_id": "acme",
        "display_name": "Acme Ltd",
        "tier": "free",
        "status": "active",
        "disabled_at": None,
        "links": {
            "self": f"{CLIENTS}/acme",
            "account": f"{CLIENTS}/acme/account",
            "budget": f"{CLIENTS}/acme/budget",
            "keys": "/api/kam/keys?client_id=acme",
            "requests": "/api/kam/requests?client_id=acme",
        },
    }
    assert (profile["display_name"], profile["tier"], profile["timezone"]) == ("Acme Ltd", "free", "UTC")
    assert ordered.status_code == 202
    assert kam.orchestrator.orders[ordered.json()["execution_id"]].tier == "free"
    for place in view["links"].values():
        # Nobody here keeps budgets.
        assert (await admin.get(place)).status_code == (503 if place.endswith("budget") else 200), place


async def test_a_client_has_a_tier_and_no_name_unless_somebody_says_so(admin: httpx.AsyncClient) -> None:
    made = (await admin.post(CLIENTS, json={"client_id": "acme"})).json()

    assert (made["tier"], made["display_name"]) == ("standard", "")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "client_id"),
        ({"client_id": "a.b"}, "client_id"),
        ({"client_id": "*"}, "client_id"),
        ({"client_id": "a" * 65}, "client_id"),
        ({"client_id": "acme", "tier": "Gold"}, "tier"),
        ({"client_id": "acme", "display_name": "x" * 201}, "display_name"),
        ({"client_id": "acme", "coins": 5}, "coins"),
    ],
)
async def test_a_client_that_cannot_be_is_refused_by_the_field(
    admin: httpx.AsyncClient, body: dict[str, object], field: str
) -> None:
    refused = await admin.post(CLIENTS, json=body)

    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)
    assert [each["client_id"] for each in (await admin.get(CLIENTS)).json()["clients"]] == ["alice", "bob"]


async def test_a_client_is_made_once_under_a_key_and_a_second_one_of_its_name_is_refused(admin: httpx.AsyncClient) -> None:
    once = {"Idempotency-Key": "make-acme"}
    made = await admin.post(CLIENTS, json={"client_id": "acme"}, headers=once)
    again = await admin.post(CLIENTS, json={"client_id": "acme"}, headers=once)
    other = await admin.post(CLIENTS, json={"client_id": "emca"}, headers=once)
    taken = await admin.post(CLIENTS, json={"client_id": "acme"})

    assert (again.status_code, again.json(), again.headers["Idempotent-Replayed"]) == (201, made.json(), "true")
    assert (other.status_code, other.json()["type"]) == (422, "urn:aif:problem:idempotency_key_reused")
    assert (taken.status_code, taken.json()["type"]) == (409, "urn:aif:problem:client_exists")
    assert taken.json()["errors"][0]["field"] == "client_id"


async def test_many_who_make_the_same_client_make_one(kam: GatewayUnderTest, admin: httpx.AsyncClient) -> None:
    made = await asyncio.gather(*(admin.post(CLIENTS, json={"client_id": "acme"}) for _ in range(8)))

    assert sorted(answer.status_code for answer in made) == [201] + [409] * 7
    await kam.gateway.audit.tell()
    assert [entry.action for entry in await audited(kam)] == ["CLIENT_CREATED"]


async def test_clients_are_listed_page_by_page_with_those_that_are_disabled_marked(admin: httpx.AsyncClient) -> None:
    for client_id in ("acme", "Zeta", "0-day"):
        await admin.post(CLIENTS, json={"client_id": client_id})
    await admin.post(f"{CLIENTS}/bob/disable")
    seen, cursor = [], ""
    while cursor is not None:
        page = (await admin.get(f"{CLIENTS}?limit=2{cursor and f'&cursor={cursor}'}")).json()
        seen += [(each["client_id"], each["status"]) for each in page["clients"]]
        cursor = page["next_cursor"]

    assert sorted(seen) == sorted({*seen})
    assert dict(seen) == {"acme": "active", "Zeta": "active", "0-day": "active", "alice": "active", "bob": "disabled"}
    disabled = (await admin.get(f"{CLIENTS}?disabled=true")).json()["clients"]
    assert [each["client_id"] for each in disabled] == ["bob"]
    assert len((await admin.get(f"{CLIENTS}?disabled=false")).json()["clients"]) == 4
    assert (await admin.get(f"{CLIENTS}?cursor=a.b")).json()["errors"][0]["field"] == "cursor"


async def test_another_name_changes_nothing_else_in_the_profile(alice: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
    await alice.put("/api/kam/profile", json={"display_name": "A", "contact_email": "a@b.eu", "timezone": "Europe/Vienna"})

    named = await admin.put(f"{CLIENTS}/alice", json={"display_name": "Alice & Co"})

    profile = (await alice.get("/api/kam/profile")).json()
    assert (named.status_code, named.json()["display_name"]) == (200, "Alice & Co")
    assert (profile["display_name"], profile["contact_email"], profile["timezone"]) == ("Alice & Co", "a@b.eu", "Europe/Vienna")
    assert (await admin.get(f"{CLIENTS}/alice")).json() == named.json()


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("PUT", ""), ("POST", "/disable"), ("POST", "/enable"), ("GET", "/account")]
)
@pytest.mark.parametrize("client_id", ["nobody", "%00", "a.b", "a" * 5000])
async def test_a_client_that_there_is_not_is_not_found(
    admin: httpx.AsyncClient, method: str, path: str, client_id: str
) -> None:
    answer = await admin.request(
        method, f"{CLIENTS}/{client_id}{path}", json={"display_name": "x"} if method == "PUT" else None
    )

    assert (answer.status_code, answer.json()["type"]) == (404, "urn:aif:problem:unknown_client")


async def test_a_disabled_client_is_shut_out_until_it_is_enabled_and_what_was_revoked_stays_so(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, bob: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    second = (await admin.post("/api/kam/keys", json={"client_id": "alice", "name": "old"})).json()
    await admin.delete(f"/api/kam/keys/{second['key_id']}")
    ordered = (await alice.post("/api/kam/orders", json=ORDER)).json()

    disabled = await admin.post(f"{CLIENTS}/alice/disable")
    while_disabled = [await alice.get("/api/kam/requests"), await alice.post("/api/kam/orders", json=ORDER)]
    for_it = await admin.post("/api/kam/orders", json={**ORDER, "client_id": "alice"})
    again = await admin.post(f"{CLIENTS}/alice/disable")
    enabled = await admin.post(f"{CLIENTS}/alice/enable")

    assert (disabled.status_code, disabled.json()["status"]) == (200, "disabled")
    assert [answer.status_code for answer in while_disabled] == [401, 401]
    assert (for_it.status_code, for_it.json()["type"]) == (422, "urn:aif:problem:client_disabled")
    assert again.json() == disabled.json()
    assert (enabled.json()["status"], enabled.json()["disabled_at"]) == ("active", None)
    assert [each["request_id"] for each in (await alice.get("/api/kam/requests")).json()["requests"]] == [ordered["request_id"]]
    assert (await bob.get("/api/kam/requests")).status_code == 200
    async with httpx.AsyncClient(base_url=kam.url, headers={"X-API-Key": second["key"]}) as revoked:
        assert (await revoked.get("/api/kam/requests")).status_code == 401


async def test_a_request_that_a_disabled_client_has_begun_is_not_executed_by_the_operator_either(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    request = f"/api/kam/requests/{(await alice.post('/api/kam/requests', json={})).json()['request_id']}"
    await alice.put(request, json={"selected_template": ORDER["selected_template"]})
    await admin.post(f"{CLIENTS}/alice/disable")

    refused = await admin.post(f"{request}/execute", json={"parameters": ORDER["parameters"]})
    await admin.post(f"{CLIENTS}/alice/enable")
    accepted = await admin.post(f"{request}/execute", json={"parameters": ORDER["parameters"]})

    assert (refused.status_code, refused.json()["type"]) == (422, "urn:aif:problem:client_disabled")
    assert (accepted.status_code, len(kam.orchestrator.orders)) == (202, 1)


async def test_what_becomes_of_a_client_is_told_to_the_audit_log_once_also_after_the_broker_was_away(
    kam: GatewayUnderTest, admin: httpx.AsyncClient
) -> None:
    kam.broker.go_down()
    await admin.post(CLIENTS, json={"client_id": "acme", "display_name": "Acme", "tier": "free"})
    for verb in ("enable", "disable", "disable", "enable"):
        await admin.post(f"{CLIENTS}/acme/{verb}")
    with pytest.raises(BusUnavailable):
        await kam.gateway.audit.tell()
    kam.broker.come_back()
    for _ in range(2):
        await kam.gateway.audit.tell()

    entries = await audited(kam)
    assert [(entry.action, entry.client_id, entry.details) for entry in entries] == [
        ("CLIENT_CREATED", "acme", {"display_name": "Acme", "tier": "free"}),
        ("CLIENT_DISABLED", "acme", {}),
        ("CLIENT_ENABLED", "acme", {}),
    ]
    assert {entry.actor for entry in entries} == {f"api_key:{kam.keys['admin'].split('_')[2]}"}


async def test_what_was_told_to_the_audit_log_is_deleted_a_month_later(kam: GatewayUnderTest, admin: httpx.AsyncClient) -> None:
    for client_id in ("old", "late", "untold"):
        await admin.post(CLIENTS, json={"client_id": client_id})
    aged = "UPDATE audit_entries SET told_at = now() - make_interval(days => $2) WHERE entry ->> 'client_id' = $1"
    await kam.rows(f"{aged} RETURNING 1", "old", 31)
    await kam.rows(f"{aged} RETURNING 1", "late", 29)

    await kam.gateway.audit.tidy()

    kept = await kam.rows("SELECT entry ->> 'client_id' AS client_id FROM audit_entries ORDER BY recorded_at")
    assert [row["client_id"] for row in kept] == ["late", "untold"]


async def test_there_are_no_more_clients_than_may_be(kam: GatewayUnderTest, admin: httpx.AsyncClient) -> None:
    missing = MOST_CLIENTS - 2 - 1
    await kam.rows("INSERT INTO clients (client_id) SELECT 'c' || n FROM generate_series(1, $1) n RETURNING 1", missing)

    async with kam.database.transaction() as holder:
        await holder.execute("SELECT pg_advisory_xact_lock(hashtextextended('making clients', 0))")
        making = [asyncio.create_task(admin.post(CLIENTS, json={"client_id": client_id})) for client_id in ("last", "one-more")]

        async def both_wait() -> bool:
            return len(await kam.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")) == 2

        await eventually(both_wait)
    made, refused = sorted(await asyncio.gather(*making), key=lambda answer: answer.status_code)

    assert made.status_code == 201
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:aif:problem:too_many_clients")
