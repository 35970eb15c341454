"""What waiting costs: ten thousand executions of a stage whose worker nobody runs.

They wait in a factory of their own, because whatever else has been done there keeps Postgres busy for minutes: it vacuums.
"""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import nats

from aif_contracts.subjects import STREAM_WORK
from load.bench import Scale
from load.measuring import cpu_during
from load.ours import Factory, Replicas, prepare_database, running_factory
from load.pipelines import UNATTENDED
from load.servers import Servers, running_servers
from load.telling import Say

ORDERS_AT_ONCE = 100
SENT_AGAIN_AFTER_SECONDS = 60.0
"""The orchestrator's setting for packets that nobody takes, as it is by default."""
SENDING_SECONDS = 30.0


async def waiting_trial(folder: Path, *, replicas: Replicas, scale: Scale, say: Say) -> None:
    async with running_servers(folder, scale.disks) as servers:
        database_url = await prepare_database(servers)
        async with running_factory(servers, database_url, replicas) as factory:
            await asyncio.sleep(scale.settle_seconds)
            without = await cpu_during(factory.pids, asyncio.sleep(scale.idle_seconds))
            began = time.perf_counter()
            await _order(factory, scale.waiting)
            say(
                f"\n{scale.waiting:,} executions wait for a worker that nobody runs, ordered within "
                f"{time.perf_counter() - began:.1f} s"
            )
            await asyncio.sleep(scale.settle_seconds)
            beside = await cpu_during(factory.pids, asyncio.sleep(scale.idle_seconds))
            say(f"  CPU ms in {scale.idle_seconds:g} idle seconds, without to with them: {_side_by_side(without, beside)}")
            if not scale.in_small:
                await _watch_sending(servers, factory, began + SENT_AGAIN_AFTER_SECONDS + SENDING_SECONDS, say)


async def _order(factory: Factory, count: int) -> None:
    remaining = iter(range(count))

    async def lane() -> None:
        for _ in remaining:
            await factory.order(UNATTENDED)

    await asyncio.gather(*(lane() for _ in range(ORDERS_AT_ONCE)))


async def _watch_sending(servers: Servers, factory: Factory, until: float, say: Say) -> None:
    """A packet that nobody takes is sent again, since the broker might have lost it: seldom, and more and more seldom."""
    before = await _packets(servers)
    seconds = max(0.0, until - time.perf_counter())
    spent = await cpu_during(factory.pids, asyncio.sleep(seconds))
    again = await _packets(servers) - before
    told = ", ".join(f"{name} {each:,.0f}" for name, each in spent.items())
    say(f"  CPU ms in the {seconds:.0f} s after that, in which {again:,} packets are sent again: {told}")
    say("  (that happens 1, 3, 7, 15 … minutes after the order, and hourly in the end)")


async def _packets(servers: Servers) -> int:
    """That lie at the broker."""
    client = await nats.connect(servers.nats_url)
    try:
        return (await client.jetstream().stream_info(STREAM_WORK)).state.messages
    finally:
        await client.close()


def _side_by_side(without: Mapping[str, float], beside: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {without[name]:,.0f} to {beside[name]:,.0f}" for name in beside)
