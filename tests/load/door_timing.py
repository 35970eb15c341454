"""Calls one at a time and many at once, on the event loop that the services run on."""

import asyncio
import statistics
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import uvloop
from msgspec import Struct

from load.door_askers import Ask

IN_FLIGHT = 50

Measured = TypeVar("Measured")


class DoorScale(Struct, frozen=True, kw_only=True):
    rounds: int
    pairs: int = 80
    """Calls of each side, in turn, in each round."""
    warm_up: int = 10
    many: int = 1_000
    """Calls of each side with 50 in flight, in each round."""
    many_proxied: int = 400


def in_small() -> DoorScale:
    return DoorScale(rounds=1, pairs=3, warm_up=1, many=60, many_proxied=60)


class Burst(Struct, frozen=True, kw_only=True):
    per_second: float
    cpu_ms_per_call: float

    @property
    def per_cpu_second(self) -> float:
        return 1_000 / self.cpu_ms_per_call


async def on_a_loop_of_the_services(measure: Callable[[], Coroutine[Any, Any, Measured]]) -> Measured:
    """In a thread, since servers are started from the loop of Python's own."""

    def run() -> Measured:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(measure())

    return await asyncio.to_thread(run)


async def medians_in_turn(asks: Mapping[str, Ask], scale: DoorScale) -> dict[str, float]:
    """Of each side, in milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in asks}
    for number in range(scale.warm_up + scale.pairs):
        for name, ask in asks.items():
            began = time.perf_counter()
            await ask()
            if number >= scale.warm_up:
                times[name].append((time.perf_counter() - began) * 1_000)
    return {name: statistics.median(each) for name, each in times.items()}


async def burst(ask: Ask, calls: int, *, cpu_ms: Callable[[], float]) -> Burst:
    """`cpu_ms` tells the CPU time used so far by whom the calls are charged to."""
    await _at_once(ask, IN_FLIGHT)
    began, cpu_began = time.perf_counter(), cpu_ms()
    await _at_once(ask, calls)
    seconds, used_ms = time.perf_counter() - began, cpu_ms() - cpu_began
    return Burst(per_second=calls / seconds, cpu_ms_per_call=used_ms / calls)


async def _at_once(ask: Ask, calls: int) -> None:
    left = iter(range(calls))

    async def one_after_another() -> None:
        for _ in left:
            await ask()

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(one_after_another())
