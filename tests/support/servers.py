"""Real servers for tests: one NATS server and one Postgres cluster for the whole session, fresh contents for each test.

They start when the first test asks for them; of several test processes each has its own. Their folder lies where every user
may enter, since Postgres does not run as root and pytest's own temporary folders are closed to others.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nats
import pytest
import pytest_asyncio

from aif_console.embedded.nats_server import EmbeddedNats
from aif_console.embedded.postgres_server import EmbeddedPostgres
from aif_console.embedded.service_roles import with_database
from support.databases import DatabaseShelf


@pytest.fixture(scope="session")
def servers_dir() -> Iterator[Path]:
    """A folder for the session's servers that any user may pass through."""
    folder = Path(tempfile.mkdtemp(prefix="aif-tests-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nats_url(servers_dir: Path) -> AsyncIterator[str]:
    """The session's NATS server. Use `fresh_nats` unless the test leaves nothing behind and minds nothing."""
    server = EmbeddedNats(servers_dir / "nats", sync_interval="2m")
    await server.start()
    yield server.url
    await server.stop()


@pytest_asyncio.fixture
async def fresh_nats(nats_url: str) -> str:
    """The session's NATS server without any stream, bucket or object store."""
    connection = await nats.connect(nats_url)
    try:
        jetstream = connection.jetstream()
        while streams := await jetstream.streams_info():
            for stream in streams:
                await jetstream.delete_stream(str(stream.config.name))
    finally:
        await connection.close()
    return nats_url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_admin_url(servers_dir: Path) -> AsyncIterator[str]:
    """The superuser's URL of the session's Postgres cluster."""
    server = EmbeddedPostgres(servers_dir / "postgres", durable=False)
    await server.start()
    yield server.admin_url
    await server.stop()


@pytest.fixture(scope="session")
def database_shelf(postgres_admin_url: str) -> DatabaseShelf:
    """Databases in the session's Postgres cluster."""
    return DatabaseShelf(postgres_admin_url)


@pytest_asyncio.fixture
async def fresh_database(postgres_admin_url: str, database_shelf: DatabaseShelf) -> AsyncIterator[str]:
    """The superuser's URL of an empty database that is dropped after the test."""
    name = await database_shelf.make_empty()
    yield with_database(postgres_admin_url, name)
    await database_shelf.drop(name)


@pytest_asyncio.fixture
async def fresh_kam_database(database_shelf: DatabaseShelf) -> AsyncIterator[str]:
    """The superuser's URL of a database as the gateway's migrations leave it."""
    url = await database_shelf.borrow("kam")
    yield url
    await database_shelf.give_back(url)


@pytest_asyncio.fixture
async def fresh_orchestrator_database(database_shelf: DatabaseShelf) -> AsyncIterator[str]:
    """The superuser's URL of a database as the orchestrator's migrations leave it."""
    url = await database_shelf.borrow("orchestrator")
    yield url
    await database_shelf.give_back(url)


@pytest_asyncio.fixture
async def fresh_classifier_database(database_shelf: DatabaseShelf) -> AsyncIterator[str]:
    """The superuser's URL of a database as the classifier's migrations leave it."""
    url = await database_shelf.borrow("classifier")
    yield url
    await database_shelf.give_back(url)
