"""A server process that belongs to this one: started, logged, stopped within a bound, and never left behind.

It gets its own session: Ctrl-C in the terminal reaches only the supervisor, which then stops everything in order. If the
supervisor is killed without a chance to do so, the kernel tells the child (Linux; elsewhere the next start finds the orphan).
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from aif_console.embedded.identity import Identity, leashed

LOG_KEPT_BYTES = 8 * 1024 * 1024  # a longer log is set aside at the next start
LOG_TAIL_BYTES = 4096
KILL_WAIT_SECONDS = 10.0
ORPHAN_POLL_SECONDS = 0.02

Escalation = Sequence[tuple[signal.Signals, float]]
"""Signals from polite to rude, each with the seconds it is given."""


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
        The thread that calls this must live as long as the child: to the kernel the thread is the parent.
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

    async def stop(self, escalation: Escalation) -> None:
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


async def run_to_end(command: Sequence[str], *, identity: Identity, log_path: Path, limit_seconds: float) -> int:
    """Run a program that ends by itself and tell its exit code. Raises TimeoutError, and the program is gone then."""
    child = await ChildProcess.start(command, identity=identity, log_path=log_path, death_signal=signal.SIGKILL)
    try:
        return await asyncio.wait_for(child.wait(), limit_seconds)
    finally:
        await child.kill()


async def stop_orphan(pid: int, *, marker: str, escalation: Escalation) -> bool:
    """End a process that an earlier supervisor left behind. False if `pid` is not that process.

    Process ids are used again, so only one whose command line has `marker` (its data folder) as an argument is touched.
    """
    if not runs_with(pid, marker):
        return False
    for number, seconds in [*escalation, (signal.SIGKILL, KILL_WAIT_SECONDS)]:
        # It may end between any two of our looks.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            # A stopped process acts on no signal but SIGKILL until it is told to go on.
            os.kill(pid, signal.SIGCONT)
        try:
            async with asyncio.timeout(seconds):
                while runs_with(pid, marker):  # noqa: ASYNC110  it is not our child, nobody tells us
                    await asyncio.sleep(ORPHAN_POLL_SECONDS)
        except TimeoutError:
            continue
        return True
    return True


def runs_with(pid: int, marker: str) -> bool:
    """Tell whether a living process has `marker` as one argument. A zombie has no arguments any more."""
    proc = Path("/proc")
    if (proc / "self").exists():
        try:
            arguments = (proc / str(pid) / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            return False
        return os.fsencode(marker) in arguments
    listing = subprocess.run(["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)
    return b" " + os.fsencode(marker) + b" " in b" " + listing.stdout.strip() + b" "


def set_aside_long_log(log_path: Path) -> None:
    """Keep one older log, so that a factory that runs for years does not fill its disk with them."""
    if log_path.exists() and log_path.stat().st_size > LOG_KEPT_BYTES:
        log_path.replace(log_path.with_suffix(".log.1"))


def log_tail(log_path: Path, *, since: int = 0) -> str:
    """Read the last words of a log, not further back than the offset `since`."""
    if not log_path.exists():
        return ""
    with log_path.open("rb") as log:
        size = log.seek(0, os.SEEK_END)
        log.seek(max(since if since <= size else 0, size - LOG_TAIL_BYTES))
        return log.read().decode("utf-8", "replace")
