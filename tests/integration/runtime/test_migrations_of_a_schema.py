import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from aif_runtime.failures import MigrationRefused
from aif_runtime.migrations import Migration, load_migrations, migrate
from aif_runtime.postgres import Database


def migration(number: int, name: str, statements: str) -> Migration:
    return Migration(number=number, name=name, statements=statements, sha256=hashlib.sha256(statements.encode()).hexdigest())


FIRST = migration(1, "hives", "CREATE TABLE hives (id integer PRIMARY KEY);\nCREATE INDEX ON hives (id);")
SECOND = migration(2, "bees", "CREATE TABLE bees (hive integer REFERENCES hives);")


@pytest_asyncio.fixture
async def database(fresh_database: str) -> AsyncIterator[Database]:
    opened = await Database.open(fresh_database, application_name="test", schema="apiary")
    yield opened
    await opened.close()


async def test_what_is_missing_is_applied_in_order_and_once(database: Database) -> None:
    first = await migrate(database, schema="apiary", migrations=[FIRST])
    second = await migrate(database, schema="apiary", migrations=[FIRST, SECOND])
    third = await migrate(database, schema="apiary", migrations=[FIRST, SECOND])

    assert (first, second, third) == (("hives",), ("bees",), ())
    async with database.connection() as connection:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'apiary' ORDER BY 1")
    assert [row["tablename"] for row in tables] == ["bees", "hives", "schema_migrations"]


async def test_an_edited_migration_is_refused_with_what_to_do(database: Database) -> None:
    await migrate(database, schema="apiary", migrations=[FIRST])
    edited = migration(1, "hives", FIRST.statements + " -- better")

    with pytest.raises(MigrationRefused, match=r"0001_hives was edited .* write the change as a new migration"):
        await migrate(database, schema="apiary", migrations=[edited])


async def test_a_program_older_than_its_database_is_refused(database: Database) -> None:
    await migrate(database, schema="apiary", migrations=[FIRST, SECOND])

    with pytest.raises(MigrationRefused, match="0002_bees, which this program does not know"):
        await migrate(database, schema="apiary", migrations=[FIRST])


async def test_a_migration_that_fails_leaves_nothing_of_itself(database: Database) -> None:
    broken = migration(2, "broken", "CREATE TABLE wasps (id integer); SELECT nothing_at_all();")

    with pytest.raises(asyncpg.UndefinedFunctionError):
        await migrate(database, schema="apiary", migrations=[FIRST, broken])

    async with database.connection() as connection:
        assert await connection.fetchval("SELECT to_regclass('apiary.wasps')") is None
        assert await connection.fetchval("SELECT max(number) FROM apiary.schema_migrations") == 1
        assert await connection.fetchval("SHOW lock_timeout") == "2s"


async def test_replicas_that_start_together_wait_for_one_another(fresh_database: str) -> None:
    replicas = [await Database.open(fresh_database, application_name="test") for _ in range(4)]

    applied = await asyncio.gather(*(migrate(replica, schema="apiary", migrations=[FIRST, SECOND]) for replica in replicas))

    assert sorted(applied) == [(), (), (), ("hives", "bees")]
    for replica in replicas:
        await replica.close()


async def test_a_role_that_owns_only_its_schema_can_migrate_it(fresh_database: str) -> None:
    admin = await asyncpg.connect(fresh_database)
    await admin.execute("CREATE ROLE keeper LOGIN PASSWORD 'keeper'")
    await admin.execute("CREATE SCHEMA apiary AUTHORIZATION keeper")
    url = "postgres://keeper:keeper@" + fresh_database.split("@")[1]
    database = await Database.open(url, application_name="test", schema="apiary")

    applied = await migrate(database, schema="apiary", migrations=[FIRST])

    assert applied == ("hives",)
    await database.close()
    await admin.execute("DROP SCHEMA apiary CASCADE; DROP ROLE keeper")
    await admin.close()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A package with an empty migrations folder; its name is `hives_<test>`."""
    folder = tmp_path / "hives_package" / "migrations"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "hives_package", raising=False)
    return folder


def test_files_are_read_in_the_order_of_their_numbers(package: Path) -> None:
    (package / "0002_bees.sql").write_text("SELECT 2;")
    (package / "0001_hives.sql").write_text("SELECT 1;")

    loaded = load_migrations("hives_package")

    assert [(found.number, found.name, found.statements) for found in loaded] == [
        (1, "hives", "SELECT 1;"),
        (2, "bees", "SELECT 2;"),
    ]
    assert loaded[0].sha256 == "17db4fd369edb9244b9f91d9aeed145c3d04ad8ba6e95d06247f07a63527d11a"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["0001_hives.sql", "0003_bees.sql"], "migration 0003_bees stands where 0002 is due"),
        (["0001_hives.sql", "0001_bees.sql"], "migration 0001_hives stands where 0002 is due"),
        (["1_hives.sql"], "1_hives.sql is no migration's name: call it like 0001_first_tables.sql"),
    ],
)
def test_a_gap_a_double_number_and_a_bad_name_are_refused(package: Path, names: list[str], message: str) -> None:
    for name in names:
        (package / name).write_text("SELECT 1;")

    with pytest.raises(MigrationRefused, match=message):
        load_migrations("hives_package")
