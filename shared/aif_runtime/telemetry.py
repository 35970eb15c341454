"""Traces: a port with two ends. Without a receiver configured it costs next to nothing and only hands trace headers on; with
one, spans go out through the OpenTelemetry SDK (`otel_spans.py`, imported only then).

Parents are passed as message headers: a message that arrives has them, a span gives those of its children.
"""

import enum
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol

from aif_runtime.trace_headers import trace_headers_only

Attributes = Mapping[str, str | int | float | bool]
Headers = Mapping[str, str]


class SpanKind(enum.StrEnum):
    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class Span(Protocol):
    @property
    def headers(self) -> dict[str, str]:
        """To send with messages that this span causes: their spans become its children."""
        ...

    def set(self, name: str, value: str | int | float | bool) -> None:
        """Set an attribute."""
        ...

    def fail(self, description: str) -> None:
        """Mark as failed. An exception that leaves the span does so by itself."""
        ...


class Tracing(Protocol):
    @property
    def is_on(self) -> bool:
        """False when nobody receives what is recorded."""
        ...

    def span(
        self,
        name: str,
        *,
        attributes: Attributes | None = None,
        parent: Headers | None = None,
        link: Headers | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> AbstractContextManager[Span]:
        """A span around a block, in plain and in async code. Without `parent` it is a child of the span around it in this
        asyncio task, else the root of a new trace. `link` names a span that has caused it and is not its parent."""
        ...

    def here(self) -> dict[str, str]:
        """Headers of the span around the caller in this asyncio task, to go on from it later; empty without one."""
        ...

    def child(self, parent: Headers, name: str) -> Headers:
        """Headers for the children of a span that `record_span` will tell of when it has ended, `known_as` this name."""
        ...

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
        """Record a span after the fact, times in nanoseconds since 1970. Returns the headers for its children."""
        ...

    def close(self, within_seconds: float) -> None:
        """Send what is waiting, for so long at most. Blocks: call it when no work is left, or in a thread."""
        ...


class TracingOff:
    """No receiver: spans cost a call, and a trace that came in goes on through us."""

    is_on = False

    def span(
        self,
        name: str,
        *,
        attributes: Attributes | None = None,
        parent: Headers | None = None,
        link: Headers | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> AbstractContextManager[Span]:
        return _Passing(parent)

    def here(self) -> dict[str, str]:
        return {}

    def child(self, parent: Headers, name: str) -> Headers:
        return parent

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
        return trace_headers_only(parent) if parent else {}

    def close(self, within_seconds: float) -> None:
        return None


class _Passing:
    """A span of no trace of ours."""

    __slots__ = ("_parent",)

    def __init__(self, parent: Headers | None) -> None:
        self._parent = parent

    @property
    def headers(self) -> dict[str, str]:
        return trace_headers_only(self._parent) if self._parent else {}

    def set(self, name: str, value: str | int | float | bool) -> None:
        return None

    def fail(self, description: str) -> None:
        return None

    def __enter__(self) -> Span:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        return None
