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


class Disks(Struct, frozen=True, kw_only=True):
    """How careful the servers are."""

    postgres_is_durable: bool = True
    """What it has committed is on the disk, as in production."""
    nats_sync_interval: str = "2m"
    """NATS's own default. Postgres is the record of what is measured: a message that the broker loses is sent again."""


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
async def running_servers(folder: Path, disks: Disks) -> AsyncIterator[Servers]:
    folder.mkdir(mode=0o711)
    async with AsyncExitStack() as stack:
        nats = EmbeddedNats(folder / "nats", sync_interval=disks.nats_sync_interval)
        await nats.start()
        stack.push_async_callback(nats.stop)
        postgres = EmbeddedPostgres(folder / "postgres", durable=disks.postgres_is_durable)
        await postgres.start()
        stack.push_async_callback(postgres.stop)
        assert nats.pid is not None, "it has started"
        assert postgres.pid is not None, "it has started"
        yield Servers(
            folder=folder,
            nats_url=nats.url,
            postgres_admin_url=postgres.admin_url,
            pids={"nats": nats.pid, "postgres": postgres.pid},
            durability=f"{await _durability(postgres.admin_url)}; NATS with sync_interval {disks.nats_sync_interval}",
        )


async def _durability(admin_url: str) -> str:
    connection = await asyncpg.connect(admin_url)
    try:
        fsync = await connection.fetchval("SHOW fsync")
        commit = await connection.fetchval("SHOW synchronous_commit")
        method = await connection.fetchval("SHOW wal_sync_method")
        version = await connection.fetchval("SHOW server_version")
    finally:
        await connection.close()
    return f"Postgres {version} with fsync {fsync}, synchronous_commit {commit}, wal_sync_method {method}"
