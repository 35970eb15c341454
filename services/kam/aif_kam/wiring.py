"""What the gateway is made of."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from msgspec import Struct, field
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from aif_kam.accounts.client_book import ClientBook
from aif_kam.accounts.client_store import ClientStore
from aif_kam.accounts.key_book import ApiKeyBook
from aif_kam.accounts.key_store import ApiKeyStore
from aif_kam.api_keys import KeyDigest
from aif_kam.app import create_app
from aif_kam.audit_outbox import AuditOutbox
from aif_kam.batches.desk import BatchDesk
from aif_kam.batches.dispatch import BatchDispatch
from aif_kam.batches.inputs import BatchInputs
from aif_kam.batches.store import BatchStore
from aif_kam.body_room import BodyRoom
from aif_kam.bus_orders import BusOrders
from aif_kam.configuration.book import ConfigurationBook
from aif_kam.configuration.client_desk import ClientDesk
from aif_kam.configuration.push import ConfigurationPush
from aif_kam.configuration.store import ConfigurationStore
from aif_kam.configuration.system_desk import SystemDesk
from aif_kam.configuration.workspaces import Workspaces
from aif_kam.database_time import DatabaseTime
from aif_kam.document_gate import DocumentGate
from aif_kam.event_stream import SILENCE_SECONDS, EventStream
from aif_kam.execution_history import HistoryReader
from aif_kam.idempotency import KeyStore
from aif_kam.identity import Identity
from aif_kam.loops import (
    run_audit,
    run_batches,
    run_collection,
    run_configuration,
    run_events,
    run_orders,
    run_schedules,
    run_sweeps,
    run_template_news,
)
from aif_kam.orchestrator_client import ANSWER_SECONDS, OrchestratorClient
from aif_kam.order_desk import OrderDesk
from aif_kam.order_parameters import OrderParameters
from aif_kam.parts import Parts
from aif_kam.request_store import RequestStore
from aif_kam.request_tracker import RequestTracker
from aif_kam.results import Results
from aif_kam.schedules.book import ScheduleBook
from aif_kam.schedules.firings import Firings
from aif_kam.schedules.store import ScheduleStore
from aif_kam.settings import KamSettings
from aif_kam.source_collection import SourceCollection
from aif_kam.source_intake import SourceIntake
from aif_kam.source_reader import SourceReader
from aif_kam.source_store import SourceStore
from aif_kam.steering import Steering
from aif_kam.submissions import Submissions
from aif_kam.template_catalogue import TemplateCatalogue
from aif_kam.uploads import Uploads
from aif_runtime.blobs import WholeBlobStore
from aif_runtime.bounded_connections import DEFAULT_LIMITS
from aif_runtime.bounded_websockets import BoundedWebSocket
from aif_runtime.bus import Bus
from aif_runtime.clock import Clock
from aif_runtime.connections import Connections, open_connections
from aif_runtime.failures import SettingsInvalid
from aif_runtime.health import Health
from aif_runtime.ids import NewId
from aif_runtime.migrations import load_migrations, migrate
from aif_runtime.postgres import Database
from aif_runtime.process import Assembled, Face, Part, Surroundings
from aif_runtime.redaction import Redactor
from aif_runtime.settings import Secret
from aif_runtime.sql_files import load_queries
from aif_runtime.telemetry import Tracing

SCHEMA = "kam"
PATIENCE_SECONDS = 15.0
"""A caller waits so long for others who came before. It is half of what our own clients wait for an answer."""


class Resources(Struct, frozen=True, kw_only=True):
    """What the gateway stands on."""

    bus: Bus
    blobs: WholeBlobStore
    database: Database
    key_pepper: Secret
    clock: Clock
    new_id: NewId
    tracing: Tracing
    registry: CollectorRegistry
    health: Health
    version: str
    drain: asyncio.Event
    keep_unused_sources_days: int = 0
    answer_seconds: float = ANSWER_SECONDS
    silence_seconds: float = SILENCE_SECONDS
    redactor: Redactor = field(default_factory=Redactor)
    bodies: BodyRoom = field(default_factory=BodyRoom)
    uploads: Uploads = field(default_factory=Uploads)
    upload_gate: DocumentGate = field(default_factory=DocumentGate)
    text_gate: DocumentGate = field(default_factory=DocumentGate)
    """Texts in orders have a gate of their own: they are small, and do not wait for uploads."""


class Gateway(Struct, frozen=True, kw_only=True):
    parts: Parts
    orders: BusOrders
    submissions: Submissions
    firings: Firings
    dispatch: BatchDispatch
    batch_work: asyncio.Event
    """Set when there is something to dispatch."""
    push: ConfigurationPush
    push_work: asyncio.Event
    """Set when there is configuration to push."""
    audit: AuditOutbox
    audit_work: asyncio.Event
    """Set when there is something to tell."""
    collection: SourceCollection


def assemble(on: Resources) -> Gateway:
    """The gateway's objects over given resources."""
    queries = load_queries("aif_kam")
    time = DatabaseTime(on.database, queries)
    requests, keys, sources = RequestStore(queries), KeyStore(queries), SourceStore(queries)
    digest = KeyDigest(on.key_pepper)
    identity = Identity(database=on.database, digest=digest, queries=queries)
    orchestrator = OrchestratorClient(bus=on.bus, tracing=on.tracing, answer_seconds=on.answer_seconds)
    catalogue = TemplateCatalogue(orchestrator=orchestrator, clock=on.clock)
    intake = SourceIntake(
        database=on.database,
        blobs=on.blobs,
        reader=SourceReader(),
        uploads=on.upload_gate,
        texts=on.text_gate,
        sources=sources,
        keys=keys,
        new_id=on.new_id,
    )
    submissions = Submissions(database=on.database, orchestrator=orchestrator, requests=requests, keys=keys, identity=identity)
    parameters = OrderParameters(catalogue=catalogue, intake=intake)
    configuration, push_work = ConfigurationStore(queries), asyncio.Event()
    workspaces = Workspaces(database=on.database, store=configuration)
    desk = OrderDesk(
        database=on.database,
        requests=requests,
        keys=keys,
        parameters=parameters,
        catalogue=catalogue,
        intake=intake,
        submissions=submissions,
        workspaces=workspaces,
        time=time,
        tracing=on.tracing,
        new_id=on.new_id,
    )
    tracker = RequestTracker(
        database=on.database, bus=on.bus, orchestrator=orchestrator, requests=requests, redactor=on.redactor
    )
    schedules, batches, batch_work = ScheduleStore(queries), BatchStore(queries), asyncio.Event()
    book = ConfigurationBook(
        database=on.database,
        store=configuration,
        redact=on.redactor.value,
        work=push_work,
        clock=on.clock,
        new_id=on.new_id,
    )
    audit_work = asyncio.Event()
    audit = AuditOutbox(database=on.database, queries=queries, bus=on.bus, work=audit_work, clock=on.clock, new_id=on.new_id)
    client_desk = ClientDesk(database=on.database, book=book, keys=keys, new_id=on.new_id)
    parts = Parts(
        identity=identity,
        clients=ClientBook(database=on.database, clients=ClientStore(queries), desk=client_desk, keys=keys, audit=audit),
        api_keys=ApiKeyBook(
            database=on.database, api_keys=ApiKeyStore(queries), digest=digest, keys=keys, time=time, audit=audit
        ),
        desk=desk,
        tracker=tracker,
        schedules=ScheduleBook(
            database=on.database,
            schedules=schedules,
            keys=keys,
            parameters=parameters,
            catalogue=catalogue,
            intake=intake,
            workspaces=workspaces,
            time=time,
            new_id=on.new_id,
        ),
        batches=BatchDesk(
            database=on.database,
            batches=batches,
            keys=keys,
            inputs=BatchInputs(catalogue=catalogue, intake=intake),
            catalogue=catalogue,
            intake=intake,
            workspaces=workspaces,
            work=batch_work,
            time=time,
            tracing=on.tracing,
            new_id=on.new_id,
        ),
        steering=Steering(database=on.database, orchestrator=orchestrator, tracker=tracker, keys=keys),
        history=HistoryReader(orchestrator),
        system_configuration=SystemDesk(book),
        client_configuration=client_desk,
        bodies=on.bodies,
        uploads=on.uploads,
        intake=intake,
        catalogue=catalogue,
        orchestrator=orchestrator,
        events=EventStream(bus=on.bus, orchestrator=orchestrator, drain=on.drain, silence_seconds=on.silence_seconds),
        results=Results(blobs=on.blobs, orchestrator=orchestrator),
        time=time,
        health=on.health,
        registry=on.registry,
        tracing=on.tracing,
        version=on.version,
    )
    orders = BusOrders(bus=on.bus, database=on.database, desk=desk, identity=identity, tracing=on.tracing, redactor=on.redactor)
    firings = Firings(
        database=on.database,
        schedules=schedules,
        desk=desk,
        tracker=tracker,
        orchestrator=orchestrator,
        tracing=on.tracing,
    )
    dispatch = BatchDispatch(
        database=on.database, batches=batches, submissions=submissions, tracker=tracker, orchestrator=orchestrator
    )
    return Gateway(
        parts=parts,
        orders=orders,
        submissions=submissions,
        firings=firings,
        dispatch=dispatch,
        batch_work=batch_work,
        push=ConfigurationPush(database=on.database, store=configuration, bus=on.bus, clock=on.clock),
        push_work=push_work,
        audit=audit,
        audit_work=audit_work,
        collection=SourceCollection(
            database=on.database,
            sources=sources,
            blobs=on.blobs,
            keep_unused_days=on.keep_unused_sources_days,
            registry=on.registry,
        ),
    )


async def prepare_database(database: Database) -> None:
    """Bring the schema up to date."""
    await migrate(database, schema=SCHEMA, migrations=load_migrations("aif_kam"))


async def keep_first_keys(identity: Identity, settings: KamSettings) -> None:
    """The client and the keys that the settings name exist. Raises SettingsInvalid for a malformed key."""
    try:
        if settings.bootstrap_client_id is not None and settings.bootstrap_client_key is not None:
            await identity.keep_client(settings.bootstrap_client_id, settings.bootstrap_client_key.reveal())
        if settings.bootstrap_admin_key is not None:
            await identity.keep_admin_key(settings.bootstrap_admin_key.reveal())
    except ValueError as wrong:
        raise SettingsInvalid((f"AIF_BOOTSTRAP_CLIENT_KEY or AIF_BOOTSTRAP_ADMIN_KEY {wrong}",)) from wrong


@asynccontextmanager
async def wire(surroundings: Surroundings[KamSettings]) -> AsyncIterator[Assembled]:
    settings = surroundings.settings
    async with open_connections(surroundings) as connections:
        database = await Database.open(
            settings.kam_database_url.reveal(), application_name="kam", schema=SCHEMA, patience_seconds=PATIENCE_SECONDS
        )
        try:
            await prepare_database(database)
            yield await _assembled(surroundings, database, connections)
        finally:
            await database.close()


async def _assembled(surroundings: Surroundings[KamSettings], database: Database, connections: Connections) -> Assembled:
    settings = surroundings.settings
    resources = Resources(
        bus=connections.bus,
        blobs=connections.blobs,
        database=database,
        key_pepper=settings.key_pepper,
        clock=surroundings.clock,
        new_id=surroundings.new_id,
        tracing=surroundings.tracing,
        registry=surroundings.registry,
        health=surroundings.health,
        version=surroundings.version,
        keep_unused_sources_days=settings.kam_keep_unused_sources_days,
        drain=surroundings.stop,
        redactor=surroundings.redactor,
    )
    gateway = assemble(resources)
    await keep_first_keys(gateway.parts.identity, settings)
    surroundings.health.add("postgres", database.check)
    return Assembled(
        parts=(
            Part(name="orders", run=partial(run_orders, bus=connections.bus, orders=gateway.orders)),
            Part(name="schedules", run=partial(run_schedules, firings=gateway.firings)),
            Part(name="batches", run=partial(run_batches, dispatch=gateway.dispatch, work=gateway.batch_work)),
            Part(name="configuration", run=partial(run_configuration, push=gateway.push, work=gateway.push_work)),
            Part(name="audit", run=partial(run_audit, outbox=gateway.audit, work=gateway.audit_work)),
            Part(name="collection", run=partial(run_collection, collection=gateway.collection)),
            Part(
                name="templates",
                run=partial(run_template_news, bus=connections.bus, catalogue=gateway.parts.catalogue),
            ),
            Part(name="events", run=partial(run_events, bus=connections.bus, tracker=gateway.parts.tracker)),
            Part(
                name="sweeps",
                run=partial(run_sweeps, submissions=gateway.submissions, tracker=gateway.parts.tracker),
            ),
        ),
        face=Face(
            app=create_app(gateway.parts),
            host=settings.kam_host,
            port=settings.kam_port,
            websockets=BoundedWebSocket,
            limits=replace(DEFAULT_LIMITS, connections=settings.kam_max_connections),
        ),
    )
