"""Chooses where a process's traces go."""

from collections.abc import Callable

from aif_runtime.telemetry import Tracing, TracingOff


def open_tracing(*, service: str, version: str, endpoint: str | None, redact: Callable[[str], str]) -> Tracing:
    """Traces to the OTLP/HTTP receiver at `endpoint` (its base URL), or nowhere when None."""
    if endpoint is None:
        return TracingOff()
    from aif_runtime.otel_spans import OtelTracing  # costs 200 ms and 20 MB, which only a traced process pays

    return OtelTracing(service=service, version=version, endpoint=endpoint, redact=redact)
