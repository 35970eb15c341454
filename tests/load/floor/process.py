"""A process of the floor from start to end."""

import asyncio
import gc
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import nats
import uvloop
from nats.aio.client import Client

NATS_URL = "FLOOR_NATS_URL"
DATABASE_URL = "FLOOR_DATABASE_URL"
READY_FILE = "AIF_READY_FILE"

Start = Callable[[Client, str], Awaitable[list[asyncio.Task[None]]]]
"""Begins to work and gives the tasks that run until the end."""


def run(start: Start) -> int:
    """Run until SIGTERM. Returns the exit code."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_live(start))


async def _live(start: Start) -> int:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await nats.connect(os.environ[NATS_URL], pending_size=64 * 1024 * 1024)
    tasks = await start(client, os.environ[DATABASE_URL])
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    await asyncio.to_thread(Path(os.environ[READY_FILE]).write_text, str(os.getpid()))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done():
            task.result()
        task.cancel()
    await client.close()
    return 0
