"""The workloads on our factory and on the floor, both on the same servers, and on a peer with its own."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from msgspec import Struct

from load.floor.floor import running_floor
from load.ours import Replicas, prepare_database, running_factory
from load.restate.named import HOW, RestatePrograms
from load.restate.peer import WORDS, running_restate
from load.rounds import play_rounds
from load.servers import Disks, running_servers
from load.targets import Judged, judge
from load.telling import tell_results
from load.workloads import WARM_UP, WORKLOADS, in_small


class Scale(Struct, frozen=True, kw_only=True):
    repeat: int
    finished: int
    """Executions in the database when the effect of growth is measured."""
    waiting: int
    """Executions that nobody works on."""
    idle_seconds: float
    """How long those are watched."""
    settle_seconds: float = 3.0
    """How long what comes after the work is let pass before idleness is watched."""
    disks: Disks = Disks()
    in_small: bool = False
    """Only to see that everything works."""


SMALL = Scale(
    repeat=1,
    finished=500,
    waiting=20,
    idle_seconds=0.2,
    settle_seconds=0.2,
    disks=Disks(postgres_is_durable=False),
    in_small=True,
)


async def bench(
    folder: Path,
    keys: Sequence[str],
    *,
    replicas: Replicas,
    scale: Scale,
    restate: RestatePrograms | None,
    say: Callable[[str], None],
) -> list[Judged]:
    """Play the workloads named and tell the results; gives what is to stand beside the targets."""
    workloads = [in_small(each) if scale.in_small else each for each in WORKLOADS if each.key in keys]
    warm_up = in_small(WARM_UP) if scale.in_small else WARM_UP
    async with running_servers(folder, scale.disks) as servers, AsyncExitStack() as stack:
        say(f"{servers.durability}; {replicas.words}")
        say(f"{WORDS if restate else HOW}\n")
        database_url = await prepare_database(servers)
        floor = await stack.enter_async_context(running_floor(servers))
        ours = await stack.enter_async_context(running_factory(servers, database_url, replicas))
        visits = [partial(running_restate, folder, restate)] if restate else []
        results = await play_rounds(
            workloads, ours=ours, floor=floor, visits=visits, warm_up=warm_up, repeat=scale.repeat, say=say
        )
    tell_results(workloads, results, say)
    return judge(workloads, results)
