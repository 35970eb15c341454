"""A factory for faults: real servers and services as processes, any number of each, and every one can be broken.

The workers do next to nothing and bill it on paper. Times are short, so that what a fault delays comes back within seconds.
"""

import asyncio
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import msgspec

from aif_console.embedded.credentials import Credentials
from aif_console.embedded.nats_server import EmbeddedNats
from aif_console.embedded.postgres_server import EmbeddedPostgres
from aif_console.embedded.service_roles import ensure_role_and_schema
from aif_console.factory.factory import next_free_port
from aif_console.factory.keeping_alive import Member, keep_alive
from aif_console.factory.keys import FactoryKeys, ensure_keys
from aif_console.factory.plan import DATABASE, DataFolder, RestartPauses, ServiceKind
from aif_console.factory.service_process import ServiceProcess
from aif_orchestrator.store.pipelines import PipelineStore
from aif_pipelines.definition import Output, Pipeline, Stage
from aif_runtime.migrations import load_migrations, migrate
from aif_runtime.postgres import Database
from aif_runtime.ready_file import Ready
from aif_runtime.sql_files import load_queries
from faults.billed_worker import WORKER, BillLine
from support.factory import SHORT_TIMES
from support.own_ports import gateway_port
from support.waiting import PATIENCE_SECONDS, eventually

HERE = Path(__file__).parent
TEMPLATE = "paper_chain"
STAGES = ("one", "two", "three")
NATS, POSTGRES = "nats", "postgres"
STOP_SECONDS = 20.0
PAUSES = RestartPauses(first_seconds=0.05, longest_seconds=0.5, forgiven_after_seconds=2.0)

_BILL_LINE = msgspec.json.Decoder(BillLine)


class PaperFactory:
    """Made by `paper_factory`."""

    def __init__(self, folder: DataFolder, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self.nats = EmbeddedNats(folder.nats, sync_interval="2m")
        self.postgres = EmbeddedPostgres(folder.postgres, durable=False)
        self.keys: FactoryKeys
        self.leaves_folder = False
        """Its folder, with all logs, is left for a person to look at."""
        self.kam_port = next_free_port(gateway_port())
        self._settings = settings
        self._numbers = itertools.count(1)
        self._urls: dict[str, str] = {}
        self._members: dict[str, Member] = {}
        self._keeping: dict[str, asyncio.Task[None]] = {}

    @property
    def database_url(self) -> str:
        """As the orchestrator's own role."""
        return self._urls["orchestrator"]

    @property
    def blobs_url(self) -> str:
        return self.folder.blobs.as_uri()

    @property
    def kam_url(self) -> str:
        return f"http://127.0.0.1:{self.kam_port}"

    @property
    def _mended(self) -> Path:
        return self.folder.path / "mended"

    @property
    def unsure_tally(self) -> Path:
        """What the orchestrators have done and reported as failed."""
        return self.folder.path / "unsure"

    @property
    def names(self) -> list[str]:
        """Of all that is meant to run."""
        return list(self._members)

    def services(self) -> list[str]:
        """Without the servers."""
        return [name for name in self._members if name not in (NATS, POSTGRES)]

    def of_kind(self, kind: str) -> list[str]:
        return [name for name in self._members if name.startswith(kind)]

    def bill(self) -> list[BillLine]:
        """What the provider says it was asked."""
        path = self.folder.path / "bill.jsonl"
        return [_BILL_LINE.decode(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    async def start(self, *, orchestrators: int, workers: int, kam: bool, classifier: bool, unsure_share: float) -> None:
        self.folder.make()
        for name, server in ((NATS, self.nats), (POSTGRES, self.postgres)):
            await server.start()
            self._keep(name, server)
        passwords = Credentials(self.folder.database_passwords)
        for role in ("orchestrator", "kam", "classifier"):
            self._urls[role] = await ensure_role_and_schema(
                self.postgres.admin_url, role=role, schema=role, database=DATABASE, credentials=passwords
            )
        await self._keep_pipeline()
        starting = [self.add_orchestrator(unsure_share=unsure_share) for _ in range(orchestrators)]
        starting += [self.add_worker() for _ in range(workers)]
        if classifier:
            starting.append(
                self._add(ServiceKind(name="classifier", arguments=("-m", "aif_classifier")), self._for("classifier"))
            )
        if kam:
            self.keys = await ensure_keys(self.folder.keys)
            starting.append(self._add(ServiceKind(name="kam", arguments=("-m", "aif_kam")), self._for_kam()))
        await asyncio.gather(*starting)

    async def stop(self) -> None:
        for name in self.services():
            await self._unkeep(name)
        await asyncio.gather(*(self._members[name].stop() for name in self.services()))
        for name in (POSTGRES, NATS):
            if name in self._members:
                await self._unkeep(name)
                await self._members[name].stop()

    async def add_orchestrator(self, *, unsure_share: float = 0.0) -> str:
        """Start one more; returns its name when it is ready."""
        number = next(self._numbers)
        if unsure_share:
            unsure = {
                "AIF_UNSURE_SHARE": str(unsure_share),
                "AIF_UNSURE_SEED": str(number),
                "AIF_UNSURE_TALLY": str(self.unsure_tally),
            }
            arguments: tuple[str, ...] = (str(HERE / "unsure_orchestrator.py"),)
        else:
            unsure, arguments = {}, ("-m", "aif_orchestrator")
        kind = ServiceKind(name=f"orchestrator_{number}", arguments=arguments)
        return await self._add(kind, self._for("orchestrator") | unsure)

    async def add_worker(self) -> str:
        kind = ServiceKind(name=f"worker_{next(self._numbers)}", arguments=(str(HERE / "billed_worker.py"),))
        paths = {"AIF_BILLED_BILL": str(self.folder.path / "bill.jsonl"), "AIF_BILLED_MENDED": str(self._mended)}
        return await self._add(kind, self._everybody() | paths)

    def mend_workers(self) -> None:
        """From now on no input ends a worker."""
        self._mended.touch()

    async def remove(self, name: str) -> None:
        """End a service in order and leave it ended."""
        await self._unkeep(name)
        await self._members.pop(name).stop()

    def pid(self, name: str) -> int | None:
        return self._members[name].pid

    def kill(self, name: str) -> bool:
        """SIGKILL. False when it was not running just now."""
        return self.signal(name, signal.SIGKILL)

    def signal(self, name: str, number: signal.Signals) -> bool:
        pid = self._members[name].pid
        if pid is None:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            # It has ended, and its end is only about to be noticed here.
            return False
        return True

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Stopped as by a debugger while the block lasts, or until it is killed."""
        pid = self._members[name].pid
        assert pid is not None, f"{name} does not run"
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    async def replaced(self, name: str, old_pid: int | None, within_seconds: float = 60) -> None:
        """Until another process has taken the place of one that ended, and, of a service, is ready."""
        await eventually(lambda: self._is_replaced(name, old_pid), within_seconds, what=f"{name} is started again")

    async def wipe_nats(self) -> None:
        """Kill the broker, delete all that it stored, start it again."""
        await self._unkeep(NATS)
        await self.nats.kill()
        self.nats.wipe()
        await self.nats.start()
        self._keep(NATS, self.nats)

    async def ended(self, name: str, pid: int | None, within_seconds: float = 60) -> None:
        """Until the process has ended."""
        await eventually(lambda: self._members[name].pid != pid, within_seconds, what=f"{name} ends")

    def _is_replaced(self, name: str, old_pid: int | None) -> bool:
        pid = self._members[name].pid
        if pid in (None, old_pid):
            return False
        if name in (NATS, POSTGRES):
            return True
        ready_path = self._ready_path(name)
        return ready_path.exists() and msgspec.json.decode(ready_path.read_bytes(), type=Ready).pid == pid

    def _ready_path(self, name: str) -> Path:
        return self.folder.marks / f"{name}.ready"

    async def _add(self, kind: ServiceKind, environment: Mapping[str, str]) -> str:
        ready = {"AIF_READY_FILE": str(self._ready_path(kind.name))}
        service = ServiceProcess(
            kind,
            self.folder,
            {**environment, **ready},
            stop_limit_seconds=STOP_SECONDS,
            slow_start_seconds=PATIENCE_SECONDS,
            tell=_say_nothing,
        )
        await service.start()
        self._keep(kind.name, service)
        return kind.name

    def _keep(self, name: str, member: Member) -> None:
        self._members[name] = member
        keeping = keep_alive(name, member, pauses=PAUSES, tell=_say_nothing)
        self._keeping[name] = asyncio.create_task(keeping, name=f"keep {name} alive")

    async def _unkeep(self, name: str) -> None:
        keeping = self._keeping.pop(name)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    def _everybody(self) -> dict[str, str]:
        return {
            **SHORT_TIMES,
            "AIF_ORCHESTRATOR_LEASE_SECONDS": "2",
            "AIF_ACK_WAIT_SECONDS": "2",
            # Every execution reserves what it could cost; here they are not to wait for each other's money.
            "AI_DEFAULT_MONTHLY_BUDGET_USD": "1000000",
            "AIF_NATS_URL": self.nats.url,
            "AIF_BLOBS_URL": self.blobs_url,
            "AIF_LOG_LEVEL": "warning",
            "PYTHONUTF8": "1",
            **self._settings,
        }

    def _for(self, role: str) -> dict[str, str]:
        return self._everybody() | {f"AIF_{role.upper()}_DATABASE_URL": self._urls[role]}

    def _for_kam(self) -> dict[str, str]:
        return self._for("kam") | {
            "AIF_KAM_PORT": str(self.kam_port),
            "AIF_KEY_PEPPER": self.keys.key_pepper,
            "AIF_BOOTSTRAP_CLIENT_ID": self.keys.client_id,
            "AIF_BOOTSTRAP_CLIENT_KEY": self.keys.client_key,
            "AIF_BOOTSTRAP_ADMIN_KEY": self.keys.admin_key,
        }

    async def _keep_pipeline(self) -> None:
        database = await Database.open(self.database_url, application_name="faults", schema="orchestrator")
        await migrate(database, schema="orchestrator", migrations=load_migrations("aif_orchestrator"))
        async with database.transaction() as connection:
            await PipelineStore(load_queries("aif_orchestrator.store")).keep(connection, paper_chain())
        await database.close()


@asynccontextmanager
async def paper_factory(
    *,
    orchestrators: int = 1,
    workers: int = 1,
    kam: bool = False,
    classifier: bool = False,
    unsure_share: float = 0.0,
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[PaperFactory]:
    """A factory that is ready, in a folder of its own that is gone at the end unless it `leaves_folder`.

    `settings` are for every service.
    """
    folder = open_folder()
    factory = PaperFactory(DataFolder(folder), settings or {})
    try:
        await factory.start(
            orchestrators=orchestrators, workers=workers, kam=kam, classifier=classifier, unsure_share=unsure_share
        )
        yield factory
    finally:
        await factory.stop()
        if not factory.leaves_folder:
            shutil.rmtree(folder)


def paper_chain() -> Pipeline:
    """Three stages one after the other, each the digest of the one before; the last one's is delivered."""
    inputs = ("{{params.text}}", *(f"{{{{{stage}.text}}}}" for stage in STAGES[:-1]))
    return Pipeline(
        name=TEMPLATE,
        version="1.0.0",
        parameters={"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
        stages=tuple(
            Stage(id=stage, worker=WORKER, action="digest", input={"text": text})
            for stage, text in zip(STAGES, inputs, strict=True)
        ),
        outputs=(Output(name="digest", stage=STAGES[-1]),),
    )


def open_folder() -> Path:
    """That any user may pass through, since Postgres does not run as root."""
    folder = Path(tempfile.mkdtemp(prefix="aif-faults-"))
    folder.chmod(0o711)
    return folder


def _say_nothing(_member: str, _words: str) -> None:
    """Restarts are what is wanted here."""
