"""What a long life costs: new executions beside a million finished ones, and ten thousand that wait for a worker nobody runs.

Two factories run side by side, each with servers of its own, and the one with a past differs from the other in nothing else.
The workload goes over both in turn, so that a noisy neighbour meets both.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from load.bench import Scale
from load.finished import multiply, read_rows
from load.measuring import Measured, cpu_during, measure
from load.ours import DATABASE, SCHEMA, Factory, Replicas, prepare_database, running_factory
from load.pipelines import CHAIN, UNATTENDED
from load.servers import running_servers
from load.spread import Spread, figure, spread
from load.targets import Judged, growth_judged
from load.workloads import IN_FLIGHT, WARM_UP, WORKLOADS, Workload, in_small

ROUNDS_FOR_EACH_REPEAT = 2
"""A few percent are looked for; that takes more rounds than a factor does."""
ORDERS_AT_ONCE = 100
SENT_AGAIN_AFTER_SECONDS = 60.0
"""The orchestrator's setting for packets that nobody takes, as it is by default."""
SENDING_SECONDS = 30.0

Say = Callable[[str], None]


async def growth_trial(folder: Path, *, replicas: Replicas, scale: Scale, say: Say) -> list[Judged]:
    workload = next(each for each in WORKLOADS if each.key == IN_FLIGHT)
    warm_up = WARM_UP
    if scale.in_small:
        workload, warm_up = in_small(workload), in_small(warm_up)
    folder.mkdir(mode=0o711)
    durable = not scale.in_small
    async with (
        running_servers(folder / "young", durable=durable) as young_servers,
        running_servers(folder / "old", durable=durable) as old_servers,
    ):
        young_url = await prepare_database(young_servers)
        old_url = await prepare_database(old_servers)
        async with running_factory(young_servers, young_url, replicas) as young:
            real = await read_rows(young_servers.admin_url(DATABASE), SCHEMA, await young.ended(CHAIN))
            began = time.perf_counter()
            size = await multiply(old_servers.admin_url(DATABASE), SCHEMA, real, scale.finished)
            took = time.perf_counter() - began
            say(f"\nGrowth: {scale.finished:,} finished executions take {size / 1e9:,.1f} GB; put there in {took:,.0f} s")
            async with running_factory(old_servers, old_url, replicas) as old:
                for factory in (young, old):
                    await warm_up.play(factory)
                rounds = await _in_turn(workload, young, old, scale.repeat * ROUNDS_FOR_EACH_REPEAT)
            slowdown = _tell_growth(rounds, scale.finished, say)
            await _wait(young, scale, say)
    return [growth_judged(slowdown)]


async def _in_turn(workload: Workload, young: Factory, old: Factory, count: int) -> list[tuple[Measured, Measured]]:
    rounds = []
    for number in range(count):
        if number % 2 == 0:
            first = await measure(young, workload)
            rounds.append((first, await measure(old, workload)))
        else:
            first = await measure(old, workload)
            rounds.append((await measure(young, workload), first))
    return rounds


def _tell_growth(rounds: Sequence[tuple[Measured, Measured]], finished: int, say: Say) -> Spread:
    """How much slower new executions are, in percent."""
    for name, of_side in (("none", [young for young, _ in rounds]), (f"{finished:,}", [old for _, old in rounds])):
        say(
            f"  W1b beside {name:<10} {spread(each.per_second for each in of_side)} executions/s, "
            f"CPU {spread(each.whole_cpu_ms for each in of_side)} ms per execution, "
            f"of it Postgres {spread(each.cpu_ms['postgres'] for each in of_side)}"
        )
    ratio = spread(old.per_second / young.per_second for young, old in rounds)
    cpu = spread(old.whole_cpu_ms / young.whole_cpu_ms for young, old in rounds if young.whole_cpu_ms)
    say(f"  with to without, round by round: executions/s {ratio}, CPU {cpu}")
    return Spread((1 - ratio.median) * 100, (1 - ratio.most) * 100, (1 - ratio.least) * 100)


async def _wait(factory: Factory, scale: Scale, say: Say) -> None:
    """CPU time that executions cost which wait for a worker."""
    await asyncio.sleep(scale.settle_seconds)
    without = await cpu_during(factory.pids, asyncio.sleep(scale.idle_seconds))
    remaining = iter(range(scale.waiting))

    async def lane() -> None:
        for _ in remaining:
            await factory.order(UNATTENDED)

    began = time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(ORDERS_AT_ONCE)))
    ordered_in = time.perf_counter() - began
    await asyncio.sleep(scale.settle_seconds)
    beside = await cpu_during(factory.pids, asyncio.sleep(scale.idle_seconds))
    say(f"\n{scale.waiting:,} executions wait for a worker that nobody runs (ordered within {ordered_in:.1f} s)")
    say(f"  CPU ms in {figure(scale.idle_seconds)} idle seconds, without to with them: {_side_by_side(without, beside)}")
    if scale.in_small:
        return
    until_sent = began + ordered_in + SENT_AGAIN_AFTER_SECONDS + SENDING_SECONDS - time.perf_counter()
    sending = await cpu_during(factory.pids, asyncio.sleep(max(0.0, until_sent)))
    told = ", ".join(f"{name} {spent:,.0f}" for name, spent in sending.items())
    say(f"  CPU ms of the following {until_sent:.0f} s, in which every packet is sent again once: {told}")
    say("  (packets that nobody takes are sent again after 1, 3, 7, 15 … minutes, and hourly in the end)")


def _side_by_side(without: dict[str, float], beside: dict[str, float]) -> str:
    return ", ".join(f"{name} {without[name]:,.0f} to {beside[name]:,.0f}" for name in beside)
