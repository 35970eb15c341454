"""What metrics cost: the same factory with them and without, by turns, in many short rounds.

With them is the factory as it is deployed, the classifier included, which is there for nothing else. Without them is the same
without a classifier, its worker and its orchestrator started by programs in which what measures, adds up and keeps does
nothing (`unmetered_worker.py`, `unmetered_orchestrator.py`). Each has servers of its own, since both want the same streams.
"""

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from load.bench import Scale
from load.measuring import cpu_of
from load.ours import AS_DEPLOYED, CLASSIFIER, DATABASE, Factory, Programs, Replicas, prepare_database, running_factory
from load.pipelines import CHAIN
from load.servers import running_servers
from load.spread import figure, middle_half
from load.targets import Judged
from load.workloads import WARM_UP, Workload, in_small

METRICS = "metrics"
MOST_MS = 2.0
SETTLE_SECONDS = 1.0
"""In which what was gathered for a moment is told, and stored by the classifier."""
TIMED = Workload(key="timed", title="one by one", shape=CHAIN, executions=10, in_flight=1)
MIDDLE, QUICKEST = "p50", "quickest"
"""Of a round's executions: what it takes as a rule, and where nothing else on the machine was in between."""
TIMED_ROUNDS = 50
"""For each repeat. The machine's speed moves by more than what is looked for, so each round is over soon."""
COUNTED = (
    Workload(key="one", title="one by one", shape=CHAIN, executions=100, in_flight=1),
    Workload(key="many", title="200 in flight", shape=CHAIN, executions=1000, in_flight=200),
)
COUNTED_ROUNDS = 5
"""For each repeat, of CPU time, which the kernel counts in steps of 10 ms."""
WARM_UP_EXECUTIONS = 50
NOT_IN_IT = (
    "  not in the difference: the counting of blob operations (none are made here), the breakdown of an action's time (none is "
    "told), what the gateway stores of an execution's totals, tracing, and fields of messages and tables that stay, empty"
)

Say = Callable[[str], None]


class Pair(Struct, frozen=True, kw_only=True):
    """Of one round: milliseconds for each execution, by process, or `p50` alone."""

    metered: Mapping[str, float]
    unmetered: Mapping[str, float]

    @property
    def added(self) -> float:
        return sum(self.metered.values()) - sum(self.unmetered.values())

    @property
    def share(self) -> float:
        """Of what it takes with metrics."""
        return self.added / (sum(self.metered.values()) or 1)


Play = Callable[[Factory], Awaitable[Mapping[str, float]]]


async def metrics_trial(folder: Path, *, replicas: Replicas, scale: Scale, say: Say) -> list[Judged]:
    """Gives what is to stand beside the targets."""
    folder.mkdir(mode=0o711)
    unmetered_programs = Programs(worker=_program("unmetered_worker.py"), orchestrator=_program("unmetered_orchestrator.py"))
    async with (
        running_servers(folder / "metered", scale.disks) as metered_servers,
        running_servers(folder / "unmetered", scale.disks) as unmetered_servers,
    ):
        metered_url = await prepare_database(metered_servers)
        classifier_url = await metered_servers.database(DATABASE, CLASSIFIER)
        unmetered_url = await prepare_database(unmetered_servers)
        metered_programs = replace(AS_DEPLOYED, classifier_database_url=classifier_url)
        async with (
            running_factory(metered_servers, metered_url, replicas, metered_programs) as metered,
            running_factory(unmetered_servers, unmetered_url, replicas, unmetered_programs) as unmetered,
        ):
            say(f"\n{METRICS}: three stages that do nothing, with all metrics and without; {metered_servers.durability}")
            for factory in (metered, unmetered):
                await WARM_UP.play(factory)
            by_turns = partial(_by_turns, metered, unmetered)
            timed = await by_turns(partial(_timed, TIMED), 1 if scale.in_small else scale.repeat * TIMED_ROUNDS)
            judged = [_tell(what, TIMED, _only(what, timed), say) for what in (MIDDLE, QUICKEST)]
            for each in COUNTED:
                workload = in_small(each) if scale.in_small else each
                counted = await by_turns(partial(_counted, workload), 1 if scale.in_small else scale.repeat * COUNTED_ROUNDS)
                judged.append(_tell("CPU", workload, counted, say))
    say(NOT_IN_IT)
    return judged


def _program(name: str) -> tuple[str, ...]:
    return (str(Path(__file__).with_name(name)),)


async def _by_turns(metered: Factory, unmetered: Factory, play: Play, rounds: int) -> list[Pair]:
    pairs = []
    for number in range(rounds):
        if number % 2 == 0:
            first = await play(metered)
            pairs.append(Pair(metered=first, unmetered=await play(unmetered)))
        else:
            first = await play(unmetered)
            pairs.append(Pair(metered=await play(metered), unmetered=first))
    return pairs


async def _timed(workload: Workload, factory: Factory) -> Mapping[str, float]:
    latencies = await workload.play(factory)
    return {MIDDLE: statistics.median(latencies), QUICKEST: min(latencies)}


def _only(what: str, pairs: Sequence[Pair]) -> list[Pair]:
    return [Pair(metered={what: each.metered[what]}, unmetered={what: each.unmetered[what]}) for each in pairs]


async def _counted(workload: Workload, factory: Factory) -> Mapping[str, float]:
    await replace(WARM_UP, executions=WARM_UP_EXECUTIONS).play(factory)
    await asyncio.sleep(SETTLE_SECONDS)
    before = cpu_of(factory.pids)
    count = len(await workload.play(factory))
    await asyncio.sleep(SETTLE_SECONDS)
    after = cpu_of(factory.pids)
    return {name: (after[name] - before[name]) / count for name in after}


def _tell(what: str, workload: Workload, pairs: Sequence[Pair], say: Say) -> Judged:
    say(
        f"  {what}, {workload.title}: {len(pairs)} rounds of {workload.executions:,} executions; "
        "ms for each, median (middle half) of the rounds"
    )
    for name, of_side in (("with", [each.metered for each in pairs]), ("without", [each.unmetered for each in pairs])):
        parts = ", ".join(f"{part} {middle_half(each[part] for each in of_side)}" for part in of_side[0])
        whole = "" if len(of_side[0]) == 1 else f"{middle_half(sum(each.values()) for each in of_side)}: "
        say(f"    {name:<8} {whole}{parts}")
    added = middle_half(each.added for each in pairs)
    share = middle_half(100 * each.share for each in pairs)
    say(f"    added, round by round: {added} ms, {share} % of what it takes with them")
    return Judged(
        what=f"Metrics add: {what}, {workload.title}",
        target=f"at most {figure(MOST_MS)} ms",
        measured=added,
        unit=" ms",
        reached=added.median <= MOST_MS,
    )
