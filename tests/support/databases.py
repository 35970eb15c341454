"""Databases in which a service's tables stand, lent to one test at a time and emptied before the next one.

To make a database and to drop it costs the server a hundred times what emptying one does. What a test can change is put back:
rows, sequences and the rows that migrations bring. A database whose tables, functions or triggers are not what the migrations
made is dropped and made anew, and so is one whose test ended in the middle of putting back.
"""

import uuid
from collections.abc import Mapping, Sequence
from io import BytesIO

import asyncpg
from msgspec import Struct

from aif_console.embedded.service_roles import with_database
from aif_runtime.migrations import load_migrations, migrate
from aif_runtime.postgres import Database

_TABLES = "SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind = 'r' ORDER BY relname"

# Everything that a migration can make and a test could unmake; a view or a function is told by its text.
_SHAPE = """
SELECT md5(string_agg(line, E'\\n' ORDER BY line)) FROM (
    SELECT concat_ws(' ', 'relation', relname, relkind, relowner, relacl, pg_get_viewdef(oid)) AS line
    FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'v', 'm', 'S', 'i')
    UNION ALL
    SELECT concat_ws(' ', 'column', attrelid::regclass, attnum, attname, format_type(atttypid, atttypmod), attnotnull,
        attisdropped, pg_get_expr(adbin, adrelid))
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relnamespace = $1::regnamespace AND relkind = 'r' AND attnum > 0
    UNION ALL
    SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, convalidated, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE connamespace = $1::regnamespace
    UNION ALL
    SELECT concat_ws(' ', 'trigger', tgenabled, pg_get_triggerdef(pg_trigger.oid))
    FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid WHERE relnamespace = $1::regnamespace AND NOT tgisinternal
    UNION ALL
    SELECT concat_ws(' ', 'function', proacl, pg_get_functiondef(oid)) FROM pg_proc WHERE pronamespace = $1::regnamespace
    UNION ALL
    SELECT concat_ws(' ', 'schema', nspname, nspowner, nspacl) FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%'
) AS everything
"""
_RESTARTED = """
SELECT count(setval(seqrelid, seqstart, false)) FROM pg_sequence JOIN pg_class ON pg_class.oid = seqrelid
WHERE relnamespace = $1::regnamespace AND pg_sequence_last_value(seqrelid) IS NOT NULL
"""
_OTHERS_ENDED = """
SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


class _Lent(Struct, frozen=True, kw_only=True):
    schema: str
    name: str
    tables: tuple[str, ...]
    rows: Mapping[str, bytes]
    """What migrations brought, by table, in Postgres' own binary form."""
    shape: str


class DatabaseShelf:
    """Of one Postgres cluster. Holds no connection between calls, so that every test may bring its own event loop."""

    def __init__(self, admin_url: str) -> None:
        self._admin_url = admin_url
        self._free: dict[str, list[_Lent]] = {}
        self._lent: dict[str, _Lent] = {}

    async def borrow(self, service: str) -> str:
        """The superuser's URL of a database with the newest tables of `kam`, `orchestrator` or `classifier`, as migrated."""
        free = self._free.setdefault(service, [])
        database = free.pop() if free else await self._make(service)
        url = with_database(self._admin_url, database.name)
        self._lent[url] = database
        return url

    async def give_back(self, url: str) -> None:
        """Whoever is still connected is cut off."""
        database = self._lent.pop(url)
        if await _emptied(url, database):
            self._free[database.schema].append(database)
        else:
            await self.drop(database.name)

    async def make_empty(self) -> str:
        """The name of a new database without anything in it."""
        name = f"test_{uuid.uuid4().hex}"
        await self._as_admin(f'CREATE DATABASE "{name}"')
        return name

    async def drop(self, name: str) -> None:
        await self._as_admin(f'DROP DATABASE "{name}" WITH (FORCE)')

    async def _make(self, service: str) -> _Lent:
        name = await self.make_empty()
        url = with_database(self._admin_url, name)
        database = await Database.open(url, application_name="test", schema=service)
        try:
            await migrate(database, schema=service, migrations=load_migrations(f"aif_{service}"))
        finally:
            await database.close()
        connection = await asyncpg.connect(url, server_settings={"search_path": service})
        try:
            tables = tuple([row["relname"] for row in await connection.fetch(_TABLES, service)])
            filled = await _filled(connection, tables)
            return _Lent(
                schema=service,
                name=name,
                tables=tables,
                rows={table: await _rows(connection, table) for table in filled},
                shape=await connection.fetchval(_SHAPE, service),
            )
        finally:
            await connection.close()

    async def _as_admin(self, statement: str) -> None:
        connection = await asyncpg.connect(self._admin_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


async def _emptied(url: str, database: _Lent) -> bool:
    """False when its tables are not the ones that were lent."""
    connection = await asyncpg.connect(url, server_settings={"search_path": database.schema})
    try:
        await connection.fetchval(_OTHERS_ENDED)
        if await connection.fetchval(_SHAPE, database.schema) != database.shape:
            return False
        # No trigger may forbid it, and no foreign key dictate its order.
        await connection.execute("SET session_replication_role = replica")
        if strange := [table for table in await _filled(connection, database.tables) if table not in database.rows]:
            await connection.execute(f"TRUNCATE {', '.join(strange)} CASCADE")
        for table, rows in database.rows.items():
            if await _rows(connection, table) != rows:
                await connection.execute(f"DELETE FROM {table}")  # noqa: S608 a name that Postgres told
                await connection.copy_to_table(table, source=BytesIO(rows), format="binary")
        await connection.fetchval(_RESTARTED, database.schema)
        return True
    finally:
        await connection.close()


async def _filled(connection: asyncpg.Connection, tables: Sequence[str]) -> list[str]:
    """Those with rows in them."""
    looks = " UNION ALL ".join(f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {table})" for table in tables)  # noqa: S608 names that Postgres told
    return [row[0] for row in await connection.fetch(looks)]


async def _rows(connection: asyncpg.Connection, table: str) -> bytes:
    rows = BytesIO()
    await connection.copy_from_table(table, output=rows, format="binary")
    return rows.getvalue()
