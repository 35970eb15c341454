"""Play the fault matrix and print a table: `python tests/faults/run.py [--only F01,F05] [--seed N] [--executions N]`.

Exits with 1 on any violation.
"""

import argparse
import asyncio
import logging
import random
import sys
from pathlib import Path

import structlog

LOAD_SECONDS = 12.0


async def play_all(names: list[str], *, seed: int, executions: int, load_seconds: float) -> int:
    from faults.matrix import HEAD, LEGEND, details, play, row
    from faults.trial import TrialPlan

    _say(HEAD)
    clean = True
    for name in names:
        played = await play(name, TrialPlan(seed=seed, executions=executions, load_seconds=load_seconds))
        _say("\n".join((row(played), *details(played))))
        clean = clean and played.is_clean
    _say(LEGEND)
    return 0 if clean else 1


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def _be_quiet() -> None:
    """What our own connections say about servers that die is no news here."""
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def main() -> int:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from faults.matrix import MATRIX

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(MATRIX), help="trials, by comma")
    parser.add_argument("--seed", type=int, default=None, help="another one each time if left out")
    parser.add_argument("--executions", type=int, default=300, help="of each trial")
    parser.add_argument("--load-seconds", type=float, default=LOAD_SECONDS, help="how long orders come in")
    options = parser.parse_args()
    names = [name.strip().upper() for name in options.only.split(",")]
    if unknown := [name for name in names if name not in MATRIX]:
        parser.error(f"there is no trial {', '.join(unknown)}; there are {', '.join(MATRIX)}")
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    _be_quiet()
    return asyncio.run(play_all(names, seed=seed, executions=options.executions, load_seconds=options.load_seconds))


if __name__ == "__main__":
    sys.exit(main())
