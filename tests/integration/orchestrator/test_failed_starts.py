"""A replica that cannot start, which is tried again for as long as it takes."""

import asyncio

import asyncpg
import pytest

from aif_orchestrator.settings import OrchestratorSettings
from aif_orchestrator.wiring import wire
from aif_runtime.clock import SystemClock
from aif_runtime.failures import MigrationRefused
from aif_runtime.health import Health
from aif_runtime.ids import id_mint
from aif_runtime.metrics import new_registry
from aif_runtime.process import Surroundings
from aif_runtime.redaction import Redactor
from aif_runtime.settings import Secret
from aif_runtime.telemetry import TracingOff
from support.waiting import eventually

NEWER = "INSERT INTO orchestrator.schema_migrations (number, name, sha256) VALUES (9999, 'of_a_newer_program', '')"
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'replica_1'"


async def test_a_start_that_fails_at_the_tables_leaves_no_connection_behind(
    fresh_nats: str, fresh_orchestrator_database: str
) -> None:
    surroundings = Surroundings(
        service="orchestrator",
        version="test",
        instance_id="replica_1",
        settings=OrchestratorSettings(nats_url=fresh_nats, orchestrator_database_url=Secret(fresh_orchestrator_database)),
        clock=SystemClock(),
        new_id=id_mint(),
        redactor=Redactor(()),
        registry=new_registry(service="orchestrator", version="test"),
        tracing=TracingOff(),
        health=Health(service="orchestrator", version="test"),
        stop=asyncio.Event(),
    )
    admin = await asyncpg.connect(fresh_orchestrator_database)
    try:
        await admin.execute(NEWER)

        with pytest.raises(MigrationRefused):
            await wire(surroundings).__aenter__()

        async def has_none() -> bool:
            return bool(await admin.fetchval(CONNECTIONS) == 0)

        await eventually(has_none, what="Postgres has nobody left of it")
    finally:
        await admin.close()
