"""The way of a request over HTTP, as document 000 tells it."""

import asyncio
import base64
import hashlib
import re
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from aif_contracts import subjects
from aif_contracts.orders import FieldMistake, Refusal
from integration.kam.gateway_under_test import BEES, STRUCTURE, GatewayUnderTest
from integration.kam.orchestrator_stand_in import COURSE as COURSE_VIEW
from integration.kam.orchestrator_stand_in import TOTALS
from support.waiting import eventually

COURSE = "content_granulation_course"
PARAMETERS = {
    "topic": "Machine Learning Fundamentals",
    "granularityLevel": 4,
    "targetAudience": "beginners",
    "validationEnabled": True,
    "validationLevel": 2,
}


async def status_of(client: httpx.AsyncClient, request_id: str) -> str:
    return str((await client.get(f"/api/kam/requests/{request_id}")).json()["status"])


async def test_a_request_goes_from_creation_to_its_deliverable(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    created = await alice.post(
        "/api/kam/requests",
        json={
            "client_id": "alice",
            "request_type": "pipeline_execution",
            "message": "Create a comprehensive course on Machine Learning",
            "urgency_level": "high",
        },
    )
    assert created.status_code == 201
    request_id = created.json()["request_id"]
    assert created.json()["status"] == "created"

    chosen = await alice.put(
        f"/api/kam/requests/{request_id}",
        json={"selected_template": "content_granulation_course", "template_confidence_score": 0.95},
    )
    assert chosen.status_code == 200
    assert (chosen.json()["status"], chosen.json()["template_confidence_score"]) == ("template_selected", 0.95)

    started = await alice.post(f"/api/kam/requests/{request_id}/execute", json={"parameters": PARAMETERS})
    assert started.status_code == 202
    execution_id = started.json()["execution_id"]
    assert started.json()["status"] == "running"
    assert started.json()["links"]["events"] == f"/api/kam/requests/{request_id}/events"

    order = kam.orchestrator.orders[execution_id]
    assert (order.client_id, order.priority, order.request_id) == ("alice", "high", request_id)
    assert order.parameters == {**PARAMETERS, "structureType": "course"}

    early = await alice.get(f"/api/kam/requests/{request_id}/result")
    assert early.status_code == 409
    assert early.json()["type"] == "urn:aif:problem:not_ended"

    await kam.orchestrator.progress(execution_id, 40)
    blob = await kam.store_structure()
    deliverable = await kam.orchestrator.complete(execution_id, blob)

    async def completed() -> bool:
        rows = await kam.rows("SELECT status FROM client_requests WHERE execution_id = $1", execution_id)
        return bool(rows[0]["status"] == "completed")

    await eventually(completed)
    read = (await alice.get(f"/api/kam/requests/{request_id}")).json()
    assert read["total_tokens_used"] == 1000
    assert read["total_cost_usd"] == "0.0015"
    assert read["detailed_metrics"]["stages"][0]["stage_id"] == "structure"
    assert read["execution"]["progress_percent"] == 100
    assert read["deliverables"] == [
        {
            "deliverable_id": deliverable.deliverable_id,
            "name": "course",
            "title": "Bees",
            "media_type": "application/json",
            "size_bytes": blob.size_bytes,
            "sha256": blob.sha256,
            "href": f"/api/kam/deliverables/{deliverable.deliverable_id}",
        }
    ]
    result = (await alice.get(f"/api/kam/requests/{request_id}/result")).json()
    assert (result["status"], result["structure"]) == ("completed", STRUCTURE)
    assert result["generators"] == [
        {
            "stage_id": "structure",
            "provider": "anthropic",
            "generator_used": "claude-x",
            "fallback_from": "gpt-4o-mini",
            "fallback_reason": "price_unknown",
        }
    ]
    fetched = await alice.get(f"/api/kam/deliverables/{deliverable.deliverable_id}")
    assert fetched.json() == STRUCTURE
    assert fetched.headers["etag"] == f'"{blob.sha256}"'
    again = await alice.get(
        f"/api/kam/deliverables/{deliverable.deliverable_id}", headers={"If-None-Match": fetched.headers["etag"]}
    )
    assert again.status_code == 304


async def test_an_order_in_one_call_with_an_uploaded_source(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    uploaded = await alice.post("/api/kam/sources?file_name=bees.md", content=BEES.encode())
    assert uploaded.status_code == 201
    source = uploaded.json()
    assert (source["title"], source["words"], source["headings"]) == ("Bees", 11, 2)

    ordered = await alice.post(
        "/api/kam/orders",
        json={"selected_template": "content_granulation_course", "parameters": {"source": source["source_id"]}},
    )

    assert ordered.status_code == 202
    sent = kam.orchestrator.orders[ordered.json()["execution_id"]].parameters
    assert sent["source"]["storage_key"].startswith(f"sources/alice/{source['source_id']}")
    assert sent["granularityLevel"] == 3
    blob = await kam.rows("SELECT blob FROM sources WHERE source_id = $1", source["source_id"])
    assert sent["source"]["sha256"] in blob[0]["blob"].decode()


async def test_a_multipart_upload_is_the_same_as_a_raw_one(alice: httpx.AsyncClient) -> None:
    raw = await alice.post("/api/kam/sources?file_name=bees.md", content=BEES.encode())
    form = await alice.post("/api/kam/sources", files={"source": ("bees.md", BEES.encode(), "text/markdown")})

    assert form.status_code == 201
    assert {**form.json(), "source_id": ""} == {**raw.json(), "source_id": ""}


async def test_source_text_becomes_a_source_of_the_client(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    ordered = await alice.post(
        "/api/kam/orders", json={"selected_template": "content_granulation_course", "parameters": {"source_text": BEES}}
    )

    assert ordered.status_code == 202
    sent = kam.orchestrator.orders[ordered.json()["execution_id"]].parameters
    assert "source_text" not in sent
    rows = await kam.rows("SELECT client_id, title, words FROM sources")
    assert [tuple(row) for row in rows] == [("alice", "Bees", 11)]
    assert sent["source"]["storage_key"].startswith("sources/alice/src_")


async def test_pipelines_are_executed_listed_read_and_cancelled(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    started = await alice.post(
        "/api/v1/ai/pipelines/execute", json={"pipeline_name": "content_granulation_course", "input_data": {"topic": "bees"}}
    )
    assert started.status_code == 202
    execution_id = started.json()["execution_id"]
    assert execution_id.startswith("exec_")

    listed = (await alice.get("/api/v1/ai/pipelines")).json()
    assert [pipeline["name"] for pipeline in listed["pipelines"]] == ["content_granulation_course"]
    assert [execution["execution_id"] for execution in listed["executions"]] == [execution_id]
    assert (await alice.get(f"/api/v1/ai/pipelines/{execution_id}")).json()["status"] == "running"
    assert (await alice.get(f"/api/v1/ai/pipelines/{execution_id}/result")).status_code == 409

    cancelled = await alice.delete(f"/api/v1/ai/pipelines/{execution_id}")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert (await alice.delete(f"/api/v1/ai/pipelines/{execution_id}")).status_code == 200


async def test_a_request_without_an_execution_is_cancelled_too(alice: httpx.AsyncClient) -> None:
    request_id = (await alice.post("/api/kam/requests", json={"message": "x"})).json()["request_id"]

    cancelled = await alice.delete(f"/api/kam/requests/{request_id}")

    assert cancelled.json()["status"] == "cancelled"
    chosen = await alice.put(f"/api/kam/requests/{request_id}", json={"selected_template": "content_granulation_course"})
    assert (chosen.status_code, chosen.json()["type"]) == (409, "urn:aif:problem:already_executed")


async def test_requests_are_listed_newest_first_page_by_page(alice: httpx.AsyncClient) -> None:
    made = [(await alice.post("/api/kam/requests", json={"message": f"{n}"})).json()["request_id"] for n in range(5)]

    first = (await alice.get("/api/kam/requests?limit=2")).json()
    second = (await alice.get(f"/api/kam/requests?limit=2&cursor={first['next_cursor']}")).json()
    third = (await alice.get(f"/api/kam/requests?limit=2&cursor={second['next_cursor']}")).json()

    listed = [item["request_id"] for page in (first, second, third) for item in page["requests"]]
    assert sorted(listed) == sorted(made)
    assert listed == sorted(made, reverse=True)
    assert third["next_cursor"] is None


async def test_a_refused_execution_goes_back_to_its_template_and_can_be_mended(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    request_id = (await alice.post("/api/kam/requests", json={})).json()["request_id"]
    await alice.put(f"/api/kam/requests/{request_id}", json={"selected_template": "content_granulation_course"})
    kam.orchestrator.refusal = Refusal(
        code="parameters_refused",
        message="a topic alone needs a language model",
        mistakes=(FieldMistake(field="source", message="is missing", mend="give a source document"),),
    )

    refused = await alice.post(f"/api/kam/requests/{request_id}/execute", json={"parameters": {"topic": "bees"}})

    assert refused.status_code == 422
    assert refused.json()["type"] == "urn:aif:problem:parameters_refused"
    assert refused.json()["errors"] == [{"field": "source", "message": "is missing", "mend": "give a source document"}]
    read = (await alice.get(f"/api/kam/requests/{request_id}")).json()
    assert (read["status"], read["problem"]["code"], read["execution"]) == ("template_selected", "parameters_refused", None)
    kam.orchestrator.refusal = None
    mended = await alice.post(f"/api/kam/requests/{request_id}/execute", json={"parameters": {"topic": "bees"}})
    assert mended.status_code == 202


async def test_a_request_that_somebody_may_be_asking_for_is_cancelled_when_it_is_known_whether_it_runs(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    await alice.get("/api/kam/templates")
    kam.orchestrator.is_away = True
    await alice.post("/api/kam/orders", json={"selected_template": COURSE, "parameters": {"topic": "bees"}})
    kam.orchestrator.is_away = False
    (request,) = (await alice.get("/api/kam/requests")).json()["requests"]

    too_early = await alice.delete(f"/api/kam/requests/{request['request_id']}")
    await kam.gateway.submissions.sweep()
    cancelled = await alice.delete(f"/api/kam/requests/{request['request_id']}")

    assert (too_early.status_code, too_early.headers["retry-after"]) == (409, "2")
    assert cancelled.json()["status"] == "cancelled"
    assert [view.status for view in kam.orchestrator.views.values()] == ["cancelled"]


async def test_of_many_who_execute_one_request_at_once_with_parameters_of_their_own_one_has_it_executed(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    request_id = (await alice.post("/api/kam/requests", json={})).json()["request_id"]
    await alice.put(f"/api/kam/requests/{request_id}", json={"selected_template": COURSE})

    answers = await asyncio.gather(
        *(alice.post(f"/api/kam/requests/{request_id}/execute", json={"parameters": {"topic": str(n)}}) for n in range(8))
    )

    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 7
    assert len(kam.orchestrator.orders) == 1


async def test_a_request_that_is_cancelled_after_a_refusal_does_not_name_the_refusal_as_its_end(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    request_id = (await alice.post("/api/kam/requests", json={})).json()["request_id"]
    await alice.put(f"/api/kam/requests/{request_id}", json={"selected_template": COURSE})
    kam.orchestrator.refusal = Refusal(code="order_refused", message="there is nothing to make it from")
    refused = await alice.post(f"/api/kam/requests/{request_id}/execute", json={})

    cancelled = await alice.delete(f"/api/kam/requests/{request_id}")
    result = await alice.get(f"/api/kam/requests/{request_id}/result")

    assert (refused.status_code, cancelled.status_code, result.status_code) == (422, 200, 409)
    assert (cancelled.json()["status"], cancelled.json()["problem"]) == ("cancelled", None)
    assert result.json()["detail"] == "the request has ended as cancelled and has no result"


async def test_of_two_who_execute_one_request_alike_at_once_none_is_told_to_make_another(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    request_id = (await alice.post("/api/kam/requests", json={})).json()["request_id"]
    path, body = f"/api/kam/requests/{request_id}/execute", {"parameters": {"topic": "bees"}}
    await alice.put(f"/api/kam/requests/{request_id}", json={"selected_template": COURSE})

    async def both_wait_for_the_row() -> bool:
        waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return len(await kam.rows(waiting)) == 2

    async with kam.database.transaction() as connection:
        await connection.execute("SELECT 1 FROM client_requests WHERE request_id = $1 FOR UPDATE", request_id)
        calls = [asyncio.create_task(alice.post(path, json=body)) for _ in range(2)]
        await eventually(both_wait_for_the_row)
    answers = await asyncio.gather(*calls)
    later = await alice.post(path, json=body)

    said = {answer.json()["execution_id"] if answer.status_code == 202 else answer.json()["type"] for answer in answers}
    assert said <= {later.json()["execution_id"], "urn:aif:problem:being_submitted"}
    assert list(kam.orchestrator.orders) == [later.json()["execution_id"]]


@pytest.mark.parametrize(
    ("code", "wait_ms", "status", "retry_after"),
    [
        ("budget_exceeded", None, 402, None),
        ("too_many_executions", None, 429, "2"),
        ("rate_limited", None, 429, "2"),
        ("rate_limited", 7_500, 429, "8"),
        ("a_word_that_a_newer_orchestrator_says", 1_000, 429, "1"),
    ],
)
async def test_admission_refusals_have_their_own_status_and_say_when_to_come_again(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, code: str, wait_ms: int | None, status: int, retry_after: str | None
) -> None:
    kam.orchestrator.refusal = Refusal(code=code, message="not now", retry_after_ms=wait_ms)

    refused = await alice.post("/api/kam/orders", json={"selected_template": "content_granulation_course"})

    assert (refused.status_code, refused.headers.get("retry-after")) == (status, retry_after)
    rows = await kam.rows("SELECT status, problem FROM client_requests")
    assert [row["status"] for row in rows] == ["refused"]


async def test_a_failed_execution_tells_why(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    started = (await alice.post("/api/kam/orders", json={"selected_template": "content_granulation_course"})).json()
    await kam.orchestrator.fail(started["execution_id"], "output_invalid", "the structure has no modules")

    read = (await alice.get(f"/api/kam/requests/{started['request_id']}")).json()
    assert (read["status"], read["problem"]["code"]) == ("failed", "output_invalid")
    result = await alice.get(f"/api/kam/requests/{started['request_id']}/result")
    assert (result.status_code, result.json()["type"]) == (409, "urn:aif:problem:no_result")
    assert "no modules" in result.json()["detail"]


@pytest.mark.parametrize(
    ("path", "order", "fields"),
    [
        ("/api/v1/ai/pipelines/execute", {"pipeline_name": COURSE, "input_data": {}}, ["input_data.topic", "pipeline_name"]),
        ("/api/kam/orders", {"selected_template": COURSE}, ["parameters.topic", "selected_template"]),
    ],
)
async def test_a_refusal_names_fields_as_the_caller_wrote_them_also_when_it_is_repeated(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, path: str, order: dict[str, Any], fields: list[str]
) -> None:
    mistakes = tuple(FieldMistake(field=field, message="no", mend="mend it") for field in ("parameters.topic", "template_name"))
    kam.orchestrator.refusal = Refusal(code="order_refused", message="no", mistakes=mistakes)

    answers = [await alice.post(path, json=order, headers={"Idempotency-Key": "k1"}) for _ in range(2)]

    for refused in answers:
        assert (refused.status_code, refused.json()["type"]) == (422, "urn:aif:problem:order_refused")
        assert [each["field"] for each in refused.json()["errors"]] == fields
    [request] = (await alice.get("/api/kam/requests")).json()["requests"]
    assert [each["field"] for each in request["problem"]["errors"]] == ["parameters.topic", "selected_template"]


async def test_a_number_arrives_as_it_was_sent_however_large(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    schema = {"type": "object", "properties": {"weight": {"type": "number"}}}
    kam.orchestrator.library.templates.append(replace(COURSE_VIEW, name="weighed", structure_type=None, parameters=schema))
    body = {"selected_template": "weighed", "parameters": {"weight": 1e19}}
    schedule = {**body, "name": "bees", "cron": "0 6 * * *"}

    await alice.post("/api/kam/orders", json=body)
    await alice.post("/api/kam/batches", json={"selected_template": "weighed", "inputs": [{"weight": 1e300}]})
    await kam.gateway.dispatch.submit_some()
    await alice.post("/api/kam/schedules", json=schedule)
    [row] = await kam.rows("SELECT parameters FROM schedules")
    too_large = await alice.post("/api/kam/orders", json={**body, "parameters": {"weight": 10**19}})

    sent = [order.parameters["weight"] for order in kam.orchestrator.orders.values()]
    assert [repr(weight) for weight in (*sent, msgspec.json.decode(row["parameters"])["weight"])] == [
        "1e+19",
        "1e+300",
        "1e+19",
    ]
    assert (too_large.status_code, too_large.json()["errors"][0]["field"]) == (422, "parameters.weight")


async def test_a_lost_final_event_is_made_up_for_by_reconciling(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    started = (await alice.post("/api/kam/orders", json={"selected_template": "content_granulation_course"})).json()
    await kam.orchestrator.complete(started["execution_id"], await kam.store_structure(), stored_only=True)

    await kam.reconcile()

    rows = await kam.rows("SELECT status, total_tokens_used, detailed_metrics FROM client_requests")
    assert (rows[0]["status"], rows[0]["total_tokens_used"]) == ("completed", 1000)
    assert rows[0]["detailed_metrics"] is not None


async def test_reconciling_goes_on_behind_an_execution_about_which_nobody_answers(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    order = {"selected_template": "content_granulation_course"}
    first, second = [(await alice.post("/api/kam/orders", json=order)).json()["execution_id"] for _ in range(2)]
    for execution_id in (first, second):
        await kam.orchestrator.complete(execution_id, await kam.store_structure(), stored_only=True)
    kam.orchestrator.never_answers = {first}

    await kam.reconcile()

    rows = await kam.rows("SELECT execution_id FROM client_requests WHERE status = 'completed'")
    assert [row["execution_id"] for row in rows] == [second]


async def test_reconciling_leaves_to_another_gateway_what_that_is_at_just_now(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    order = {"selected_template": "content_granulation_course"}
    first, second = [(await alice.post("/api/kam/orders", json=order)).json()["execution_id"] for _ in range(2)]
    for execution_id in (first, second):
        await kam.orchestrator.complete(execution_id, await kam.store_structure(), stored_only=True)

    await kam.takes_in_what_it_was_told()
    async with kam.database.transaction() as another:
        await another.execute("SELECT FROM client_requests WHERE execution_id = $1 FOR UPDATE", first)
        assert await kam.reconcile() == 1

    rows = await kam.rows("SELECT execution_id FROM client_requests WHERE status = 'completed'")
    assert [row["execution_id"] for row in rows] == [second]


@pytest.mark.parametrize("how", ["by the sweep", "by reading it"])
async def test_a_cost_that_becomes_known_after_the_ending_is_learned(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, how: str
) -> None:
    started = (await alice.post("/api/kam/orders", json={"selected_template": "content_granulation_course"})).json()
    await kam.orchestrator.complete(started["execution_id"], await kam.store_structure(), stored_only=True)
    await kam.reconcile()
    await kam.rows("UPDATE client_requests SET total_cost_usd = 0.001, totals = totals || '{\"cost_is_complete\": false}'")

    if how == "by the sweep":
        await kam.reconcile()
    else:
        await alice.get(f"/api/kam/requests/{started['request_id']}")

    [row] = await kam.rows("SELECT total_cost_usd, totals FROM client_requests")
    assert (row["total_cost_usd"], msgspec.json.decode(row["totals"])["cost_is_complete"]) == (Decimal(TOTALS.cost_usd), True)


@pytest.mark.parametrize("how", ["by the sweep", "by reading it"])
@pytest.mark.parametrize("unknown", ["its details", "a part of its cost"])
async def test_what_a_deleted_execution_never_told_is_asked_for_once(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, how: str, unknown: str
) -> None:
    started = (await alice.post("/api/kam/orders", json={"selected_template": "content_granulation_course"})).json()
    await kam.orchestrator.complete(started["execution_id"], await kam.store_structure(), stored_only=True)
    await kam.gateway.parts.tracker.reconcile(unseen_seconds=0)
    if unknown == "its details":
        await kam.rows("UPDATE client_requests SET detailed_metrics = NULL")
    else:
        await kam.rows("UPDATE client_requests SET totals = totals || '{\"cost_is_complete\": false}'")
    del kam.orchestrator.views[started["execution_id"]]

    async def looks() -> str:
        if how == "by the sweep":
            return f"asked for {await kam.gateway.parts.tracker.reconcile(unseen_seconds=0)}"
        kam.orchestrator.headers.clear()
        answer = await alice.get(f"/api/kam/requests/{started['request_id']}")
        assert answer.json()["status"] == "completed"
        return f"asked for {len(kam.orchestrator.headers)}"

    assert [await looks(), await looks()] == ["asked for 1", "asked for 0"]


async def test_a_running_execution_that_the_orchestrator_does_not_know_is_asked_for_again(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    started = (await alice.post("/api/kam/orders", json={"selected_template": "content_granulation_course"})).json()
    del kam.orchestrator.views[started["execution_id"]]

    assert [await kam.gateway.parts.tracker.reconcile(unseen_seconds=0) for _ in range(2)] == [1, 1]


async def test_insights_templates_health_metrics_and_the_landing_page_answer(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    assert (await alice.get("/worker-insights")).status_code == 403
    async with kam.client("admin") as admin:
        assert (await admin.get("/worker-insights?analysis_period=24h")).json()["analysis_period"] == "24h"
    assert (await alice.get("/api/kam/templates")).json()["templates"][0]["name"] == "content_granulation_course"
    template = (await alice.get("/api/kam/templates/content_granulation_course")).json()
    assert template["version"] == "1.0.0"
    assert {name: template["parameters"]["properties"][name]["type"] for name in ("source", "source_text", "topic")} == {
        "source": "string",
        "source_text": "string",
        "topic": "string",
    }
    async with httpx.AsyncClient(base_url=kam.url) as stranger:
        assert (await stranger.get("/health")).json()["status"] == "ok"
        assert (await stranger.head("/health")).status_code == 200
        assert (await stranger.get("/")).json()["places"]["requests"] == "/api/kam/requests"
        assert "<h1>AI Factory" in (await stranger.get("/", headers={"Accept": "text/html"})).text
        metrics = (await stranger.get("/metrics")).text
    assert 'aif_http_requests_total{method="GET",route="/api/kam/templates/{name}",status="200"} 1.0' in metrics
    assert 'aif_http_requests_total{method="POST",route="/api/kam/orders",status="500"} 0.0' in metrics


async def test_health_is_also_told_where_executions_are(kam: GatewayUnderTest) -> None:
    path = "/api/v1/ai/pipelines/health"
    async with httpx.AsyncClient(base_url=kam.url) as stranger:
        told, same = await stranger.get(path), await stranger.get("/health")
        described = (await stranger.get("/schema")).json()["paths"]

    assert (told.status_code, told.json()) == (200, same.json())
    assert described[path]["get"]["security"] == [{}]
    assert described[path]["get"]["responses"] == described["/health"]["get"]["responses"]


async def test_the_description_allows_no_body_that_is_refused_for_a_field_that_there_is_not_or_for_being_null(
    kam: GatewayUnderTest,
) -> None:
    async with httpx.AsyncClient(base_url=kam.url) as stranger:
        described = (await stranger.get("/schema")).json()

    bodies = {
        f"{method} {path}": operation["requestBody"]["content"]["application/json"]["schema"]
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {}) and path != "/api/kam/pipelines"
    }
    structs = {called: described["components"]["schemas"][body["$ref"].rpartition("/")[2]] for called, body in bodies.items()}
    assert "post /api/v1/ai/pipelines/{execution_id}/pause" in structs
    assert [called for called, struct in structs.items() if struct.get("additionalProperties") is not False] == []


async def test_the_description_says_what_a_key_of_a_repeated_call_and_the_id_of_a_client_may_be(kam: GatewayUnderTest) -> None:
    async with httpx.AsyncClient(base_url=kam.url) as stranger:
        paths = (await stranger.get("/schema")).json()["paths"]

    given = [each for path in paths.values() for operation in path.values() for each in operation.get("parameters", [])]
    patterns = {(each["name"], each["in"]): set[str]() for each in given}
    for each in given:
        patterns[each["name"], each["in"]].add(each["schema"].get("pattern", ""))
    assert patterns["Idempotency-Key", "header"] == {"^[!-~]{1,200}$"}
    assert patterns["client_id", "query"] == {"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"}


async def test_the_api_describes_itself_with_its_errors(kam: GatewayUnderTest) -> None:
    async with httpx.AsyncClient(base_url=kam.url) as stranger:
        described = (await stranger.get("/schema")).json()

    assert described["openapi"] == "3.1.0"
    assert "HEAD is answered wherever GET is" in described["info"]["description"]
    execute = described["paths"]["/api/kam/requests/{request_id}/execute"]["post"]
    assert set(execute["responses"]) == {
        "202",
        "400",
        "401",
        "402",
        "403",
        "404",
        "409",
        "413",
        "415",
        "422",
        "429",
        "500",
        "503",
    }
    assert "application/problem+json" in execute["responses"]["422"]["content"]
    assert execute["responses"]["202"]["content"]["application/json"]["schema"]["$ref"].endswith("/ExecutionStarted")
    assert execute["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/ExecuteRequest")
    assert any(parameter["name"] == "Idempotency-Key" for parameter in execute["parameters"])
    errors = [
        (path, verb, status, list(answer.get("content", {})))
        for path, verbs in described["paths"].items()
        for verb, operation in verbs.items()
        for status, answer in operation["responses"].items()
        if status >= "400" and "health" not in path
    ]
    assert errors
    assert [each for each in errors if each[3] != ["application/problem+json"]] == []
    models = described["components"]["schemas"]["AiSettingsWish"]["properties"]["preferred_models"]
    assert (models["type"], models["items"]["type"], models["maxItems"]) == ("array", "string", 10)


async def test_whoever_asks_for_results_hears_whether_they_were_lost_or_were_deleted_with_their_execution(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    order = {"selected_template": COURSE, "parameters": {"source_text": BEES}}
    ordered = (await alice.post("/api/kam/orders", json=order)).json()
    request_id, execution_id = ordered["request_id"], ordered["execution_id"]
    deliverable = await kam.orchestrator.complete(execution_id, await kam.store_structure())
    addresses = [
        f"/api/kam/deliverables/{deliverable.deliverable_id}",
        f"/api/kam/requests/{request_id}/result",
        f"/api/v1/ai/pipelines/{execution_id}/result",
    ]

    async def can_be_fetched() -> bool:
        return (await alice.get(addresses[0])).status_code == 200

    await eventually(can_be_fetched)
    kam.blobs.stored.clear()
    lost = [await alice.get(address) for address in addresses]
    del kam.orchestrator.views[execution_id]
    answers = [await alice.get(address) for address in addresses]

    assert [(answer.status_code, answer.json()["type"]) for answer in lost] == [(500, "urn:aif:problem:blob_missing")] * 3
    assert "no longer in the factory's blob store" in lost[0].json()["detail"]
    for answer in answers:
        assert answer.status_code == 410
        assert answer.json()["type"] == "urn:aif:problem:result_deleted"
        assert execution_id in answer.json()["detail"]
    assert (await alice.get(f"/api/kam/requests/{request_id}")).json()["status"] == "completed"


async def test_whatever_is_asked_of_a_deleted_execution_it_is_gone(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    order = {"selected_template": COURSE, "parameters": {"source_text": BEES}}
    ordered = (await alice.post("/api/kam/orders", json=order)).json()
    execution_id = ordered["execution_id"]
    await kam.orchestrator.complete(execution_id, await kam.store_structure())

    async def has_ended() -> bool:
        return bool((await alice.get(f"/api/kam/requests/{ordered['request_id']}")).json()["status"] == "completed")

    await eventually(has_ended)
    del kam.orchestrator.views[execution_id]
    address = f"/api/v1/ai/pipelines/{execution_id}"
    answers = [await alice.get(f"{address}{part}") for part in ("", "/attempts", "/calls", "/history")]
    answers += [await alice.post(f"{address}/{verb}") for verb in ("pause", "resume", "approve", "reject")]

    told = {(answer.status_code, answer.json()["type"], execution_id in answer.json()["detail"]) for answer in answers}
    assert told == {(410, "urn:aif:problem:result_deleted", True)}


async def test_what_is_known_of_a_deleted_execution_is_kept_when_somebody_wants_it_resumed(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    order = {"selected_template": COURSE, "parameters": {"source_text": BEES}}
    ordered = (await alice.post("/api/kam/orders", json=order)).json()
    address, execution_id = f"/api/kam/requests/{ordered['request_id']}", ordered["execution_id"]
    await kam.orchestrator.complete(execution_id, await kam.store_structure())

    async def details() -> Any:
        return (await alice.get(address)).json()["detailed_metrics"]

    async def are_told() -> bool:
        return await details() is not None

    await eventually(are_told)
    known = await details()
    del kam.orchestrator.views[execution_id]

    assert (await alice.post(f"/api/v1/ai/pipelines/{execution_id}/resume")).status_code == 410

    assert await details() == known


async def test_the_api_describes_files_and_figures_as_what_they_are(kam: GatewayUnderTest) -> None:
    async with httpx.AsyncClient(base_url=kam.url) as stranger:
        paths = (await stranger.get("/schema")).json()["paths"]
        metrics = await stranger.get("/metrics")

    deliverable = paths["/api/kam/deliverables/{deliverable_id}"]["get"]["responses"]
    assert deliverable["200"]["content"] == {"*/*": {"schema": {}}}
    assert {"304", "410"} <= set(deliverable)
    assert list(paths["/metrics"]["get"]["responses"]["200"]["content"]) == [metrics.headers["content-type"]]
    assert set(paths["/health"]["get"]["responses"]) == {"200", "503"}
    upload = paths["/api/kam/sources"]["post"]["requestBody"]
    assert upload["content"]["multipart/form-data"]["schema"]["properties"] == {
        "source": {"type": "string", "format": "binary"}
    }
    assert "404" in paths["/api/kam/templates/{name}/simulate"]["post"]["responses"]


async def test_the_description_can_be_read_without_a_script_and_without_anything_from_elsewhere(kam: GatewayUnderTest) -> None:
    async with httpx.AsyncClient(base_url=kam.url) as stranger:
        described = (await stranger.get("/schema")).json()
        page = await stranger.get("/docs")
        landing = await stranger.get("/", headers={"Accept": "text/html"})

    style = re.search(r"<style>(.*?)</style>", page.text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'" in page.headers["content-security-policy"]
    assert not re.search(
        r"<script|<img|<iframe|<link (?!rel=\"icon\" href=\"data:)|src=|href=\"(?![/#]|data:,)|url\(|style=", page.text
    )
    for path, methods in described["paths"].items():
        for method in methods:
            assert f"<b>{method.upper()}</b> <code>{path}</code>" in page.text
    anchors = re.findall(r' id="([^"]+)"', page.text)
    assert len(anchors) == len(set(anchors))
    assert set(described["components"]["schemas"]) <= set(anchors)
    assert set(re.findall(r'href="#([^"]+)"', page.text)) <= set(anchors)
    assert "<code>selected_template</code> <i>required</i>" in page.text
    assert '<a href="/docs">' in landing.text


async def test_the_first_page_says_whose_key_it_shows_how_to_read(kam: GatewayUnderTest) -> None:
    async with httpx.AsyncClient(base_url=kam.url, headers={"Accept": "text/html"}) as browser:
        page = await browser.get("/")

    assert "KEY=$(cat var/client.key)   # of make run; elsewhere your own" in page.text


async def test_what_a_page_shows_its_own_policy_allows(kam: GatewayUnderTest) -> None:
    async with httpx.AsyncClient(base_url=kam.url, headers={"Accept": "text/html"}) as browser:
        for path in ("/", "/docs"):
            page = await browser.get(path)
            allowed = dict(each.split(" ", 1) for each in page.headers["content-security-policy"].split("; "))
            assert '<link rel="icon" href="data:,">' in page.text
            assert allowed["img-src"] == "data:"


async def test_a_link_into_a_fold_of_the_description_leaves_the_name_of_what_it_opens_in_sight(kam: GatewayUnderTest) -> None:
    async with httpx.AsyncClient(base_url=kam.url) as stranger:
        page = (await stranger.get("/docs")).text

    folds = re.findall(r"<details><summary>.*?</summary>(.*?)</details>", page, re.DOTALL)
    assert folds
    assert all(fold.startswith('<div id="') for fold in folds)
    assert re.search(r"details > div \{ scroll-margin-top: [23]\.\drem \}", page)


async def test_head_is_answered_as_get_is_without_the_body(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    order = {"selected_template": "content_granulation_course", "parameters": {"topic": "bees"}}
    started = (await alice.post("/api/kam/orders", json=order)).json()
    deliverable = await kam.orchestrator.complete(started["execution_id"], await kam.store_structure())
    await alice.get(f"/api/kam/requests/{started['request_id']}")
    events = f"/api/kam/requests/{started['request_id']}/events"

    for path in ("/", "/health", "/schema", "/api/kam/requests", f"/api/kam/deliverables/{deliverable.deliverable_id}"):
        got, head = await alice.get(path), await alice.head(path)
        assert (head.status_code, head.content) == (200, b""), path
        assert (head.headers["content-type"], head.headers["content-length"]) == (
            got.headers["content-type"],
            got.headers["content-length"],
        )
    assert (await alice.head(events)).headers["content-type"].startswith("text/event-stream")
    assert (await alice.head("/api/kam/orders")).status_code == 405
    assert (await alice.head("/api/kam/requests/req_unknown")).status_code == 404


async def test_the_description_of_the_api_says_what_its_objects_are_and_every_lower_bound(kam: GatewayUnderTest) -> None:
    async with httpx.AsyncClient(base_url=kam.url) as stranger:
        schemas = (await stranger.get("/schema")).json()["components"]["schemas"]

    assert schemas["Kept"]["description"] == "What a resumed execution does not pay for again."
    assert schemas["Totals"]["description"] == "The sums of an execution so far, failed attempts included."
    bounds = {
        name: schemas[name]["properties"][field] for name, field in [("AccountWish", "coins"), ("BudgetWish", "energy_limit")]
    }
    assert {name: (each["minimum"], each["maximum"]) for name, each in bounds.items()} == {
        "AccountWish": (0, 10**12),
        "BudgetWish": (0, 10**12),
    }


async def test_the_description_of_the_api_says_what_its_fields_are(kam: GatewayUnderTest) -> None:
    async with httpx.AsyncClient(base_url=kam.url) as stranger:
        schemas = (await stranger.get("/schema")).json()["components"]["schemas"]
        page = (await stranger.get("/docs")).text

    wall_time, kept = "From acceptance to now or to the end.", "Of the legs before; nothing after a pause."
    assert schemas["Totals"]["properties"]["wall_time_ms"]["description"] == wall_time
    assert schemas["WorkflowResumed"]["properties"]["kept"] == {"$ref": "#/components/schemas/Kept", "description": kept}
    assert schemas["Totals"]["properties"]["in_doubt_usd"]["description"] == (
        "What calls without an answer can have cost at most, beside `cost_usd`. "
        'US dollars as decimal text, for example "0.0001875"'
    )
    assert f"<td>{wall_time}</td>" in page


async def test_no_description_of_the_api_speaks_the_words_of_python(kam: GatewayUnderTest) -> None:
    async with httpx.AsyncClient(base_url=kam.url) as stranger:
        described = (await stranger.get("/schema")).text

    assert re.findall(r'"(?:description|summary)":\s*"[^"]*\b(?:None|True|False|tuple|dict)\b', described) == []
    assert "Averages over the month's executions; null while there is none to divide by." in described


async def test_what_travels_over_nats_is_described_for_programs(kam: GatewayUnderTest) -> None:
    async with httpx.AsyncClient(base_url=kam.url) as stranger:
        answer = await stranger.get("/schema/asyncapi.json")
        first = (await stranger.get("/")).json()
        page = (await stranger.get("/", headers={"accept": "text/html"})).text

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json()["asyncapi"] == "3.0.0"
    assert answer.json()["info"]["version"] == first["version"]
    assert answer.json()["channels"]["orders"]["address"] == subjects.submit("{client_id}")
    assert first["places"]["channels"] == "/schema/asyncapi.json"
    assert 'href="/schema/asyncapi.json"' in page
