"""Python processes of the benchmark: started, waited for, and ended with it."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from aif_console.embedded.child_process import log_tail

READY_SECONDS = 60.0
END_SECONDS = 20.0
LOOK_SECONDS = 0.02


class ProgramDidNotStart(Exception):
    def __init__(self, name: str, log: str) -> None:
        super().__init__(f"{name} did not start:\n{log}")


@asynccontextmanager
async def running_program(
    folder: Path, name: str, arguments: Sequence[str], environment: Mapping[str, str]
) -> AsyncIterator[int]:
    """A Python process that writes AIF_READY_FILE when it is ready; gives its process id, and ends it."""
    ready = folder / f"{name}.ready"
    log_path = folder / f"{name}.log"
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, env={**environment, "AIF_READY_FILE": str(ready)}, stdout=log, stderr=log
        )
    try:
        await _until_ready(name, process, ready, log_path)
        yield process.pid
    finally:
        await _end(process)


async def _until_ready(name: str, process: asyncio.subprocess.Process, ready: Path, log_path: Path) -> None:
    try:
        async with asyncio.timeout(READY_SECONDS):
            while not ready.exists():
                if process.returncode is not None:
                    raise ProgramDidNotStart(name, log_tail(log_path, since=0))
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError as late:
        raise ProgramDidNotStart(name, log_tail(log_path, since=0)) from late


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
