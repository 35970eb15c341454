"""Spans on their way to a receiver that may be away: told once when it takes none, and once when it takes them again."""

import logging
from collections.abc import Sequence

import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

_SENDERS_LOGGER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"

_log = structlog.get_logger()


class ToldDelivery(SpanExporter):
    """Wraps a sender, which would tell of each try of each batch. Used by one thread at a time, until `shutdown`."""

    def __init__(self, sender: SpanExporter, *, endpoint: str) -> None:
        self._sender = sender
        self._endpoint = endpoint
        self._complaints = _Complaints()
        self._lost = 0
        """Spans since the receiver took some."""
        logging.getLogger(_SENDERS_LOGGER).addFilter(self._complaints)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._complaints.first = ""
        result = self._sender.export(spans)
        if result is SpanExportResult.SUCCESS:
            if self._lost:
                _log.info("traces_taken_again", endpoint=self._endpoint, lost_spans=self._lost)
                self._lost = 0
            return result
        if not self._lost:
            _log.warning("traces_not_taken", endpoint=self._endpoint, reason=self._complaints.first)
        self._lost += len(spans)
        return result

    def shutdown(self) -> None:
        self._sender.shutdown()
        logging.getLogger(_SENDERS_LOGGER).removeFilter(self._complaints)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._sender.force_flush(timeout_millis)


class _Complaints(logging.Filter):
    """Keeps what the sender logs: its first words about a batch say why, the later ones that it has given up."""

    def __init__(self) -> None:
        super().__init__()
        self.first = ""

    def filter(self, record: logging.LogRecord) -> bool:
        self.first = self.first or record.getMessage()
        return False
