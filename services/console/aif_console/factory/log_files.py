"""Log files of processes that run for months: kept short without asking the processes."""

import asyncio
import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path

LONGEST_BYTES = 16 * 1024 * 1024
LOOK_SECONDS = 60.0


async def keep_short(paths: Iterable[Path], *, longest_bytes: int = LONGEST_BYTES, look_seconds: float = LOOK_SECONDS) -> None:
    """Look at the files now and then and shorten what is too long. Runs until it is cancelled."""
    logs = tuple(paths)
    while True:
        for log in logs:
            # A full disk is no reason to end the factory; the next look may find room.
            with contextlib.suppress(OSError):
                await asyncio.to_thread(shorten, log, longest_bytes)
        await asyncio.sleep(look_seconds)


def shorten(log: Path, longest_bytes: int) -> None:
    """Move what a long log holds aside, in the place of what was moved before.

    The file itself stays: its writer appends to it and does not notice. A line written between the two steps is lost.
    Raises OSError.
    """
    if log.stat().st_size > longest_bytes:
        shutil.copyfile(log, log.with_suffix(".log.1"))
        with log.open("r+b") as file:
            file.truncate(0)
