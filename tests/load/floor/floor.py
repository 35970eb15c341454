"""The floor as a side of the comparison: its processes on the servers that ours run on, and its client."""

import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import msgspec
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StorageType, StreamConfig

from aif_runtime.ids import id_mint
from load.floor import orchestrator
from load.floor.process import DATABASE_URL, NATS_URL
from load.floor.wire import (
    ENDED,
    ORDER,
    REPORT,
    REPORT_CONSUMER,
    REPORT_STREAM,
    WORK,
    WORK_CONSUMER,
    WORK_STREAM,
    Order,
    ended,
)
from load.pipelines import TEXT, Shape
from load.programs import running_program
from load.servers import Servers
from load.side import Ends, until_end

NAME = "floor"
SCHEMA = "floor"
REPLY_SECONDS = 60.0
MOST_UNACKNOWLEDGED = 20_000


class Floor:
    """Made by `running_floor`."""

    name = NAME

    def __init__(self, client: Client, pids: Mapping[str, int]) -> None:
        self.pids = pids
        self._client = client
        self._new_id = id_mint()
        self._ends = Ends()

    async def execute(self, shape: Shape, seconds: float) -> float:
        execution_id = self._new_id("exec")
        awaited = self._ends.expect(execution_id)
        order = Order(
            execution_id=execution_id,
            widths=shape.widths,
            action=shape.action,
            parameters={"text": TEXT, "seconds": seconds},
        )
        began = time.perf_counter()
        await self._client.request(ORDER, msgspec.json.encode(order), timeout=REPLY_SECONDS)
        return (await until_end(awaited, execution_id) - began) * 1000

    async def hear(self) -> None:
        async def on_end(message: Msg) -> None:
            self._ends.ended(message.subject.rpartition(".")[2])

        assert ended("x").startswith(ENDED[:-1])
        await self._client.subscribe(ENDED, cb=on_end)


@asynccontextmanager
async def running_floor(servers: Servers) -> AsyncIterator[Floor]:
    database_url = await servers.database("floor", SCHEMA)
    connection = await asyncpg.connect(database_url)
    await connection.execute(orchestrator.TABLE)
    await connection.close()
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        NATS_URL: servers.nats_url,
        DATABASE_URL: database_url,
    }
    async with AsyncExitStack() as stack:
        client = await nats.connect(servers.nats_url)
        stack.push_async_callback(client.close)
        await _make_queue(client, WORK_STREAM, WORK, WORK_CONSUMER)
        await _make_queue(client, REPORT_STREAM, REPORT, REPORT_CONSUMER)
        pids = dict(servers.pids)
        for name in ("worker", "orchestrator"):
            program = running_program(servers.folder, f"floor_{name}", ["-m", f"load.floor.{name}"], environment)
            pids[name] = await stack.enter_async_context(program)
        floor = Floor(client, pids)
        await floor.hear()
        yield floor


async def _make_queue(client: Client, stream: str, subject: str, consumer: str) -> None:
    jetstream = client.jetstream()
    await jetstream.add_stream(
        StreamConfig(name=stream, subjects=[subject], retention=RetentionPolicy.WORK_QUEUE, storage=StorageType.FILE)
    )
    await jetstream.add_consumer(
        stream,
        ConsumerConfig(durable_name=consumer, ack_policy=AckPolicy.EXPLICIT, ack_wait=30, max_ack_pending=MOST_UNACKNOWLEDGED),
    )
