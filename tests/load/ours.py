"""Our side: orchestrators and workers as they are deployed, and a client that asks over NATS as the gateway does."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from aif_contracts import subjects
from aif_contracts.events import FINAL_EVENT_TYPES
from aif_contracts.orders import Accepted, Execute, Refusal
from aif_orchestrator.store.pipelines import PipelineStore
from aif_runtime.ids import id_mint
from aif_runtime.migrations import load_migrations, migrate
from aif_runtime.nats_bus import NatsBus
from aif_runtime.postgres import Database
from aif_runtime.sql_files import load_queries
from load.pipelines import SHAPES, TEXT, Shape
from load.programs import running_program
from load.servers import Servers
from load.side import Ends, until_end

CLIENT = "bench"
SCHEMA = "orchestrator"
CLASSIFIER = "classifier"
DATABASE = "factory"
REPLY_SECONDS = 60.0
REGISTERED_SECONDS = 20.0
LISTEN_SECONDS = 3600.0

_reply = msgspec.json.Decoder(Accepted | Refusal)


class OrderRefused(Exception):
    """The benchmark itself is wrong."""


class Replicas(Struct, frozen=True, kw_only=True):
    orchestrators: int = 1
    workers: int = 1
    slots: int = 1000
    """Of each worker."""

    @property
    def words(self) -> str:
        return f"{self.orchestrators} orchestrator(s), {self.workers} worker(s) of {self.slots:,} slots"


class Programs(Struct, frozen=True, kw_only=True):
    """What is started, as arguments for the interpreter."""

    worker: tuple[str, ...] = (str(Path(__file__).with_name("idle_worker.py")),)
    orchestrator: tuple[str, ...] = ("-m", "aif_orchestrator")
    classifier_database_url: str | None = None
    """None for a factory without one."""


AS_DEPLOYED = Programs()


class Factory:
    """Made by `running_factory`."""

    name = "ours"

    def __init__(self, bus: NatsBus, pids: Mapping[str, int]) -> None:
        self.pids = pids
        self._bus = bus
        self._new_id = id_mint()
        self._ends = Ends()

    async def execute(self, shape: Shape, seconds: float) -> float:
        execution_id = self._new_id("exec")
        awaited = self._ends.expect(execution_id)
        began = time.perf_counter()
        await self._order(execution_id, shape, seconds)
        return (await until_end(awaited, execution_id) - began) * 1000

    async def ended(self, shape: Shape) -> str:
        """The id of an execution that has ended."""
        execution_id = self._new_id("exec")
        awaited = self._ends.expect(execution_id)
        await self._order(execution_id, shape, 0.0)
        await until_end(awaited, execution_id)
        return execution_id

    async def order(self, shape: Shape) -> None:
        """Without waiting for its end."""
        await self._order(self._new_id("exec"), shape, 0.0)

    async def _order(self, execution_id: str, shape: Shape, seconds: float) -> None:
        order = Execute(
            execution_id=execution_id,
            client_id=CLIENT,
            template_name=shape.name,
            parameters={"text": TEXT, "seconds": seconds},
        )
        reply = _reply.decode(await self._bus.ask(subjects.EXECUTE, msgspec.json.encode(order), wait_seconds=REPLY_SECONDS))
        if isinstance(reply, Refusal):
            raise OrderRefused(reply.message)

    async def hear(self, event_type: str, hears: asyncio.Event) -> None:
        """Note the executions that end with this event, until cancelled; `hears` is set when none is missed any more."""
        async with self._bus.listen(subjects.event(CLIENT, "*", event_type)) as heard:
            hears.set()
            while True:
                broadcast = await heard.next(LISTEN_SECONDS)
                if broadcast is not None:
                    self._ends.ended(broadcast.subject.split(".")[-2])


async def prepare_database(servers: Servers) -> str:
    """The schema, and the pipelines in it; the URL as the orchestrator's role."""
    url = await servers.database(DATABASE, SCHEMA)
    database = await Database.open(url, application_name=CLIENT, schema=SCHEMA)
    try:
        await migrate(database, schema=SCHEMA, migrations=load_migrations("aif_orchestrator"))
        store = PipelineStore(load_queries("aif_orchestrator.store"))
        async with database.transaction() as connection:
            for shape in SHAPES:
                await store.keep(connection, shape.pipeline())
    finally:
        await database.close()
    return url


@asynccontextmanager
async def running_factory(
    servers: Servers, database_url: str, replicas: Replicas, programs: Programs = AS_DEPLOYED
) -> AsyncIterator[Factory]:
    environment = {
        **os.environ,
        "AIF_NATS_URL": servers.nats_url,
        "AIF_ORCHESTRATOR_DATABASE_URL": database_url,
        "AIF_BLOBS_URL": (servers.folder / "blobs").as_uri(),
        "AIF_LOG_LEVEL": "warning",
        # Every execution of paid work reserves what it could cost; here none is to wait for another one's money.
        "AI_DEFAULT_MONTHLY_BUDGET_USD": "1000000",
        "AIF_IDLE_SLOTS": str(replicas.slots),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    async with AsyncExitStack() as stack:
        bus = await NatsBus.connect(servers.nats_url, name=CLIENT)
        stack.push_async_callback(bus.close)
        pids = dict(servers.pids)
        for name in _numbered("worker", replicas.workers):
            pids[name] = await stack.enter_async_context(running_program(servers.folder, name, programs.worker, environment))
        # Orchestrators read the registry when they start: what they are to know has to stand there.
        await _until_registered(bus, replicas.workers)
        for name in _numbered("orchestrator", replicas.orchestrators):
            program = running_program(servers.folder, name, programs.orchestrator, environment)
            pids[name] = await stack.enter_async_context(program)
        if programs.classifier_database_url is not None:
            own = {**environment, "AIF_CLASSIFIER_DATABASE_URL": programs.classifier_database_url}
            program = running_program(servers.folder, CLASSIFIER, ["-m", "aif_classifier"], own)
            pids[CLASSIFIER] = await stack.enter_async_context(program)
        factory = Factory(bus, pids)
        for event_type in sorted(FINAL_EVENT_TYPES):
            hears = asyncio.Event()
            stack.push_async_callback(_cancel, asyncio.create_task(factory.hear(event_type, hears)))
            await hears.wait()
        yield factory


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _until_registered(bus: NatsBus, workers: int) -> None:
    async with asyncio.timeout(REGISTERED_SECONDS):
        while len(await bus.entries(subjects.BUCKET_REGISTRY)) < workers:  # noqa: ASYNC110  no event tells of it
            await asyncio.sleep(0.05)


def _numbered(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name} {number}" for number in range(1, count + 1)]
