"""One role and one schema for each service, in real Postgres."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from aif_console.embedded.credentials import Credentials
from aif_console.embedded.service_roles import ensure_role_and_schema, with_database, with_user
from aif_console.failures import PostgresUnusable, UnusableName


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    return Credentials(tmp_path / "credentials.json")


@pytest.fixture
def prefix() -> str:
    """Roles belong to the whole cluster, which other tests share."""
    return f"t{uuid4().hex[:12]}"


def database_of(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


async def run(url: str, *statements: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        answer: object = None
        for statement in statements:
            answer = await connection.fetchval(statement)
        return answer
    finally:
        await connection.close()


async def two_services(fresh_database: str, prefix: str, credentials: Credentials) -> tuple[str, str]:
    database = database_of(fresh_database)
    kam = await ensure_role_and_schema(
        fresh_database, role=f"{prefix}_kam", schema="kam", database=database, credentials=credentials
    )
    orchestrator = await ensure_role_and_schema(
        fresh_database, role=f"{prefix}_orchestrator", schema="orchestrator", database=database, credentials=credentials
    )
    return kam, orchestrator


async def test_a_service_works_in_its_own_schema_without_naming_it(
    fresh_database: str, prefix: str, credentials: Credentials
) -> None:
    kam, _ = await two_services(fresh_database, prefix, credentials)

    await run(kam, "CREATE TABLE clients (id int)", "INSERT INTO clients VALUES (7)")

    assert await run(fresh_database, "SELECT id FROM kam.clients") == 7


async def test_a_service_comes_by_the_socket_of_the_admin_s_url(
    fresh_database: str, prefix: str, credentials: Credentials
) -> None:
    kam, _ = await two_services(fresh_database, prefix, credentials)

    place = fresh_database.partition("@")[2]

    assert place.startswith("/test_")
    assert "?host=/" in place
    assert kam.partition("@")[2] == place
    assert await run(kam, "SELECT inet_client_addr() IS NULL") is True


@pytest.mark.parametrize(
    ("admin_url", "service_url"),
    [
        ("postgresql://admin:word@db:5432/postgres?sslmode=require", "postgresql://kam:pw@db:5432/factory?sslmode=require"),
        ("postgresql://admin:word@/postgres?host=/a%20b&port=1", "postgresql://kam:pw@/factory?host=/a%20b&port=1"),
        ("postgresql://[::1]/postgres", "postgresql://kam:pw@[::1]/factory"),
    ],
)
def test_a_url_keeps_all_but_user_and_database(admin_url: str, service_url: str) -> None:
    assert with_user(with_database(admin_url, "factory"), "kam", "pw") == service_url


async def test_a_service_cannot_read_the_schema_of_another(fresh_database: str, prefix: str, credentials: Credentials) -> None:
    kam, orchestrator = await two_services(fresh_database, prefix, credentials)
    await run(kam, "CREATE TABLE clients (id int)")

    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="schema kam"):
        await run(orchestrator, "SELECT * FROM kam.clients")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="schema kam"):
        await run(orchestrator, "CREATE TABLE kam.intruder ()")
    assert await run(orchestrator, "SELECT has_schema_privilege('public', 'USAGE')") is False


async def test_a_service_cannot_enter_the_database_of_another_factory(
    fresh_database: str, prefix: str, credentials: Credentials
) -> None:
    kam, _ = await two_services(fresh_database, prefix, credentials)
    other = f"{prefix}_other"
    await ensure_role_and_schema(fresh_database, role=f"{prefix}_other", schema="kam", database=other, credentials=credentials)

    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="CONNECT"):
        await run(with_database(kam, other), "SELECT 1")

    await run(fresh_database, f"DROP DATABASE {other} WITH (FORCE)")


async def test_doing_it_again_changes_nothing(fresh_database: str, prefix: str, credentials: Credentials) -> None:
    kam, _ = await two_services(fresh_database, prefix, credentials)
    await run(kam, "CREATE TABLE clients (id int)", "INSERT INTO clients VALUES (7)")

    kam_again, _ = await two_services(fresh_database, prefix, credentials)

    assert kam_again == kam
    assert await run(kam_again, "SELECT id FROM clients") == 7


async def test_a_lost_credentials_file_mends_itself(
    fresh_database: str, prefix: str, credentials: Credentials, tmp_path: Path
) -> None:
    kam, _ = await two_services(fresh_database, prefix, credentials)

    kam_again, _ = await two_services(fresh_database, prefix, Credentials(tmp_path / "another.json"))

    assert kam_again != kam
    assert await run(kam_again, "SELECT 1") == 1
    with pytest.raises(asyncpg.InvalidPasswordError):
        await run(kam, "SELECT 1")


async def test_two_supervisors_may_set_up_at_once(fresh_database: str, prefix: str, credentials: Credentials) -> None:
    credentials.ensure(f"{prefix}_kam")
    database = database_of(fresh_database)

    urls = await asyncio.gather(
        *(
            ensure_role_and_schema(
                fresh_database, role=f"{prefix}_kam", schema="kam", database=database, credentials=credentials
            )
            for _ in range(8)
        )
    )

    assert len(set(urls)) == 1
    assert await run(urls[0], "SELECT current_schema()") == "kam"


async def test_an_admin_without_superuser_rights_is_enough(fresh_database: str, prefix: str, credentials: Credentials) -> None:
    admin = f"{prefix}_admin"
    await run(fresh_database, f"CREATE ROLE {admin} LOGIN CREATEDB CREATEROLE PASSWORD 'word'")
    admin_url = with_user(fresh_database, admin, "word")
    database = f"{prefix}_factory"

    url = await ensure_role_and_schema(
        admin_url, role=f"{prefix}_kam", schema="kam", database=database, credentials=credentials
    )

    assert await run(url, "CREATE TABLE clients ()", "SELECT current_schema()") == "kam"
    await run(fresh_database, f"DROP DATABASE {database} WITH (FORCE)")


async def test_an_admin_s_url_that_is_of_no_use_is_told_with_its_reason_and_the_mend(
    fresh_database: str, prefix: str, credentials: Credentials
) -> None:
    powerless = f"{prefix}_powerless"
    await run(fresh_database, f"CREATE ROLE {powerless} LOGIN PASSWORD 'word'")
    reasons = {
        "nonsense": "scheme",
        "postgresql://u:p@127.0.0.1:port/postgres": "port",
        "postgresql://u:p@127.0.0.1:1/postgres": "Connect call failed",
        with_user(fresh_database, "nobody_here", "word"): "authentication failed",
        with_user(fresh_database, powerless, "word"): "permission denied to create",
    }

    for url, reason in reasons.items():
        with pytest.raises(PostgresUnusable, match=f"{reason}.*: name a server that runs and a role that may"):
            await ensure_role_and_schema(
                url, role=f"{prefix}_kam", schema="kam", database=f"{prefix}_factory", credentials=credentials
            )


@pytest.mark.parametrize("field", ["role", "schema", "database"])
@pytest.mark.parametrize("name", ["", "Kam", "1kam", 'kam"; DROP TABLE x', "k" * 64])
async def test_a_name_that_needs_quoting_is_refused(
    fresh_database: str, credentials: Credentials, field: str, name: str
) -> None:
    names = {"role": "kam", "schema": "kam", "database": "factory", field: name}

    with pytest.raises(UnusableName, match=field):
        await ensure_role_and_schema(fresh_database, **names, credentials=credentials)

    assert not credentials.path.exists()
