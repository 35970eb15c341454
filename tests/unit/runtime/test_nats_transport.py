"""A connection to a NATS server that is made again and again."""

import asyncio
from contextlib import suppress
from urllib.parse import urlparse

import pytest

from aif_runtime.nats_connection import NatsConnection
from aif_runtime.nats_transport import ShortWayTransport

MIB = 1024 * 1024
INFO = b'INFO {"server_id": "deaf", "version": "2.14.0", "proto": 1, "headers": true, "max_payload": 1048576}\r\n'


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


async def test_a_connection_that_is_given_up_while_it_is_made_is_closed() -> None:
    arrived: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await arrived.put((reader, writer))

    async with await asyncio.start_server(say_nothing, "127.0.0.1") as server:
        host, port = server.sockets[0].getsockname()
        connecting = asyncio.create_task(NatsConnection.connect(f"nats://{host}:{port}", name="impatient"))
        reader, writer = await arrived.get()

        connecting.cancel()

        async with asyncio.timeout(5):
            assert await reader.read() == b""
        with pytest.raises(asyncio.CancelledError):
            await connecting
        writer.close()
        await writer.wait_closed()


async def test_a_connection_to_a_server_that_reads_nothing_any_more_is_closed_all_the_same() -> None:
    arrived: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(INFO)
        await reader.readuntil(b"PING\r\n")
        writer.write(b"PONG\r\n")
        await arrived.put((reader, writer))

    async with await asyncio.start_server(greet, "127.0.0.1") as server:
        host, port = server.sockets[0].getsockname()
        connection = await NatsConnection.connect(f"nats://{host}:{port}", name="leaving")
        reader, writer = await arrived.get()
        for _ in range(30):
            await connection.send("aif.noise", bytes(MIB // 2))

        await connection.close()

        async with asyncio.timeout(5):
            with suppress(ConnectionError):
                await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
