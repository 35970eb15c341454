"""A TCP connection to a NATS server whose messages are taken out of the stream where they arrive.

The client library reads in a task of its own, which is woken for whatever has come and gives it to a parser that copies it
several times. Here messages are cut out and handed on before that; the protocol's other words, and messages that nobody wants
here, go the library's way.

Protocol: https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

import asyncio
import ssl
from collections.abc import Callable
from urllib.parse import ParseResult

from nats.aio.transport import TcpTransport

LINE_END = b"\r\n"
LEAST_WORDS = {b"MSG": 4, b"HMSG": 5}
"""In the line of a message: MSG subject subscription [reply] size, HMSG ... [reply] size-of-headers size-of-all."""
MOST_UNSENT_BYTES = 1024 * 1024
"""Above it the library holds back what is to be sent, until the socket has taken it."""
LEAVE_SECONDS = 0.5
"""What is unsent when a connection is closed has so long to leave."""

MessageTaker = Callable[[int, bytes, bytes, bytes, bytes | None], bool]
"""Of a subscription's id, subject, reply, content and block of headers; False when the library is to take the message."""


class MessageReader(asyncio.StreamReader):
    """What the library reads: everything but the messages that `taker` has taken."""

    def __init__(self, taker: MessageTaker, limit: int) -> None:
        super().__init__(limit=limit)
        self._taker = taker
        self._parts: list[bytes] = []
        """Of a line or message that is not complete."""
        self._missing = 0
        """Bytes that it wants at least."""

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # no transport gives anything else
        if self._parts:
            self._parts.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return
            data = b"".join(self._parts)
            self._parts.clear()
        at = 0
        while at < len(data):
            line_ends = data.find(LINE_END, at)
            if line_ends < 0:
                self._keep(data[at:], 1)
                return
            content_at = line_ends + len(LINE_END)
            # At spaces alone: whoever publishes may put any other white space into a subject.
            words = data[at:line_ends].split(b" ")
            least_words = LEAST_WORDS.get(words[0])
            if least_words is None:
                super().feed_data(data[at:content_at])
                at = content_at
                continue
            try:
                subscription, size = int(words[2]), int(words[-1])
                headers_size = int(words[-2]) if words[0] == b"HMSG" else 0
                reply = words[3] if len(words) > least_words else b""
            except (ValueError, IndexError):
                # The library closes the connection for a line that makes no sense.
                super().feed_data(data[at:])
                return
            ends = content_at + size + len(LINE_END)
            if ends > len(data):
                self._keep(data[at:], ends - len(data))
                return
            payload_at = content_at + headers_size
            block = data[content_at:payload_at] if headers_size else None
            if not self._taker(subscription, words[1], reply, data[payload_at : content_at + size], block):
                super().feed_data(data[at:ends])
            at = ends

    def _keep(self, part: bytes, missing: int) -> None:
        self._parts.append(part)
        self._missing = missing


class ShortWayTransport(TcpTransport):
    def __init__(self, taker: MessageTaker) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._taker = taker

    def __bool__(self) -> bool:
        """The library would replace one that is not connected yet."""
        return True

    @property
    def has_room(self) -> bool:
        return self._io_writer is not None and self._io_writer.transport.get_write_buffer_size() < MOST_UNSENT_BYTES

    async def wait_closed(self) -> None:
        """The library reconnects only after this, and unsent bytes would wait for ever for a silent network to take them."""
        if self._io_writer is None:
            return
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._io_writer.wait_closed()
        except TimeoutError:
            self._io_writer.transport.abort()

    def abort(self) -> None:
        if self._io_writer is not None:
            self._io_writer.transport.abort()

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        assert uri.hostname is not None, "the library has checked it"
        assert uri.port is not None, "the library puts its own where none is given"
        # The library connects again without closing what a server has refused in the handshake.
        self.abort()
        loop = asyncio.get_running_loop()
        reader = MessageReader(self._taker, buffer_size)
        protocol = asyncio.StreamReaderProtocol(reader)
        async with asyncio.timeout(connect_timeout):
            transport, _ = await loop.create_connection(lambda: protocol, uri.hostname, uri.port)
        self._bare_io_reader = self._io_reader = reader
        self._bare_io_writer = self._io_writer = asyncio.StreamWriter(transport, protocol, reader, loop)

    async def connect_tls(
        self, uri: str | ParseResult, ssl_context: ssl.SSLContext, buffer_size: int, connect_timeout: int
    ) -> None:
        assert self._io_writer is not None, "TLS begins on a connection"
        loop = asyncio.get_running_loop()
        reader = MessageReader(self._taker, buffer_size)
        protocol = asyncio.StreamReaderProtocol(reader)
        hostname = uri if isinstance(uri, str) else uri.hostname
        async with asyncio.timeout(connect_timeout):
            transport = await loop.start_tls(self._io_writer.transport, protocol, ssl_context, server_hostname=hostname)
        assert transport is not None, "start_tls gives a transport or raises"
        self._io_reader = reader
        self._io_writer = asyncio.StreamWriter(transport, protocol, reader, loop)
