"""Executions steered over HTTP: paused, resumed, approved, rejected, and what the request shows of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from aif_contracts.orders import ExecutionStatus
from integration.kam.gateway_under_test import GatewayUnderTest
from support.waiting import eventually

ORDER = {"selected_template": "content_granulation_course", "parameters": {"topic": "bees"}}
VERBS = ("pause", "resume", "approve", "reject", "skip-compensation")


async def started(client: httpx.AsyncClient) -> tuple[str, str]:
    """The request's and the execution's id."""
    order = (await client.post("/api/kam/orders", json=ORDER)).json()
    return order["request_id"], order["execution_id"]


def steer(execution_id: str, verb: str) -> str:
    return f"/api/v1/ai/pipelines/{execution_id}/{verb}"


async def request_of(client: httpx.AsyncClient, request_id: str) -> tuple[str, str]:
    request = (await client.get(f"/api/kam/requests/{request_id}")).json()
    return request["status"], request["execution_status"]


async def test_a_paused_execution_is_a_running_request_that_shows_the_pause(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    request_id, execution_id = await started(alice)

    paused = await alice.post(steer(execution_id, "pause"), json={"reason": "the budget is being discussed"})

    assert (paused.status_code, paused.json()["status"]) == (200, "paused")
    assert kam.orchestrator.events[execution_id][-1].data.reason == "the budget is being discussed"  # type: ignore[union-attr]
    assert await request_of(alice, request_id) == ("running", "paused")
    resumed = await alice.post(steer(execution_id, "resume"))
    assert (resumed.status_code, resumed.json()["execution"]["status"]) == (200, "running")
    assert resumed.json()["kept"]["stages"] == []
    assert [question.client_id for question in kam.orchestrator.steered] == ["alice", "alice"]
    assert await request_of(alice, request_id) == ("running", "running")


async def test_a_pause_needs_no_body(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    _, execution_id = await started(alice)

    assert (await alice.post(steer(execution_id, "pause"))).status_code == 200

    assert kam.orchestrator.events[execution_id][-1].data.reason == "paused by the client"  # type: ignore[union-attr]


async def test_a_failed_execution_is_resumed_and_says_what_is_kept(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    request_id, execution_id = await started(alice)
    await kam.orchestrator.fail(execution_id, "output_invalid", "no modules")
    assert await request_of(alice, request_id) == ("failed", "failed")

    resumed = (await alice.post(steer(execution_id, "resume"))).json()

    assert (resumed["execution"]["leg"], resumed["execution"]["status"]) == (2, "running")
    assert resumed["kept"]["cost_usd"] == "0.0015"
    request = (await alice.get(f"/api/kam/requests/{request_id}")).json()
    assert (request["status"], request["problem"], request["completed_at"]) == ("running", None, None)


async def test_a_resume_whose_answer_was_lost_is_seen_at_the_next_look(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    request_id, execution_id = await started(alice)
    await kam.orchestrator.fail(execution_id, "output_invalid", "no modules")
    assert await request_of(alice, request_id) == ("failed", "failed")
    kam.orchestrator.loses_events = True
    kam.orchestrator.loses_answers_to_resume = True

    assert (await alice.post(steer(execution_id, "resume"))).status_code == 503

    kam.orchestrator.loses_answers_to_resume = False
    assert await request_of(alice, request_id) == ("running", "running")


@pytest.mark.parametrize(
    ("verb", "approved", "body", "comment"),
    [("approve", True, {"stage_id": "structure", "comment": "good"}, "good"), ("reject", False, None, "")],
)
async def test_a_person_decides_what_waits_and_the_key_is_on_record(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, verb: str, approved: bool, body: Any, comment: str
) -> None:
    request_id, execution_id = await started(alice)
    await kam.orchestrator.ask_for_approval(execution_id, "structure")
    assert await request_of(alice, request_id) == ("running", "awaiting_approval")

    decided = await alice.post(steer(execution_id, verb), json=body) if body else await alice.post(steer(execution_id, verb))

    assert (decided.status_code, decided.json()["status"]) == (200, "running")
    decision = kam.orchestrator.decisions[0]
    assert (decision.approved, decision.stage_id, decision.comment) == (approved, (body or {}).get("stage_id"), comment)
    assert decision.decided_by == f"key_{kam.keys['alice'].split('_')[2]} of alice"
    assert decision.client_id == "alice"


async def test_an_admin_steers_for_the_client_and_signs_as_the_operator(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    _, execution_id = await started(alice)
    await kam.orchestrator.ask_for_approval(execution_id, "structure")

    async with kam.client("admin") as admin:
        assert (await admin.post(steer(execution_id, "approve"))).status_code == 200

    assert kam.orchestrator.decisions[0].decided_by == f"key_{kam.keys['admin'].split('_')[2]} of the operator"
    assert kam.orchestrator.decisions[0].client_id == "alice"


async def test_two_stages_that_wait_have_to_be_named(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    _, execution_id = await started(alice)
    await kam.orchestrator.ask_for_approval(execution_id, "structure")
    await kam.orchestrator.ask_for_approval(execution_id, "quiz")

    unnamed = await alice.post(steer(execution_id, "approve"))
    named = await alice.post(steer(execution_id, "approve"), json={"stage_id": "quiz"})

    assert (unnamed.status_code, unnamed.json()["type"]) == (409, "urn:aif:problem:ambiguous_approval")
    assert "structure, quiz" in unnamed.json()["detail"]
    assert (named.status_code, named.json()["status"]) == (200, "awaiting_approval")


@pytest.mark.parametrize(
    ("verb", "code"),
    [
        ("pause", "not_pausable"),
        ("resume", "not_resumable"),
        ("approve", "nothing_to_approve"),
        ("reject", "nothing_to_approve"),
        ("skip-compensation", "not_compensating"),
    ],
)
async def test_what_is_not_possible_now_is_a_conflict(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, verb: str, code: str
) -> None:
    _, execution_id = await started(alice)
    await kam.orchestrator.complete(execution_id, await kam.store_structure())

    refused = await alice.post(steer(execution_id, verb))

    assert (refused.status_code, refused.json()["type"]) == (409, f"urn:aif:problem:{code}")
    assert refused.json()["instance"] == steer(execution_id, verb)


async def test_undoing_that_hangs_is_given_up_stage_by_stage_and_the_key_is_on_record(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    request_id, execution_id = await started(alice)
    kam.orchestrator.undo(execution_id, "publish", "draft")

    unnamed = await alice.post(steer(execution_id, "skip-compensation"))
    named = await alice.post(steer(execution_id, "skip-compensation"), json={"stage_id": "publish", "comment": "by hand"})
    again = await alice.post(steer(execution_id, "skip-compensation"), json={"stage_id": "publish"})
    async with kam.client("admin") as admin:
        last = await admin.post(steer(execution_id, "skip-compensation"))

    assert (unnamed.status_code, unnamed.json()["type"]) == (409, "urn:aif:problem:ambiguous_compensation")
    assert (named.status_code, named.json()["status"]) == (200, "compensating")
    assert (again.status_code, again.json()["type"]) == (409, "urn:aif:problem:nothing_to_skip")
    assert (last.status_code, last.json()["status"]) == (200, "failed")
    by_alice, by_admin = kam.orchestrator.skips
    assert (by_alice.client_id, by_alice.stage_id, by_alice.comment) == ("alice", "publish", "by hand")
    assert by_alice.decided_by == f"key_{kam.keys['alice'].split('_')[2]} of alice"
    assert (by_admin.client_id, by_admin.stage_id) == ("alice", None)
    assert by_admin.decided_by == f"key_{kam.keys['admin'].split('_')[2]} of the operator"
    assert await request_of(alice, request_id) == ("failed", "failed")


async def test_undoing_that_is_given_up_under_a_key_is_given_up_once(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    _, execution_id = await started(alice)
    kam.orchestrator.undo(execution_id, "publish", "draft")
    body, headers = {"stage_id": "publish"}, {"Idempotency-Key": "skip-1"}

    answers = [await alice.post(steer(execution_id, "skip-compensation"), json=body, headers=headers) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert len(kam.orchestrator.skips) == 1


async def test_a_second_pause_changes_nothing(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    _, execution_id = await started(alice)

    answers = [await alice.post(steer(execution_id, "pause")) for _ in range(2)]

    assert [(answer.status_code, answer.json()["status"]) for answer in answers] == [(200, "paused")] * 2
    assert len(kam.orchestrator.events[execution_id]) == 2


async def test_a_second_resume_is_no_second_leg(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    _, execution_id = await started(alice)
    await kam.orchestrator.fail(execution_id, "output_invalid", "no modules")

    first = await alice.post(steer(execution_id, "resume"))
    second = await alice.post(steer(execution_id, "resume"))

    assert (first.status_code, second.status_code) == (200, 409)
    assert second.json()["type"] == "urn:aif:problem:not_resumable"
    assert kam.orchestrator.views[execution_id].leg == 2


async def test_a_resume_repeated_with_its_key_gets_the_first_answer(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    _, execution_id = await started(alice)
    await kam.orchestrator.fail(execution_id, "output_invalid", "no modules")
    headers = {"Idempotency-Key": "resume-1"}

    first = await alice.post(steer(execution_id, "resume"), headers=headers)
    again = await alice.post(steer(execution_id, "resume"), headers=headers)
    other = await alice.post(steer(execution_id, "pause"), headers=headers)

    assert (again.status_code, again.content) == (200, first.content)
    assert kam.orchestrator.views[execution_id].leg == 2
    assert (other.status_code, other.json()["type"]) == (422, "urn:aif:problem:idempotency_key_reused")


async def test_a_no_is_kept_under_its_key_too(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    _, execution_id = await started(alice)
    headers = {"Idempotency-Key": "resume-2"}
    refused = await alice.post(steer(execution_id, "resume"), headers=headers)
    await kam.orchestrator.fail(execution_id, "output_invalid", "no modules")

    again = await alice.post(steer(execution_id, "resume"), headers=headers)

    assert (again.status_code, again.content) == (409, refused.content)
    assert kam.orchestrator.views[execution_id].leg == 1


async def test_a_key_is_free_again_when_the_orchestrator_was_away(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    _, execution_id = await started(alice)
    headers = {"Idempotency-Key": "pause-1"}
    kam.orchestrator.is_away = True
    away = await alice.post(steer(execution_id, "pause"), headers=headers)
    kam.orchestrator.is_away = False

    again = await alice.post(steer(execution_id, "pause"), headers=headers)

    assert (away.status_code, away.headers["retry-after"]) == (503, "2")
    assert (again.status_code, again.json()["status"]) == (200, "paused")


async def test_a_key_whose_caller_died_at_the_question_is_free_after_ten_seconds(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    _, execution_id = await started(alice)
    headers = {"Idempotency-Key": "pause-2"}
    first = await alice.post(steer(execution_id, "pause"), headers=headers)
    assert first.status_code == 200
    await kam.rows("UPDATE idempotency_keys SET status = NULL, body = NULL WHERE key = 'pause-2'")
    kam.orchestrator.set_status(execution_id, ExecutionStatus.RUNNING)

    in_flight = await alice.post(steer(execution_id, "pause"), headers=headers)
    await kam.rows("UPDATE idempotency_keys SET created_at = created_at - interval '11 seconds' WHERE key = 'pause-2'")
    free = await alice.post(steer(execution_id, "pause"), headers=headers)

    assert (in_flight.status_code, in_flight.json()["type"]) == (409, "urn:aif:problem:idempotency_key_in_flight")
    assert (free.status_code, free.json()["status"]) == (200, "paused")


async def test_a_call_that_was_frozen_before_its_question_gets_the_yes_that_another_got_with_its_key(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    kam.orchestrator.first_to_resume_may_ask.clear()
    resume, frozen = await a_frozen_resumption(kam, alice)

    again = await resume()
    kam.orchestrator.first_to_resume_may_ask.set()
    answers = (again, await frozen, await resume())

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert len({answer.content for answer in answers}) == 1


async def test_a_yes_that_a_frozen_call_hears_late_replaces_the_no_that_another_got_with_its_key(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    kam.orchestrator.first_to_resume_may_hear.clear()
    resume, frozen = await a_frozen_resumption(kam, alice)

    refused = await resume()
    kam.orchestrator.first_to_resume_may_hear.set()
    heard, later = await frozen, await resume()

    assert (refused.status_code, heard.status_code, later.status_code) == (409, 200, 200)
    assert later.content == heard.content


async def a_frozen_resumption(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> tuple[Callable[[], Awaitable[httpx.Response]], asyncio.Task[httpx.Response]]:
    """A way to resume under a key, and the first call on it, which has been under way until its claim was free again."""
    _, execution_id = await started(alice)
    await kam.orchestrator.fail(execution_id, "output_invalid", "no modules")

    async def resume() -> httpx.Response:
        return await alice.post(steer(execution_id, "resume"), headers={"Idempotency-Key": "resume-3"})

    frozen = asyncio.create_task(resume())
    await eventually(lambda: len(kam.orchestrator.steered) == 1)
    await kam.rows("UPDATE idempotency_keys SET created_at = created_at - interval '11 seconds' WHERE key = 'resume-3'")
    return resume, frozen


@pytest.mark.parametrize("verb", VERBS)
async def test_another_clients_execution_is_unknown(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, bob: httpx.AsyncClient, verb: str
) -> None:
    _, execution_id = await started(alice)
    await kam.orchestrator.ask_for_approval(execution_id, "structure")

    foreign = await bob.post(steer(execution_id, verb))
    none = await bob.post(steer("exec_nothing", verb))

    assert (foreign.status_code, foreign.json()["type"]) == (404, "urn:aif:problem:unknown_execution")
    assert none.status_code == 404
    assert kam.orchestrator.views[execution_id].status is ExecutionStatus.AWAITING_APPROVAL


@pytest.mark.parametrize(
    ("verb", "body", "field"),
    [
        ("pause", {"reasons": "x"}, "reasons"),
        ("pause", {"reason": ""}, "reason"),
        ("pause", {"reason": "x" * 501}, "reason"),
        ("approve", {"stage_id": 5}, "stage_id"),
        ("approve", {"comment": "x" * 1001}, "comment"),
        ("reject", {"approved": True}, "approved"),
        ("skip-compensation", {"stage": "publish"}, "stage"),
        ("skip-compensation", {"comment": "x" * 1001}, "comment"),
        ("reject", {"comment": "a\x00b"}, "comment"),
    ],
)
async def test_a_wrong_field_is_named(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, verb: str, body: dict[str, Any], field: str
) -> None:
    _, execution_id = await started(alice)

    refused = await alice.post(steer(execution_id, verb), json=body)

    assert (refused.status_code, refused.json()["type"]) == (422, "urn:aif:problem:invalid_input")
    assert refused.json()["errors"][0]["field"] == field
    assert kam.orchestrator.views[execution_id].status is ExecutionStatus.RUNNING


async def test_a_request_that_is_being_submitted_cannot_be_steered_yet(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    await alice.get("/api/kam/templates")
    kam.orchestrator.is_away = True
    await alice.post("/api/kam/orders", json=ORDER)
    execution_id = (await kam.rows("SELECT execution_id FROM client_requests"))[0]["execution_id"]

    refused = await alice.post(steer(execution_id, "pause"))

    assert (refused.status_code, refused.json()["type"]) == (409, "urn:aif:problem:being_submitted")


@pytest.mark.parametrize("status", ["scheduled", "paused", "awaiting_approval"])
async def test_what_does_not_run_at_the_moment_is_cancelled_all_the_same(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, status: str
) -> None:
    request_id, execution_id = await started(alice)
    kam.orchestrator.set_status(execution_id, ExecutionStatus(status))
    assert await request_of(alice, request_id) == ("running", status)

    cancelled = await alice.delete(f"/api/kam/requests/{request_id}")

    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert cancelled.json()["execution_status"] == "cancelled"


async def test_events_alone_tell_a_list_what_an_execution_does(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    _, execution_id = await started(alice)
    await kam.orchestrator.ask_for_approval(execution_id, "structure")

    async def waits() -> bool:
        listed = (await alice.get("/api/kam/requests")).json()["requests"][0]
        return (listed["status"], listed["execution_status"]) == ("running", "awaiting_approval")

    assert await eventually(waits)


async def test_executions_are_filtered_and_a_client_never_sees_anothers(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    request_id, execution_id = await started(alice)
    filters = {
        "status": "running",
        "template": "content_granulation_course",
        "request_id": request_id,
        "created_after": "2026-05-01T11:30:00+02:00",
        "created_before": "2027-01-01T00:00:00Z",
        "text": "Bees",
        "limit": "7",
    }

    listed = await alice.get("/api/v1/ai/pipelines", params=filters)
    of_bob = await bob.get("/api/v1/ai/pipelines", params=filters)

    assert [each["execution_id"] for each in listed.json()["executions"]] == [execution_id]
    asked = kam.orchestrator.listed[0]
    assert (asked.client_id, asked.status, asked.template, asked.request_id, asked.text, asked.limit) == (
        "alice",
        "running",
        "content_granulation_course",
        request_id,
        "Bees",
        7,
    )
    assert (asked.created_after, asked.created_before) == ("2026-05-01T09:30:00.000Z", "2027-01-01T00:00:00.000Z")
    assert of_bob.json()["executions"] == []
    assert kam.orchestrator.listed[1].client_id == "bob"
    assert (await bob.get("/api/v1/ai/pipelines?client_id=alice")).status_code == 403
    async with kam.client("admin") as admin:
        await admin.get("/api/v1/ai/pipelines")
        await admin.get("/api/v1/ai/pipelines?client_id=alice")
    assert [query.client_id for query in kam.orchestrator.listed[2:]] == [None, "alice"]


@pytest.mark.parametrize("offset", ["+02:00", "%2B02:00"])
async def test_a_plus_of_a_time_in_an_address_may_be_written_as_it_is(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, offset: str
) -> None:
    listed = await alice.get(f"/api/v1/ai/pipelines?created_before=2026-05-01T11:30:00{offset}")

    assert listed.status_code == 200
    assert kam.orchestrator.listed[0].created_before == "2026-05-01T09:30:00.000Z"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=dancing", "status"),
        ("template=Not%20A%20Name", "template"),
        ("created_after=yesterday", "created_after"),
        ("created_after=2026-05-01T09:30:00", "created_after"),
        ("created_before=2026-05-01+02:00", "created_before"),
        ("text=", "text"),
        ("text=%00", "text"),
        ("text=" + "x" * 101, "text"),
        ("request_id=%00", "request_id"),
        ("cursor=%0a", "cursor"),
        ("cursor=", "cursor"),
        ("cursor=req_01M81N1KH8VCNYYE96ZTH9JM8P", "cursor"),
        ("limit=101", "limit"),
        ("client_id=..", "client_id"),
    ],
)
async def test_a_wrong_filter_is_named(alice: httpx.AsyncClient, query: str, field: str) -> None:
    refused = await alice.get(f"/api/v1/ai/pipelines?{query}")

    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == field
    assert refused.json()["errors"][0]["mend"]


async def test_a_wrong_parameter_of_an_address_is_told_with_what_it_may_be(alice: httpx.AsyncClient) -> None:
    refused = await alice.get("/api/v1/ai/pipelines?limit=101&status=dancing&template=A&text=")

    assert {each["field"]: each["mend"] for each in refused.json()["errors"]} == {
        "limit": "send a whole number from 1 to 100",
        "status": "send one of: scheduled, running, awaiting_approval, paused, compensating, completed, partially_completed, "
        "failed, cancelled",
        "template": "send a text of this kind: name of the template: lower-case letters, digits and _, a letter first",
        "text": "send a text of 100 characters at most",
    }


async def test_twenty_resumes_at_once_with_one_key_are_one_leg_and_one_answer(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    _, execution_id = await started(alice)
    await kam.orchestrator.fail(execution_id, "output_invalid", "no modules")
    headers = {"Idempotency-Key": "resume-3"}

    answers = await asyncio.gather(*(alice.post(steer(execution_id, "resume"), headers=headers) for _ in range(20)))

    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len({answer.content for answer in answers if answer.status_code == 200}) == 1
    assert {answer.json()["type"] for answer in answers if answer.status_code == 409} <= {
        "urn:aif:problem:idempotency_key_in_flight"
    }
    assert kam.orchestrator.views[execution_id].leg == 2
