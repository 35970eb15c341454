"""What each kind of key may do at each address: every one that the gateway has, taken from the gateway itself."""

import re
from collections.abc import Mapping

import httpx
import pytest
import pytest_asyncio

from integration.kam.gateway_under_test import GatewayUnderTest

OPEN = {
    ("GET", "/"),
    ("GET", "/docs"),
    ("GET", "/health"),
    ("GET", "/metrics"),
    ("GET", "/api/v1/ai/pipelines/health"),
    ("GET", "/schema"),
    ("GET", "/schema/asyncapi.json"),
    ("GET", "/schema/openapi.json"),
    ("GET", "/schema/{path}"),
}
"""What needs no key."""
OPERATORS_ALONE = re.compile(r"/api/admin/.*|/worker-insights")
OF_MANAGERS = {("POST", "/api/kam/keys"), ("POST", "/api/kam/keys/{key_id}/rotate"), ("DELETE", "/api/kam/keys/{key_id}")}
_COUNTED = re.compile(r'aif_http_requests_total\{method="([A-Z]+)",route="([^"]*)",status="500"\}')
Address = tuple[str, str]


@pytest_asyncio.fixture
async def addresses(kam: GatewayUnderTest) -> list[Address]:
    """Methods and routes. The gateway counts mistakes of ours from 0 for each, whether its description names it or not."""
    async with httpx.AsyncClient(base_url=kam.url) as stranger:
        counted = set(_COUNTED.findall((await stranger.get("/metrics")).text))
    found = sorted((method, path) for method, path in counted if method != "OPTIONS" and path != "unmatched")
    assert len(found) > 80
    assert set(found) > OPEN | OF_MANAGERS
    return found


async def answers(kam: GatewayUnderTest, addresses: list[Address], key: str | None) -> Mapping[Address, httpx.Response]:
    headers = {} if key is None else {"X-API-Key": key}
    async with httpx.AsyncClient(base_url=kam.url, headers=headers, timeout=60) as caller:
        return {
            (method, path): await caller.request(method, re.sub(r"\{[^}]*\}", "nothing_1", path), json={})
            for method, path in addresses
            if (method, path) not in OPEN
        }


async def minted(kam: GatewayUnderTest, scope: str, *, who: str = "alice", **more: str) -> dict[str, str]:
    async with kam.client("admin") as admin:
        made = await admin.post("/api/kam/keys", json={"name": scope, "scope": scope, "client_id": who, **more})
    assert made.status_code == 201
    answer: dict[str, str] = made.json()
    return answer


def refused(told: Mapping[Address, httpx.Response], status: int) -> set[Address]:
    return {address for address, answer in told.items() if answer.status_code == status}


async def test_a_key_that_may_read_is_refused_wherever_something_is_changed(
    kam: GatewayUnderTest, addresses: list[Address]
) -> None:
    told = await answers(kam, addresses, (await minted(kam, "read"))["key"])

    changing = {(method, path) for method, path in told if method != "GET"}
    for address in changing:
        assert (told[address].status_code, told[address].json()["type"]) == (403, "urn:aif:problem:not_allowed"), address
        assert "may only read" in told[address].json()["detail"]
    assert refused(told, 403) - changing == {address for address in told if OPERATORS_ALONE.fullmatch(address[1])} - changing


@pytest.mark.parametrize("scope", ["order", "manage"])
async def test_a_clients_key_is_refused_where_the_operator_is_meant_and_with_the_scope_order_where_keys_are_changed(
    kam: GatewayUnderTest, addresses: list[Address], scope: str
) -> None:
    told = await answers(kam, addresses, (await minted(kam, scope))["key"])

    operators = {address for address in told if OPERATORS_ALONE.fullmatch(address[1])}
    assert refused(told, 403) == operators | (OF_MANAGERS if scope == "order" else set())
    assert refused(told, 401) == set()


async def test_an_admin_key_is_refused_nowhere(kam: GatewayUnderTest, addresses: list[Address]) -> None:
    told = await answers(kam, addresses, kam.keys["admin"])

    assert refused(told, 401) | refused(told, 403) == set()


@pytest.mark.parametrize("which", ["none", "garbage", "of another secret", "revoked", "expired", "of a disabled client"])
async def test_a_key_that_is_not_good_is_refused_everywhere_in_the_same_words(
    kam: GatewayUnderTest, addresses: list[Address], which: str
) -> None:
    key: str | None = None if which == "none" else "garbage"
    if which not in ("none", "garbage"):
        made = await minted(kam, "manage")
        key = made["key"]
        async with kam.client("admin") as admin:
            if which == "revoked":
                await admin.delete(f"/api/kam/keys/{made['key_id']}")
            elif which == "of a disabled client":
                await admin.post("/api/admin/clients/alice/disable")
        if which == "expired":
            await kam.rows("UPDATE api_keys SET expires_at = now() WHERE key_id = $1", made["key_id"])
        elif which == "of another secret":
            await kam.rows("UPDATE api_keys SET digest = decode(repeat('00', 32), 'hex') WHERE key_id = $1", made["key_id"])

    told = await answers(kam, addresses, key)

    assert refused(told, 401) == set(told)
    assert len({answer.json()["detail"] for answer in told.values()}) == 1


async def test_a_key_that_may_read_sees_what_its_client_has(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    made = await alice.post("/api/kam/requests", json={})
    key = (await minted(kam, "read"))["key"]

    async with httpx.AsyncClient(base_url=kam.url, headers={"X-API-Key": key}) as reader:
        listed = await reader.get("/api/kam/requests")
        asked = await reader.head(f"/api/kam/requests/{made.json()['request_id']}")
        allowed = await reader.options("/api/kam/requests")

    assert [each["request_id"] for each in listed.json()["requests"]] == [made.json()["request_id"]]
    assert (asked.status_code, allowed.status_code) == (200, 204)
