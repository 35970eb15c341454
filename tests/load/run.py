"""Play the workloads and print what they cost: `python tests/load/run.py [--only a,b,growth] [--repeat N]`.

Nothing is asserted: figures are read by people, who know what else the machine was doing.
"""

import argparse
import asyncio
import logging
import os
import sys
import tempfile
from pathlib import Path

import structlog

GROWTH, ORDERS = "growth", "orders"


async def play(options: argparse.Namespace, names: list[str], folder: Path) -> None:
    from load.bench import SMALL, Scale, bench
    from load.coverage_trial import COVERAGE, coverage_trial
    from load.door_timing import DoorScale
    from load.door_timing import in_small as door_in_small
    from load.door_trial import DOOR, door_trial
    from load.growth_trial import growth_trial
    from load.metrics_trial import METRICS, metrics_trial
    from load.orders_trial import SMALL_ORDERS, OrderScale, orders_trial
    from load.ours import Replicas
    from load.restate.named import restate_programs
    from load.servers import Disks
    from load.telling import IDLE_WORKERS, tell_judged
    from load.waiting_trial import waiting_trial

    replicas = Replicas(orchestrators=options.orchestrators, workers=options.workers, slots=options.slots)
    scale = Scale(
        repeat=options.repeat,
        finished=options.finished,
        waiting=options.waiting,
        idle_seconds=options.idle_seconds,
        disks=Disks(nats_sync_interval=options.sync_interval),
    )
    if options.smoke:
        scale = SMALL
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    say(f"{os.cpu_count()} cores, load {load} at the start (1, 5 and 15 minutes); other work on the machine is in the figures.")
    if set(names) - {ORDERS}:
        say(IDLE_WORKERS)
    judged = []
    if COVERAGE in names:
        coverage_trial(say, in_small=options.smoke)
    if DOOR in names:
        door_scale = door_in_small() if options.smoke else DoorScale(rounds=options.repeat)
        judged += await door_trial(folder / "door", say, scale=door_scale)
    if ORDERS in names:
        order_scale = SMALL_ORDERS if options.smoke else OrderScale(orders=options.orders)
        judged += await orders_trial(folder / ORDERS, say, scale=order_scale)
    if METRICS in names:
        judged += await metrics_trial(folder / METRICS, replicas=replicas, scale=scale, say=say)
    if workloads := [name for name in names if name not in (GROWTH, COVERAGE, DOOR, ORDERS, METRICS)]:
        restate = restate_programs()
        judged += await bench(folder / "bench", workloads, replicas=replicas, scale=scale, restate=restate, say=say)
    if GROWTH in names:
        judged += await growth_trial(folder / "growth", replicas=replicas, scale=scale, say=say)
        await waiting_trial(folder / "waiting", replicas=replicas, scale=scale, say=say)
    tell_judged(judged, say)
    if options.smoke:
        say("A smoke run shows that the benchmark works; its figures mean nothing.")


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def _be_quiet() -> None:
    logging.disable(logging.INFO)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


def _options(known: list[str], paid: tuple[str, ...]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description=__doc__)
    default = [name for name in known if name not in (GROWTH, ORDERS)]
    parser.add_argument(
        "--only", default=",".join(default), help=f"of {', '.join(known)}, by comma; all but growth and orders if left out"
    )
    parser.add_argument("--repeat", type=_count, default=3, help="rounds of each workload")
    parser.add_argument(
        "--paid", action=argparse.BooleanOptionalAction, default=True, help="W1a and W1b with every attempt claimed, too"
    )
    parser.add_argument("--orchestrators", type=_count, default=1)
    parser.add_argument("--workers", type=_count, default=1)
    parser.add_argument("--slots", type=_count, default=1000, help="of each worker")
    parser.add_argument("--sync-interval", default="2m", help="of NATS: 2m as is its own default, or always")
    parser.add_argument("--finished", type=int, default=1_000_000, help="executions in the database, for growth")
    parser.add_argument("--waiting", type=int, default=10_000, help="executions that nobody works on, for growth")
    parser.add_argument("--orders", type=_count, default=1_500, help="at once, for orders")
    parser.add_argument("--idle-seconds", type=float, default=20.0, help="how long those are watched")
    parser.add_argument("--smoke", action="store_true", help="a few executions of each: does the benchmark work at all?")
    options = parser.parse_args()
    names = [name.strip().lower() for name in options.only.split(",") if name.strip()]
    if unknown := [name for name in names if name not in known]:
        parser.error(f"there is no workload {', '.join(unknown)}; there are {', '.join(known)}")
    if not options.paid:
        names = [name for name in names if name not in paid]
    return options, names


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def main() -> int:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from load.coverage_trial import COVERAGE
    from load.door_trial import DOOR
    from load.metrics_trial import METRICS
    from load.restate.named import WronglyNamed, restate_programs
    from load.workloads import PAID, WORKLOADS

    options, names = _options([*(each.key for each in WORKLOADS), GROWTH, COVERAGE, DOOR, ORDERS, METRICS], PAID)
    try:
        restate_programs()
    except WronglyNamed as wrong:
        sys.stderr.write(f"{wrong}\n")
        return 2
    _be_quiet()
    with tempfile.TemporaryDirectory(prefix="aif-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        asyncio.run(play(options, names, folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
