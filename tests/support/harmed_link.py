"""A way between two programs that a test may harm: a TCP proxy on a port of its own.

While it is silent it takes connections and bytes, as a kernel at the other end of a lost network would, and delivers nothing;
nobody is told.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CHUNK_BYTES = 64 * 1024


class _Pair:
    """One connection through the link."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.ends = (near, far)
        self.delivers = asyncio.Event()

    def reset(self) -> None:
        for end in self.ends:
            with contextlib.suppress(OSError):
                # A close without lingering is a reset.
                linger = struct.pack("ii", 1, 0)
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            end.transport.abort()


class HarmedLink:
    """Made by `harmed_link`."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._pairs: set[_Pair] = set()
        self._delivers = asyncio.Event()
        self._delivers.set()
        self._carrying: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Server | None = None
        self.port = 0
        self.opened = 0
        """Connections so far."""

    async def open(self) -> None:
        self._listening = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = self._listening.sockets[0].getsockname()[1]

    @property
    def open_now(self) -> int:
        return len(self._pairs)

    def cut(self) -> None:
        """Reset every connection at both ends."""
        for pair in tuple(self._pairs):
            pair.reset()

    def fall_silent(self) -> None:
        self._delivers.clear()
        for pair in self._pairs:
            pair.delivers.clear()

    def come_back(self) -> None:
        """For new connections. Those that were open stay silent, like those that a router has forgotten."""
        self._delivers.set()

    def garble(self) -> None:
        """Say something to the far end of every connection that nobody there understands."""
        for pair in self._pairs:
            pair.ends[1].write(b"\r\nWHAT IS THIS\r\n")

    def end_answers(self) -> None:
        """Say to the near end of every connection that nothing more comes, as a server does that is about to end."""
        for pair in self._pairs:
            pair.ends[0].write_eof()

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.close()
        self.cut()
        carrying = tuple(self._carrying)
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)
        try:
            await self._delivers.wait()
            far_reader, far = await asyncio.open_connection(*self._target)
        except BaseException:
            near.transport.abort()
            raise
        pair = _Pair(near, far)
        pair.delivers.set()
        self._pairs.add(pair)
        self.opened += 1
        ways = [asyncio.create_task(_pump(reader, far, pair)), asyncio.create_task(_pump(far_reader, near, pair))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._pairs.discard(pair)
            near.transport.abort()
            far.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: _Pair) -> None:
    with contextlib.suppress(OSError):
        while True:
            await pair.delivers.wait()
            data = await reader.read(CHUNK_BYTES)
            await pair.delivers.wait()
            if not data:
                return
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def harmed_link(port: int) -> AsyncIterator[HarmedLink]:
    """To a server on this machine."""
    link = HarmedLink("127.0.0.1", port)
    await link.open()
    try:
        yield link
    finally:
        await link.close()
