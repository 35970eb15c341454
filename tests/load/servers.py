"""The servers that are measured on."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
from msgspec import Struct

from aif_console.embedded.credentials import Credentials
from aif_console.embedded.nats_server import EmbeddedNats
from aif_console.embedded.postgres_server import EmbeddedPostgres
from aif_console.embedded.service_roles import ensure_role_and_schema, with_database

SYNC_INTERVAL = "2m"
"""Of the broker. Postgres is the record, so a message that the broker loses is sent again from there."""


class Servers(Struct, frozen=True, kw_only=True):
    folder: Path
    nats_url: str
    postgres_admin_url: str
    pids: dict[str, int]
    durability: str
    """What was asked of the servers about disks, in their own words."""

    async def database(self, name: str, schema: str) -> str:
        """The URL of a database whose role of the same name as the schema owns that schema."""
        return await ensure_role_and_schema(
            self.postgres_admin_url,
            role=schema,
            schema=schema,
            database=name,
            credentials=Credentials(self.folder / "credentials.json"),
        )

    def admin_url(self, database: str) -> str:
        return with_database(self.postgres_admin_url, database)


@asynccontextmanager
async def running_servers(folder: Path, *, durable: bool) -> AsyncIterator[Servers]:
    """What a durable Postgres has committed is on the disk, as in production."""
    folder.mkdir(mode=0o711)
    async with AsyncExitStack() as stack:
        nats = EmbeddedNats(folder / "nats", sync_interval=SYNC_INTERVAL)
        await nats.start()
        stack.push_async_callback(nats.stop)
        postgres = EmbeddedPostgres(folder / "postgres", durable=durable)
        await postgres.start()
        stack.push_async_callback(postgres.stop)
        assert nats.pid is not None, "it has started"
        assert postgres.pid is not None, "it has started"
        yield Servers(
            folder=folder,
            nats_url=nats.url,
            postgres_admin_url=postgres.admin_url,
            pids={"nats": nats.pid, "postgres": postgres.pid},
            durability=await _durability(postgres.admin_url),
        )


async def _durability(admin_url: str) -> str:
    connection = await asyncpg.connect(admin_url)
    try:
        fsync = await connection.fetchval("SHOW fsync")
        commit = await connection.fetchval("SHOW synchronous_commit")
        version = await connection.fetchval("SHOW server_version")
    finally:
        await connection.close()
    return f"Postgres {version} with fsync {fsync}, synchronous_commit {commit}; NATS with sync_interval {SYNC_INTERVAL}"
