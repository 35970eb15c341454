"""A whole gateway in the test's process: real HTTP port, real Postgres, memory bus, a stand-in for the orchestrator."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec

from aif_contracts.blobs import BlobRef
from aif_kam.api_keys import mint_api_key
from aif_kam.app import create_app
from aif_kam.body_room import BodyRoom
from aif_kam.document_gate import DocumentGate
from aif_kam.loops import run_events, run_orders
from aif_kam.wiring import Gateway, Resources, assemble, prepare_database
from aif_runtime.blobs import WholeBlobStore
from aif_runtime.bounded_websockets import BoundedWebSocket
from aif_runtime.clock import Clock, SystemClock
from aif_runtime.health import Health
from aif_runtime.ids import id_mint
from aif_runtime.memory_blobs import MemoryBlobStore
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.metrics import new_registry
from aif_runtime.postgres import ACQUIRE_SECONDS, Database
from aif_runtime.settings import Secret
from aif_runtime.telemetry import Tracing, TracingOff
from aif_runtime.web_server import WebServer
from integration.kam.orchestrator_stand_in import OrchestratorStandIn
from support.waiting import eventually

BEES = "# Bees\n\nBees live in hives.\n\n## The queen\n\nShe lays all eggs.\n"
PEPPER = "pepper for the tests, long enough"
STRUCTURE = {"title": "Bees", "modules": [{"title": "The queen"}]}


class GatewayUnderTest:
    def __init__(
        self,
        *,
        gateway: Gateway,
        database: Database,
        broker: MemoryBroker,
        blobs: MemoryBlobStore,
        orchestrator: OrchestratorStandIn,
        url: str,
        stop: asyncio.Event,
        keys: Mapping[str, str],
    ) -> None:
        self.gateway = gateway
        self.database = database
        self.broker = broker
        self.bus = MemoryBus(broker)
        self.blobs = blobs
        self.orchestrator = orchestrator
        self.url = url
        self.stop = stop
        self.keys = keys

    def client(self, who: str = "alice") -> httpx.AsyncClient:
        # Over plain HTTP. To read the certificates that the machine trusts would take longer than most tests.
        return httpx.AsyncClient(base_url=self.url, headers={"X-API-Key": self.keys[who]}, timeout=60, verify=False)

    async def store_structure(self) -> BlobRef:
        return await self.blobs.put("deliverables/course", msgspec.json.encode(STRUCTURE), inline_limit_bytes=0)

    async def takes_in_what_it_was_told(self) -> None:
        """The beginnings of all executions. Meanwhile it holds their rows, which reconciling passes over."""

        async def all_have_begun() -> bool:
            return not await self.rows("SELECT 1 FROM client_requests WHERE execution_id IS NOT NULL AND last_sequence = 0")

        await eventually(all_have_begun)

    async def reconcile(self) -> int:
        """As the gateway's sweep does, with all that was not looked at this moment."""
        await self.takes_in_what_it_was_told()
        return await self.gateway.parts.tracker.reconcile(unseen_seconds=0)

    async def rows(self, query: str, *arguments: Any) -> list[Any]:
        async with self.database.connection() as connection:
            return list(await connection.fetch(query, *arguments))


@asynccontextmanager
async def open_gateway(
    database_url: str,
    *,
    silence_seconds: float = 120.0,
    tracing: Tracing | None = None,
    upload_gate: DocumentGate | None = None,
    bodies: BodyRoom | None = None,
    clock: Clock | None = None,
    blob_store: WholeBlobStore | None = None,
    acquire_seconds: float = ACQUIRE_SECONDS,
) -> AsyncIterator[GatewayUnderTest]:
    """`blob_store` is asked in place of the one in memory."""
    database = await Database.open(database_url, application_name="kam", schema="kam", acquire_seconds=acquire_seconds)
    await prepare_database(database)
    broker, blobs, stop = MemoryBroker(), MemoryBlobStore(), asyncio.Event()
    kam_bus, orchestrator_bus = MemoryBus(broker), MemoryBus(broker)
    orchestrator = OrchestratorStandIn(orchestrator_bus)
    await orchestrator.start()
    health = Health(service="kam", version="test")
    health.ready()
    gateway = assemble(
        Resources(
            bus=kam_bus,
            blobs=blob_store or blobs,
            database=database,
            key_pepper=Secret(PEPPER),
            clock=clock or SystemClock(),
            new_id=id_mint(),
            tracing=tracing or TracingOff(),
            registry=new_registry(service="kam", version="test"),
            health=health,
            version="test",
            drain=stop,
            keep_unused_sources_days=30,
            silence_seconds=silence_seconds,
            upload_gate=upload_gate or DocumentGate(),
            bodies=bodies or BodyRoom(),
        )
    )
    keys = {"alice": mint_api_key(), "bob": mint_api_key(), "admin": mint_api_key()}
    await gateway.parts.identity.keep_client("alice", keys["alice"])
    await gateway.parts.identity.keep_client("bob", keys["bob"])
    await gateway.parts.identity.keep_admin_key(keys["admin"])
    server = WebServer(create_app(gateway.parts), host="127.0.0.1", port=0, websockets=BoundedWebSocket)
    tasks = [
        asyncio.create_task(server.serve(stop)),
        asyncio.create_task(run_events(stop, bus=kam_bus, tracker=gateway.parts.tracker, fetch_seconds=0.05)),
        asyncio.create_task(run_orders(stop, bus=kam_bus, orders=gateway.orders, fetch_seconds=0.05)),
    ]
    under_test = GatewayUnderTest(
        gateway=gateway,
        database=database,
        broker=broker,
        blobs=blobs,
        orchestrator=orchestrator,
        url=f"http://127.0.0.1:{server.port}",
        stop=stop,
        keys=keys,
    )
    try:
        yield under_test
    finally:
        stop.set()
        await asyncio.gather(*tasks)
        for bus in (under_test.bus, kam_bus, orchestrator_bus):
            await bus.close()
        await database.close()
