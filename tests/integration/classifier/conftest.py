"""The classifier's database and its parts, over a bus that the test chooses."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from aif_classifier.wiring import SCHEMA
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.migrations import load_migrations, migrate
from aif_runtime.postgres import Database


@pytest_asyncio.fixture
async def database(fresh_classifier_database: str) -> AsyncIterator[Database]:
    database = await Database.open(fresh_classifier_database, application_name="test", schema=SCHEMA, max_size=4)
    await migrate(database, schema=SCHEMA, migrations=load_migrations("aif_classifier"))
    yield database
    await database.close()


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()
