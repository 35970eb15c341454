"""What the orchestrator is made of."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aif_contracts.money import usd
from aif_orchestrator.admission import Admission
from aif_orchestrator.alerts.lookout import Lookout
from aif_orchestrator.alerts.store import AlertStore
from aif_orchestrator.answers import Answers
from aif_orchestrator.audit.answers import AuditAnswers
from aif_orchestrator.audit.intake import AuditIntake
from aif_orchestrator.audit.log import AuditLog
from aif_orchestrator.audit.seals import Seals, keys_in
from aif_orchestrator.audit.store import AuditStore
from aif_orchestrator.blob_collection import BlobCollection
from aif_orchestrator.budget_answers import BudgetAnswers
from aif_orchestrator.calls.answers import CallAnswers
from aif_orchestrator.calls.doubt import Doubt
from aif_orchestrator.calls.settling import Settling
from aif_orchestrator.calls.store import BookedCallStore
from aif_orchestrator.dead_letters.answers import DeadLetterAnswers
from aif_orchestrator.dead_letters.intake import DeadLetterIntake
from aif_orchestrator.engine.blocked_clients import BlockedClients
from aif_orchestrator.engine.database_clock import DatabaseClock
from aif_orchestrator.engine.engine import Engine
from aif_orchestrator.engine.figures import Figures
from aif_orchestrator.engine.inputs import FollowUps
from aif_orchestrator.engine.plan_news import PlanNews
from aif_orchestrator.engine.plans import Plans
from aif_orchestrator.engine.relay import Relay
from aif_orchestrator.engine.sweeper import Sweeper
from aif_orchestrator.engine.workforce import Workforce
from aif_orchestrator.execution.happenings import Patience
from aif_orchestrator.execution.terms import EnergyPrices
from aif_orchestrator.history_answers import HistoryAnswers
from aif_orchestrator.intake import Intake
from aif_orchestrator.kept_results import KeptResults
from aif_orchestrator.line import Line
from aif_orchestrator.pipeline_answers import PipelineAnswers
from aif_orchestrator.progress_answers import ProgressAnswers
from aif_orchestrator.refused_budgets import RefusedBudgets
from aif_orchestrator.retention import Retention
from aif_orchestrator.settings import OrchestratorSettings
from aif_orchestrator.simulation.answers import SimulationAnswers
from aif_orchestrator.simulation.store import PastStore
from aif_orchestrator.store.accounts import AccountStore, DefaultBudget
from aif_orchestrator.store.attempts import AttemptStore
from aif_orchestrator.store.batches import BatchStore
from aif_orchestrator.store.budgets import BudgetStore
from aif_orchestrator.store.calls import CallStore
from aif_orchestrator.store.dead_letters import DeadLetterStore
from aif_orchestrator.store.executions import ExecutionStore
from aif_orchestrator.store.outbox import OutboxStore
from aif_orchestrator.store.pipelines import PipelineStore, StoredPipeline
from aif_orchestrator.usage.answers import UsageAnswers
from aif_orchestrator.usage.rolling import UsageRolling
from aif_orchestrator.usage.store import UsageStore
from aif_pipelines.definition import Pipeline
from aif_pipelines.library import builtin_pipelines
from aif_runtime.blobs import WholeBlobStore
from aif_runtime.bus import Bus
from aif_runtime.connections import open_connections
from aif_runtime.failures import SettingsInvalid
from aif_runtime.migrations import load_migrations, migrate
from aif_runtime.postgres import Database, reading
from aif_runtime.process import Assembled, Part, Surroundings
from aif_runtime.sql_files import load_queries

SERVICE = "orchestrator"
LAST_WORD_SECONDS = 5.0
READERS_SECONDS = 1.0
"""When too many read, all wait for as long as they may: that has to leave time to answer before the gateway has given up, or
all would be answered in vain."""


@asynccontextmanager
async def wire(surroundings: Surroundings[OrchestratorSettings]) -> AsyncIterator[Assembled]:
    """Open what one replica needs, and close it again."""
    async with open_connections(surroundings) as connections:
        database = await Database.open(
            surroundings.settings.orchestrator_database_url.reveal(),
            application_name=surroundings.instance_id,
            schema=SERVICE,
            readers_seconds=READERS_SECONDS,
        )
        try:
            await migrate(database, schema=SERVICE, migrations=load_migrations("aif_orchestrator"))
            surroundings.health.add("postgres", database.check)
            line = await assemble(surroundings, connections.bus, connections.blobs, database, builtin_pipelines())
            yield Assembled(parts=(Part(name="line", run=line.run),))
        finally:
            await database.close()


async def assemble(
    surroundings: Surroundings[OrchestratorSettings],
    bus: Bus,
    blobs: WholeBlobStore,
    database: Database,
    pipelines: Sequence[Pipeline],
) -> Line:
    """Build the line on given surroundings, and begin to answer questions.

    `pipelines` are stored like any other: executions refer to them for as long as they are kept.
    """
    settings = surroundings.settings
    queries = load_queries("aif_orchestrator.store")
    executions = ExecutionStore(queries)
    outbox = OutboxStore(queries)
    letters = DeadLetterStore(queries)
    stored_pipelines = PipelineStore(queries)
    plans = await _stored_plans(database, stored_pipelines, pipelines)
    news = PlanNews(bus=bus, plans=plans)
    workforce = Workforce(bus)
    figures = Figures(surroundings.registry)
    relay = Relay(bus=bus, database=database, outbox=outbox, figures=figures, replica=surroundings.instance_id)
    follow_ups = FollowUps(bus=bus, blobs=blobs)
    default_budget = DefaultBudget(
        limit_usd=settings.orchestrator_default_budget_usd,
        policy=settings.orchestrator_budget_policy,
        energy_limit=settings.orchestrator_default_energy,
    )
    energy_prices = EnergyPrices(economy=settings.orchestrator_energy_economy, premium=settings.orchestrator_energy_premium)
    accounts = AccountStore(queries, default_budget)
    budgets = BudgetStore(queries, default_budget)
    async with database.transaction() as connection:
        await budgets.apply_defaults(connection)
    blocked = BlockedClients(database=database, accounts=accounts)
    database_clock = DatabaseClock(surroundings.clock)
    engine = Engine(
        database=database,
        executions=executions,
        batches=BatchStore(queries, accounts),
        blocked=blocked,
        relay=relay,
        follow_ups=follow_ups,
        plans=plans,
        workforce=workforce,
        patience=_patience(settings),
        max_attempt_cost_usd=settings.orchestrator_max_attempt_cost_usd,
        max_execution_cost_usd=settings.orchestrator_max_execution_cost_usd,
        figures=figures,
        tracing=surroundings.tracing,
        database_clock=database_clock,
    )
    seals = _seals(settings)
    audit_store = AuditStore(load_queries("aif_orchestrator.audit"))
    audit = AuditLog(
        store=audit_store,
        seals=seals,
        redactor=surroundings.redactor,
        clock=surroundings.clock,
        new_id=surroundings.new_id,
    )
    booked_calls = BookedCallStore(load_queries("aif_orchestrator.calls"))
    settling = Settling(database=database, store=booked_calls, engine=engine, audit=audit)
    alerts = AlertStore(load_queries("aif_orchestrator.alerts"))
    await workforce.refresh()
    await blocked.refresh()
    admission = Admission(
        plans=plans,
        workforce=workforce,
        max_execution_cost_usd=settings.orchestrator_max_execution_cost_usd,
        clock=surroundings.clock,
    )
    answers = Answers(
        bus=bus,
        database=database,
        executions=executions,
        engine=engine,
        plans=plans,
        admission=admission,
        budgets=RefusedBudgets(database=database, budgets=budgets),
        kept_results=KeptResults(blobs),
        energy_prices=energy_prices,
        figures=figures,
        tracing=surroundings.tracing,
        new_id=surroundings.new_id,
    )
    await answers.open()
    await ProgressAnswers(bus=bus, engine=engine).open()
    await SimulationAnswers(
        bus=bus,
        database=database,
        admission=admission,
        plans=plans,
        workforce=workforce,
        past=PastStore(load_queries("aif_orchestrator.simulation")),
        clock=surroundings.clock,
        budgets=budgets,
        energy_prices=energy_prices,
        max_attempt_cost_usd=settings.orchestrator_max_attempt_cost_usd,
        max_execution_cost_usd=settings.orchestrator_max_execution_cost_usd,
    ).open()
    await BudgetAnswers(bus=bus, database=database, budgets=budgets, blocked=blocked, audit=audit, alerts=alerts).open()
    usage = UsageStore(load_queries("aif_orchestrator.usage"))
    await UsageAnswers(bus=bus, database=database, usage=usage).open()
    await PipelineAnswers(
        bus=bus, database=database, pipelines=stored_pipelines, workforce=workforce, news=news, audit=audit
    ).open()
    await HistoryAnswers(
        bus=bus,
        database=database,
        executions=executions,
        attempts=AttemptStore(queries),
        calls=CallStore(queries),
        plans=plans,
        workforce=workforce,
    ).open()
    await DeadLetterAnswers(bus=bus, database=database, letters=letters, executions=executions, audit=audit).open()
    await AuditAnswers(bus=bus, database=database, store=audit_store, seals=seals).open()
    await CallAnswers(bus=bus, database=database, store=booked_calls, settling=settling).open()
    intake = Intake(
        bus=bus,
        blobs=blobs,
        engine=engine,
        relay=relay,
        replica=surroundings.instance_id,
        lease_seconds=settings.orchestrator_lease_seconds,
        redactor=surroundings.redactor,
    )
    await intake.open()
    return Line(
        bus=bus,
        intake=intake,
        dead_letters=DeadLetterIntake(
            bus=bus, database=database, letters=letters, redactor=surroundings.redactor, clock=surroundings.clock
        ),
        audit=AuditIntake(bus=bus, database=database, audit=audit, redactor=surroundings.redactor),
        doubt=Doubt(database=database, store=booked_calls, settling=settling, after_hours=settings.orchestrator_in_doubt_hours),
        lookout=Lookout(
            database=database,
            alerts=alerts,
            relay=relay,
            registry=surroundings.registry,
            weekly_mark_usd=usd(settings.orchestrator_weekly_alert_usd),
            every_seconds=settings.orchestrator_alert_seconds,
        ),
        engine=engine,
        relay=relay,
        sweeper=Sweeper(
            database=database,
            bus=bus,
            executions=executions,
            engine=engine,
            clock=surroundings.clock,
            database_clock=database_clock,
            every_seconds=settings.orchestrator_sweep_seconds,
            # Workers beat three times within the lease.
            hearing_seconds=settings.orchestrator_lease_seconds / 2,
        ),
        workforce=workforce,
        blocked=blocked,
        follow_ups=follow_ups,
        news=news,
        retention=Retention(database=database, executions=executions, keep_days=settings.orchestrator_keep_days),
        usage_rolling=UsageRolling(database=database, usage=usage),
        blob_collection=BlobCollection(
            database=database,
            executions=executions,
            blobs=blobs,
            grace_hours=settings.orchestrator_blob_grace_hours,
            registry=surroundings.registry,
        ),
    )


async def _stored_plans(database: Database, store: PipelineStore, pipelines: Sequence[Pipeline]) -> Plans:
    """All that is stored, the given ones among it as the factory's."""

    async def load(known_ids: Sequence[int]) -> list[StoredPipeline]:
        # Executions wait for what a reader has come to ask for.
        with reading(False):
            async with database.connection() as connection:
                return await store.list_unknown(connection, known_ids)

    async with database.transaction() as connection:
        for pipeline in pipelines:
            await store.keep(connection, pipeline)
    plans = Plans(load=load)
    await plans.refresh()
    return plans


def _patience(settings: OrchestratorSettings) -> Patience:
    return Patience(
        unclaimed_ms=int(settings.orchestrator_unclaimed_seconds * 1000),
        lease_ms=int(settings.orchestrator_lease_seconds * 1000),
        last_word_ms=int(min(LAST_WORD_SECONDS, settings.orchestrator_lease_seconds / 2) * 1000),
    )


def _seals(settings: OrchestratorSettings) -> Seals:
    given = settings.orchestrator_audit_keys
    try:
        return Seals(() if given is None else keys_in(given.reveal()))
    except ValueError as mistake:
        raise SettingsInvalid((f"AIF_ORCHESTRATOR_AUDIT_KEYS: {mistake}",)) from mistake
