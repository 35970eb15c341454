"""A provider for tests: a real HTTP server that speaks both wires, keeps its own bill, and misbehaves on demand.

The official SDKs talk to it unmodified. Every call gets its own response id; faults are played in the order in which they
were planned, one for each call, and calls without one are answered well.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

from aif_runtime.web_server import WebServer
from support.provider_double import anthropic_wire, openai_wire
from support.provider_double.bill import BillEntry
from support.provider_double.exchange import Exchange, exchange
from support.provider_double.faults import Fault, FaultKind

_ERRORS = {
    FaultKind.RATE_LIMITED: (429, "rate_limit_error"),
    FaultKind.SERVER_ERROR: (500, "api_error"),
    FaultKind.OVERLOADED: (529, "overloaded_error"),
    FaultKind.UNAUTHORIZED: (401, "authentication_error"),
}
_BREAKS = frozenset({FaultKind.HELD_STREAM, FaultKind.RESET, FaultKind.CUT_OFF, FaultKind.ERROR_EVENT, FaultKind.CORRUPT_CHUNK})
_WIRES = {"/v1/chat/completions": openai_wire, "/v1/messages": anthropic_wire}


class ConnectionBroken(Exception):
    """Raised inside the app, it makes the server drop the connection."""


class ProviderDouble:
    def __init__(self) -> None:
        self.bill: list[BillEntry] = []
        """Appended to and never changed."""
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.cache_read_tokens = 0
        """Reported and billed with every answer from now on."""
        self.cache_write_tokens = 0
        self.seconds_for_an_answer = 0.0
        """Over which the pieces of a stream are spread: a model takes its time."""
        self.holding = asyncio.Event()
        """Set when a call is held in the middle."""
        self.release = asyncio.Event()
        """Set by the test to let a call go on that waits for it."""
        self.client_left = asyncio.Event()
        """Set when the client of a held call has gone away."""
        self.url = ""
        self._planned: deque[Fault | None] = deque()

    def plan(self, *faults: Fault | FaultKind | None) -> None:
        """Misbehave so in the coming calls; None answers one of them well."""
        self._planned.extend(Fault(kind=fault) if isinstance(fault, FaultKind) else fault for fault in faults)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        body = await _body(receive)
        wire = _WIRES.get(scope["path"])
        if wire is None:
            await _json(send, 404, openai_wire.error("not_found", f"nothing at {scope['path']}"))
            return
        self.requests.append(body)
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        fault = self._planned.popleft() if self._planned else None
        kind = fault.kind if fault else None
        if kind in _ERRORS:
            status, code = _ERRORS[kind]
            retry_after = [(b"retry-after", fault.retry_after.encode())] if fault and fault.retry_after else []
            await _json(send, status, wire.error(code, f"planned {kind}"), retry_after)
            return
        if kind is FaultKind.REDIRECT:
            await _json(send, 307, {}, [(b"location", f"{self.url}{scope['path']}".encode())])
            return
        if kind is FaultKind.SILENT_BEFORE_BILLING:
            await self._hold(receive)
            return
        answer = self._answer(wire, body, kind)
        self.bill.append(answer.entry)
        if kind is FaultKind.SILENT_AFTER_BILLING:
            await self._hold(receive)
        elif body.get("stream"):
            await self._stream(wire, answer, receive, send)
        else:
            await _json(send, 200, wire.whole(answer))

    def _answer(self, wire: ModuleType, body: dict[str, Any], fault: FaultKind | None) -> Exchange:
        texts, schema, limit = wire.request_parts(body)
        return exchange(
            model=body["model"],
            texts=texts,
            schema=schema,
            max_output_tokens=limit,
            fault=fault,
            response_id=f"answer-{len(self.requests)}",
            cache_read_tokens=self.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens,
        )

    async def _stream(self, wire: ModuleType, answer: Exchange, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        opening, closing = wire.opening_events(answer), wire.closing_events(answer)
        breaks = answer.fault in _BREAKS
        if answer.fault is FaultKind.HELD_UNTIL_RELEASED:
            await self._send_in_halves(opening, send)
            opening = []
        for name, event in opening[: len(opening) // 2 + 1] if breaks else [*opening, *closing]:
            await _event(send, name, json.dumps(event))
            await asyncio.sleep(self.seconds_for_an_answer / len(opening) if opening else 0)
        if answer.fault is FaultKind.HELD_STREAM:
            await self._hold(receive)
            return
        if answer.fault is FaultKind.RESET:
            raise ConnectionBroken
        if answer.fault is FaultKind.ERROR_EVENT:
            await _event(send, "error", json.dumps(wire.error("overloaded_error", "planned in the stream")))
        if answer.fault is FaultKind.CORRUPT_CHUNK:
            await _event(send, opening[-1][0], '{"broken": ')
        if wire is openai_wire and not breaks:
            await _event(send, None, "[DONE]")
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_in_halves(self, events: list[Any], send: Any) -> None:
        half = len(events) // 2 + 1
        for name, event in events[:half]:
            await _event(send, name, json.dumps(event))
        self.holding.set()
        await self.release.wait()
        for name, event in events[half:]:
            await _event(send, name, json.dumps(event))

    async def _hold(self, receive: Any) -> None:
        self.holding.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        self.client_left.set()


@asynccontextmanager
async def provider_double() -> AsyncIterator[ProviderDouble]:
    """The double on a free port; its `url` has no path."""
    double = ProviderDouble()
    server = WebServer(double, host="127.0.0.1", port=0)
    double.url = f"http://127.0.0.1:{server.port}"
    stop = asyncio.Event()
    serving = asyncio.create_task(server.serve(stop))
    try:
        yield double
    finally:
        stop.set()
        await serving


async def _body(receive: Any) -> dict[str, Any]:
    content = b""
    while True:
        message = await receive()
        content += message.get("body", b"")
        if not message.get("more_body"):
            return json.loads(content) if content else {}


async def _json(send: Any, status: int, body: dict[str, Any], headers: list[tuple[bytes, bytes]] | None = None) -> None:
    start = {
        "type": "http.response.start",
        "status": status,
        "headers": [(b"content-type", b"application/json"), *(headers or [])],
    }
    await send(start)
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


async def _event(send: Any, name: str | None, data: str) -> None:
    head = f"event: {name}\n" if name else ""
    await send({"type": "http.response.body", "body": f"{head}data: {data}\n\n".encode(), "more_body": True})
