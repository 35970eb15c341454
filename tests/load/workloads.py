"""Workloads W1 and W2: durable executions of stages that do nothing, with real servers and every process its own.

Prints medians, spread, CPU milliseconds per execution over all processes, and peak memory. Run by `make bench`.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from aif_console.embedded.credentials import Credentials
from aif_console.embedded.nats_server import EmbeddedNats
from aif_console.embedded.postgres_server import EmbeddedPostgres
from aif_console.embedded.service_roles import ensure_role_and_schema
from aif_contracts import subjects
from aif_contracts.events import FINAL_EVENT_TYPES
from aif_contracts.orders import Accepted, Execute, Refusal
from aif_orchestrator.store.pipelines import PipelineStore
from aif_pipelines.definition import Pipeline, Stage
from aif_runtime.ids import id_mint
from aif_runtime.migrations import load_migrations, migrate
from aif_runtime.nats_bus import NatsBus
from aif_runtime.postgres import Database
from aif_runtime.sql_files import load_queries

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
TEXT_SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}}
PAYLOAD = {"text": "x" * 1000}
_REPLY = msgspec.json.Decoder(Accepted | Refusal)


def chain(name: str, action: str) -> Pipeline:
    """Three stages, one after the other."""
    stages = (
        Stage(id="one", worker="idle_worker", action=action, input={"text": "{{params.text}}"}),
        Stage(id="two", worker="idle_worker", action=action, input={"text": "{{one.text}}"}),
        Stage(id="three", worker="idle_worker", action=action, input={"text": "{{two.text}}"}),
    )
    return Pipeline(name=name, version="1.0.0", parameters=TEXT_SCHEMA, stages=stages)


FAN_WIDTH = 18
"""Stages of a pipeline are limited to twenty."""


def fan() -> Pipeline:
    leaves = tuple(
        Stage(id=f"leaf_{number}", worker="idle_worker", action="echo", input={"text": "{{params.text}}"})
        for number in range(FAN_WIDTH)
    )
    join = Stage(id="join", worker="idle_worker", action="echo", depends_on=tuple(leaf.id for leaf in leaves), input={})
    return Pipeline(name="fan", version="1.0.0", parameters=TEXT_SCHEMA, stages=(*leaves, join))


PIPELINES = (chain("chain", "echo"), chain("chain_of_naps", "nap"), fan())


class Measured(Struct, frozen=True, kw_only=True):
    executions: int
    wall_seconds: float
    cpu_ms: dict[str, float]
    """By process."""
    latencies_ms: list[float]


class Rig:
    """The running processes and a client."""

    def __init__(self, bus: NatsBus, pids: dict[str, list[int]]) -> None:
        self.bus = bus
        self.pids = pids
        self._new_id = id_mint()
        self._ended: dict[str, asyncio.Event] = {}

    async def watch(self) -> None:
        """Note the executions that end, until cancelled."""
        async with self.bus.listen("aif.event.bench.>") as heard:
            while True:
                broadcast = await heard.next(3600)
                if broadcast is None:
                    continue
                _, execution_id, kind = broadcast.subject.rsplit(".", 2)
                if kind.upper() in FINAL_EVENT_TYPES and execution_id in self._ended:
                    self._ended.pop(execution_id).set()

    async def execute(self, template: str) -> float:
        """Milliseconds from the submission until the end is known here."""
        execution_id = self._new_id("exec")
        ended = self._ended[execution_id] = asyncio.Event()
        order = Execute(execution_id=execution_id, client_id="bench", template_name=template, parameters=PAYLOAD)
        began = time.perf_counter()
        reply = _REPLY.decode(await self.bus.ask(subjects.EXECUTE, msgspec.json.encode(order), wait_seconds=60))
        if isinstance(reply, Refusal):
            raise SystemExit(f"refused: {reply.message}")
        await ended.wait()
        return (time.perf_counter() - began) * 1000

    def cpu_ms(self) -> dict[str, float]:
        return {name: sum(cpu_ms_of(pid) for pid in pids) for name, pids in self.pids.items()}


def cpu_ms_of(pid: int) -> float:
    """User and system time of a process and of its children that are alive."""
    total = 0.0
    for each in [pid, *children_of(pid)]:
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
        except FileNotFoundError:
            continue
        total += (int(fields[11]) + int(fields[12])) * 1000 / TICKS_PER_SECOND
    return total


def children_of(pid: int) -> list[int]:
    try:
        direct = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
    return direct + [grandchild for child in direct for grandchild in children_of(child)]


def memory_mb_of(pid: int) -> float:
    total = 0
    for each in [pid, *children_of(pid)]:
        try:
            rollup = Path(f"/proc/{each}/smaps_rollup").read_text()
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


async def measure(rig: Rig, work: Callable[[], Awaitable[list[float]]]) -> Measured:
    before = rig.cpu_ms()
    began = time.perf_counter()
    latencies = await work()
    wall = time.perf_counter() - began
    after = rig.cpu_ms()
    spent = {name: after[name] - before[name] for name in after}
    return Measured(executions=len(latencies), wall_seconds=wall, cpu_ms=spent, latencies_ms=latencies)


async def one_at_a_time(rig: Rig, template: str, count: int) -> list[float]:
    return [await rig.execute(template) for _ in range(count)]


async def in_flight(rig: Rig, template: str, count: int, width: int) -> list[float]:
    remaining = iter(range(count))

    async def lane() -> list[float]:
        return [await rig.execute(template) for _ in remaining]

    lanes = await asyncio.gather(*(lane() for _ in range(width)))
    return [latency for each in lanes for latency in each]


def told(name: str, measured: Measured) -> str:
    latencies = sorted(measured.latencies_ms)
    p99 = latencies[min(len(latencies) - 1, int(len(latencies) * 0.99))]
    cpu = sum(measured.cpu_ms.values()) / measured.executions
    parts = ", ".join(f"{who} {ms / measured.executions:.2f}" for who, ms in measured.cpu_ms.items())
    return (
        f"{name:<34} {measured.executions:>5} executions  {measured.executions / measured.wall_seconds:8.1f}/s  "
        f"wall {measured.wall_seconds:6.2f} s  p50 {statistics.median(latencies):7.2f} ms  p99 {p99:7.2f} ms  "
        f"CPU {cpu:6.2f} ms each ({parts})"
    )


@asynccontextmanager
async def running_rig(folder: Path, *, orchestrators: int, workers: int, slots: int, paid: bool) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        nats = EmbeddedNats(folder / "nats", sync_interval="2m")
        await nats.start()
        stack.push_async_callback(nats.stop)
        postgres = EmbeddedPostgres(folder / "postgres", durable=True)
        await postgres.start()
        stack.push_async_callback(postgres.stop)
        url = await ensure_role_and_schema(
            postgres.admin_url,
            role="orchestrator",
            schema="orchestrator",
            database="factory",
            credentials=Credentials(folder / "credentials.json"),
        )
        await keep_pipelines(url)
        environment = {**os.environ, "AIF_NATS_URL": nats.url, "AIF_ORCHESTRATOR_DATABASE_URL": url}
        environment |= {"AIF_BLOBS_URL": f"file://{folder}/blobs", "AIF_LOG_LEVEL": "warning"}
        environment |= {"AIF_IDLE_PAID": "true" if paid else "false", "AIF_IDLE_SLOTS": str(slots)}
        pids: dict[str, list[int]] = {"nats": [nats.pid or 0], "postgres": [postgres.pid or 0]}
        idle_worker = str(Path(__file__).with_name("idle_worker.py"))
        pids["worker"] = [await start(stack, folder, f"worker{n}", [idle_worker], environment) for n in range(workers)]
        pids["orchestrator"] = [
            await start(stack, folder, f"orchestrator{n}", ["-m", "aif_orchestrator"], environment)
            for n in range(orchestrators)
        ]
        bus = await NatsBus.connect(nats.url, name="bench")
        stack.push_async_callback(bus.close)
        rig = Rig(bus, pids)
        watching = asyncio.create_task(rig.watch())
        stack.callback(watching.cancel)
        await asyncio.sleep(2.5)
        yield rig


async def keep_pipelines(url: str) -> None:
    database = await Database.open(url, application_name="bench", schema="orchestrator")
    await migrate(database, schema="orchestrator", migrations=load_migrations("aif_orchestrator"))
    store = PipelineStore(load_queries("aif_orchestrator.store"))
    async with database.transaction() as connection:
        for pipeline in PIPELINES:
            await store.keep(connection, pipeline)
    await database.close()


async def start(stack: AsyncExitStack, folder: Path, name: str, command: list[str], environment: dict[str, str]) -> int:
    """Start a Python process and wait until it is ready."""
    ready = folder / f"{name}.ready"
    log = (folder / f"{name}.log").open("wb")
    stack.callback(log.close)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, env={**environment, "AIF_READY_FILE": str(ready)}, stdout=log, stderr=log
    )

    async def stop() -> None:
        if process.returncode is None:
            process.terminate()
        await process.wait()

    stack.push_async_callback(stop)
    for _ in range(600):
        if ready.exists():
            return process.pid
        if process.returncode is not None:
            raise SystemExit(f"{name} did not start:\n{(folder / f'{name}.log').read_text()}")
        await asyncio.sleep(0.05)
    raise SystemExit(f"{name} was not ready within 30 s")


async def run(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="aif-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        async with running_rig(
            folder,
            orchestrators=options.orchestrators,
            workers=options.workers,
            slots=options.slots,
            paid=options.paid,
        ) as rig:
            await in_flight(rig, "chain", 100, 20)
            if "a" in options.only:
                measured = await measure(rig, lambda: one_at_a_time(rig, "chain", 300))
                print(told("W1a one at a time", measured))
            if "b" in options.only:
                measured = await measure(rig, lambda: in_flight(rig, "chain", 2000, 200))
                print(told("W1b 200 in flight", measured))
            if "c" in options.only:
                measured = await measure(rig, lambda: in_flight(rig, "chain_of_naps", 1000, 1000))
                print(told("W1c 1,000 at once, stages of 1 s", measured))
            if "f" in options.only:
                measured = await measure(rig, lambda: one_at_a_time(rig, "fan", 50))
                print(told(f"W2 fan-out {FAN_WIDTH} and join", measured))
            for who, pids in rig.pids.items():
                print(f"memory {who}: {', '.join(f'{memory_mb_of(pid):.0f} MB' for pid in pids)}")
            for log in sorted(folder.glob("*.log")):
                if text := log.read_text()[:2000]:
                    print(f"--- {log.name}\n{text}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--orchestrators", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--slots", type=int, default=1000)
    parser.add_argument("--paid", action="store_true")
    parser.add_argument("--only", default="abcf")
    asyncio.run(run(parser.parse_args()))
