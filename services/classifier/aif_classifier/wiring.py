"""What the classifier is made of."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from aif_classifier.analysis import Analysis
from aif_classifier.client_insights import ClientInsights
from aif_classifier.findings import Thresholds
from aif_classifier.insights import Insights
from aif_classifier.intake import Intake
from aif_classifier.retention import ROUND_SECONDS, Retention
from aif_classifier.rhythm import repeat
from aif_classifier.samples import Slice
from aif_classifier.settings import ClassifierSettings
from aif_classifier.store import InsightStore, PerformanceStore
from aif_classifier.worker import classifier_spec
from aif_contracts import subjects
from aif_runtime.assignment import WorkerSpec
from aif_runtime.bus import Bus
from aif_runtime.clock import Clock
from aif_runtime.connections import open_connections
from aif_runtime.ids import NewId
from aif_runtime.migrations import load_migrations, migrate
from aif_runtime.postgres import Database
from aif_runtime.process import Assembled, Part, Surroundings
from aif_runtime.redaction import Redactor
from aif_runtime.sql_files import load_queries
from aif_runtime.telemetry import Tracing
from aif_runtime.worker_parts import worker_parts

SCHEMA = "classifier"
_MOST_CONNECTIONS = 6
"""Besides one for each slot."""


@asynccontextmanager
async def wire(surroundings: Surroundings[ClassifierSettings]) -> AsyncIterator[Assembled]:
    """Open what one replica needs, and close it again."""
    settings = surroundings.settings
    async with open_connections(surroundings) as connections:
        database = await _open_database(settings)
        surroundings.health.add("postgres", database.check)
        try:
            parts = await assemble(
                settings=settings,
                bus=connections.bus,
                database=database,
                clock=surroundings.clock,
                new_id=surroundings.new_id,
                tracing=surroundings.tracing,
                registry=surroundings.registry,
                redactor=surroundings.redactor,
            )
            spec = worker_of(settings, database, surroundings.clock)
            yield Assembled(parts=(*parts, *worker_parts(surroundings, connections, spec)))
        finally:
            await database.close()


async def assemble(
    *,
    settings: ClassifierSettings,
    bus: Bus,
    database: Database,
    clock: Clock,
    new_id: NewId,
    tracing: Tracing,
    registry: CollectorRegistry,
    redactor: Redactor,
) -> tuple[Part, ...]:
    """The classifier over any bus. From now on it answers; its parts are still to be run."""
    queries = load_queries("aif_classifier")
    attempts, recommendations = PerformanceStore(queries), InsightStore(queries, new_id=new_id)
    touched: set[Slice] = set()
    intake = Intake(bus=bus, database=database, store=attempts, touched=touched, registry=registry, redactor=redactor)
    analysis = Analysis(
        database=database,
        attempts=attempts,
        insights=recommendations,
        touched=touched,
        window=settings.classifier_window,
        thresholds=_thresholds(settings),
        clock=clock,
    )
    retention = Retention(database=database, attempts=attempts, insights=recommendations, keep=settings.classifier_retention)
    insights = Insights(database=database, attempts=attempts, recommendations=recommendations, clock=clock, tracing=tracing)
    await bus.answer(subjects.INSIGHTS, subjects.CLASSIFIER_GROUP, insights.answer)
    interval_seconds = settings.classifier_analysis_interval.total_seconds()

    async def analyse(stop: asyncio.Event) -> None:
        await repeat("analysis", analysis.look, interval_seconds, stop)

    async def forget(stop: asyncio.Event) -> None:
        await repeat("retention", retention.delete_old, ROUND_SECONDS, stop)

    return (
        Part(name="intake", run=intake.run),
        Part(name="analysis", run=analyse),
        Part(name="retention", run=forget),
    )


def worker_of(settings: ClassifierSettings, database: Database, clock: Clock) -> WorkerSpec:
    insights = ClientInsights(
        database=database,
        attempts=PerformanceStore(load_queries("aif_classifier")),
        window=settings.classifier_window,
        thresholds=_thresholds(settings),
        clock=clock,
    )
    return classifier_spec(insights, slots=settings.classifier_slots)


def _thresholds(settings: ClassifierSettings) -> Thresholds:
    return Thresholds(
        minimum_sample=settings.classifier_minimum_sample,
        minimum_confidence=settings.classifier_minimum_confidence,
    )


async def _open_database(settings: ClassifierSettings) -> Database:
    database = await Database.open(
        settings.classifier_database_url.reveal(),
        application_name="aif_classifier",
        schema=SCHEMA,
        max_size=_MOST_CONNECTIONS + settings.classifier_slots,
    )
    try:
        await migrate(database, schema=SCHEMA, migrations=load_migrations("aif_classifier"))
    except BaseException:
        await database.close()
        raise
    return database
