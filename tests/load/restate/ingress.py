"""The least client for Restate's HTTP faces: kept connections of HTTP/1.1, and no more.

A client shares the cores with who is measured: what it does not cost, the peer gains.
"""

import asyncio
from types import TracebackType
from typing import Self

from msgspec import Struct

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_LENGTH = b"content-length:"


class Reply(Struct, frozen=True, kw_only=True):
    status: int
    body: bytes


class Ingress:
    """As many connections as there are requests at once."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[Connection] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for _, writer in self._idle:
            writer.close()

    async def post(self, path: str, body: bytes) -> Reply:
        reader, writer = await self._connection()
        try:
            writer.write(_head(path, len(body)) + body)
            reply = await _reply(reader)
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        return reply

    async def _connection(self) -> Connection:
        while self._idle:
            reader, writer = self._idle.pop()
            # While the other sides are measured, the server may tire of connections that wait.
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._port)


def _head(path: str, length: int) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    ).encode()


async def _reply(reader: asyncio.StreamReader) -> Reply:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(line.removeprefix(_LENGTH)) for line in lines if line.startswith(_LENGTH))
    return Reply(status=int(lines[0].split()[1]), body=await reader.readexactly(length))
