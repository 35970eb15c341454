"""Folders and supervisors for the tests of the embedded servers."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

StartSupervisor = Callable[[str, Path], Awaitable[asyncio.subprocess.Process]]
TESTS = Path(__file__).parents[2]


@pytest.fixture
def server_dir(servers_dir: Path) -> Iterator[Path]:
    """A folder of its own for one server, where any user may enter, until the end of the test."""
    folder = servers_dir / uuid4().hex
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture
async def start_supervisor() -> AsyncIterator[StartSupervisor]:
    """Start a separate supervisor process over a folder; it stops its server at the end of the test if it still lives."""
    started: list[asyncio.subprocess.Process] = []

    async def start(kind: str, folder: Path, *, prefix: tuple[str, ...] = ()) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *prefix,
            *(sys.executable, "-m", "support.supervisor_process", kind, str(folder)),
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.returncode is None:
            await process.communicate(b"")
        else:
            # The pipes of a killed process are closed when their ends were seen.
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            await process.stdout.read()
