"""Brings a service's schema to the newest version: numbered `.sql` files, forward only, each in its own transaction.

`NNNN_name.sql`, from 0001 without gaps. A file that has been applied is never edited: its digest is kept in the
service's own table `schema_migrations`, and a difference is refused. Replicas that start together wait for one another.
"""

import hashlib
import importlib.resources
import re
from collections.abc import Sequence

import structlog
from msgspec import Struct

from aif_runtime.failures import MigrationRefused
from aif_runtime.postgres import Connection, Database

_FILE_NAME = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
_IDENTIFIER = re.compile(r"^[a-z][a-z0-9_]{0,62}$")
_LOCK_WAIT_SECONDS = 60
_MIGRATION_SECONDS = 600

_log = structlog.get_logger()


class Migration(Struct, frozen=True, kw_only=True):
    number: int
    name: str
    statements: str
    sha256: str


def load_migrations(package: str, folder: str = "migrations") -> tuple[Migration, ...]:
    """The package's migrations in order. Raises MigrationRefused for a bad name or a gap."""
    found: list[Migration] = []
    for file in sorted(importlib.resources.files(package).joinpath(folder).iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".sql"):
            continue
        match = _FILE_NAME.match(file.name)
        if match is None:
            raise MigrationRefused(f"{file.name} is no migration's name: call it like 0001_first_tables.sql")
        content = file.read_bytes()
        found.append(
            Migration(
                number=int(match[1]),
                name=match[2],
                statements=content.decode("utf-8"),
                sha256=hashlib.sha256(content).hexdigest(),
            )
        )
    for expected, migration in enumerate(found, 1):
        if migration.number != expected:
            raise MigrationRefused(f"migration {migration.number:04d}_{migration.name} stands where {expected:04d} is due")
    return tuple(found)


async def migrate(database: Database, *, schema: str, migrations: Sequence[Migration]) -> tuple[str, ...]:
    """Apply what is missing. Returns the names applied now, none when the schema was up to date.

    Raises MigrationRefused, DatabaseUnavailable, and asyncpg's own errors for a migration with a mistake in its SQL.
    """
    if not _IDENTIFIER.match(schema):
        raise MigrationRefused(f"{schema!r} is no schema name: lower case letters, digits and _")
    async with database.connection() as connection:
        await connection.execute(f"SET lock_timeout = '{_LOCK_WAIT_SECONDS}s'; SET statement_timeout = '{_MIGRATION_SECONDS}s'")
        try:
            await connection.execute(
                "SELECT pg_advisory_lock(hashtext($1))", f"migrations of {schema}", timeout=_LOCK_WAIT_SECONDS
            )
            try:
                return await _apply_missing(connection, schema, migrations)
            finally:
                if not connection.is_closed():
                    await connection.execute("SELECT pg_advisory_unlock(hashtext($1))", f"migrations of {schema}")
        finally:
            if not connection.is_closed():
                await connection.execute("RESET lock_timeout; RESET statement_timeout")


async def _apply_missing(connection: Connection, schema: str, migrations: Sequence[Migration]) -> tuple[str, ...]:
    await _make_sure_of_schema(connection, schema)
    rows = await connection.fetch(f"SELECT number, name, sha256 FROM {schema}.schema_migrations ORDER BY number")  # noqa: S608 an identifier checked above
    applied = {row["number"]: (row["name"], row["sha256"]) for row in rows}
    _check_history(schema, applied, migrations)
    missing = [migration for migration in migrations if migration.number not in applied]
    for migration in missing:
        await _apply(connection, schema, migration)
        _log.info("migration_applied", schema=schema, migration=f"{migration.number:04d}_{migration.name}")
    return tuple(migration.name for migration in missing)


async def _make_sure_of_schema(connection: Connection, schema: str) -> None:
    # Not CREATE SCHEMA IF NOT EXISTS: that asks for a privilege on the database even when the schema is there already.
    if await connection.fetchval("SELECT to_regnamespace($1) IS NULL", schema):
        await connection.execute(f"CREATE SCHEMA {schema}")
    await connection.execute(
        f"CREATE TABLE IF NOT EXISTS {schema}.schema_migrations ("
        " number integer PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )


def _check_history(schema: str, applied: dict[int, tuple[str, str]], migrations: Sequence[Migration]) -> None:
    known = {migration.number: migration for migration in migrations}
    for number, (name, sha256) in applied.items():
        migration = known.get(number)
        if migration is None:
            raise MigrationRefused(
                f"schema {schema} has migration {number:04d}_{name}, which this program does not know: it is older than the"
                " database. Start the newer version, or restore the backup from before it"
            )
        if migration.sha256 != sha256:
            raise MigrationRefused(
                f"migration {number:04d}_{migration.name} was edited after it had been applied to schema {schema}: put the file"
                " back as it was and write the change as a new migration"
            )


async def _apply(connection: Connection, schema: str, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(f"SET LOCAL search_path TO {schema}")
        await connection.execute(migration.statements, timeout=_MIGRATION_SECONDS)
        await connection.execute(
            f"INSERT INTO {schema}.schema_migrations (number, name, sha256) VALUES ($1, $2, $3)",  # noqa: S608 an identifier checked above
            migration.number,
            migration.name,
            migration.sha256,
        )
