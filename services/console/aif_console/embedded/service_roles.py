"""One database role and one schema for each service: what is not its own, it cannot read."""

import re
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from aif_console.embedded.credentials import Credentials
from aif_console.failures import PostgresUnusable, UnusableName

PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
ADVISORY_LOCK = 0x61_69_66_72  # "aifr"; two supervisors that set up at once would trip over each other's roles


async def ensure_role_and_schema(admin_url: str, *, role: str, schema: str, database: str, credentials: Credentials) -> str:
    """Make the database, the role and the schema that it owns if they are missing, and tell the role's URL.

    Repeatable. The password comes from `credentials`, which makes one for a new role, and is set each time, so that a
    lost file mends itself. The admin may be a superuser or own CREATEDB and CREATEROLE. Raises UnusableName,
    PostgresUnusable.
    """
    for field, name in (("role", role), ("schema", schema), ("database", database)):
        if PLAIN_NAME.fullmatch(name) is None:
            raise UnusableName(field, name)
    password = credentials.ensure(role)
    try:
        await _ensure_all(admin_url, role=role, password=password, schema=schema, database=database)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as refused:
        raise PostgresUnusable(str(refused) or type(refused).__name__) from refused
    return with_user(with_database(admin_url, database), role, password)


async def _ensure_all(admin_url: str, *, role: str, password: str, schema: str, database: str) -> None:
    admin = await asyncpg.connect(admin_url)
    try:
        await admin.execute("SELECT pg_advisory_lock($1)", ADVISORY_LOCK)
        await _ensure_database(admin, database)
        await _ensure_role(admin, role, password)
        await _ensure_schema(with_database(admin_url, database), role, schema, database)
    finally:
        await admin.close()


async def _ensure_database(admin: asyncpg.Connection, database: str) -> None:
    if await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database) is None:
        await _execute(admin, "CREATE DATABASE %I TEMPLATE template0 ENCODING 'UTF8'", database)


async def _ensure_role(admin: asyncpg.Connection, role: str, password: str) -> None:
    if await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role) is None:
        await _execute(admin, "CREATE ROLE %I", role)
    await _execute(admin, "ALTER ROLE %I LOGIN NOCREATEDB NOCREATEROLE PASSWORD %L", role, password)


async def _ensure_schema(url: str, role: str, schema: str, database: str) -> None:
    admin = await asyncpg.connect(url)
    try:
        async with admin.transaction():
            if not await admin.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
                # Making a schema for somebody needs to be able to become them.
                await _execute(admin, "GRANT %I TO CURRENT_USER", role)
            await _execute(admin, "REVOKE ALL ON DATABASE %I FROM PUBLIC", database)
            await _execute(admin, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
            await _execute(admin, "GRANT CONNECT, TEMPORARY ON DATABASE %I TO %I", database, role)
            await _execute(admin, "CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION %I", schema, role)
            await _execute(admin, "ALTER ROLE %I IN DATABASE %I SET search_path = %I", role, database, schema)
    finally:
        await admin.close()


async def _execute(connection: asyncpg.Connection, template: str, *names: str) -> None:
    """Run a statement that takes no parameters; the server itself quotes names (%I) and literals (%L)."""
    statement = await connection.fetchval("SELECT format($1, VARIADIC $2::text[])", template, names)
    await connection.execute(statement)


def with_database(url: str, database: str) -> str:
    """Point a Postgres URL to another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def with_user(url: str, user: str, password: str) -> str:
    """Put another user into a Postgres URL. The password must need no escaping."""
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{address}"))
