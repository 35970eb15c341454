"""Dead letters over HTTP: the operator lists them, looks at them, sends them again or lets them go."""

import base64

import httpx
import pytest

from integration.kam.gateway_under_test import GatewayUnderTest

DEAD = "/api/admin/dead-letters"


async def test_an_operator_looks_at_the_bytes_and_replays_once(kam: GatewayUnderTest) -> None:
    kam.orchestrator.library.bury("dead_1", payload=b'{"template": \xff}')
    async with kam.client("admin") as admin:
        content = (await admin.get(f"{DEAD}/dead_1")).json()
        replayed = await admin.post(f"{DEAD}/dead_1/replay")
        again = await admin.post(f"{DEAD}/dead_1/replay")
        dismissed = await admin.post(f"{DEAD}/dead_1/dismiss")

    assert base64.b64decode(content["payload"]) == b'{"template": \xff}'
    assert (content["dead_letter"]["reason"], content["headers"]) == ("the message is no JSON", {"Nats-Msg-Id": "m1"})
    assert (replayed.status_code, replayed.json()["status"]) == (200, "replayed")
    assert replayed.json()["decided_by"] == f"key_{kam.keys['admin'].split('_')[2]} of the operator"
    for late in (again, dismissed):
        assert (late.status_code, late.json()["type"]) == (409, "urn:aif:problem:already_decided")


async def test_dead_letters_are_listed_newest_first_and_filtered(kam: GatewayUnderTest) -> None:
    for number, origin in enumerate(("requests", "work", "requests"), 1):
        kam.orchestrator.library.bury(f"dead_{number}", origin=origin)
    async with kam.client("admin") as admin:
        await admin.post(f"{DEAD}/dead_1/dismiss")
        first = (await admin.get(f"{DEAD}?limit=2")).json()
        second = (await admin.get(f"{DEAD}?limit=2&cursor={first['next_cursor']}")).json()
        waiting = (await admin.get(f"{DEAD}?status=waiting&origin=requests")).json()

    assert [each["dead_letter_id"] for each in (*first["dead_letters"], *second["dead_letters"])] == [
        "dead_3",
        "dead_2",
        "dead_1",
    ]
    assert second["next_cursor"] is None
    assert [each["dead_letter_id"] for each in waiting["dead_letters"]] == ["dead_3"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", DEAD), ("GET", f"{DEAD}/dead_1"), ("POST", f"{DEAD}/dead_1/replay"), ("POST", f"{DEAD}/dead_1/dismiss")],
)
async def test_dead_letters_are_for_the_operator_alone(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, method: str, path: str
) -> None:
    kam.orchestrator.library.bury("dead_1", payload=b"canary-7f3a")

    refused = await alice.request(method, path)
    async with httpx.AsyncClient(base_url=kam.url) as stranger:
        unknown = await stranger.request(method, path)

    assert (refused.status_code, refused.json()["type"]) == (403, "urn:aif:problem:not_allowed")
    assert unknown.status_code == 401
    assert kam.orchestrator.library.dead_letters["dead_1"].dead_letter.status == "waiting"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", f"{DEAD}/dead_nothing", 404, "unknown_dead_letter"),
        ("POST", f"{DEAD}/dead_nothing/replay", 404, "unknown_dead_letter"),
        ("POST", f"{DEAD}/dead_nothing/dismiss", 404, "unknown_dead_letter"),
        ("GET", f"{DEAD}/%00", 404, "not_found"),
        ("GET", f"{DEAD}?status=lost", 422, "invalid_input"),
        ("GET", f"{DEAD}?origin=No.Name", 422, "invalid_input"),
        ("GET", f"{DEAD}?limit=101", 422, "invalid_input"),
        ("GET", f"{DEAD}?cursor=%0a", 422, "invalid_input"),
    ],
)
async def test_a_wrong_dead_letter_is_answered_with_a_problem(
    kam: GatewayUnderTest, method: str, path: str, status: int, code: str
) -> None:
    async with kam.client("admin") as admin:
        refused = await admin.request(method, path)

    assert (refused.status_code, refused.json()["type"]) == (status, f"urn:aif:problem:{code}")
