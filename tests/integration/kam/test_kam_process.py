"""The gateway as a process of its own, over a real broker and a real database."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest_asyncio

from aif_contracts import subjects
from aif_kam.api_keys import mint_api_key
from aif_runtime.bus import ConsumerSpec, Outgoing
from aif_runtime.nats_bus import NatsBus
from integration.kam.gateway_under_test import BEES
from integration.kam.orchestrator_stand_in import OrchestratorStandIn
from support.waiting import eventually

KEY, ADMIN_KEY = mint_api_key(), mint_api_key()


class KamProcess:
    def __init__(self, database_url: str, nats_url: str, folder: Path) -> None:
        self._ready_file = folder / "kam.ready"
        self._environment = {
            "PATH": os.environ["PATH"],
            "AIF_KAM_DATABASE_URL": database_url,
            "AIF_NATS_URL": nats_url,
            "AIF_KAM_PORT": "0",
            "AIF_KEY_PEPPER": "p" * 40,
            "AIF_BOOTSTRAP_CLIENT_ID": "acme",
            "AIF_BOOTSTRAP_CLIENT_KEY": KEY,
            "AIF_BOOTSTRAP_ADMIN_KEY": ADMIN_KEY,
            "AIF_READY_FILE": str(self._ready_file),
            # Nobody waits so long for a part that does not end by itself.
            "AIF_DRAIN_SECONDS": "3600",
        }
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, **changes: str) -> None:
        self._ready_file.unlink(missing_ok=True)
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "aif_kam"),
            env={**self._environment, **changes},
            stderr=asyncio.subprocess.PIPE,
        )

    async def client(self) -> httpx.AsyncClient:
        await eventually(self._ready_file.exists, 30, what="the gateway is ready")
        port = json.loads(self._ready_file.read_text())["port"]
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers={"X-API-Key": KEY}, timeout=60)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        _, log = await asyncio.wait_for(self.process.communicate(), 60)
        assert self.process.returncode is not None
        return self.process.returncode, log.decode()


@pytest_asyncio.fixture
async def kam_process(fresh_database: str, fresh_nats: str, tmp_path: Path) -> AsyncIterator[KamProcess]:
    process = KamProcess(fresh_database, fresh_nats, tmp_path)
    yield process
    if process.process is not None and process.process.returncode is None:
        await process.end(signal.SIGKILL)


@pytest_asyncio.fixture
async def bus(fresh_nats: str) -> AsyncIterator[NatsBus]:
    async with await NatsBus.connect(fresh_nats, name="test") as bus:
        await bus.declare_topology()
        yield bus


async def test_it_starts_takes_orders_by_http_and_by_bus_and_ends_when_told(kam_process: KamProcess, bus: NatsBus) -> None:
    orchestrator = OrchestratorStandIn(bus)
    await orchestrator.start()
    await kam_process.start()
    async with await kam_process.client() as client:
        assert (await client.get("/health")).json()["status"] == "ok"
        source = (await client.post("/api/kam/sources?file_name=bees.md", content=BEES.encode())).json()
        body = {"selected_template": "content_granulation_course", "parameters": {"source": source["source_id"]}}
        started = await client.post("/api/kam/orders", json=body)
        assert started.status_code == 202
        order = {"template": "content_granulation_course", "parameters": {"source_text": BEES}}
        await bus.publish([Outgoing(subject=subjects.submit("acme"), payload=json.dumps(order).encode())])
        await eventually(lambda: len(orchestrator.orders) == 2)
        async with client.stream("GET", started.json()["links"]["events"]) as response:
            lines = response.aiter_lines()
            while await anext(lines) != "id: 1":
                pass
            code, log = await kam_process.end()

    assert code == 0
    assert KEY not in log
    assert '"event":"stopped"' in log.replace(" ", "")


async def test_a_client_that_was_made_orders_by_http_and_by_bus_until_it_is_disabled_and_the_audit_log_hears_of_it(
    kam_process: KamProcess, bus: NatsBus
) -> None:
    orchestrator = OrchestratorStandIn(bus)
    await orchestrator.start()
    await kam_process.start()
    operator = {"X-API-Key": ADMIN_KEY}
    body = {"selected_template": "content_granulation_course", "parameters": {"topic": "bees"}}
    order = {"template": "content_granulation_course", "parameters": {"topic": "wasps"}}
    by_bus = Outgoing(subject=subjects.submit("newcomer"), payload=json.dumps(order).encode())
    async with await kam_process.client() as client:
        await client.post("/api/admin/clients", json={"client_id": "newcomer"}, headers=operator)
        made = await client.post("/api/kam/keys", json={"client_id": "newcomer", "name": "shop"}, headers=operator)
        newcomer = {"X-API-Key": made.json()["key"]}
        accepted = await client.post("/api/kam/orders", json=body, headers=newcomer)
        await bus.publish([by_bus])
        await eventually(lambda: len(orchestrator.orders) == 2)
        await client.post("/api/admin/clients/newcomer/disable", headers=operator)
        await kam_process.end(signal.SIGKILL)

    await kam_process.start()

    async with await kam_process.client() as client:
        refused = await client.post("/api/kam/orders", json=body, headers=newcomer)
        await bus.publish([by_bus])
        dead = await bus.open_consumer(
            ConsumerSpec(stream=subjects.STREAM_DEAD, durable="test", filter_subject=subjects.dead("requests"))
        )
        letters = await dead.fetch(1, 30.0)
        audit = await bus.open_consumer(
            ConsumerSpec(stream=subjects.STREAM_AUDIT, durable="test", filter_subject=subjects.ALL_AUDIT)
        )
        told = [json.loads(delivery.payload) for _ in range(3) for delivery in await audit.fetch(1, 30.0)]
        _, log = await kam_process.end()
    assert (accepted.status_code, refused.status_code, len(orchestrator.orders)) == (202, 401, 2)
    assert "client_disabled" in letters[0].payload.decode()
    assert [entry["action"] for entry in told] == ["CLIENT_CREATED", "API_KEY_CREATED", "CLIENT_DISABLED"]
    assert newcomer["X-API-Key"] not in log


async def test_killed_between_storing_and_asking_it_finishes_the_order_after_the_restart(
    kam_process: KamProcess, bus: NatsBus, fresh_database: str
) -> None:
    orchestrator = OrchestratorStandIn(bus)
    await orchestrator.start()
    await kam_process.start()
    body = {"selected_template": "content_granulation_course", "parameters": {"topic": "bees"}}
    async with await kam_process.client() as client:
        await client.get("/api/kam/templates")
        orchestrator.is_away = True
        unknown = await client.post("/api/kam/orders", json=body, headers={"Idempotency-Key": "k"})
        assert unknown.status_code == 503
        await kam_process.end(signal.SIGKILL)
    orchestrator.is_away = False

    await kam_process.start()

    async with await kam_process.client() as client:
        await eventually(lambda: len(orchestrator.orders) == 1)
        connection = await asyncpg.connect(fresh_database)
        stored = await connection.fetchval("SELECT execution_id FROM kam.client_requests")
        await connection.close()

        async def answer() -> httpx.Response | None:
            """None while the question to the orchestrator is under way."""
            answered = await client.post("/api/kam/orders", json=body, headers={"Idempotency-Key": "k"})
            return None if answered.status_code == 409 else answered

        answered = await eventually(answer)
        assert answered is not None
        assert (answered.status_code, answered.json()["execution_id"]) == (202, stored)
        await kam_process.end()
    assert list(orchestrator.orders) == [stored]


async def test_killed_in_the_midst_of_a_batch_it_finishes_it_after_the_restart(
    kam_process: KamProcess, bus: NatsBus, fresh_database: str
) -> None:
    orchestrator = OrchestratorStandIn(bus)
    await orchestrator.start()
    await kam_process.start()
    inputs = [{"topic": f"bees {number}"} for number in range(500)]
    async with await kam_process.client() as client:
        body = {"selected_template": "content_granulation_course", "inputs": inputs}
        placed = (await client.post("/api/kam/batches", json=body)).json()
        await eventually(lambda: len(orchestrator.orders) > 20)
        await kam_process.end(signal.SIGKILL)
    assert len(orchestrator.orders) < 500

    await kam_process.start()

    async with await kam_process.client() as client:

        async def all_run() -> bool:
            view = (await client.get(placed["links"]["self"])).json()
            return bool(view["counts"] == {"running": 500})

        await eventually(all_run, 120)
        await kam_process.end()
    topics = sorted(order.parameters["topic"] for order in orchestrator.orders.values())
    assert topics == sorted(each["topic"] for each in inputs)


async def test_killed_with_a_due_time_in_hand_it_orders_once_after_the_restart(
    kam_process: KamProcess, bus: NatsBus, fresh_database: str
) -> None:
    orchestrator = OrchestratorStandIn(bus)
    await orchestrator.start()
    await kam_process.start()
    connection = await asyncpg.connect(fresh_database)
    async with await kam_process.client() as client:
        body = {"name": "Bees", "selected_template": "content_granulation_course", "cron": "0 0 1 1 *"}
        made = (await client.post("/api/kam/schedules", json=body)).json()
        orchestrator.is_away = True
        await connection.execute("UPDATE kam.schedules SET next_at = '2026-01-01Z', look_at = now()")

        async def is_in_hand() -> bool:
            return bool(await connection.fetchval("SELECT firing_at IS NOT NULL FROM kam.schedules"))

        await eventually(is_in_hand)
        await kam_process.end(signal.SIGKILL)
    orchestrator.is_away = False
    # The time for which nobody else looks at it is over.
    await connection.execute("UPDATE kam.schedules SET look_at = now()")
    await connection.close()

    await kam_process.start()

    async with await kam_process.client() as client:
        await eventually(lambda: orchestrator.orders)

        async def is_noted() -> bool:
            return bool((await client.get(made["links"]["self"])).json()["fired_count"] == 1)

        await eventually(is_noted)
        await kam_process.end()
    assert len(orchestrator.orders) == 1


async def test_wrong_settings_are_told_all_at_once_without_secrets(kam_process: KamProcess) -> None:
    await kam_process.start(AIF_KAM_PORT="eighty", AIF_KAM_DATABASE_URL="", AIF_LOG_LEVEL="loud")

    assert kam_process.process is not None
    _, log = await asyncio.wait_for(kam_process.process.communicate(), 60)

    assert kam_process.process.returncode == 2
    assert all(name in log.decode() for name in ("AIF_KAM_PORT", "AIF_KAM_DATABASE_URL", "AIF_LOG_LEVEL"))
    assert KEY not in log.decode()
