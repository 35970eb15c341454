"""Real servers for tests: one NATS server and one Postgres cluster for the whole session, fresh contents for each test.

They start when the first test asks for them. Their folder lies where every user may enter, since Postgres does not run as
root and pytest's own temporary folders are closed to others.
"""

import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import nats
import pytest
import pytest_asyncio

from aif_console.embedded.nats_server import EmbeddedNats
from aif_console.embedded.postgres_server import EmbeddedPostgres
from aif_console.embedded.service_roles import with_database


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


@pytest_asyncio.fixture
async def fresh_database(postgres_admin_url: str) -> AsyncIterator[str]:
    """The superuser's URL of an empty database that is dropped after the test."""
    name = f"test_{uuid.uuid4().hex}"
    await _as_admin(postgres_admin_url, f'CREATE DATABASE "{name}"')
    yield with_database(postgres_admin_url, name)
    await _as_admin(postgres_admin_url, f'DROP DATABASE "{name}" WITH (FORCE)')


async def _as_admin(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
