"""The classifier as its own process, with short times."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from support.waiting import eventually

READY_SECONDS = 120.0

Start = Callable[[], Awaitable[asyncio.subprocess.Process]]


@asynccontextmanager
async def classifier_processes(
    nats_url: str, database_url: str, folder: Path, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Start]:
    """Each call starts a replica and waits until it is ready, as `folder/ready-0` and so on tell. None outlives the block."""
    started: list[asyncio.subprocess.Process] = []

    async def start() -> asyncio.subprocess.Process:
        ready = folder / f"ready-{len(started)}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AIF_")} | {
            "AIF_NATS_URL": nats_url,
            "AIF_CLASSIFIER_DATABASE_URL": database_url,
            "AIF_CLASSIFIER_ANALYSIS_INTERVAL": "50ms",
            "AIF_ACK_WAIT_SECONDS": "1",
            "AIF_READY_FILE": str(ready),
            # Nobody waits so long for a part that does not end by itself.
            "AIF_DRAIN_SECONDS": "3600",
            **(settings or {}),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "aif_classifier", env=environment, stderr=asyncio.subprocess.DEVNULL
        )
        started.append(process)
        await eventually(ready.exists, READY_SECONDS, what="the classifier ready")
        return process

    try:
        yield start
    finally:
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
