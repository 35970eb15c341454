"""The benchmark is run by people, seldom: this shows that it still can be. Its figures are looked at by nobody."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "load" / "run.py"
PEERS = ("LITELLM", "RESTATE", "RESTATE_PYTHON")
EVERYTHING = "a,b,c,w2,paid-a,paid-b,growth,door,metrics,orders"


async def test_every_workload_of_the_benchmark_can_be_played_and_told() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(RUN),
        "--smoke",
        "--only",
        EVERYTHING,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name not in PEERS},
    )

    said, complained = await process.communicate()

    words = said.decode()
    assert process.returncode == 0, complained.decode()
    assert complained.decode() == ""
    for workload in (
        "W1a one at a time",
        "W1b 200 in flight",
        "W1c 1,000 at once",
        "W2 fan-out of 50",
        "every attempt claimed",
    ):
        assert workload in words
    assert words.count("ours to floor: executions/s") == 6
    assert "Growth: 500 finished executions" in words
    assert "20 executions wait for a worker that nobody runs" in words
    assert "Growth: W1b slower by" in words
    assert words.count("calls per CPU second") == 4
    assert "broker with sync_interval always" in words
    assert "W3 door adds, 50 ms" in words
    assert "Metrics add: CPU, 200 in flight" in words
    assert "20 executions ended within" in words
    assert "20 attempts ended by the worker's own notes, 0 more were cut off" in words
    assert "in their executions' views 20 with the worker's own time and CPU, in the classifier's log 20 with its time" in words
    assert "the granulator killed (SIGKILL) when 4 of 12 had ended" in words
    assert "To compare with LiteLLM" in words
    assert "To compare with Restate" in words
    assert "to Restate" not in words


@pytest.mark.parametrize("option", ["--repeat", "--orchestrators", "--workers", "--slots"])
async def test_a_count_of_none_is_refused_in_place_of_a_round_without_figures(option: str) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, str(RUN), option, "0", stderr=asyncio.subprocess.PIPE)

    _, complained = await process.communicate()

    assert process.returncode == 2
    assert complained.decode().endswith(f"error: argument {option}: '0' is no whole number from 1 on\n")


async def test_a_workload_that_there_is_not_is_refused_with_the_names_of_those_that_there_are() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(RUN),
        "--only",
        "z",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "COLUMNS": "200"},
    )

    _, complained = await process.communicate()

    assert process.returncode == 2
    assert (
        "there is no workload z; there are a, b, c, w2, paid-a, paid-b, growth, coverage, door, orders, metrics"
        in complained.decode()
    )


async def test_a_peer_without_a_python_for_its_handlers_is_refused_before_anything_starts() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in PEERS}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(RUN),
        "--only",
        "a",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**environment, "RESTATE": sys.executable},
    )

    said, complained = await process.communicate()

    assert process.returncode == 2
    assert complained.decode().startswith("RESTATE_PYTHON is not set.")
    assert said == b""
