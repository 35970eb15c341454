"""As much of an HTTP/1.1 server as a misbehaving provider needs: every byte, pause and break of a connection is its own."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct

Headers = Iterable[tuple[str, str]]
_RST_ON_CLOSE = struct.pack("ii", 1, 0)


class HttpRequest(Struct, frozen=True, kw_only=True):
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


class Reply:
    """The answer to one request, written piece by piece."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.is_last = False
        """True when the connection cannot carry another request."""
        self.client_port: int = writer.get_extra_info("peername")[1]

    async def whole(self, status: int, body: bytes, headers: Headers = (), *, media_type: str = "application/json") -> None:
        self._writer.write(_head(status, [("content-type", media_type), ("content-length", str(len(body))), *headers]) + body)
        await self._writer.drain()

    async def open(self, headers: Headers, *, status: int = 200, media_type: str = "text/event-stream") -> None:
        """Begin a body of unknown length."""
        self._writer.write(_head(status, [("content-type", media_type), ("transfer-encoding", "chunked"), *headers]))
        await self._writer.drain()

    async def piece(self, data: bytes) -> None:
        self._writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self._writer.drain()

    async def end(self) -> None:
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    def break_off(self) -> None:
        """Close the connection in the middle of the answer."""
        self.is_last = True
        self._writer.transport.abort()

    def reset(self) -> None:
        """Have the network say that the peer reset the connection."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        self.break_off()

    async def until_client_leaves(self) -> None:
        self.is_last = True
        await self._reader.read()


@asynccontextmanager
async def http_server(respond: Callable[[HttpRequest, Reply], Awaitable[None]]) -> AsyncIterator[str]:
    """Serves on a free port of this machine; yields the URL without a path."""
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await _requests(reader, writer, respond)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # The client has gone, or the server ends: nobody else cancels.
        finally:
            connections.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _requests(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, respond: Callable[[HttpRequest, Reply], Awaitable[None]]
) -> None:
    while (request := await _request(reader)) is not None:
        reply = Reply(reader, writer)
        await respond(request, reply)
        if reply.is_last:
            return


async def _request(reader: asyncio.StreamReader) -> HttpRequest | None:
    """The next request on a connection, None when the client has closed it."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    url = urlsplit(target)
    return HttpRequest(
        method=method,
        path=url.path,
        query=parse_qs(url.query),
        headers=headers,
        body=await reader.readexactly(int(headers.get("content-length", 0))),
    )


def _head(status: int, headers: Headers) -> bytes:
    lines = [f"HTTP/1.1 {status} {_phrase(status)}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Overloaded"
