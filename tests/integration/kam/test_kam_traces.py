"""One trace goes through the gateway: from the caller's header to the questions that the call causes."""

import asyncio

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, StatusCode

from aif_contracts import subjects
from aif_contracts.orders import Refusal
from aif_runtime.otel_spans import OtelTracing
from integration.kam.gateway_under_test import open_gateway

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_a_question_belongs_to_the_trace_of_the_call_that_caused_it(fresh_kam_database: str) -> None:
    # Nothing listens at this address: the spans are made, and their export fails in silence at the end.
    tracing = OtelTracing(service="kam", version="test", endpoint="http://127.0.0.1:9", redact=lambda text: text)
    async with open_gateway(fresh_kam_database, tracing=tracing) as kam, kam.client() as alice, kam.client("admin") as admin:
        traced = await alice.post(
            "/api/kam/orders",
            json={"selected_template": "content_granulation_course"},
            headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"},
        )
        other = await admin.get("/worker-insights")

        assert (traced.status_code, other.status_code) == (202, 200)
        _, trace, span, _ = kam.orchestrator.headers[subjects.EXECUTE]["traceparent"].split("-")
        assert trace == TRACE
        assert span != "00f067aa0ba902b7"
    tracing.close(0.1)


async def test_the_span_of_a_request_that_could_not_be_answered_has_failed_and_that_of_a_wrong_one_has_not(
    fresh_kam_database: str,
) -> None:
    exporter = InMemorySpanExporter()
    tracing = OtelTracing(service="kam", version="test", endpoint="", redact=str, exporter=exporter)
    async with open_gateway(fresh_kam_database, tracing=tracing) as kam, kam.client() as alice:
        message = "it is being carried somewhere else"
        kam.orchestrator.refusal = Refusal(code="database_unavailable", message=message, retry_after_ms=1_000)
        unavailable = await alice.post("/api/kam/orders", json={"selected_template": "content_granulation_course"})
        wrong = await alice.post("/api/kam/orders", json={"selected_template": 5})
    await asyncio.to_thread(tracing.close, 5)

    assert (unavailable.status_code, wrong.status_code) == (503, 422)
    posts = [span for span in exporter.get_finished_spans() if span.name == "HTTP POST"]
    told = [((span.attributes or {})["http.response.status_code"], span.status.status_code) for span in posts]
    assert told == [(503, StatusCode.ERROR), (422, StatusCode.UNSET)]
    assert (posts[0].attributes or {})["error.type"] == "503"


async def test_the_orders_of_a_batch_have_traces_of_their_own_that_lead_to_the_one_of_the_batch(
    fresh_kam_database: str,
) -> None:
    exporter = InMemorySpanExporter()
    tracing = OtelTracing(service="kam", version="test", endpoint="", redact=str, exporter=exporter)
    async with open_gateway(fresh_kam_database, tracing=tracing) as kam, kam.client() as alice:
        batch = {"selected_template": "content_granulation_course", "inputs": [{"topic": "bees"}, {"topic": "wax"}]}
        ordered = await alice.post("/api/kam/batches", json=batch)
        while await kam.gateway.dispatch.submit_some():
            pass
    await asyncio.to_thread(tracing.close, 5)

    assert ordered.status_code == 202
    spans = exporter.get_finished_spans()
    (post,) = [span for span in spans if span.name == "HTTP POST"]
    asked = [span for span in spans if span.name == f"ask {subjects.EXECUTE}"]
    assert [span.parent for span in asked] == [None, None]
    assert [_ids(link.context) for span in asked for link in span.links] == [_ids(post.context)] * 2
    assert len({_ids(span.context)[0] for span in (post, *asked)}) == 3


async def test_an_order_that_is_asked_for_again_when_nobody_waits_stays_in_its_trace(fresh_kam_database: str) -> None:
    exporter = InMemorySpanExporter()
    tracing = OtelTracing(service="kam", version="test", endpoint="", redact=str, exporter=exporter)
    async with open_gateway(fresh_kam_database, tracing=tracing) as kam, kam.client() as alice:
        kam.orchestrator.refusal = Refusal(code="database_unavailable", message="it is away", retry_after_ms=1_000)
        unanswered = await alice.post("/api/kam/orders", json={"selected_template": "content_granulation_course"})
        kam.orchestrator.refusal = None
        settled = await kam.gateway.submissions.sweep()
    await asyncio.to_thread(tracing.close, 5)

    assert (unanswered.status_code, settled) == (503, 1)
    spans = exporter.get_finished_spans()
    (post,) = [span for span in spans if span.name == "HTTP POST"]
    first, again = [span for span in spans if span.name == f"ask {subjects.EXECUTE}"]
    assert first.parent == post.context
    assert _ids(again.parent) == _ids(post.context)


async def test_all_that_a_due_time_of_a_schedule_asks_is_one_trace_that_names_the_schedule(fresh_kam_database: str) -> None:
    exporter = InMemorySpanExporter()
    tracing = OtelTracing(service="kam", version="test", endpoint="", redact=str, exporter=exporter)
    async with open_gateway(fresh_kam_database, tracing=tracing) as kam, kam.client() as alice:
        schedule = {"name": "Bees", "selected_template": "content_granulation_course", "cron": "0 6 1 1 *"}
        made = await alice.post("/api/kam/schedules", json={**schedule, "parameters": {"topic": "bees"}})
        await kam.rows("UPDATE schedules SET next_at = '2026-01-01T06:00Z', look_at = '2026-01-01T06:00Z' RETURNING 1")
        for firing in await kam.gateway.firings.take():
            await kam.gateway.firings.fire(firing)
    await asyncio.to_thread(tracing.close, 5)

    spans = exporter.get_finished_spans()
    (due,) = [span for span in spans if span.name == "schedule"]
    (asked,) = [span for span in spans if span.name == f"ask {subjects.EXECUTE}"]
    assert (due.attributes or {})["aif.schedule_id"] == made.json()["schedule_id"]
    assert (due.attributes or {})["aif.due_at"] == "2026-01-01T06:00:00.000Z"
    assert asked.parent == due.context


def _ids(context: SpanContext | None) -> tuple[int, int]:
    assert context is not None
    return context.trace_id, context.span_id
