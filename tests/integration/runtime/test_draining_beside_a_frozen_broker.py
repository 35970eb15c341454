"""A worker process that is to end while its broker is frozen, in the middle of an attempt that it can hand back to nobody."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from aif_console.embedded.nats_server import EmbeddedNats
from aif_contracts import subjects
from aif_runtime.nats_bus import NatsBus
from support.deployed_worker import DeployedWorker
from support.waiting import eventually

PROGRAM = """
import asyncio, contextlib, sys
from aif_runtime.assignment import ActionSpec, WorkerSpec
from aif_runtime.connections import open_connections
from aif_runtime.process import Assembled, run_service
from aif_runtime.worker_parts import worker_parts
from aif_runtime.worker_settings import WorkerSettings

async def brood(assignment):
    print("begun", flush=True)
    await asyncio.Event().wait()

SPEC = WorkerSpec(worker_name="hen", actions={"brood": ActionSpec(run=brood, paid=False)}, slots=1)

@contextlib.asynccontextmanager
async def wire(surroundings):
    async with open_connections(surroundings) as connections:
        yield Assembled(parts=worker_parts(surroundings, connections, SPEC))

sys.exit(run_service(service="hen", settings_type=WorkerSettings, wire=wire))
"""


@pytest_asyncio.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedNats]:
    server = EmbeddedNats(tmp_path / "nats", sync_interval="2m")
    await server.start()
    yield server
    await server.kill()


async def test_a_worker_ends_in_order_soon_after_its_drain_time_though_nobody_confirms_what_it_hands_back(
    broker: EmbeddedNats,
) -> None:
    environment = {"PATH": os.environ["PATH"], "AIF_NATS_URL": broker.url, "AIF_DRAIN_SECONDS": "1"}
    async with await NatsBus.connect(broker.url, name="test") as bus:
        await bus.declare_topology()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM), env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        await eventually(lambda: bus.entries(subjects.BUCKET_REGISTRY), what="it registers")
        await DeployedWorker(bus, process).is_given("hen", "brood", {})
        assert await process.stdout.readline() == b"begun\n"

    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGSTOP)
    process.terminate()
    _, log = await process.communicate()

    assert process.returncode == 0, log.decode()
