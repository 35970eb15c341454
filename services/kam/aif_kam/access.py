"""Around every HTTP request: a span of its trace, its figures, its place in front of Postgres, and headers that keep browsers
careful.

HEAD is answered wherever GET is, with the same headers and no body. `Allow` names all methods of an address: what the framework
says of them forgets those of some handlers, and HEAD. A WebSocket that is refused before it was accepted is accepted and then
closed, because a refused handshake would be a bare 403, whatever the reason.
"""

import time
from collections.abc import Collection, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram

from aif_kam import problems
from aif_runtime.connection_line import arriving
from aif_runtime.health import AsgiApp, Receive, Scope, Send
from aif_runtime.postgres import reading
from aif_runtime.telemetry import SpanKind, Tracing
from aif_runtime.trace_headers import TRACEPARENT, TRACESTATE

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_READING = frozenset({"GET", "HEAD"})
_LEAST_FAILURE = 500
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
_CAREFUL = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}


class Access:
    """An ASGI app around the app. Routes are counted by their pattern, so that ids make no new time series.

    Mistakes of ours are counted from 0: of a counter that appears with its first 1, no reader sees that it has grown.
    """

    def __init__(
        self, app: AsgiApp, *, methods: Mapping[str, Collection[str]], tracing: Tracing, registry: CollectorRegistry
    ) -> None:
        """`methods` of each route, by its pattern."""
        self._app = app
        self._allowed = {route: _allow(those) for route, those in methods.items()}
        self._tracing = tracing
        self._requests = Counter("aif_http_requests", "HTTP requests", ("method", "route", "status"), registry=registry)
        for route, named in methods.items():
            for method in _METHODS.intersection(named):
                self._requests.labels(method, route, "500")
        self._seconds = Histogram(
            "aif_http_request_seconds",
            "Time to the end of the answer",
            ("method", "route"),
            buckets=_SECONDS,
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            with reading(), arriving():
                await self._app(scope, receive, _accepting(scope, send))
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        is_head, is_told = method == "HEAD", False
        if is_head:
            scope = {**scope, "method": "GET"}
        began = time.perf_counter()
        status = 500

        async def send_carefully(message: Scope) -> None:
            nonlocal status, is_told
            if is_told:
                return
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [self._all_allowed(scope, name, value) for name, value in message.get("headers", ())]
                present = {name.lower() for name, _ in headers}
                more = [(name, value) for name, value in _CAREFUL.items() if name not in present]
                message = {**message, "headers": [*headers, *more]}
            elif is_head:
                message, is_told = {**message, "body": b"", "more_body": False}, True
            await send(message)

        with self._tracing.span(f"HTTP {method}", parent=_trace_headers(scope), kind=SpanKind.SERVER) as span:
            try:
                with reading(method in _READING), arriving():
                    await self._app(scope, receive, send_carefully)
            finally:
                route = str(scope.get("path_template") or "unmatched")
                span.set("http.request.method", method)
                span.set("http.route", route)
                span.set("http.response.status_code", status)
                if status >= _LEAST_FAILURE:
                    span.set("error.type", str(status))
                    span.fail(f"answered {status}")
                self._requests.labels(method, route, str(status)).inc()
                self._seconds.labels(method, route).observe(time.perf_counter() - began)

    def _all_allowed(self, scope: Scope, name: bytes, value: bytes) -> tuple[bytes, bytes]:
        if name.lower() != b"allow":
            return name, value
        known = self._allowed.get(scope.get("path_template", ""))
        return name, known or _allow(value.decode("latin-1").split(", "))


def _allow(methods: Collection[str]) -> bytes:
    """The header's value. The framework counts `websocket` among the methods."""
    named = _METHODS.intersection(methods) | ({"HEAD"} if "GET" in methods else set())
    return ", ".join(sorted(named)).encode()


def _accepting(scope: Scope, send: Send) -> Send:
    is_open = False

    async def send_when_open(message: Scope) -> None:
        nonlocal is_open
        if message["type"] == "websocket.close" and not is_open:
            await send({"type": "websocket.accept"})
            if "path_template" not in scope:
                message = {"type": "websocket.close", "code": problems.NO_ADDRESS_CLOSE_CODE, "reason": "no_such_address"}
        is_open = True
        await send(message)

    return send_when_open


def _trace_headers(scope: Scope) -> dict[str, str] | None:
    names = {TRACEPARENT.encode(): TRACEPARENT, TRACESTATE.encode(): TRACESTATE}
    found = {names[name]: value.decode("latin-1") for name, value in scope["headers"] if name in names}
    return found or None
