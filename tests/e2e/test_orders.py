"""All services as processes: orders in by HTTP, NATS and terminal, deliverables out, figures checked."""

import asyncio
import hashlib
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import nats
import pytest

from aif_console.factory.factory import Factory
from aif_contracts.structures import Course, Quiz
from support.factory import running_factory
from support.factory_settings import model_settings
from support.http_client import SAMPLES, FactoryClient, client_of, decoded
from support.otlp_receiver import otlp_receiver
from support.provider_double.server import provider_double
from support.waiting import eventually


async def test_a_document_becomes_a_course_step_by_step_over_http(factory: Factory) -> None:
    async with client_of(factory) as client:
        source_id = await client.upload(SAMPLES / "beekeeping.md")
        created = await client.http.post(
            "/api/kam/requests",
            json={
                "client_id": factory.keys.client_id,
                "request_type": "pipeline_execution",
                "message": "Create a course on beekeeping",
                "urgency_level": "normal",
            },
        )
        assert created.status_code == 201, created.text
        path = f"/api/kam/requests/{created.json()['request_id']}"
        selected = await client.http.put(
            path, json={"selected_template": "content_granulation_course", "template_confidence_score": 0.95}
        )
        assert selected.status_code == 200, selected.text
        executed = await client.http.post(
            f"{path}/execute",
            json={"parameters": {"source": source_id, "granularityLevel": 4, "targetAudience": "beginners"}},
        )
        assert executed.status_code == 202, executed.text
        assert executed.json()["execution_id"].startswith("exec_")

        events = await client.events(created.json()["request_id"])
        request = await client.ended(created.json()["request_id"])
        result = await client.http.get(f"{path}/result")
        deliverable = await client.http.get(request["deliverables"][0]["href"])

    assert [number for number, _ in events] == list(range(1, len(events) + 1))
    assert events[0][1]["data"]["event_type"] == "WORKFLOW_STARTED"
    assert events[-1][1]["data"]["event_type"] == "WORKFLOW_COMPLETED"
    assert events[-1][1]["progresspercent"] == 100
    assert request["status"] == "completed"
    assert request["total_tokens_used"] == 0
    assert request["total_cost_usd"] == "0"
    course = decoded(deliverable.content, Course)
    assert len(course.modules) >= 4
    assert course.granularity_level == 4
    assert course.made_by.startswith("local_extractive")
    assert hashlib.sha256(deliverable.content).hexdigest() == request["deliverables"][0]["sha256"]
    assert result.json()["structure"] == json.loads(deliverable.content)
    text = (SAMPLES / "beekeeping.md").read_text(encoding="utf-8")
    points = [point for module in course.modules for lesson in module.lessons for point in lesson.key_points]
    assert points
    assert all(_plain(point.text) in _plain(text) for point in points)
    totals = request["totals"]
    assert totals["attempts"] == 1
    assert totals["cost_is_complete"] is True
    assert 0 < totals["busy_time_ms"] <= totals["wall_time_ms"]
    assert totals["resource_usage"]["cpu_time_ms"] > 0
    assert totals["resource_usage"]["memory_mb"] > 0
    assert totals["resource_usage"]["r2_operations"] >= 2


async def test_a_document_becomes_a_quiz_whose_keys_are_in_the_document(factory: Factory) -> None:
    async with client_of(factory) as client:
        source_id = await client.upload(SAMPLES / "network-basics.txt")
        accepted = await client.order("content_granulation_quiz", {"source": source_id, "questionCount": 8})
        request = await client.ended(accepted["request_id"])
        deliverable = await client.http.get(request["deliverables"][0]["href"])

    quiz = decoded(deliverable.content, Quiz)
    assert len(quiz.questions) == 8
    for question in quiz.questions:
        assert len(set(question.options)) == len(question.options)
        assert question.source is not None


async def test_one_json_message_on_nats_is_an_order(factory: Factory) -> None:
    order = {
        "template": "content_granulation_course",
        "parameters": {"source_text": (SAMPLES / "beekeeping.md").read_text(encoding="utf-8")},
        "idempotency_key": "from-another-system-1",
    }
    client_id = factory.keys.client_id
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    connection = await nats.connect(factory.folder.nats_url.read_text().strip())
    try:

        async def hear(message: Any) -> None:
            heard.put_nowait(message.data)

        await connection.subscribe(f"aif.event.{client_id}.*.workflow_completed", cb=hear)
        for _ in range(3):
            await connection.jetstream().publish(f"aif.request.submit.{client_id}", json.dumps(order).encode())
        *_, final = json.loads(await asyncio.wait_for(heard.get(), 20))
    finally:
        await connection.close()

    async with client_of(factory) as client:
        page = (await client.http.get("/api/kam/requests")).json()
        [listed] = [each for each in page["requests"] if each["origin"] == "bus" and each["status"] != "refused"]
        request = await client.ended(listed["request_id"])
        assert request["status"] == "completed"
        assert request["origin"] == "bus"
        assert request["execution"]["execution_id"] == final["subject"]
        deliverable = await client.http.get(request["deliverables"][0]["href"])
    assert decoded(deliverable.content, Course).modules


async def test_a_refused_order_on_nats_is_kept_with_its_reason(factory: Factory) -> None:
    client_id = factory.keys.client_id
    connection = await nats.connect(factory.folder.nats_url.read_text().strip())
    try:
        await connection.jetstream().publish(f"aif.request.submit.{client_id}", b'{"template": "no_such_template"}')
        await connection.jetstream().publish(f"aif.request.submit.{client_id}", b"not json")
        async with client_of(factory) as client:
            refused = await eventually(lambda: _refused(client, 2))
        letters = await eventually(lambda: _dead_letters(connection))
    finally:
        await connection.close()

    assert any("no_such_template" in each["problem"]["message"] for each in refused)
    assert any("malformed" in each["problem"]["message"] for each in refused)
    assert len(letters) == 2


async def test_a_topic_without_source_and_without_a_model_is_refused_with_what_to_set(factory: Factory) -> None:
    async with client_of(factory) as client:
        response = await client.http.post(
            "/api/kam/orders",
            json={"selected_template": "content_granulation_course", "parameters": {"topic": "Beekeeping"}},
        )

    assert response.status_code == 422
    assert response.headers["content-type"].startswith("application/problem+json")
    problem = response.json()
    assert problem["errors"][0]["field"] == "parameters.source"
    assert "OPENAI_API_KEY" in problem["detail"]
    assert "AIF_OPENAI_BASE_URL" in problem["detail"]


async def test_every_ended_attempt_is_in_the_insights(factory_dir: Path) -> None:
    async with running_factory(factory_dir) as factory, client_of(factory) as client:
        source_id = await client.upload(SAMPLES / "sourdough.html")
        for _ in range(3):
            accepted = await client.order("content_granulation_course", {"source": source_id})
            await client.ended(accepted["request_id"])
        admin = {"X-API-Key": factory.keys.admin_key}

        async def figures() -> dict[str, Any] | None:
            response = await client.http.get("/worker-insights", params={"worker_name": "content_granulator"}, headers=admin)
            assert response.status_code == 200, response.text
            found = response.json()["figures"]
            return found[0] if found and found[0]["attempts"] == 3 else None

        figure = await eventually(figures)
    assert figure is not None
    assert figure["success_rate"] == 1.0
    assert figure["cost_usd_total"] == "0"
    assert figure["action"] == "structure_course"


async def test_with_a_model_a_topic_alone_becomes_a_course_and_the_cost_is_the_bill(factory_dir: Path) -> None:
    async with provider_double() as provider:
        settings = model_settings(provider)
        async with running_factory(factory_dir, settings) as factory, client_of(factory) as client:
            accepted = await client.order("content_granulation_course", {"topic": "Machine Learning Fundamentals"})
            events = await client.events(accepted["request_id"])
            request = await client.ended(accepted["request_id"])
            assert request["status"] == "completed", request["problem"]
            deliverable = await client.http.get(request["deliverables"][0]["href"])

    assert decoded(deliverable.content, Course).modules
    assert len(provider.bill) == 1
    entry = provider.bill[0]
    tokens = request["totals"]["tokens_used"]
    assert (tokens["prompt_tokens"], tokens["completion_tokens"]) == (entry.prompt_tokens, entry.output_tokens)
    assert Decimal(request["total_cost_usd"]) == entry.cost_usd
    assert "COST_INCURRED" in [event["data"]["event_type"] for _, event in events]
    assert provider.headers[0]["authorization"] == "Bearer sk-test"


async def test_one_trace_goes_from_the_post_to_the_deliverable(factory_dir: Path) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    async with otlp_receiver() as receiver:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        async with running_factory(factory_dir, settings) as factory, client_of(factory) as client:
            source_id = await client.upload(SAMPLES / "beekeeping.md")
            client.http.headers["traceparent"] = f"00-{trace_id}-b7ad6b7169203331-01"
            accepted = await client.order("content_granulation_course", {"source": source_id})
            del client.http.headers["traceparent"]
            await client.ended(accepted["request_id"])
        spans = receiver.of_trace(trace_id)

    assert {span.service for span in spans} >= {"kam", "orchestrator", "granulator"}
    assert "execution" in {span.name for span in spans}
    known = {span.span_id for span in spans} | {"b7ad6b7169203331"}
    assert all(span.parent_id in known for span in spans)


async def test_in_the_trace_a_provider_call_belongs_to_its_attempt_its_stage_and_its_execution(factory_dir: Path) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with otlp_receiver() as receiver, provider_double() as provider:
        settings = {
            **model_settings(provider),
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        async with running_factory(factory_dir, settings) as factory, client_of(factory) as client:
            source_id = await client.upload(SAMPLES / "beekeeping.md")
            client.http.headers["traceparent"] = f"00-{trace_id}-00f067aa0ba902b7-01"
            accepted = await client.order("content_granulation_course", {"source": source_id})
            del client.http.headers["traceparent"]
            await client.ended(accepted["request_id"])
        spans = {span.span_id: span for span in receiver.of_trace(trace_id)}

    call = next(span for span in spans.values() if "aif.call_key" in span.attributes)
    attempt = spans[call.parent_id]
    stage = spans[attempt.parent_id]
    execution = spans[stage.parent_id]
    assert [span.name for span in (attempt, stage, execution)] == ["attempt", "stage", "execution"]
    assert [span.service for span in (call, attempt, stage, execution)] == ["granulator"] * 2 + ["orchestrator"] * 2
    assert stage.attributes["aif.stage_id"] == attempt.attributes["aif.stage_id"]
    assert execution.parent_id in spans


async def test_a_restarted_factory_goes_on_with_its_data(factory_dir: Path) -> None:
    async with running_factory(factory_dir) as factory, client_of(factory) as client:
        source_id = await client.upload(SAMPLES / "beekeeping.md")
        accepted = await client.order("content_granulation_course", {"source": source_id})
        await client.ended(accepted["request_id"])
        key = factory.keys.client_key

    async with running_factory(factory_dir) as factory, client_of(factory) as client:
        assert factory.keys.client_key == key
        request = await client.request(accepted["request_id"])
        deliverable = await client.http.get(request["deliverables"][0]["href"])
        again = await client.order("content_granulation_quiz", {"source": source_id})
        assert (await client.ended(again["request_id"]))["status"] == "completed"

    assert decoded(deliverable.content, Course).modules


@pytest.mark.parametrize("kind", ["course", "quiz"])
async def test_the_terminal_orders_watches_and_prints(factory: Factory, kind: str, tmp_path: Path) -> None:
    out = tmp_path / "deliverable.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "aif_console", "order", kind, "--source", str(SAMPLES / "beekeeping.md")),
        *("--url", factory.kam_url, "--key", factory.keys.client_key, "--out", str(out), "--watch"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await asyncio.wait_for(process.communicate(), 60)

    text = printed.decode()
    assert process.returncode == 0, text
    assert "local_extractive" in text
    assert decoded(out.read_bytes(), Course if kind == "course" else Quiz)
    assert str(out) in text.replace("\n", "")


async def _refused(client: FactoryClient, at_least: int) -> list[dict[str, Any]] | None:
    page = (await client.http.get("/api/kam/requests")).json()
    refused = [each for each in page["requests"] if each["status"] == "refused"]
    return refused if len(refused) >= at_least else None


async def _dead_letters(connection: Any) -> list[Any] | None:
    info = await connection.jetstream().stream_info("AIF_DEAD")
    return [None] * info.state.messages if info.state.messages >= 2 else None


def _plain(text: str) -> str:
    """Without Markdown's marks and line breaks."""
    return " ".join(text.replace("*", "").replace("`", "").split())
