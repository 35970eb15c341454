"""The classifier: its database, and parts over a bus that the test chooses; or its processes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from aif_classifier.wiring import SCHEMA
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.migrations import load_migrations, migrate
from aif_runtime.nats_bus import NatsBus
from aif_runtime.postgres import Database
from support.classifier_processes import Start, classifier_processes


@pytest_asyncio.fixture
async def database(fresh_classifier_database: str) -> AsyncIterator[Database]:
    database = await Database.open(fresh_classifier_database, application_name="test", schema=SCHEMA, max_size=4)
    await migrate(database, schema=SCHEMA, migrations=load_migrations("aif_classifier"))
    yield database
    await database.close()


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest_asyncio.fixture
async def bus(fresh_nats: str) -> AsyncIterator[NatsBus]:
    async with await NatsBus.connect(fresh_nats, name="test") as bus:
        await bus.declare_topology()
        yield bus


@pytest_asyncio.fixture
async def start(fresh_nats: str, fresh_database: str, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a classifier and waits until it is ready."""
    async with classifier_processes(fresh_nats, fresh_database, tmp_path) as start:
        yield start
