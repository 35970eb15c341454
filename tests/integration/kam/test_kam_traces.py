"""One trace goes through the gateway: from the caller's header to the questions that the call causes."""

import asyncio

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

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
