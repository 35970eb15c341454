"""What one connection may take of time and memory, and how many there may be.

A request's head has a time and a size, its body a time that grows with what has come, and a reader that takes nothing of an
answer is left. Time that the app lets a body wait is not the sender's. What goes beyond a bound is told with a problem
document (RFC 9457) where no answer has begun, and closed.
"""

import asyncio
import http
import sys

import httptools
import msgspec
import uvicorn
from msgspec import Struct
from msgspec.structs import replace
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from aif_contracts.orders import FieldMistake
from aif_runtime.connection_places import ConnectionPlaces

_SPARED = (b"/health", b"/metrics")
"""Ends of addresses that are answered although all connections are taken."""
_LOOKS_PER_LIMIT = 4
"""How often a limit is looked at within its time."""


class Limits(Struct, frozen=True, kw_only=True):
    connections: int = 2000
    """At a time on one port; fewer where the process may open fewer files."""
    head_seconds: float = 20.0
    """From the connection, or from a request's first byte, to the end of its headers."""
    head_bytes: int = 64 * 1024
    """Address and headers."""
    body_seconds: float = 20.0
    """For a body, and a second more for each `body_bytes_per_second` of it."""
    body_bytes_per_second: int = 1024
    idle_seconds: int = 75
    """From an answer to the next request. Longer than clients (5 s) and load balancers (60 s) keep an idle connection: the one
    that closes it first must be the one that would use it, or a request meets a connection that is just being closed."""
    stalled_seconds: float = 60.0
    """How long a reader may take nothing of what waits for it, up to twice as long."""
    requests_ahead: int = 256
    """How many requests may wait for the answer to the one before them."""
    socket_message_bytes: int = 64 * 1024
    """Of a WebSocket's message."""
    socket_message_frames: int = 64
    """Into which a WebSocket's message may come apart."""


DEFAULT_LIMITS = Limits()
PROBLEM_TYPE = "urn:aif:problem:"


class _Refusal(Struct, frozen=True, kw_only=True):
    """Why a connection is closed, for a problem document."""

    status: http.HTTPStatus
    code: str
    title: str
    field: str
    mend: str
    retry_after_seconds: int | None = None


_SLOW_HEAD = _Refusal(
    status=http.HTTPStatus.REQUEST_TIMEOUT,
    code="request_too_slow",
    title="The request came too slowly",
    field="headers",
    mend="Send address and headers at once.",
)
_SLOW_BODY = replace(_SLOW_HEAD, field="body", mend="Send the body without long pauses.")
_LARGE_HEAD = _Refusal(
    status=http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    code="headers_too_large",
    title="Address and headers are too large",
    field="headers",
    mend="Shorten the address and leave out headers; what is long belongs into the body.",
)
_NO_PLACE = _Refusal(
    status=http.HTTPStatus.SERVICE_UNAVAILABLE,
    code="too_many_connections",
    title="All connections are taken",
    field="connection",
    mend="Come again later, and keep connections for further requests.",
    retry_after_seconds=2,
)
_NO_HTTP = _Refusal(
    status=http.HTTPStatus.BAD_REQUEST,
    code="malformed_request",
    title="The request cannot be read",
    field="request",
    mend="Speak HTTP/1.1 without TLS here: an address of this port begins with http://, not with https://.",
)


class BoundedConfig(uvicorn.Config):
    """What the server hands to each connection."""

    limits = DEFAULT_LIMITS
    places = ConnectionPlaces(connections=DEFAULT_LIMITS.connections)


class StallWatch:
    """Leaves a reader who takes nothing. A connection that is only closed would wait for such a one for ever."""

    def __init__(self, transport: asyncio.WriteTransport, *, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._transport = transport
        self._loop = loop
        self._seconds = seconds
        self._waiting_bytes = 0
        self._look_again()

    def told_of_progress(self) -> None:
        """What waits now may be as much as before and yet be something else."""
        self._waiting_bytes = 0

    def stop(self) -> None:
        self._looking.cancel()

    def _look_again(self) -> None:
        self._looking = self._loop.call_later(self._seconds, self._look)

    def _look(self) -> None:
        waiting = self._transport.get_write_buffer_size()
        if 0 < self._waiting_bytes <= waiting:
            self._transport.abort()
            return
        self._waiting_bytes = waiting
        self._look_again()


class BoundedHttp(HttpToolsProtocol):
    config: BoundedConfig

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._limits, self._places = self.config.limits, self.config.places
        self._places.come(self, open_lines=len(self.connections) - 1, now=self.loop.time())
        self._stalls = StallWatch(transport, loop=self.loop, seconds=self._limits.stalled_seconds)
        self._head_since: float | None = self.loop.time()
        """While a request's head is due."""
        self._head_bytes = 0
        self._has_begun = False
        """Whether a head began within the bytes that are being read."""
        self._head_refusal: tuple[_Refusal, str] | None = None
        self._body_since: float | None = None
        """While a request's body is due."""
        self._body_bytes = 0
        self._bytes_without_body = 0
        """Sizes of chunks, their extensions and trailers: what came in a body's place since the last of it."""
        self._upgrade_at: int | None = None
        """Where in the bytes that are being read a head ends that asks for a protocol which is not spoken here."""
        self._look_again()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_looking()
        self._places.go(self)
        super().connection_lost(exc)

    def leave(self) -> None:
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._has_begun = False
        super().data_received(data)
        if self._upgrade_at is not None:
            self._read_as_it_is(data[self._upgrade_at :])
            return
        if self.transport.get_protocol() is not self or self.transport.is_closing():
            return
        if self._body_since is not None:
            self._bytes_without_body += len(data)
            if self._bytes_without_body > self._limits.head_bytes + len(data):
                self._refuse_head()
        elif self._head_since is not None:
            self._head_bytes += 0 if self._has_begun else len(data)
            if self._head_bytes > self._limits.head_bytes:
                self._refuse_head()
        elif self._is_idle() and self.timeout_keep_alive_task is None:
            # Bytes between requests have ended the server's own time for idle connections.
            self._head_since, self._head_bytes = self.loop.time(), 0

    def resume_writing(self) -> None:
        self._stalls.told_of_progress()
        super().resume_writing()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_since, self._head_bytes, self._has_begun = self.loop.time(), 0, True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_since is None:
            # A trailer: nobody here asks for them.
            return
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._asks_for_another_protocol():
            return
        if len(self.pipeline) >= self._limits.requests_ahead:
            raise ValueError("too many requests wait")
        taken = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if taken > self._limits.head_bytes:
            self._head_refusal = self._large_head()
            raise ValueError(f"a head of {taken} bytes")
        is_beyond_the_others = self._places.is_waiting(self)
        if is_beyond_the_others and not self._takes_place():
            self._head_refusal = _NO_PLACE, "as many connections as there may be are open"
            raise ValueError("no place")
        self._head_since = None
        self._body_since, self._body_bytes, self._bytes_without_body = self.loop.time(), 0, 0
        super().on_headers_complete()
        if is_beyond_the_others and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        self._bytes_without_body = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._asks_for_another_protocol():
            return
        self._body_since = None
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._stop_looking()
        super().handle_websocket_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """Called while the parser's word of where it stopped is being caught."""
        stopped = sys.exception()
        self._upgrade_at = int(stopped.args[0]) if isinstance(stopped, httptools.HttpParserUpgrade) else None

    def _asks_for_another_protocol(self) -> bool:
        return bool(self.parser.should_upgrade() and not self._should_upgrade() and self._get_upgrade())

    def _read_as_it_is(self, rest: bytes) -> None:
        """The parser would drop the body of a request that also asks for HTTP/2, as Java's client does: read it without."""
        self._upgrade_at = None
        head = [self.parser.get_method() + b" " + self.url + b" HTTP/" + self.parser.get_http_version().encode()]
        head += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join([*head, b"", rest]))

    def _should_upgrade(self) -> bool:
        return self.parser.get_method() == b"GET" and super()._should_upgrade()

    def send_400_response(self, msg: str) -> None:
        """The server's own answer to what it cannot read."""
        self._refuse(*(self._head_refusal or (_NO_HTTP, "what was sent is no HTTP request")))

    def _takes_place(self) -> bool:
        is_spared = self.url.partition(b"?")[0].endswith(_SPARED)
        return self._places.take(self, open_lines=len(self.connections), is_spared=is_spared)

    def _look_again(self) -> None:
        limits = self._limits
        seconds = min(limits.head_seconds, limits.body_seconds) / _LOOKS_PER_LIMIT
        self._looking = self.loop.call_later(seconds, self._look)

    def _stop_looking(self) -> None:
        self._looking.cancel()
        self._stalls.stop()

    def _look(self) -> None:
        now, limits = self.loop.time(), self._limits
        if self.flow.read_paused:
            # The sender waits for us.
            self._head_since = now if self._head_since is not None else None
            self._body_since, self._body_bytes = now if self._body_since is not None else None, 0
            self._look_again()
        elif self._head_since is not None and now - self._head_since >= limits.head_seconds:
            self._refuse(_SLOW_HEAD, f"a request's head has {limits.head_seconds:g} s")
        elif self._body_since is not None and now - self._body_since >= self._body_seconds():
            rate = f"{limits.body_seconds:g} s, and one more for each {limits.body_bytes_per_second} bytes"
            self._refuse(_SLOW_BODY, f"a request's body has {rate} of it")
        else:
            self._look_again()

    def _body_seconds(self) -> float:
        return self._limits.body_seconds + self._body_bytes / self._limits.body_bytes_per_second

    def _is_idle(self) -> bool:
        return self._body_since is None and not self.pipeline and (self.cycle is None or self.cycle.response_complete)

    def _refuse_head(self) -> None:
        self._refuse(*self._large_head())

    def _large_head(self) -> tuple[_Refusal, str]:
        return _LARGE_HEAD, f"address and headers may have {self._limits.head_bytes} bytes together"

    def _refuse(self, refusal: _Refusal, detail: str) -> None:
        """Say so, unless another answer is under way or nothing was asked, and close."""
        has_answer_under_way = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if self.headers is not None and not has_answer_under_way and not self.pipeline:
            self.transport.write(_problem(refusal, detail))
        if self.cycle is not None and not self.cycle.response_complete:
            # The app learns it now: what it still answers must not follow.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._looking.cancel()
        self.transport.close()


def _problem(refusal: _Refusal, detail: str) -> bytes:
    status = refusal.status
    body = msgspec.json.encode(
        {
            "type": f"{PROBLEM_TYPE}{refusal.code}",
            "title": refusal.title,
            "status": int(status),
            "detail": detail,
            "errors": [FieldMistake(field=refusal.field, message=detail, mend=refusal.mend)],
        }
    )
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "content-type: application/problem+json\r\n"
        f"content-length: {len(body)}\r\n"
        "connection: close\r\n"
    )
    if refusal.retry_after_seconds is not None:
        head += f"retry-after: {refusal.retry_after_seconds}\r\n"
    return head.encode() + b"\r\n" + body
