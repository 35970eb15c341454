"""Configuration by HTTP, over a real broker, to worker processes: known within a second, without a restart."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import msgspec
import pytest_asyncio
from msgspec import Struct

from aif_ai.configuration_assembly import Configured, open_configuration
from aif_ai.configuration_entries import SYSTEM_KEPT_SECONDS
from aif_console.embedded.nats_server import EmbeddedNats
from aif_contracts import subjects
from aif_contracts.configuration import COMPLETE, company_entry
from aif_contracts.packets import Context, Control, Grant, WorkPacket
from aif_contracts.reports import Completed, Report
from aif_kam.api_keys import mint_api_key
from aif_kam.app import create_app
from aif_kam.loops import run_configuration
from aif_kam.wiring import Resources, assemble, prepare_database
from aif_runtime.bus import ConsumerSpec, Deliveries, Outgoing
from aif_runtime.clock import SystemClock
from aif_runtime.failures import BusUnavailable
from aif_runtime.health import Health
from aif_runtime.ids import id_mint
from aif_runtime.memory_blobs import MemoryBlobStore
from aif_runtime.metrics import new_registry
from aif_runtime.nats_blobs import NatsBlobStore
from aif_runtime.nats_bus import NatsBus
from aif_runtime.postgres import Database
from aif_runtime.settings import Secret
from aif_runtime.telemetry import TracingOff
from aif_runtime.web_server import WebServer
from support.provider_double.server import ProviderDouble
from support.waiting import PATIENCE_SECONDS, eventually

PRIMARY = "/api/admin/config/orchestrator_primary_model"
ACME = Context(client_id="acme", workspace_id="spring")


class Running(Struct, frozen=True, kw_only=True):
    """A gateway over a real broker, its operator and a client of it."""

    nats_url: str
    operator: httpx.AsyncClient
    acme: httpx.AsyncClient


@pytest_asyncio.fixture
async def running(fresh_kam_database: str, fresh_nats: str) -> AsyncIterator[Running]:
    async with gateway_over(fresh_nats, fresh_kam_database) as gateway:
        yield gateway


@asynccontextmanager
async def gateway_over(nats_url: str, database_url: str) -> AsyncIterator[Running]:
    async with AsyncExitStack() as stack:
        database = await Database.open(database_url, application_name="kam", schema="kam")
        stack.push_async_callback(database.close)
        await prepare_database(database)
        bus = await stack.enter_async_context(await NatsBus.connect(nats_url, name="kam"))
        await bus.declare_topology()
        stop = asyncio.Event()
        gateway = assemble(
            Resources(
                bus=bus,
                blobs=MemoryBlobStore(),
                database=database,
                key_pepper=Secret("pepper for the tests, long enough"),
                clock=SystemClock(),
                new_id=id_mint(),
                tracing=TracingOff(),
                registry=new_registry(service="kam", version="test"),
                health=Health(service="kam", version="test"),
                version="test",
                drain=stop,
            )
        )
        keys = {"operator": mint_api_key(), "acme": mint_api_key()}
        await gateway.parts.identity.keep_client("acme", keys["acme"])
        await gateway.parts.identity.keep_admin_key(keys["operator"])
        server = WebServer(create_app(gateway.parts), host="127.0.0.1", port=0)
        tasks = [
            asyncio.create_task(server.serve(stop)),
            asyncio.create_task(run_configuration(stop, push=gateway.push, work=gateway.push_work)),
        ]
        clients = {
            who: await stack.enter_async_context(
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", headers={"X-API-Key": key}, timeout=20)
            )
            for who, key in keys.items()
        }
        try:
            yield Running(nats_url=nats_url, operator=clients["operator"], acme=clients["acme"])
        finally:
            stop.set()
            await asyncio.gather(*tasks)


@asynccontextmanager
async def configured_process(nats_url: str, name: str) -> AsyncIterator[Configured]:
    """What a worker process knows, over a connection of its own."""
    stop = asyncio.Event()
    async with await NatsBus.connect(nats_url, name=name) as bus:
        await bus.declare_topology()
        configured = await open_configuration(bus, SystemClock(), origin=name)
        following = asyncio.create_task(configured.entries.run(stop))
        try:
            yield configured
        finally:
            stop.set()
            await following


@asynccontextmanager
async def granulator(running: Running, double: ProviderDouble, ready: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {
        "AIF_NATS_URL": running.nats_url,
        "AIF_READY_FILE": str(ready),
        "AIF_LOG_LEVEL": "warning",
        "AIF_DRAIN_SECONDS": "2",
        "AIF_GRANULATOR_SLOTS": "1",
        "AIF_OPENAI_BASE_URL": f"{double.url}/v1",
        "AIF_OPENAI_MODELS": "first-model,second-model",
        "AIF_FREE_MODELS": "first-model,second-model",
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "aif_granulator", env=environment)
    try:
        await eventually(ready.exists, 30, what="the granulator is ready")
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


class Line:
    """Orders courses of whichever granulator takes them."""

    def __init__(self, bus: NatsBus, reports: Deliveries) -> None:
        self._bus = bus
        self._blobs = NatsBlobStore(bus)
        self._reports = reports
        self._ordered = 0

    async def models_by_instance(self, count: int) -> dict[str, set[str]]:
        """Of so many courses, all ordered at once: which process made them with which models."""
        await self._order(count)
        made: dict[str, set[str]] = {}
        done = 0
        while done < count:
            found = await self._reports.fetch(count, 20.0)
            assert found, f"only {done} of {count} were made"
            for delivery in found:
                await delivery.ack()
                for report in msgspec.json.decode(delivery.payload, type=list[Report]):
                    assert isinstance(report, Completed)
                    assert report.metrics.model is not None
                    made.setdefault(report.instance_id, set()).add(report.metrics.model)
                    done += 1
        return made

    async def _order(self, count: int) -> None:
        messages = []
        for _ in range(count):
            self._ordered += 1
            execution_id = f"exec_{self._ordered}"
            stage_input = msgspec.json.encode({"topic": "Keeping honey bees", "targetAudience": "gardeners"})
            packet = WorkPacket(
                packet_id=f"packet_{self._ordered}",
                execution_id=execution_id,
                stage_id="structure",
                attempt=1,
                worker_name="content_granulator",
                action="structure_course",
                control=Control(),
                data_ref=await self._blobs.put(f"data/{execution_id}/structure/input", stage_input),
                grant=Grant(),
                context=ACME,
            )
            subject = subjects.work("content_granulator", "normal")
            messages.append(Outgoing(subject=subject, payload=msgspec.json.encode(packet), message_id=packet.packet_id))
        await self._bus.publish(messages)


async def test_a_change_by_http_is_known_to_two_processes_within_a_second(running: Running) -> None:
    async with configured_process(running.nats_url, "one") as one, configured_process(running.nats_url, "two") as two:
        processes = (one, two)
        await running.operator.put(PRIMARY, json={"value": "first-model"})
        await _known(processes, "first-model")

        waits = []
        for number in range(10):
            answer = await running.operator.put(PRIMARY, json={"value": f"model-{number}"})
            answered_at = time.monotonic()
            assert answer.status_code == 200
            await _known(processes, f"model-{number}")
            waits.append(time.monotonic() - answered_at)

        # Not the longest: the machine may have stood still for a moment.
        assert median(waits) < 1.0, waits


async def test_what_a_client_says_of_itself_is_known_within_a_second_and_only_in_its_workspace(running: Running) -> None:
    async with configured_process(running.nats_url, "one") as one:
        assert (await one.clients.of("acme", "spring")).company.name == ""

        await running.acme.post("/api/kam/workspaces", json={"workspace_id": "spring", "name": "Spring"})
        await running.acme.post("/api/kam/products", json={"name": "Hive"})
        waits = []
        for name in ("Acme", "Acme Gardens", "Acme Honey"):
            await running.acme.put("/api/kam/company", json={"name": name, "brand_voice": "Warm."})
            answered_at = time.monotonic()
            await eventually(lambda name=name: _is_known(one, name))  # type: ignore[misc]
            waits.append(time.monotonic() - answered_at)

        assert median(waits) < 1.0, waits
        assert (await one.clients.of("acme", "autumn")).workspace is None
        assert (await one.clients.of("acme")).workspace is None


async def test_a_broker_that_lost_its_store_switches_nothing_back_and_is_told_everything_again(
    fresh_kam_database: str, servers_dir: Path, tmp_path: Path
) -> None:
    server = EmbeddedNats(servers_dir / tmp_path.name, sync_interval="2m")
    await server.start()
    try:
        async with (
            gateway_over(server.url, fresh_kam_database) as running,
            configured_process(server.url, "one") as one,
            await NatsBus.connect(server.url, name="test") as bus,
        ):
            await running.operator.put(PRIMARY, json={"value": "first-model"})
            await running.operator.put("/api/admin/config/orchestrator_enable_fallback", json={"value": False})
            await running.acme.put("/api/kam/company", json={"name": "Acme"})
            await _known((one,), "first-model")
            before = await _complete_bucket(bus)

            await server.kill()
            server.wipe()
            while_away = await one.switches.switches("structure_course", ACME)
            await server.start()
            after = await _complete_bucket(bus)

            found = await one.switches.switches("structure_course", ACME)
            assert while_away == found
            assert (found.primary_model, found.enable_fallback) == ("first-model", False)
            assert after == before
            await running.operator.put(PRIMARY, json={"value": "second-model"})
            # By the watch: it has read all of it just now, and reads it again when that is old.
            await _known((one,), "second-model", within_seconds=SYSTEM_KEPT_SECONDS / 2)
    finally:
        await server.kill()


async def test_the_next_generation_of_running_workers_uses_the_new_model_and_the_clients_voice(
    running: Running, double: ProviderDouble, tmp_path: Path
) -> None:
    await running.acme.put("/api/kam/company", json={"brand_voice": "Speaks like a bee."})
    async with (
        granulator(running, double, tmp_path / "one.json") as one,
        granulator(running, double, tmp_path / "two.json") as two,
        await NatsBus.connect(running.nats_url, name="test") as bus,
    ):
        spec = ConsumerSpec(stream=subjects.STREAM_REPORTS, durable="test_reports", filter_subject=subjects.ALL_REPORTS)
        line = Line(bus, await bus.open_consumer(spec))
        before = await _made_by_both(line)

        await running.operator.put(PRIMARY, json={"value": "second-model"})
        await asyncio.wait_for(_switched(line, "second-model", set(before)), timeout=60)
        after = await _made_by_both(line)

        await running.operator.delete(PRIMARY)
        await asyncio.wait_for(_switched(line, "first-model", set(before)), timeout=60)
        at_last = await _made_by_both(line)

        assert set(before) == set(after) == set(at_last)
        assert [set().union(*made.values()) for made in (before, after, at_last)] == [
            {"first-model"},
            {"second-model"},
            {"first-model"},
        ]
        assert (one.returncode, two.returncode) == (None, None)
    assert all("Speaks like a bee." in _prompt(request) for request in double.requests)


async def _known(processes: tuple[Configured, ...], model: str, *, within_seconds: float = PATIENCE_SECONDS) -> None:
    async def is_known() -> bool:
        found = [await each.switches.switches("structure_course", ACME) for each in processes]
        return {each.primary_model for each in found} == {model}

    await eventually(is_known, within_seconds)


async def _is_known(process: Configured, company: str) -> bool:
    found = await process.clients.of("acme", "spring")
    is_there = found.workspace is not None and found.workspace.name == "Spring"
    return is_there and found.company.name == company and [each.name for each in found.products] == ["Hive"]


async def _complete_bucket(bus: NatsBus) -> dict[str, bytes]:
    """All entries, once the gateway says that none is missing, and the last one that was written is there."""

    async def is_complete() -> bool:
        try:
            return {COMPLETE, company_entry("acme")} <= set(await bus.entries(subjects.BUCKET_CONFIG))
        except BusUnavailable:
            return False

    await eventually(is_complete)
    return dict(await bus.entries(subjects.BUCKET_CONFIG))


async def _made_by_both(line: Line) -> dict[str, set[str]]:
    """With courses for both processes; a fast one may take several."""
    made: dict[str, set[str]] = {}
    while len(made) < 2:
        for instance, models in (await line.models_by_instance(4)).items():
            made.setdefault(instance, set()).update(models)
    return made


async def _switched(line: Line, model: str, instances: set[str]) -> None:
    """Until each of the processes goes by it."""
    waiting = set(instances)
    while waiting:
        made = await line.models_by_instance(4)
        waiting -= {instance for instance, models in made.items() if models == {model}}


def _prompt(request: dict[str, Any]) -> str:
    return "\n".join(str(message["content"]) for message in request["messages"])
