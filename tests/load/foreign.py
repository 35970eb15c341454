"""Programs that are not ours, with all they start: waited for until they listen, and ended."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from aif_console.embedded.child_process import log_tail
from load.programs import ProgramDidNotStart

LISTENS_WITHIN_SECONDS = 120.0
ENDS_WITHIN_SECONDS = 10.0
LOOK_SECONDS = 0.2


@asynccontextmanager
async def running_listener(
    name: str, command: Sequence[str], *, port: int, folder: Path, environment: Mapping[str, str]
) -> AsyncIterator[int]:
    """Its process id. It sees `environment`, PATH and `folder` as its home; raises ProgramDidNotStart with its last words."""
    log_path = folder / f"{name}.log"
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        await _until_it_listens(name, process, port, log_path)
        yield process.pid
    finally:
        await _end(process)


async def _until_it_listens(name: str, process: asyncio.subprocess.Process, port: int, log_path: Path) -> None:
    try:
        async with asyncio.timeout(LISTENS_WITHIN_SECONDS):
            while process.returncode is None:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(LOOK_SECONDS)
                else:
                    writer.close()
                    return
    except TimeoutError as late:
        raise ProgramDidNotStart(name, log_tail(log_path)) from late
    raise ProgramDidNotStart(name, log_tail(log_path))


async def _end(process: asyncio.subprocess.Process) -> None:
    """Whatever it has started is in its group, and may outlive it."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(ENDS_WITHIN_SECONDS):
                await process.wait()
        except TimeoutError:
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    await process.wait()
