"""Many histories, one after the other: `python -m simulation.run --seeds 20000`, and one of them told: `--seed 7 --trace`."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from aif_contracts.orders import ExecutionStatus
from simulation.history import Outcome, live_through
from simulation.mechanisms import Mechanism
from simulation.shapes import Shapes
from simulation.sightings import RARE

MOST_SEEDS_SHOWN = 20
MOST_SHOWN_OF_EACH = 3


def main() -> int:
    """The exit code: 1 when any history broke a rule."""
    asked = _arguments()
    without = Mechanism(asked.without) if asked.without else None
    seeds = range(asked.first, asked.first + asked.seeds) if asked.seed is None else [asked.seed]
    shapes = Shapes()
    began = time.perf_counter()
    outcomes = [live_through(seed, shapes, without=without, tell=_say if asked.trace else None) for seed in seeds]
    for line in _summary(outcomes, time.perf_counter() - began):
        _say(line)
    return 1 if any(outcome.violations for outcome in outcomes) else 0


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
    parser.add_argument("--without", choices=[str(each) for each in Mechanism], help="take one mechanism out")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
