"""Spans through the OpenTelemetry SDK to an OTLP/HTTP receiver, sent in batches by a background thread."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_BSP_SCHEDULE_DELAY
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.util.types import AttributeValue

from aif_runtime.otel_delivery import ToldDelivery
from aif_runtime.telemetry import Attributes, Headers, Span, SpanKind
from aif_runtime.trace_headers import TraceParent, headers_of_child, read_trace_headers, write_trace_headers

_KINDS = {
    SpanKind.INTERNAL: trace.SpanKind.INTERNAL,
    SpanKind.SERVER: trace.SpanKind.SERVER,
    SpanKind.CLIENT: trace.SpanKind.CLIENT,
    SpanKind.PRODUCER: trace.SpanKind.PRODUCER,
    SpanKind.CONSUMER: trace.SpanKind.CONSUMER,
}
_EXPORT_SECONDS = 5
_BATCH_DELAY_MS = 1000


class OtelTracing:
    is_on = True

    def __init__(
        self,
        *,
        service: str,
        version: str,
        endpoint: str,
        redact: Callable[[str], str],
        exporter: SpanExporter | None = None,
    ) -> None:
        resource = Resource.create(
            {
                "service.name": service,
                "service.version": version,
                "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
            }
        )
        self._ids = _Ids()
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False, id_generator=self._ids)
        sender = exporter or OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces", timeout=_EXPORT_SECONDS)
        self._batches = BatchSpanProcessor(ToldDelivery(sender, endpoint=endpoint), schedule_delay_millis=_batch_delay_ms())
        self._provider.add_span_processor(self._batches)
        self._tracer = self._provider.get_tracer("aif_runtime", version)
        self._redact = redact

    @contextlib.contextmanager
    def span(
        self,
        name: str,
        *,
        attributes: Attributes | None = None,
        parent: Headers | None = None,
        link: Headers | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> Iterator[Span]:
        linked = _span_context(link)
        with self._tracer.start_as_current_span(
            name,
            context=_context(parent),
            kind=_KINDS[kind],
            links=None if linked is None else [trace.Link(linked)],
            attributes=self._clean(attributes),
            record_exception=False,
            set_status_on_exception=False,
        ) as inner:
            span = _OtelSpan(inner, self._redact)
            try:
                yield span
            except BaseException as error:
                span.fail(f"{type(error).__name__}: {error}")
                raise

    def here(self) -> dict[str, str]:
        return _headers_of(trace.get_current_span().get_span_context())

    def child(self, parent: Headers, name: str) -> Headers:
        return headers_of_child(parent, name)

    def record_span(
        self,
        name: str,
        *,
        start_ns: int,
        end_ns: int,
        parent: Headers | None,
        attributes: Attributes | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        failure: str | None = None,
        known_as: str | None = None,
    ) -> dict[str, str]:
        with self._ids.given(headers_of_child(parent, known_as) if parent and known_as else None):
            span = self._tracer.start_span(
                name, context=_context(parent), kind=_KINDS[kind], attributes=self._clean(attributes), start_time=start_ns
            )
        if failure is not None:
            span.set_status(Status(StatusCode.ERROR, self._redact(failure)))
        span.end(end_time=max(start_ns, end_ns))
        return _headers_of(span.get_span_context())

    def close(self, within_seconds: float) -> None:
        # The provider's own shutdown takes no time limit; its only processor's does.
        self._batches._batch_processor.shutdown(timeout_millis=int(within_seconds * 1000))

    def _clean(self, attributes: Attributes | None) -> dict[str, AttributeValue] | None:
        if not attributes:
            return None
        return {name: self._redact(value) if isinstance(value, str) else value for name, value in attributes.items()}


class _Ids(RandomIdGenerator):
    """Random ones, but for spans whose children were told theirs before."""

    def __init__(self) -> None:
        self._given: ContextVar[int | None] = ContextVar("given", default=None)

    @contextlib.contextmanager
    def given(self, headers: Headers | None) -> Iterator[None]:
        read = read_trace_headers(headers)
        token = self._given.set(None if read is None else int(read.span_id, 16))
        try:
            yield
        finally:
            self._given.reset(token)

    def generate_span_id(self) -> int:
        return self._given.get() or super().generate_span_id()


class _OtelSpan:
    __slots__ = ("_redact", "_span")

    def __init__(self, span: trace.Span, redact: Callable[[str], str]) -> None:
        self._span = span
        self._redact = redact

    @property
    def headers(self) -> dict[str, str]:
        return _headers_of(self._span.get_span_context())

    def set(self, name: str, value: str | int | float | bool) -> None:
        self._span.set_attribute(name, self._redact(value) if isinstance(value, str) else value)

    def fail(self, description: str) -> None:
        self._span.set_status(Status(StatusCode.ERROR, self._redact(description)))


def _batch_delay_ms() -> float | None:
    """None where the operator has set one, which the SDK reads as it reads the sampler; its own default is five seconds."""
    return None if os.environ.get(OTEL_BSP_SCHEDULE_DELAY) else _BATCH_DELAY_MS


def _context(parent: Headers | None) -> Context | None:
    """None leaves the choice to the span around the caller."""
    remote = _span_context(parent)
    if remote is None:
        return Context() if parent is not None else None
    return trace.set_span_in_context(trace.NonRecordingSpan(remote), Context())


def _span_context(headers: Headers | None) -> SpanContext | None:
    read = read_trace_headers(headers)
    if read is None:
        return None
    return SpanContext(
        trace_id=int(read.trace_id, 16),
        span_id=int(read.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if read.sampled else TraceFlags.DEFAULT),
        trace_state=TraceState.from_header([read.tracestate]) if read.tracestate else None,
    )


def _headers_of(context: SpanContext) -> dict[str, str]:
    if not context.is_valid:
        return {}
    return write_trace_headers(
        TraceParent(
            trace_id=f"{context.trace_id:032x}",
            span_id=f"{context.span_id:016x}",
            sampled=bool(context.trace_flags & TraceFlags.SAMPLED),
            tracestate=context.trace_state.to_header() if context.trace_state else "",
        )
    )
