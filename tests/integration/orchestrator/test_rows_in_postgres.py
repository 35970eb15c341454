"""Rows that are written as text: Postgres reads what was meant, whatever signs there are."""

import random

from aif_orchestrator.store.rows import rows_text
from aif_runtime.postgres import Database

SIGNS = [*"\\\"'(){},; \n\taZ9_-:ß中\u2028💧", "NULL", "null"]


async def test_postgres_reads_every_text_as_it_was(fresh_database: str) -> None:
    chance = random.Random(2026)
    texts: list[str | None] = ["".join(chance.choices(SIGNS, k=length)) for length in range(8) for _ in range(200)]
    rows = [(text, number, number % 2 == 0, None) for number, text in enumerate([*texts, None])]
    database = await Database.open(fresh_database, application_name="test")
    try:
        async with database.connection() as connection:
            await connection.execute("CREATE TYPE sample AS (said text, number int, is_even boolean, absent text)")
            read = await connection.fetch(
                "SELECT said, number, is_even, absent FROM unnest($1::text::sample[])", rows_text(rows)
            )
    finally:
        await database.close()

    assert [tuple(row) for row in read] == rows
