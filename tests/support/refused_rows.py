"""What the checks of a service's tables say to rows, and which checks there are."""

from collections.abc import Iterable, Mapping

import asyncpg
from msgspec import Struct

Values = Mapping[str, str]
"""SQL by column; a column that is left out has its default."""

_CHECKS = "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = $1::regnamespace"


class Impossible(Struct, frozen=True):
    """What has to change in a good row of the table for the check, and no other, to refuse it."""

    table: str
    check: str
    change: Values


async def refusals(database_url: str, schema: str, rows: Iterable[tuple[str, Values]]) -> list[str | None]:
    """For each table and row the check that refuses it, None where it is taken.

    Nothing is stored, and what a row refers to need not be there.
    """
    connection = await asyncpg.connect(database_url, server_settings={"search_path": schema})
    try:
        await connection.execute("SET session_replication_role = replica")
        return [await _refusal(connection, table, values) for table, values in rows]
    finally:
        await connection.close()


async def checks_of(database_url: str, schema: str) -> set[str]:
    connection = await asyncpg.connect(database_url)
    try:
        return {str(row["conname"]) for row in await connection.fetch(_CHECKS, schema)}
    finally:
        await connection.close()


async def _refusal(connection: "asyncpg.Connection[asyncpg.Record]", table: str, values: Values) -> str | None:
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(f"DELETE FROM {table}")  # noqa: S608 a table that the test names
        await connection.execute(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(values.values())})"  # noqa: S608 and its columns
        )
    except asyncpg.CheckViolationError as refusal:
        return str(refusal.constraint_name)
    finally:
        await transaction.rollback()
    return None
