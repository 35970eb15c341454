"""What a long life costs: new executions beside a million finished ones.

Two factories run side by side, each with servers of its own, and the one with a past differs from the other in nothing else.
The workload goes over both in turn, so that a noisy neighbour meets both.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from load.bench import Scale
from load.finished import multiply, read_rows
from load.measuring import Measured, measure
from load.ours import DATABASE, SCHEMA, Factory, Replicas, prepare_database, running_factory
from load.pipelines import CHAIN
from load.servers import running_servers
from load.spread import Spread, spread
from load.targets import Judged, growth_judged
from load.workloads import IN_FLIGHT, WARM_UP, WORKLOADS, Workload, in_small

ROUNDS_FOR_EACH_REPEAT = 3
"""A few percent are looked for; that takes more rounds than a factor does."""
BYTES_FOR_EACH = 20_000
"""What a finished execution of the workload takes on the disk, and some more."""

Say = Callable[[str], None]


class NoRoom(Exception):
    """The disk is too small for what was asked for."""


async def growth_trial(folder: Path, *, replicas: Replicas, scale: Scale, say: Say) -> list[Judged]:
    workload = next(each for each in WORKLOADS if each.key == IN_FLIGHT)
    warm_up = WARM_UP
    if scale.in_small:
        workload, warm_up = in_small(workload), in_small(warm_up)
    folder.mkdir(mode=0o711)
    _check_room(folder, scale.finished)
    async with (
        running_servers(folder / "young", scale.disks) as young_servers,
        running_servers(folder / "old", scale.disks) as old_servers,
    ):
        young_url = await prepare_database(young_servers)
        old_url = await prepare_database(old_servers)
        async with running_factory(young_servers, young_url, replicas) as young:
            real = await read_rows(young_servers.admin_url(DATABASE), SCHEMA, await young.ended(CHAIN))
            began = time.perf_counter()
            sizes = await multiply(old_servers.admin_url(DATABASE), SCHEMA, real, scale.finished)
            took = time.perf_counter() - began
            say(f"\nGrowth: {scale.finished:,} finished executions ({sizes}), put there in {took:,.0f} s")
            async with running_factory(old_servers, old_url, replicas) as old:
                for factory in (young, old):
                    await warm_up.play(factory)
                rounds = await _in_turn(workload, young, old, scale.repeat * ROUNDS_FOR_EACH_REPEAT)
    return [growth_judged(_tell_growth(rounds, scale.finished, say))]


def _check_room(folder: Path, finished: int) -> None:
    needed, free = finished * BYTES_FOR_EACH, shutil.disk_usage(folder).free
    if needed > free:
        raise NoRoom(
            f"{finished:,} executions need {needed / 1e9:.0f} GB below {folder.parent}, {free / 1e9:.0f} GB are free: "
            "set TMPDIR to a folder with more room, or take fewer by --finished"
        )


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
