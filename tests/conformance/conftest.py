"""The brokers that have to keep the same promises."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from aif_console.embedded.nats_server import EmbeddedNats
from conformance.bus_rigs import BusRig, FragileNatsRig, FragileRig, MemoryRig, NatsRig


@pytest_asyncio.fixture
async def memory_rig() -> AsyncIterator[MemoryRig]:
    async with AsyncExitStack() as stack:
        yield MemoryRig(stack)


@pytest_asyncio.fixture
async def nats_rig(fresh_nats: str) -> AsyncIterator[NatsRig]:
    async with AsyncExitStack() as stack:
        yield NatsRig(stack, fresh_nats)


@pytest_asyncio.fixture
async def fragile_nats_rig(servers_dir: Path, tmp_path: Path) -> AsyncIterator[FragileNatsRig]:
    """With a server of its own, because it is broken on the way."""
    server = EmbeddedNats(servers_dir / tmp_path.name, sync_interval="2m")
    await server.start()
    try:
        async with AsyncExitStack() as stack:
            yield FragileNatsRig(stack, server)
    finally:
        await server.kill()


@pytest.fixture(params=["memory", "nats"])
def rig(request: pytest.FixtureRequest) -> BusRig:
    broker: BusRig = request.getfixturevalue(f"{request.param}_rig")
    return broker


@pytest.fixture(params=["memory", "fragile_nats"])
def fragile(request: pytest.FixtureRequest) -> FragileRig:
    broker: FragileRig = request.getfixturevalue(f"{request.param}_rig")
    return broker
