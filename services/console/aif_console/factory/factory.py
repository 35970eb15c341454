"""A whole factory on one machine: NATS, Postgres and one process for each service, kept alive until it is stopped.

The order matters. Servers first, then all services at once; each waits by itself for what it needs. At the end the services
drain while the servers still run; then the servers end.
"""

import asyncio
import os
import signal
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import TypeVar

from aif_console.embedded.credentials import Credentials, write_private
from aif_console.embedded.data_folder import FolderLock
from aif_console.embedded.nats_server import EmbeddedNats
from aif_console.embedded.ports import is_free
from aif_console.embedded.postgres_server import EmbeddedPostgres
from aif_console.embedded.service_roles import ensure_role_and_schema
from aif_console.factory.environments import Reached, environment_of
from aif_console.factory.full_disks import tell_of_full_disks
from aif_console.factory.keeping_alive import Member, Tell, keep_alive
from aif_console.factory.keys import OPERATOR, FactoryKeys, ensure_keys
from aif_console.factory.log_files import keep_short
from aif_console.factory.plan import DATABASE, DataFolder, FactoryPlan
from aif_console.factory.room_again import restart_when_there_is_room
from aif_console.factory.running import RunningFactory, find_running, note_running
from aif_console.factory.service_process import ServiceProcess
from aif_console.failures import DataFolderInUse, DataFolderUnusable, FactoryIsRunning, NoFreePort
from aif_runtime.process_settings import CommonSettings
from aif_runtime.settings import load_settings

T = TypeVar("T")

PORTS_TRIED = 100
NATS, POSTGRES = "nats", "postgres"


def say_nothing(_member: str, _words: str) -> None:
    """For those who do not want to hear of restarts."""


class Factory:
    """`start` once, from a thread that lives as long as the factory; then `stop`, or `kill_all` for a hard end."""

    def __init__(self, plan: FactoryPlan, *, tell: Tell = say_nothing) -> None:
        """Raises SettingsInvalid when the operator's settings for all services are wrong."""
        self._plan = plan
        self._tell = tell
        self._folder = DataFolder(plan.data_dir.resolve())
        self._drain_seconds = load_settings(CommonSettings, plan.settings).drain_seconds
        self._lock = FolderLock(self._folder.path, "the factory")
        self._has_folder = False
        self._servers: dict[str, Member] = {}
        self._services: dict[str, ServiceProcess] = {}
        self._keeping: list[asyncio.Task[None]] = []
        self._keys: FactoryKeys | None = None
        self._reached: Reached | None = None

    @property
    def plan(self) -> FactoryPlan:
        return self._plan

    @property
    def folder(self) -> DataFolder:
        return self._folder

    @property
    def keys(self) -> FactoryKeys:
        """Known once it was started."""
        return _known(self._keys)

    @property
    def kam_url(self) -> str:
        return f"http://127.0.0.1:{self.kam_port}"

    @property
    def kam_port(self) -> int:
        """Known once it was started."""
        return _known(self._reached).kam_port

    @property
    def nats_url(self) -> str:
        """Without user and password. Known once it was started."""
        return _known(self._reached).nats_url

    @property
    def database_urls(self) -> dict[str, str]:
        """By service, each with its own role and password. Known once it was started."""
        return dict(_known(self._reached).database_urls)

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of what runs now, by name: `nats`, `postgres`, and the services."""
        return {name: member.pid for name, member in self._members.items() if member.pid is not None}

    @property
    def log_paths(self) -> dict[str, Path]:
        """By name, as `pids`."""
        return {name: member.log_path for name, member in self._members.items()}

    @property
    def nats(self) -> EmbeddedNats:
        """The embedded broker, for those who break it on purpose. KeyError when the factory uses another one."""
        server = self._servers[NATS]
        assert isinstance(server, EmbeddedNats)
        return server

    async def start(self) -> None:
        """Return when all is ready. What was begun is ended again when it fails.

        Raises FactoryIsRunning, EmbeddedServerFailure, CredentialsUnreadable, KeysNotMade, PostgresUnusable.
        """
        self._take_folder()
        try:
            self._keys = await ensure_keys(self._folder.keys)
            write_private(self._folder.client_key, f"{self._keys.client_key}\n".encode())
            await self._start_servers(self._keys)
            self._reached = await self._reach(self._keys)
            await self._start_services(self._keys, self._reached)
        except OSError as refused:
            await self.stop()
            raise DataFolderUnusable("the factory", self._folder.path, str(refused)) from refused
        except BaseException:
            await self.stop()
            raise
        self._keeping = [
            asyncio.create_task(
                keep_alive(name, member, pauses=self._plan.restart_pauses, tell=self._tell), name=f"keep {name} alive"
            )
            for name, member in self._members.items()
        ]
        if NATS in self._servers:
            restarting = restart_when_there_is_room(NATS, self._servers[NATS], tell=self._tell)
            self._keeping.append(asyncio.create_task(restarting, name="restart nats after a full disk"))
        self._keeping.append(asyncio.create_task(tell_of_full_disks(self._folder, tell=self._tell), name="tell of full disks"))
        self._keeping.append(asyncio.create_task(keep_short(self.log_paths.values()), name="keep logs short"))
        note_running(
            self._folder.running, RunningFactory(pid=os.getpid(), kam_url=self.kam_url, nats_url=self._reached.nats_url)
        )

    async def wait(self) -> None:
        """Wait as long as the factory is kept alive. Ends only by an error, which is a mistake of ours."""
        await asyncio.gather(*self._keeping)

    async def stop(self) -> None:
        """Let the services drain, then end the servers. Does nothing if it does not run."""
        await self._stop_keeping()
        await _all([service.stop() for service in self._services.values()])
        for name in (POSTGRES, NATS):
            if name in self._servers:
                await self._servers[name].stop()
        self._leave_folder()

    async def kill_all(self) -> None:
        """End everything without a warning."""
        await self._stop_keeping()
        await _all([member.kill() for member in self._members.values()])
        self._leave_folder()

    def kill(self, name: str) -> int:
        """SIGKILL one process, as a crash would; it is started again like after a crash. Tells the process id."""
        pid = self.pids[name]
        os.kill(pid, signal.SIGKILL)
        return pid

    @property
    def _members(self) -> dict[str, Member]:
        return {**self._servers, **self._services}

    def _take_folder(self) -> None:
        try:
            self._folder.make()
        except OSError as refused:
            raise DataFolderUnusable("the factory", self._folder.path, str(refused)) from refused
        try:
            self._lock.take()
        except DataFolderInUse as taken:
            running = find_running(self._folder.running)
            raise FactoryIsRunning(self._folder.path, running.pid if running else None) from taken
        self._has_folder = True
        # A killed one has left its note, and would be taken for us.
        self._folder.running.unlink(missing_ok=True)

    def _leave_folder(self) -> None:
        # Otherwise the note is another factory's.
        if self._has_folder:
            self._folder.running.unlink(missing_ok=True)
            self._lock.release()
            self._has_folder = False

    async def _start_servers(self, keys: FactoryKeys) -> None:
        if self._plan.nats_url is None:
            self._servers[NATS] = EmbeddedNats(
                self._folder.nats, sync_interval="always" if self._plan.durable else "2m", passwords=keys.nats_passwords
            )
        if self._plan.postgres_url is None:
            self._servers[POSTGRES] = EmbeddedPostgres(self._folder.postgres, durable=self._plan.durable)
        await _all([server.start() for server in self._servers.values()])

    async def _reach(self, keys: FactoryKeys) -> Reached:
        nats_url = self._plan.nats_url or self.nats.url
        if self._plan.nats_url is None:
            address = nats_url.removeprefix("nats://")
            write_private(self._folder.nats_url, f"nats://{OPERATOR}:{keys.nats_passwords[OPERATOR]}@{address}\n".encode())
        postgres = self._servers.get(POSTGRES)
        admin_url = postgres.admin_url if isinstance(postgres, EmbeddedPostgres) else self._plan.postgres_url
        passwords = Credentials(self._folder.database_passwords)
        urls = {
            service.name: await ensure_role_and_schema(
                _known(admin_url), role=service.name, schema=service.name, database=DATABASE, credentials=passwords
            )
            for service in self._plan.services
            if service.has_database
        }
        return Reached(nats_url=nats_url, database_urls=urls, kam_port=next_free_port(self._plan.kam_port))

    async def _start_services(self, keys: FactoryKeys, reached: Reached) -> None:
        self._services = {
            kind.name: ServiceProcess(
                kind,
                self._folder,
                environment_of(kind, self._plan, self._folder, keys, reached),
                stop_limit_seconds=self._drain_seconds + self._plan.beyond_drain_seconds,
                slow_start_seconds=self._plan.slow_start_seconds,
                tell=self._tell,
            )
            for kind in self._plan.services
        }
        await _all([service.start() for service in self._services.values()])

    async def _stop_keeping(self) -> None:
        keeping, self._keeping = self._keeping, []
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)


def next_free_port(first: int) -> int:
    """The first free port from the wished one on. Raises NoFreePort."""
    last = min(first + PORTS_TRIED, 65_535)
    for port in range(first, last + 1):
        if is_free(port):
            return port
    raise NoFreePort(first, last)


async def _all(steps: Iterable[Coroutine[None, None, None]]) -> None:
    """Take all steps at once. The first failure cancels the others and is raised alone."""
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures


def _known(value: T | None) -> T:
    if value is None:
        raise RuntimeError("this is known once the factory was started")
    return value
