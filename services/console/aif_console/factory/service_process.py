"""One process of a service: started, known to be ready by the file that it writes, ended by SIGTERM."""

import asyncio
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from aif_console.embedded.child_process import ChildProcess, Escalation, log_tail, stop_orphan
from aif_console.embedded.identity import ourselves
from aif_console.factory.plan import DataFolder, ServiceKind
from aif_console.failures import ServerDidNotStart
from aif_console.service_logs import log_line
from aif_runtime.ready_file import Ready

READY_POLL_SECONDS = 0.02


class ServiceProcess:
    """`start` after its end continues with the same settings."""

    def __init__(
        self,
        kind: ServiceKind,
        folder: DataFolder,
        environment: Mapping[str, str],
        *,
        stop_limit_seconds: float,
        slow_start_seconds: float,
        tell: Callable[[str, str], None],
    ) -> None:
        """It is killed when it takes longer than `stop_limit_seconds` to end. Whoever starts it is told, whenever
        `slow_start_seconds` have passed, that it is waited for."""
        self.name = kind.name
        self._kind = kind
        self._environment = environment
        self._ready_path = folder.marks / f"{kind.name}.ready"
        self._pid_path = folder.marks / f"{kind.name}.pid"
        self._log_path = folder.logs / f"{kind.name}.log"
        self._slow_start_seconds = slow_start_seconds
        self._tell = tell
        self._escalation: Escalation = ((signal.SIGTERM, stop_limit_seconds),)
        self._child: ChildProcess | None = None
        self._port: int | None = None

    @property
    def pid(self) -> int | None:
        """While it runs."""
        return self._child.pid if self._child is not None and self._child.is_running else None

    @property
    def port(self) -> int | None:
        """Of its health page, as its last start told; None before the first one."""
        return self._port

    @property
    def is_running(self) -> bool:
        return self.pid is not None

    @property
    def log_path(self) -> Path:
        return self._log_path

    async def start(self) -> None:
        """Return when it is ready, however long that takes: the machine may be slow, or a server that it needs be away. Does
        nothing if it runs. Raises ServerDidNotStart when it ends."""
        if self.is_running:
            return
        await self._stop_orphan()
        self._ready_path.unlink(missing_ok=True)
        log_begins = self._log_path.stat().st_size if self._log_path.exists() else 0
        self._child = await ChildProcess.start(
            [sys.executable, "-P", *self._mark, *self._kind.arguments],
            identity=ourselves(),
            log_path=self._log_path,
            environment=self._environment,
        )
        try:
            self._pid_path.write_text(f"{self._child.pid}\n")
            self._port = await self._until_ready(self._child, log_begins)
        except BaseException:
            await self.kill()
            raise

    async def wait(self) -> int:
        """Wait for its end, however it comes; its exit code."""
        if self._child is None:
            raise RuntimeError(f"{self.name} was not started")
        return await self._child.wait()

    async def stop(self) -> None:
        """Let it drain, and kill it when it takes longer than it may. Does nothing if it is not running."""
        if self._child is not None:
            await self._child.stop(self._escalation)

    async def kill(self) -> None:
        if self._child is not None:
            await self._child.kill()

    @property
    def _mark(self) -> list[str]:
        """An option that the interpreter ignores; it tells this factory's process from all others."""
        return ["-X", f"factory={self._pid_path}"]

    async def _stop_orphan(self) -> None:
        """A factory that was killed may have left one behind that still drains."""
        try:
            pid = int(self._pid_path.read_text())
        except (FileNotFoundError, ValueError):
            return
        await stop_orphan(pid, marker=self._mark[1], escalation=self._escalation)
        self._pid_path.unlink(missing_ok=True)

    async def _until_ready(self, child: ChildProcess, log_begins: int) -> int:
        now = asyncio.get_running_loop().time
        begun_at = now()
        told_at = begun_at
        while True:
            ready = self._read_ready()
            if ready is not None and ready.pid == child.pid:
                return ready.port
            if not child.is_running:
                raise self._failure(f"it ended with code {await child.wait()}", log_begins)
            if now() - told_at >= self._slow_start_seconds:
                told_at = now()
                waited = f"not ready after {told_at - begun_at:.0f} s, still waiting for process {child.pid}"
                self._tell(self.name, f"{waited}; {self._last_words(log_begins)}")
            await asyncio.sleep(READY_POLL_SECONDS)

    def _read_ready(self) -> Ready | None:
        try:
            return msgspec.json.decode(self._ready_path.read_bytes(), type=Ready)
        except FileNotFoundError:
            return None

    def _last_words(self, log_begins: int) -> str:
        lines = log_tail(self._log_path, since=log_begins).splitlines()
        return f"it said last: {log_line(self.name, lines[-1]).words}" if lines else "it has said nothing"

    def _failure(self, reason: str, log_begins: int) -> ServerDidNotStart:
        return ServerDidNotStart(self.name, reason, log_tail(self._log_path, since=log_begins), self._log_path)
