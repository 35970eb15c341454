"""Many histories, one after the other: `python -m simulation.run --seeds 20000`, and one of them told: `--seed 7 --trace`."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

from aif_contracts.orders import ExecutionStatus
from simulation.history import Outcome, live_through
from simulation.mechanisms import Mechanism
from simulation.shapes import Shapes
from simulation.sightings import RARE

MOST_SEEDS_SHOWN = 20
MOST_SHOWN_OF_EACH = 3
AT_ONCE = 500
"""Histories that one process lives through before it tells."""


def main() -> int:
    """The exit code: 1 when any history broke a rule."""
    asked = _arguments()
    without = Mechanism(asked.without) if asked.without else None
    seeds = range(asked.first, asked.first + asked.seeds) if asked.seed is None else [asked.seed]
    began = time.perf_counter()
    if asked.trace or len(seeds) <= AT_ONCE:
        outcomes = _live_through(seeds, without, _say if asked.trace else None)
    else:
        parts = [seeds[first : first + AT_ONCE] for first in range(0, len(seeds), AT_ONCE)]
        with ProcessPoolExecutor(asked.processes) as pool:
            outcomes = [outcome for part in pool.map(_live_through, parts, repeat(without)) for outcome in part]
    for line in _summary(outcomes, time.perf_counter() - began):
        _say(line)
    return 1 if any(outcome.violations for outcome in outcomes) else 0


def _live_through(seeds: Sequence[int], without: Mechanism | None, tell: Callable[[str], None] | None = None) -> list[Outcome]:
    shapes = Shapes()
    return [live_through(seed, shapes, without=without, tell=tell) for seed in seeds]


def _summary(outcomes: Sequence[Outcome], seconds: float) -> Iterator[str]:
    ended: Counter[ExecutionStatus] = sum((outcome.ended for outcome in outcomes), Counter())
    meant_well: Counter[ExecutionStatus] = sum((each.ended for each in outcomes if not each.meant_failures), Counter())
    bad = [outcome for outcome in outcomes if outcome.violations]
    for outcome in bad[:MOST_SEEDS_SHOWN]:
        for violation in outcome.violations[:MOST_SHOWN_OF_EACH]:
            yield f"seed {outcome.seed}: {violation.rule}: {violation.story}"
    untold = [key for outcome in outcomes for key in outcome.untold_calls]
    if len(outcomes) == 1 and untold:
        yield f"billed calls that nobody could tell of: {', '.join(untold)}"
    yield f"seeds       {len(outcomes)}"
    yield f"acts        {sum(outcome.acts for outcome in outcomes)}"
    yield f"events      {sum(outcome.events for outcome in outcomes)}"
    yield f"executions  {_counted(ended)}"
    yield f"            where nothing was meant to fail: {_counted(meant_well)}"
    seen: Counter[str] = sum((outcome.seen for outcome in outcomes), Counter())
    yield f"seen        {', '.join(f'{seen[name]} {name}' for name in RARE)}"
    yield f"untold      {len(untold)} billed calls that only a dead worker or a lost message knew of"
    yield f"seconds     {seconds:.1f}"
    yield f"violations  {sum(len(outcome.violations) for outcome in bad)} in {len(bad)} histories"


def _counted(ended: Counter[ExecutionStatus]) -> str:
    return ", ".join(f"{number} {status}" for status, number in sorted(ended.items())) or "none"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="simulation.run", description="Deterministic histories of the orchestrator's core")
    parser.add_argument("--seeds", type=int, default=2_000, help="how many histories")
    parser.add_argument("--first", type=int, default=0, help="the first one's seed")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--trace", action="store_true", help="tell every step")
    parser.add_argument("--processes", type=int, help="as many as the machine has processors, unless told")
    parser.add_argument("--without", choices=[str(each) for each in Mechanism], help="take one mechanism out")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
