"""Which arrivals are worked on together, which beside each other, and which wait."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from aif_orchestrator.engine.arrivals import Applied, Arrival
from aif_orchestrator.engine.engine import LARGEST_BATCH, LEAST_SHARE, WORTH_A_LANE, Engine
from aif_orchestrator.execution.happenings import TimePassed
from aif_runtime.postgres import Database, HeldConnection
from support.waiting import eventually

PARTS = (
    "executions",
    "batches",
    "relay",
    "follow_ups",
    "plans",
    "workforce",
    "patience",
    "max_attempt_cost_usd",
    "max_execution_cost_usd",
    "figures",
    "tracing",
    "database_clock",
    "blocked",
)
"""Of an engine; none is touched before a batch is worked out."""


class Lane:
    def __init__(self) -> None:
        self.is_closed = False

    async def close(self) -> None:
        self.is_closed = True


class Lanes:
    """Stands for the database, which lends a connection for each."""

    def __init__(self) -> None:
        self.lent: list[Lane] = []

    def held(self) -> Lane:
        self.lent.append(Lane())
        return self.lent[-1]


class GatedEngine(Engine):
    """Its batches are under way until they are let go."""

    def __init__(self) -> None:
        self.lanes = Lanes()
        others = dict.fromkeys(PARTS)
        super().__init__(database=cast(Database, self.lanes), **cast(Any, others))
        self.begun: list[list[str]] = []
        self.gates: list[asyncio.Event] = []

    async def _process(self, lane: HeldConnection, batch: list[Arrival]) -> None:
        gate = asyncio.Event()
        self.begun.append([arrival.execution_id for arrival in batch])
        self.gates.append(gate)
        await gate.wait()
        for arrival in batch:
            arrival.succeed(Applied())

    def arrive(self, *execution_ids: str) -> "list[asyncio.Future[Applied]]":
        return [self.submit(execution_id, TimePassed()) for execution_id in execution_ids]

    async def begins(self, *batches: list[str]) -> None:
        """So many turns later that anything that may begin has begun."""
        for _ in range(10):
            await asyncio.sleep(0)
        assert self.begun == list(batches)


@pytest.fixture
async def engine() -> AsyncIterator[GatedEngine]:
    engine = GatedEngine()
    running = asyncio.create_task(engine.run())
    yield engine
    running.cancel()
    await asyncio.wait([running])
    assert [lane.is_closed for lane in engine.lanes.lent] == [True, True]


def many(beginning: str, count: int = WORTH_A_LANE) -> list[str]:
    return [f"{beginning}_{number}" for number in range(count)]


async def test_what_has_arrived_is_one_batch(engine: GatedEngine) -> None:
    engine.arrive("a", "b", "a")

    await engine.begins(["a", "b", "a"])


async def test_a_few_wait_for_the_batch_that_is_under_way(engine: GatedEngine) -> None:
    engine.arrive("a")
    await engine.begins(["a"])

    engine.arrive(*many("b", WORTH_A_LANE - 1))
    await engine.begins(["a"])
    engine.gates[0].set()

    await engine.begins(["a"], many("b", WORTH_A_LANE - 1))


async def test_many_are_worked_on_beside_the_batch_that_is_under_way(engine: GatedEngine) -> None:
    engine.arrive("a")
    await engine.begins(["a"])

    engine.arrive(*many("b"))

    await engine.begins(["a"], many("b"))


async def test_there_are_two_lanes(engine: GatedEngine) -> None:
    engine.arrive("a")
    await engine.begins(["a"])
    engine.arrive(*many("b"))
    await engine.begins(["a"], many("b"))

    engine.arrive(*many("c"))
    await engine.begins(["a"], many("b"))
    engine.gates[0].set()

    await engine.begins(["a"], many("b"), many("c"))


async def test_an_execution_is_in_one_lane_at_a_time(engine: GatedEngine) -> None:
    engine.arrive("a")
    await engine.begins(["a"])

    engine.arrive("a", *many("b"), "a")
    await engine.begins(["a"], many("b"))
    engine.gates[0].set()

    await engine.begins(["a"], many("b"))
    engine.gates[1].set()
    await engine.begins(["a"], many("b"), ["a", "a"])


async def test_those_of_an_execution_that_is_under_way_are_no_reason_for_a_lane(engine: GatedEngine) -> None:
    engine.arrive("a")
    await engine.begins(["a"])

    engine.arrive(*["a"] * WORTH_A_LANE, "b")
    await engine.begins(["a"])
    engine.gates[0].set()

    await engine.begins(["a"], [*["a"] * WORTH_A_LANE, "b"])


async def test_what_is_enough_for_both_lanes_is_shared_by_them(engine: GatedEngine) -> None:
    arrived = many("a", 3 * LEAST_SHARE)
    half = len(arrived) // 2

    engine.arrive(*arrived)

    await engine.begins(arrived[:half], arrived[half : half + LEAST_SHARE])


async def test_a_share_is_not_so_small_that_its_commit_is_not_worth_it(engine: GatedEngine) -> None:
    arrived = many("a", LEAST_SHARE + WORTH_A_LANE)

    engine.arrive(*arrived)

    await engine.begins(arrived[:LEAST_SHARE], arrived[LEAST_SHARE:])


async def test_a_share_takes_whatever_else_there_is_of_its_executions(engine: GatedEngine) -> None:
    beginning = many("a", LEAST_SHARE)

    engine.arrive(*beginning, *many("b"), "a_0", "a_1")

    await engine.begins([*beginning, "a_0", "a_1"], many("b"))


async def test_no_share_is_larger_than_a_batch_may_be(engine: GatedEngine) -> None:
    arrived = many("a", 2 * LARGEST_BATCH + 100)

    engine.arrive(*arrived, *many("b", 1) * LARGEST_BATCH)
    await engine.begins(arrived[:LARGEST_BATCH], arrived[LARGEST_BATCH : 2 * LARGEST_BATCH])
    engine.gates[0].set()

    rest = [*arrived[2 * LARGEST_BATCH :], *many("b", 1) * LARGEST_BATCH]
    await engine.begins(arrived[:LARGEST_BATCH], arrived[LARGEST_BATCH : 2 * LARGEST_BATCH], rest[:LARGEST_BATCH])


async def test_it_idles_when_both_lanes_are_free_and_nothing_waits(engine: GatedEngine) -> None:
    engine.arrive("a")
    await engine.begins(["a"])
    engine.arrive(*many("b"), "a")
    idle = asyncio.create_task(engine.idle())
    await engine.begins(["a"], many("b"))

    engine.gates[1].set()
    await engine.begins(["a"], many("b"))
    early = idle.done()
    engine.gates[0].set()
    await engine.begins(["a"], many("b"), ["a"])
    still_early = idle.done()
    engine.gates[2].set()

    await eventually(idle.done, what="the engine idles")
    assert (early, still_early) == (False, False)


async def test_it_does_not_idle_while_one_lane_is_used(engine: GatedEngine) -> None:
    engine.arrive("a")
    await engine.begins(["a"])
    engine.arrive(*many("b"))
    idle = asyncio.create_task(engine.idle())
    await engine.begins(["a"], many("b"))

    engine.gates[1].set()
    await engine.begins(["a"], many("b"))
    early = idle.done()
    engine.gates[0].set()

    await eventually(idle.done, what="the engine idles")
    assert not early


async def test_whoever_asked_has_the_answer_of_its_own_batch(engine: GatedEngine) -> None:
    [first] = engine.arrive("a")
    await engine.begins(["a"])
    [*others] = engine.arrive(*many("b"))
    await engine.begins(["a"], many("b"))

    engine.gates[1].set()
    await asyncio.gather(*others)

    assert not first.done()
