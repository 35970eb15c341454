"""One measurement: a workload is played, and the processes are watched meanwhile."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager

from msgspec import Struct

from load.processes import cpu_ms, memory_mb, own_cpu_ms
from load.side import Side
from load.workloads import Workload

MEMORY_EVERY_SECONDS = 2.0
"""Reading it makes the kernel walk through all pages and holds the measuring client up for some milliseconds; more often, the
slowest executions would be those that met it."""


class Measured(Struct, frozen=True, kw_only=True):
    executions: int
    wall_seconds: float
    p50_ms: float
    p99_ms: float
    cpu_ms: Mapping[str, float]
    """For each execution, by process, children included."""
    client_cpu_ms: float
    """For each execution, of the client that measures; not a part of what is measured."""
    memory_mb: Mapping[str, float]
    """Peak of each process with its children."""

    @property
    def per_second(self) -> float:
        return self.executions / self.wall_seconds

    @property
    def whole_cpu_ms(self) -> float:
        return sum(self.cpu_ms.values())


async def measure(side: Side, workload: Workload) -> Measured:
    before = cpu_of(side.pids)
    client_before = own_cpu_ms()
    async with peak_memory(side.pids) as peak:
        began = time.perf_counter()
        latencies = sorted(await workload.play(side))
        wall_seconds = time.perf_counter() - began
        # Before the last look at memory, which is not the client's work.
        client_after = own_cpu_ms()
        after = cpu_of(side.pids)
    count = len(latencies)
    return Measured(
        executions=count,
        wall_seconds=wall_seconds,
        p50_ms=statistics.median(latencies),
        p99_ms=latencies[min(count - 1, int(count * 0.99))],
        cpu_ms={name: (after[name] - before[name]) / count for name in after},
        client_cpu_ms=(client_after - client_before) / count,
        memory_mb=peak,
    )


def cpu_of(pids: Mapping[str, int]) -> dict[str, float]:
    return {name: cpu_ms(pid) for name, pid in pids.items()}


async def cpu_during(pids: Mapping[str, int], work: Awaitable[None]) -> dict[str, float]:
    """Milliseconds by process."""
    before = cpu_of(pids)
    await work
    after = cpu_of(pids)
    return {name: after[name] - before[name] for name in after}


@asynccontextmanager
async def peak_memory(pids: Mapping[str, int]) -> AsyncIterator[dict[str, float]]:
    """MB of each process with its children, the most that was seen; complete at the end of the block."""
    peak = dict.fromkeys(pids, 0.0)

    def look() -> None:
        for name, pid in pids.items():
            peak[name] = max(peak[name], memory_mb(pid))

    async def keep_looking() -> None:
        while True:
            await asyncio.sleep(MEMORY_EVERY_SECONDS)
            await asyncio.to_thread(look)

    looking = asyncio.create_task(keep_looking())
    try:
        yield peak
    finally:
        looking.cancel()
        await asyncio.wait([looking])
        look()
