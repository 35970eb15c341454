"""The ranges of cost simulations, held against generated histories: the benchmark tells it, and here it is kept."""

import asyncio
import sys
from pathlib import Path

from load.coverage_trial import measure_coverage

RUN = Path(__file__).parents[2] / "load" / "run.py"


def test_some_eight_in_ten_of_what_happens_lies_within_the_range() -> None:
    found = measure_coverage(known=50, unseen=400)

    assert found.asked == 400
    assert 0.72 <= found.cost <= 0.9
    assert 0.72 <= found.time <= 0.9
    assert 0.4 <= found.cost_below_middle <= 0.6
    assert 0.4 <= found.time_below_middle <= 0.6


async def test_the_benchmark_tells_what_its_histories_are_made_of() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(RUN),
        "--smoke",
        "--only",
        "coverage",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )

    said, complained = await process.communicate()

    assert process.returncode == 0, complained.decode()
    assert "Coverage of cost simulations" in said.decode()
    assert "generated: source of 2 to 200 KB" in said.decode()
