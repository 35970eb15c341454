"""One trace goes through the gateway: from the caller's header to the questions that the call causes."""

from aif_contracts import subjects
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
