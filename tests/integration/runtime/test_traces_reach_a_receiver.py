"""Spans as an OTLP receiver sees them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from structlog.testing import capture_logs

from aif_contracts.reports import Completed
from aif_runtime.health import Receive, Scope, Send
from aif_runtime.open_tracing import open_tracing
from aif_runtime.redaction import Redactor
from aif_runtime.telemetry import SpanKind, Tracing
from aif_runtime.web_server import WebServer
from support.waiting import eventually
from support.worker_rig import WorkerRig

ROOT = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


class Receiver:
    """Keeps the spans that are posted to it."""

    def __init__(self) -> None:
        self.spans: dict[str, Span] = {}
        self.services: set[str] = set()
        self.answers = asyncio.Event()
        self.answers.set()
        self.is_well = True
        self.refused = 0

    def has_refused(self, times: int) -> bool:
        return self.refused == times

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["path"] == "/v1/traces"
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        await self.answers.wait()
        if not self.is_well:
            self.refused += 1
            await send({"type": "http.response.start", "status": 400, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        request = ExportTraceServiceRequest.FromString(_plain(scope, body))
        for resource in request.resource_spans:
            attributes = {item.key: item.value.string_value for item in resource.resource.attributes}
            self.services.add(attributes["service.name"])
            self.spans.update((span.name, span) for scoped in resource.scope_spans for span in scoped.spans)
        reply = ExportTraceServiceResponse().SerializeToString()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/x-protobuf")]})
        await send({"type": "http.response.body", "body": reply})


def _plain(scope: Scope, body: bytes) -> bytes:
    assert (b"content-encoding", b"gzip") not in scope["headers"]
    return body


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, str]]:
    keeper, stop = Receiver(), asyncio.Event()
    server = WebServer(keeper.app, host="127.0.0.1", port=0)
    serving = asyncio.create_task(server.serve(stop))
    yield keeper, f"http://127.0.0.1:{server.port}"
    stop.set()
    await serving


@pytest.fixture
def secrets() -> Redactor:
    return Redactor(["hunter22"])


def tracing_to(url: str, redactor: Redactor) -> Tracing:
    return open_tracing(service="hive", version="1.2.3", endpoint=url, redact=redactor.text)


async def test_a_span_is_the_child_of_the_message_that_caused_it(receiver: tuple[Receiver, str], secrets: Redactor) -> None:
    keeper, url = receiver
    tracing = tracing_to(url, secrets)

    with tracing.span("outer", parent=ROOT, kind=SpanKind.CONSUMER, attributes={"stage": "s1", "count": 3}) as outer:
        with tracing.span("inner"):
            pass
        headers = outer.headers
    await asyncio.to_thread(tracing.close, 5.0)

    assert keeper.services == {"hive"}
    root, child = keeper.spans["outer"], keeper.spans["inner"]
    assert root.trace_id.hex() == child.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert root.parent_span_id.hex() == "b7ad6b7169203331"
    assert child.parent_span_id == root.span_id
    assert headers == {"traceparent": f"00-0af7651916cd43dd8448eb211c80319c-{root.span_id.hex()}-01"}
    assert root.kind == Span.SPAN_KIND_CONSUMER


async def test_a_span_can_be_recorded_after_the_fact(receiver: tuple[Receiver, str], secrets: Redactor) -> None:
    keeper, url = receiver
    tracing = tracing_to(url, secrets)
    now = time.time_ns()

    headers = tracing.record_span("queued", start_ns=now - 5_000_000, end_ns=now, parent=ROOT, failure="gave up")
    await asyncio.to_thread(tracing.close, 5.0)

    span = keeper.spans["queued"]
    assert span.end_time_unix_nano - span.start_time_unix_nano == 5_000_000
    assert (span.status.code, span.status.message) == (Status.STATUS_CODE_ERROR, "gave up")
    assert span.span_id.hex() in headers["traceparent"]


async def test_children_know_their_span_before_it_is_recorded(receiver: tuple[Receiver, str], secrets: Redactor) -> None:
    keeper, url = receiver
    tracing = tracing_to(url, secrets)
    now = time.time_ns()

    early = tracing.child(ROOT, "the stage")
    with tracing.span("attempt", parent=early):
        pass
    told = tracing.record_span("stage", start_ns=now - 5_000_000, end_ns=now, parent=ROOT, known_as="the stage")
    tracing.record_span("other", start_ns=now - 5_000_000, end_ns=now, parent=ROOT, known_as="another stage")
    await asyncio.to_thread(tracing.close, 5.0)

    assert told == early
    assert keeper.spans["attempt"].parent_span_id == keeper.spans["stage"].span_id
    assert keeper.spans["stage"].parent_span_id.hex() == "b7ad6b7169203331"
    assert keeper.spans["other"].span_id != keeper.spans["stage"].span_id


async def test_secrets_do_not_leave_in_spans(receiver: tuple[Receiver, str], secrets: Redactor) -> None:
    keeper, url = receiver
    tracing = tracing_to(url, secrets)

    with contextlib.suppress(ValueError), tracing.span("call", attributes={"key": "hunter22"}) as span:
        span.set("later", "also hunter22")
        raise ValueError("bad key hunter22")
    await asyncio.to_thread(tracing.close, 5.0)

    told = keeper.spans["call"]
    assert told.status.message == "ValueError: bad key ***"
    assert "hunter22" not in str(told)


async def test_an_attempt_is_one_span_of_the_trace_that_its_packet_brings(
    receiver: tuple[Receiver, str], secrets: Redactor
) -> None:
    keeper, url = receiver
    tracing = tracing_to(url, secrets)
    rig = WorkerRig(tracing=tracing)

    async with rig.running():
        await rig.offer(await rig.packet(), headers=ROOT)
        [report] = await rig.reports()
    await asyncio.to_thread(tracing.close, 5.0)

    span = keeper.spans["attempt"]
    assert isinstance(report, Completed)
    assert span.parent_span_id.hex() == "b7ad6b7169203331"
    assert span.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    attributes = {item.key: item.value.string_value or item.value.int_value for item in span.attributes}
    assert attributes == {
        "aif.execution_id": "exec_1",
        "aif.stage_id": "stage_1",
        "aif.attempt": 1,
        "aif.worker": "echo",
        "aif.action": "say",
    }


async def test_a_receiver_that_takes_no_spans_is_told_of_once_and_once_when_it_takes_them_again(
    receiver: tuple[Receiver, str], secrets: Redactor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, url = receiver
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    keeper.is_well = False
    tracing = tracing_to(url, secrets)

    with capture_logs() as lines:
        for times in (1, 2, 3):
            with tracing.span("lost"):
                pass
            await eventually(partial(keeper.has_refused, times))
        keeper.is_well = True
        with tracing.span("taken"):
            pass
        await eventually(lambda: "taken" in keeper.spans)
        await asyncio.to_thread(tracing.close, 5.0)

    assert lines == [
        {
            "event": "traces_not_taken",
            "log_level": "warning",
            "endpoint": url,
            "reason": "Failed to export spans batch code: 400, reason: Bad Request",
        },
        {"event": "traces_taken_again", "log_level": "info", "endpoint": url, "lost_spans": 3},
    ]
    assert caplog.records == []


async def test_closing_is_bounded_when_the_receiver_does_not_answer(receiver: tuple[Receiver, str], secrets: Redactor) -> None:
    keeper, url = receiver
    keeper.answers.clear()
    tracing = tracing_to(url, secrets)
    with tracing.span("slow"):
        pass

    began = time.monotonic()
    await asyncio.to_thread(tracing.close, 0.2)
    seconds = time.monotonic() - began
    keeper.answers.set()

    # Left to itself it would wait five for the answer.
    assert seconds < 4
