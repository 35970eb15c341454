"""A server process that belongs to this one: started, logged, stopped within a bound, and never left behind.

It gets its own session, so that Ctrl-C in the terminal reaches only the supervisor, which then stops everything in order. If the
supervisor is killed without a chance to do so, the kernel tells the child (Linux; elsewhere the next start finds the orphan).
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from aif_console.embedded.identity import Identity

LOG_KEPT_BYTES = 8 * 1024 * 1024  # a longer log is set aside at the next start
LOG_TAIL_BYTES = 4096
KILL_WAIT_SECONDS = 10.0
ORPHAN_POLL_SECONDS = 0.02

type_of_escalation = tuple[tuple[signal.Signals, float], ...]


class ChildProcess:
    """One running server. Made by `start`; belongs to the event loop that started it."""

    def __init__(self, process: asyncio.subprocess.Process, log_path: Path) -> None:
        self._process = process
        self._log_path = log_path

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        *,
        identity: Identity,
        log_path: Path,
        death_signal: signal.Signals = signal.SIGTERM,
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """Start `command`, an absolute program and its arguments, appending what it prints to `log_path`.

        The child sees `environment` and nothing of ours: keys and passwords of the services are not its business.
        """
        set_aside_long_log(log_path)
        with log_path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *leashed(command, identity=identity, death_signal=death_signal),
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                umask=0o077,
            )
        return cls(process, log_path)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    async def wait(self) -> int:
        """Wait for its end, however it comes. The exit code is negative for a signal."""
        return await self._process.wait()

    async def stop(self, escalation: Sequence[tuple[signal.Signals, float]]) -> None:
        """Send each signal and wait its seconds, until the process has ended; SIGKILL if none helped."""
        for number, seconds in escalation:
            if not self.is_running:
                return
            self._process.send_signal(number)
            try:
                await asyncio.wait_for(self._process.wait(), seconds)
            except TimeoutError:
                continue
        await self.kill()

    async def kill(self) -> None:
        """End it without a warning, as a power cut would."""
        if self.is_running:
            self._process.kill()
        await asyncio.wait_for(self._process.wait(), KILL_WAIT_SECONDS)
