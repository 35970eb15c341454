"""A connection to a NATS server that is made again and again."""

import asyncio
from urllib.parse import urlparse

from aif_runtime.nats_transport import ShortWayTransport


async def test_connecting_again_closes_the_connection_before() -> None:
    arrived: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await arrived.put((reader, writer))

    async with await asyncio.start_server(accept, "127.0.0.1") as server:
        host, port = server.sockets[0].getsockname()
        uri = urlparse(f"nats://{host}:{port}")
        transport = ShortWayTransport(lambda *_message: False)
        await transport.connect(uri, 1024, 5)
        first_reader, first = await arrived.get()

        await transport.connect(uri, 1024, 5)
        second_reader, second = await arrived.get()

        async with asyncio.timeout(5):
            assert await first_reader.read() == b""
        assert not second_reader.at_eof()
        transport.close()  # type: ignore[no-untyped-call]
        for writer in (first, second):
            writer.close()
            await writer.wait_closed()
        await transport.wait_closed()
