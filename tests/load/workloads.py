"""The workloads: what is ordered, how many, and how many at once."""

import asyncio

from msgspec import Struct

from load.pipelines import CHAIN, FAN, FAN_WIDTH, NAPS, PAID_CHAIN, Shape
from load.side import Side


class Workload(Struct, frozen=True, kw_only=True):
    key: str
    """As it is chosen by."""
    title: str
    shape: Shape
    executions: int
    in_flight: int
    seconds: float = 0.0
    """How long each stage sleeps."""
    floor_of: str | None = None
    """The workload whose floor this one is compared with, where it is not its own."""

    async def play(self, side: Side) -> list[float]:
        """The executions' latencies in milliseconds."""
        remaining = iter(range(self.executions))

        async def lane() -> list[float]:
            return [await side.execute(self.shape, self.seconds) for _ in remaining]

        lanes = await asyncio.gather(*(lane() for _ in range(self.in_flight)))
        return [latency for each in lanes for latency in each]


ONE_AT_A_TIME, IN_FLIGHT, AT_ONCE, FAN_OUT, PAID_ONE, PAID_IN_FLIGHT = "a", "b", "c", "w2", "paid-a", "paid-b"

WORKLOADS = (
    Workload(key=ONE_AT_A_TIME, title="W1a one at a time", shape=CHAIN, executions=300, in_flight=1),
    Workload(key=IN_FLIGHT, title="W1b 200 in flight", shape=CHAIN, executions=2000, in_flight=200),
    Workload(key=AT_ONCE, title="W1c 1,000 at once, stages of 1 s", shape=NAPS, executions=1000, in_flight=1000, seconds=1.0),
    Workload(key=FAN_OUT, title=f"W2 fan-out of {FAN_WIDTH} and a join", shape=FAN, executions=50, in_flight=1),
    Workload(
        key=PAID_ONE,
        title="W1a with every attempt claimed",
        shape=PAID_CHAIN,
        executions=300,
        in_flight=1,
        floor_of=ONE_AT_A_TIME,
    ),
    Workload(
        key=PAID_IN_FLIGHT,
        title="W1b with every attempt claimed",
        shape=PAID_CHAIN,
        executions=2000,
        in_flight=200,
        floor_of=IN_FLIGHT,
    ),
)
PAID = (PAID_ONE, PAID_IN_FLIGHT)
WARM_UP = Workload(key="", title="", shape=CHAIN, executions=200, in_flight=50)


def in_small(workload: Workload) -> Workload:
    """Enough to see that it works."""
    return Workload(
        key=workload.key,
        title=workload.title,
        shape=workload.shape,
        executions=min(20, workload.executions),
        in_flight=min(10, workload.in_flight),
        seconds=min(0.1, workload.seconds),
        floor_of=workload.floor_of,
    )
