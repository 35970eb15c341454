"""Keys as they are made, listed, rotated and revoked, by the operator and by clients."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from aif_contracts import subjects
from aif_contracts.audit import AuditEntry
from aif_kam.accounts.key_book import MOST_KEYS
from aif_kam.api_keys import key_id_of, mint_api_key
from aif_runtime.bus import ConsumerSpec
from aif_runtime.clock import rfc3339
from integration.kam.gateway_under_test import BEES, GatewayUnderTest, open_gateway
from support.waiting import eventually

KEYS = "/api/kam/keys"
HOUR = 3600


@pytest_asyncio.fixture
async def admin(kam: GatewayUnderTest) -> AsyncIterator[httpx.AsyncClient]:
    async with kam.client("admin") as client:
        yield client


@pytest_asyncio.fixture
async def manager(kam: GatewayUnderTest, admin: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """Alice's, with a key that may change keys."""
    made = await admin.post(KEYS, json={"client_id": "alice", "name": "manager", "scope": "manage"})
    async with calling(kam, made.json()["key"]) as client:
        yield client


@asynccontextmanager
async def calling(kam: GatewayUnderTest, key: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=kam.url, headers={"X-API-Key": key}, timeout=60) as client:
        yield client


async def status_of(kam: GatewayUnderTest, key: str) -> int:
    """What whoever calls with it hears."""
    async with calling(kam, key) as client:
        return (await client.get("/api/kam/requests")).status_code


async def at_once(kam: GatewayUnderTest, whose: str, *calls: Awaitable[httpx.Response]) -> list[httpx.Response]:
    """The answers to calls that all wait, in this order, to change the keys of one owner before any of them does."""
    under_way: list[asyncio.Future[httpx.Response]] = []

    async def all_wait() -> bool:
        waiting = await kam.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return len(waiting) == len(under_way)

    async with kam.database.transaction() as holder:
        await holder.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"keys of {whose}")
        for call in calls:
            under_way.append(asyncio.ensure_future(call))
            await eventually(all_wait)
    return await asyncio.gather(*under_way)


async def made_for_alice(admin: httpx.AsyncClient, **wish: Any) -> dict[str, Any]:
    made = await admin.post(KEYS, json={"client_id": "alice", "name": "shop", **wish})
    assert made.status_code == 201, made.text
    answer: dict[str, Any] = made.json()
    return answer


def in_hours(hours: int) -> str:
    return rfc3339(datetime.now(UTC) + timedelta(hours=hours))


async def audited(kam: GatewayUnderTest) -> list[AuditEntry]:
    await kam.gateway.audit.tell()
    spec = ConsumerSpec(stream=subjects.STREAM_AUDIT, durable=subjects.CONSUMER_AUDIT, filter_subject=subjects.ALL_AUDIT)
    deliveries = await kam.bus.open_consumer(spec)
    return [msgspec.json.decode(delivery.payload, type=AuditEntry) for delivery in await deliveries.fetch(100, 1.0)]


async def test_a_key_is_shown_in_the_answer_that_makes_it_and_nowhere_else(
    kam: GatewayUnderTest, admin: httpx.AsyncClient, alice: httpx.AsyncClient
) -> None:
    made = await made_for_alice(admin, expires_at="2099-01-01T01:00:00+01:00")
    key, key_id = made["key"], made["key_id"]
    seen = [
        await admin.get(KEYS),
        await admin.get(f"{KEYS}/{key_id}"),
        await alice.get(KEYS),
        await admin.delete(f"{KEYS}/{key_id}"),
    ]

    assert key_id_of(key) == key_id
    assert made["created_by"] == f"api_key:{kam.keys['admin'].split('_')[2]}"
    known = {name: made[name] for name in ("prefix", "client_id", "name", "scope", "status", "expires_at", "last_used_at")}
    assert known == {
        "prefix": f"af_live_{key_id}",
        "client_id": "alice",
        "name": "shop",
        "scope": "order",
        "status": "active",
        "expires_at": "2099-01-01T00:00:00.000Z",
        "last_used_at": None,
    }
    secret = key.split("_")[3]
    await kam.gateway.audit.tell()
    stored = [
        str(value)
        for table in await kam.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'kam'")
        for row in await kam.rows(f"SELECT * FROM {table['tablename']}")  # noqa: S608 a name out of the catalogue
        for value in row.values()
    ]
    assert not any(secret in text for text in [*stored, *(answer.text for answer in seen)])
    assert not any(secret in str(entry) for entry in await audited(kam))


async def test_keys_are_listed_newest_first_page_by_page_and_each_client_sees_its_own(
    admin: httpx.AsyncClient, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    made = [(await made_for_alice(admin, name=f"key {number}"))["key_id"] for number in range(5)]
    await admin.delete(f"{KEYS}/{made[3]}")
    seen, cursor = [], ""
    while cursor is not None:
        page = (await alice.get(f"{KEYS}?limit=2{cursor and f'&cursor={cursor}'}")).json()
        seen += [(each["key_id"], each["name"], each["status"]) for each in page["keys"]]
        cursor = page["next_cursor"]

    assert [key_id for key_id, _, _ in seen[:5]] == made[::-1]
    assert [(name, status) for _, name, status in seen] == [
        ("key 4", "active"),
        ("key 3", "revoked"),
        ("key 2", "active"),
        ("key 1", "active"),
        ("key 0", "active"),
        ("bootstrap", "active"),
    ]
    assert [each["client_id"] for each in (await bob.get(KEYS)).json()["keys"]] == ["bob"]
    everybodys = (await admin.get(f"{KEYS}?limit=100")).json()["keys"]
    assert {each["client_id"] for each in everybodys} == {"alice", "bob", None}
    assert [each["client_id"] for each in (await admin.get(f"{KEYS}?client_id=bob")).json()["keys"]] == ["bob"]
    assert [each["client_id"] for each in (await admin.get(f"{KEYS}?scope=admin")).json()["keys"]] == [None]
    assert [each["key_id"] for each in (await alice.get(f"{KEYS}?active=false")).json()["keys"]] == [made[3]]
    assert len((await alice.get(f"{KEYS}?active=true")).json()["keys"]) == 5
    assert (await alice.get(f"{KEYS}?cursor=x")).json()["errors"][0]["field"] == "cursor"
    assert (await alice.get(f"{KEYS}?client_id=bob")).status_code == 403


async def test_a_key_of_another_client_can_be_told_from_one_that_there_is_not_by_nothing(
    kam: GatewayUnderTest, manager: httpx.AsyncClient
) -> None:
    foreign = kam.keys["bob"].split("_")[2]
    operators = kam.keys["admin"].split("_")[2]
    nobodys = mint_api_key().split("_")[2]

    for method, path, body in (("GET", "", None), ("DELETE", "", None), ("POST", "/rotate", {"grace_seconds": 0})):
        told = [await manager.request(method, f"{KEYS}/{key_id}{path}", json=body) for key_id in (foreign, operators, nobodys)]
        assert [(answer.status_code, answer.json()["type"]) for answer in told] == [(404, "urn:aif:problem:unknown_key")] * 3
        assert len({answer.text.replace(answer.url.path.split("/")[4], "") for answer in told}) == 1
    page = await manager.get(f"{KEYS}?cursor={foreign}")
    assert page.json() == (await manager.get(f"{KEYS}?cursor={nobodys}")).json()
    assert [await status_of(kam, kam.keys[who]) for who in ("bob", "admin")] == [200, 200]


async def test_a_client_makes_keys_for_itself_that_may_do_no_more_than_the_one_that_makes_them(
    kam: GatewayUnderTest, manager: httpx.AsyncClient
) -> None:
    made = [await manager.post(KEYS, json={"name": scope, "scope": scope}) for scope in ("read", "order", "manage", "admin")]
    for_bob = await manager.post(KEYS, json={"name": "x", "client_id": "bob"})
    for_nobody = await manager.post(KEYS, json={"name": "x", "client_id": "nobody"})

    assert [answer.status_code for answer in made] == [201, 201, 201, 403]
    assert {answer.json()["client_id"] for answer in made[:3]} == {"alice"}
    assert [for_bob.status_code, for_nobody.status_code] == [403, 403]
    assert for_bob.json() == for_nobody.json()
    async with calling(kam, made[1].json()["key"]) as orders:
        refused = await orders.post(KEYS, json={"name": "x", "scope": "read"})
        seen = await orders.get(KEYS)
    assert refused.status_code == 403
    assert len(seen.json()["keys"]) == 5


async def test_a_clients_key_that_ends_makes_none_that_lasts_longer(kam: GatewayUnderTest, admin: httpx.AsyncClient) -> None:
    ends = in_hours(2)
    made = await made_for_alice(admin, scope="manage", expires_at=ends)
    lasting = await made_for_alice(admin, name="lasting")
    async with calling(kam, made["key"]) as manager:
        shorter = await manager.post(KEYS, json={"name": "x", "expires_at": in_hours(1)})
        left_out = await manager.post(KEYS, json={"name": "x"})
        longer = await manager.post(KEYS, json={"name": "x", "expires_at": in_hours(3)})
        rotated = await manager.post(f"{KEYS}/{lasting['key_id']}/rotate", json={"grace_seconds": 0})

    assert (shorter.status_code, left_out.json()["expires_at"], rotated.json()["expires_at"]) == (201, made["expires_at"], ends)
    assert (longer.status_code, longer.json()["errors"][0]["field"]) == (422, "expires_at")
    assert made["expires_at"] in longer.json()["errors"][0]["mend"]


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "x", "scope": "all"}, "scope"),
        ({"name": "x", "client_id": "nobody"}, "client_id"),
        ({"name": "x"}, "client_id"),
        ({"name": "x", "scope": "admin", "client_id": "alice"}, "client_id"),
        ({"name": "x", "client_id": "alice", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x", "client_id": "alice", "expires_at": "2099-01-01"}, "expires_at"),
        ({"name": "x", "client_id": "alice", "key": "af_live_x"}, "key"),
    ],
)
async def test_a_key_that_cannot_be_is_refused_by_the_field(admin: httpx.AsyncClient, wish: dict[str, Any], field: str) -> None:
    refused = await admin.post(KEYS, json=wish)

    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)
    assert len((await admin.get(KEYS)).json()["keys"]) == 3


async def test_a_key_is_good_until_it_expires(kam: GatewayUnderTest, admin: httpx.AsyncClient) -> None:
    made = await made_for_alice(admin, expires_at=in_hours(1))
    before = await status_of(kam, made["key"])
    await kam.rows("UPDATE api_keys SET expires_at = now() WHERE key_id = $1", made["key_id"])

    assert (before, await status_of(kam, made["key"])) == (200, 401)
    assert (await admin.get(f"{KEYS}/{made['key_id']}")).json()["status"] == "expired"


async def test_a_rotated_key_goes_on_for_its_grace_and_the_new_one_is_good_at_once(
    kam: GatewayUnderTest, admin: httpx.AsyncClient
) -> None:
    old = await made_for_alice(admin, scope="read", expires_at=in_hours(48))

    rotated = await admin.post(f"{KEYS}/{old['key_id']}/rotate", json={"grace_seconds": HOUR})

    new = rotated.json()
    assert (rotated.status_code, new["name"], new["scope"], new["expires_at"]) == (201, "shop", "read", old["expires_at"])
    replaced = new["replaces"]
    assert (replaced["key_id"], replaced["status"], replaced["replaced_by"]) == (old["key_id"], "replaced", new["key_id"])
    assert abs(datetime.fromisoformat(replaced["expires_at"]) - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)
    assert [await status_of(kam, each["key"]) for each in (old, new)] == [200, 200]
    again = await admin.post(f"{KEYS}/{old['key_id']}/rotate", json={"grace_seconds": HOUR})
    assert (again.status_code, again.json()["type"]) == (409, "urn:aif:problem:key_not_active")
    assert new["key_id"] in again.json()["detail"]
    await kam.rows("UPDATE api_keys SET expires_at = now() WHERE key_id = $1", old["key_id"])
    assert [await status_of(kam, each["key"]) for each in (old, new)] == [401, 200]


async def test_a_key_that_is_rotated_without_grace_ends_at_once_and_for_good(
    kam: GatewayUnderTest, admin: httpx.AsyncClient
) -> None:
    old = await made_for_alice(admin, expires_at=in_hours(1))

    new = (await admin.post(f"{KEYS}/{old['key_id']}/rotate", json={"grace_seconds": 0, "expires_at": in_hours(5)})).json()

    assert (new["replaces"]["status"], new["expires_at"] > old["expires_at"]) == ("revoked", True)
    assert [await status_of(kam, each["key"]) for each in (old, new)] == [401, 200]


async def test_the_grace_never_makes_a_key_last_longer(admin: httpx.AsyncClient) -> None:
    old = await made_for_alice(admin, expires_at=in_hours(1))

    new = (await admin.post(f"{KEYS}/{old['key_id']}/rotate", json={"grace_seconds": 48 * HOUR})).json()

    assert new["replaces"]["expires_at"] == old["expires_at"]


@pytest.mark.parametrize("wish", [{}, {"grace_seconds": -1}, {"grace_seconds": 7 * 24 * HOUR + 1}, {"grace_seconds": 0.5}])
async def test_a_rotation_says_how_long_the_old_key_goes_on_a_week_at_most(
    admin: httpx.AsyncClient, wish: dict[str, Any]
) -> None:
    old = await made_for_alice(admin)

    refused = await admin.post(f"{KEYS}/{old['key_id']}/rotate", json=wish)
    longest = await admin.post(f"{KEYS}/{old['key_id']}/rotate", json={"grace_seconds": 7 * 24 * HOUR})

    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "grace_seconds")
    assert longest.status_code == 201


@pytest.mark.parametrize("ending", ["revoked", "expired"])
async def test_a_key_that_has_ended_is_not_rotated(kam: GatewayUnderTest, admin: httpx.AsyncClient, ending: str) -> None:
    key_id = (await made_for_alice(admin))["key_id"]
    if ending == "revoked":
        await admin.delete(f"{KEYS}/{key_id}")
    else:
        await kam.rows("UPDATE api_keys SET expires_at = now() WHERE key_id = $1", key_id)

    refused = await admin.post(f"{KEYS}/{key_id}/rotate", json={"grace_seconds": HOUR})

    assert (refused.status_code, refused.json()["type"]) == (409, "urn:aif:problem:key_not_active")
    assert ending in refused.json()["detail"]


async def test_of_many_rotations_of_one_key_one_counts(kam: GatewayUnderTest, admin: httpx.AsyncClient) -> None:
    key_id = (await made_for_alice(admin))["key_id"]

    calls = [admin.post(f"{KEYS}/{key_id}/rotate", json={"grace_seconds": 0}) for _ in range(4)]
    told = await at_once(kam, "alice", *calls)

    assert sorted(answer.status_code for answer in told) == [201] + [409] * 3
    good = (await admin.get(f"{KEYS}?client_id=alice&active=true")).json()["keys"]
    assert len(good) == 2


async def test_a_revoked_key_ends_at_once_in_every_gateway_and_to_revoke_it_again_changes_nothing(
    kam: GatewayUnderTest, admin: httpx.AsyncClient, fresh_kam_database: str
) -> None:
    made = await made_for_alice(admin)
    async with open_gateway(fresh_kam_database) as another, calling(another, made["key"]) as shop:
        before = await shop.get("/api/kam/requests")
        revoked = await admin.delete(f"{KEYS}/{made['key_id']}")
        after = await shop.get("/api/kam/requests")
    again = await admin.delete(f"{KEYS}/{made['key_id']}")

    assert (before.status_code, revoked.status_code, after.status_code) == (200, 200, 401)
    assert revoked.json()["status"] == "revoked"
    assert {**again.json(), "last_used_at": None} == {**revoked.json(), "last_used_at": None}


async def test_a_client_revokes_its_own_keys_the_one_that_it_calls_with_among_them(
    kam: GatewayUnderTest, manager: httpx.AsyncClient
) -> None:
    keys = (await manager.get(KEYS)).json()["keys"]

    revoked = [await manager.delete(f"{KEYS}/{key['key_id']}") for key in reversed(keys)]

    assert [answer.status_code for answer in revoked] == [200, 200]
    assert [(await manager.get(KEYS)).status_code, await status_of(kam, kam.keys["alice"])] == [401, 401]


async def test_the_operators_last_key_cannot_be_revoked_whatever_becomes_of_the_others(
    kam: GatewayUnderTest, admin: httpx.AsyncClient
) -> None:
    first = kam.keys["admin"].split("_")[2]
    alone = await admin.delete(f"{KEYS}/{first}")
    second = (await admin.post(KEYS, json={"name": "second", "scope": "admin"})).json()
    third = (await admin.post(f"{KEYS}/{second['key_id']}/rotate", json={"grace_seconds": HOUR})).json()
    assert (await admin.delete(f"{KEYS}/{first}")).status_code == 200
    async with calling(kam, second["key"]) as replaced:
        lasting = await replaced.delete(f"{KEYS}/{third['key_id']}")
        own = await replaced.delete(f"{KEYS}/{second['key_id']}")

    assert (alone.status_code, alone.json()["type"]) == (409, "urn:aif:problem:last_operator_key")
    assert (lasting.status_code, own.status_code) == (409, 200)
    assert [await status_of(kam, key) for key in (kam.keys["admin"], second["key"], third["key"])] == [401, 401, 200]


async def test_two_who_revoke_each_others_operator_key_leave_one(kam: GatewayUnderTest, admin: httpx.AsyncClient) -> None:
    second = (await admin.post(KEYS, json={"name": "second", "scope": "admin"})).json()
    async with calling(kam, second["key"]) as other:
        of_second = admin.delete(f"{KEYS}/{second['key_id']}")
        of_first = other.delete(f"{KEYS}/{kam.keys['admin'].split('_')[2]}")
        told = await at_once(kam, "*", of_second, of_first)

    assert sorted(answer.status_code for answer in told) == [200, 401]
    assert sorted([await status_of(kam, kam.keys["admin"]), await status_of(kam, second["key"])]) == [200, 401]


@pytest.mark.parametrize(
    ("method", "path", "wish"),
    [
        ("POST", KEYS, {"client_id": "alice", "name": "to stay", "scope": "manage"}),
        ("POST", f"{KEYS}/of_alice/rotate", {"grace_seconds": 0}),
        ("DELETE", f"{KEYS}/of_alice", None),
    ],
)
async def test_an_operators_key_that_is_being_revoked_changes_no_key_of_a_client_at_the_last_moment(
    kam: GatewayUnderTest, admin: httpx.AsyncClient, method: str, path: str, wish: dict[str, Any] | None
) -> None:
    of_alice = (await made_for_alice(admin))["key_id"]
    leaked = (await admin.post(KEYS, json={"name": "leaked", "scope": "admin"})).json()
    async with calling(kam, leaked["key"]) as thief:
        deed = thief.request(method, path.replace("of_alice", of_alice), json=wish)
        revoked, refused = await at_once(kam, "*", admin.delete(f"{KEYS}/{leaked['key_id']}"), deed)

    assert (revoked.status_code, refused.status_code) == (200, 401)
    good = (await admin.get(f"{KEYS}?client_id=alice&active=true")).json()["keys"]
    assert [each["key_id"] for each in good if each["created_by"] is not None] == [of_alice]


async def test_a_repeated_call_makes_one_key_and_does_not_show_it_again(
    kam: GatewayUnderTest, admin: httpx.AsyncClient
) -> None:
    once, wish = {"Idempotency-Key": "mint-1"}, {"client_id": "alice", "name": "shop"}
    first, *others = await asyncio.gather(*(admin.post(KEYS, json=wish, headers=once) for _ in range(4)))
    shown = [answer.json()["key"] for answer in (first, *others)]
    key_id = first.json()["key_id"]
    turned = {"Idempotency-Key": "turn-1"}
    lost = await admin.post(f"{KEYS}/{key_id}/rotate", json={"grace_seconds": 0}, headers=turned)
    again = await admin.post(f"{KEYS}/{key_id}/rotate", json={"grace_seconds": 0}, headers=turned)
    mended = await admin.post(f"{KEYS}/{again.json()['key_id']}/rotate", json={"grace_seconds": 0})

    assert sorted(key is None for key in shown) == [False, True, True, True]
    assert {answer.json()["key_id"] for answer in others} == {key_id}
    assert (lost.json()["key"] is None, again.json()) == (False, {**lost.json(), "key": None})
    assert again.headers["Idempotent-Replayed"] == "true"
    assert [await status_of(kam, key) for key in (lost.json()["key"], mended.json()["key"])] == [401, 200]
    reused = await admin.post(KEYS, json={**wish, "name": "other"}, headers=once)
    assert reused.json()["type"] == "urn:aif:problem:idempotency_key_reused"


async def test_a_repeated_call_gets_its_answer_also_when_the_time_that_it_named_is_over(
    kam: GatewayUnderTest, admin: httpx.AsyncClient
) -> None:
    once, wish = (
        {"Idempotency-Key": "mint-1"},
        {"client_id": "alice", "name": "x", "expires_at": rfc3339(datetime.now(UTC) + timedelta(seconds=1))},
    )
    made = await admin.post(KEYS, json=wish, headers=once)

    async def is_over() -> bool:
        return await status_of(kam, made.json()["key"]) == 401

    await eventually(is_over)
    again = await admin.post(KEYS, json=wish, headers=once)

    assert (again.status_code, again.json()) == (201, {**made.json(), "key": None})


async def test_what_the_operator_has_made_for_a_client_is_not_told_to_who_repeats_the_call_with_that_clients_key(
    admin: httpx.AsyncClient, manager: httpx.AsyncClient
) -> None:
    once, wish = {"Idempotency-Key": "mint-1"}, {"client_id": "alice", "name": "shop"}
    operators = await admin.post(KEYS, json=wish, headers=once)

    clients = await manager.post(KEYS, json=wish, headers=once)

    assert (operators.status_code, clients.status_code) == (201, 201)
    assert clients.json()["key_id"] != operators.json()["key_id"]
    assert "Idempotent-Replayed" not in clients.headers


async def test_a_client_has_no_more_good_keys_than_it_may_have_and_can_rotate_the_last_one(
    kam: GatewayUnderTest, admin: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    await kam.rows(
        "INSERT INTO api_keys (key_id, client_id, scope, digest)"
        " SELECT 'key_' || n, 'alice', 'read', decode(repeat('00', 32), 'hex') FROM generate_series(1, $1) n RETURNING 1",
        MOST_KEYS - 2,
    )
    last = await made_for_alice(admin)
    wish = {"client_id": "alice", "name": "one more"}

    refused = await admin.post(KEYS, json=wish)
    with_grace = await admin.post(f"{KEYS}/{last['key_id']}/rotate", json={"grace_seconds": HOUR})
    without = await admin.post(f"{KEYS}/{last['key_id']}/rotate", json={"grace_seconds": 0})
    of_bob = await admin.post(KEYS, json={**wish, "client_id": "bob"})
    await admin.delete(f"{KEYS}/{without.json()['key_id']}")

    assert (refused.status_code, refused.json()["type"]) == (422, "urn:aif:problem:too_many_keys")
    assert (with_grace.status_code, with_grace.json()["errors"][0]["field"]) == (422, "grace_seconds")
    assert (without.status_code, of_bob.status_code) == (201, 201)
    many = await at_once(kam, "alice", *(admin.post(KEYS, json=wish) for _ in range(3)))
    assert sorted(answer.status_code for answer in many) == [201, 422, 422]


async def test_the_use_of_a_key_is_noted_once_an_hour_and_only_where_it_was_the_key(
    kam: GatewayUnderTest, admin: httpx.AsyncClient, alice: httpx.AsyncClient
) -> None:
    key_id = kam.keys["alice"].split("_")[2]

    async def noted() -> Any:
        return (await kam.rows("SELECT last_used_at, xmin::text FROM api_keys WHERE key_id = $1", key_id))[0]

    wrong = mint_api_key()
    await kam.rows("UPDATE api_keys SET digest = decode(repeat('00', 32), 'hex') WHERE key_id = $1", key_id)
    assert (await alice.get(KEYS)).status_code == 401
    assert (await noted())["last_used_at"] is None
    assert await status_of(kam, wrong) == 401
    await kam.gateway.parts.identity.keep_client("alice", kam.keys["alice"])

    await asyncio.gather(*(alice.get(KEYS) for _ in range(10)))
    first = await noted()
    await asyncio.gather(*(alice.get(KEYS) for _ in range(10)))
    same = await noted()
    for minutes in (-61, 60 * 24):
        await kam.rows(
            "UPDATE api_keys SET last_used_at = now() + make_interval(mins => $2) WHERE key_id = $1", key_id, minutes
        )
        await alice.get(KEYS)
        assert abs((await noted())["last_used_at"] - datetime.now(UTC)) < timedelta(minutes=1)

    assert tuple(same) == tuple(first)
    assert (await admin.get(f"{KEYS}/{key_id}")).json()["last_used_at"] is not None


async def test_who_calls_is_answered_though_the_use_of_the_key_cannot_be_noted(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    async with kam.database.transaction() as busy:
        await busy.execute("SELECT FROM api_keys FOR UPDATE")
        locked = await alice.get("/api/kam/requests")
    await kam.rows("CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE disk_full; END $$")
    await kam.rows("CREATE TRIGGER full_disk BEFORE UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION full_disk()")
    full = await alice.get("/api/kam/requests")

    assert (locked.status_code, full.status_code) == (200, 200)
    assert (await kam.rows("SELECT last_used_at FROM api_keys WHERE client_id = 'alice'"))[0]["last_used_at"] is None


async def test_what_was_ended_or_made_here_stays_so_when_the_settings_name_it(
    kam: GatewayUnderTest, admin: httpx.AsyncClient
) -> None:
    identity = kam.gateway.parts.identity
    managers = await made_for_alice(admin, scope="manage")
    await admin.delete(f"{KEYS}/{kam.keys['alice'].split('_')[2]}")
    await identity.keep_client("alice", kam.keys["alice"])
    await identity.keep_client("alice", managers["key"])

    assert await status_of(kam, kam.keys["alice"]) == 401
    assert (await admin.get(f"{KEYS}/{managers['key_id']}")).json()["scope"] == "manage"


async def test_a_key_that_is_revoked_while_it_makes_another_one_makes_none(
    kam: GatewayUnderTest, admin: httpx.AsyncClient, manager: httpx.AsyncClient
) -> None:
    key_id = manager.headers["X-API-Key"].split("_")[2]
    async with kam.database.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('keys of alice', 0))")
        making = asyncio.create_task(manager.post(KEYS, json={"name": "x"}))

        async def waits() -> bool:
            return bool(await kam.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))

        await eventually(waits)
        await connection.execute("UPDATE api_keys SET revoked_at = now() WHERE key_id = $1", key_id)

    assert (await making).status_code == 401
    assert len((await admin.get(f"{KEYS}?client_id=alice")).json()["keys"]) == 2


async def test_every_change_of_a_key_is_told_to_the_audit_log(
    kam: GatewayUnderTest, admin: httpx.AsyncClient, manager: httpx.AsyncClient
) -> None:
    made = (await manager.post(KEYS, json={"name": "shop", "scope": "read"})).json()
    new = (await admin.post(f"{KEYS}/{made['key_id']}/rotate", json={"grace_seconds": 60})).json()
    for _ in range(2):
        await manager.delete(f"{KEYS}/{new['key_id']}")
    await admin.post(KEYS, json={"name": "second", "scope": "admin"})

    entries = (await audited(kam))[1:]
    operator, client = (f"api_key:{key.split('_')[2]}" for key in (kam.keys["admin"], manager.headers["X-API-Key"]))
    facts = {"name": "shop", "scope": "read", "expires_at": None}
    assert [(entry.action, entry.actor, entry.client_id) for entry in entries] == [
        ("API_KEY_CREATED", client, "alice"),
        ("API_KEY_ROTATED", operator, "alice"),
        ("API_KEY_REVOKED", client, "alice"),
        ("API_KEY_CREATED", operator, None),
    ]
    assert [entry.details for entry in entries[:3]] == [
        {"key_id": made["key_id"], **facts},
        {"key_id": new["key_id"], **facts, "replaces": made["key_id"], "grace_seconds": 60},
        {"key_id": new["key_id"], **facts},
    ]


async def test_what_is_done_with_a_key_that_was_made_here_is_on_record_under_it(
    kam: GatewayUnderTest, admin: httpx.AsyncClient
) -> None:
    made = await made_for_alice(admin)
    async with calling(kam, made["key"]) as shop:
        order = {"selected_template": "content_granulation_course", "parameters": {"source_text": BEES}}
        assert (await shop.post("/api/kam/orders", json=order)).status_code == 202
        await shop.put("/api/kam/company", json={"name": "A"})

    changed = await kam.rows("SELECT changed_by FROM configuration_changes")
    assert [row["changed_by"] for row in changed] == [f"api_key:{made['key_id']}"]
