"""The script that Postgres runs on its first start: a role and a schema per service, closed to the others."""

import os
import subprocess
from pathlib import Path

import asyncpg
import pytest

from aif_console.embedded import postgres_binaries

SCRIPT = Path(__file__).parents[3] / "deploy/postgres/01_roles_and_schemas.sql"
SERVICES = ["kam", "orchestrator", "classifier"]
PASSWORDS = {f"POSTGRES_{service.upper()}_PASSWORD": f"pw_of_{service}'; --" for service in SERVICES}


async def test_each_service_owns_its_schema_and_sees_no_other(fresh_database: str) -> None:
    script = _run_script(fresh_database, PASSWORDS)
    assert script.returncode == 0, script.stderr
    try:
        for service in SERVICES:
            own = await _connect_as(fresh_database, service)
            await own.execute("CREATE TABLE notes (id int)")
            assert (
                await own.fetchval("SELECT schemaname FROM pg_tables WHERE tablename = 'notes' AND tableowner = $1", service)
                == service
            )
            for other in set(SERVICES) - {service}:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await own.execute(f"CREATE TABLE {other}.intruder (id int)")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await own.execute("CREATE TABLE public.intruder (id int)")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await own.execute("CREATE ROLE intruder")
            await own.close()
        kam = await _connect_as(fresh_database, "kam")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await kam.fetch("SELECT * FROM orchestrator.notes")
        await kam.close()
    finally:
        await _drop_roles(fresh_database)


async def test_nothing_is_made_when_a_password_is_missing(fresh_database: str) -> None:
    script = _run_script(fresh_database, {name: value for name, value in PASSWORDS.items() if "CLASSIFIER" not in name})

    admin = await asyncpg.connect(fresh_database)
    roles = await admin.fetch("SELECT rolname FROM pg_roles WHERE rolname = ANY($1)", SERVICES)
    await admin.close()
    assert script.returncode != 0
    assert roles == []


def _run_script(url: str, passwords: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """As the entry point of the Postgres image runs it."""
    return subprocess.run(
        [str(postgres_binaries.find() / "psql"), "--no-psqlrc", "--no-password", "--quiet", "--file", str(SCRIPT), url],
        env={"PATH": os.environ["PATH"], **passwords},
        capture_output=True,
        text=True,
        check=False,
    )


async def _connect_as(url: str, service: str) -> asyncpg.Connection:
    return await asyncpg.connect(url, user=service, password=PASSWORDS[f"POSTGRES_{service.upper()}_PASSWORD"])


async def _drop_roles(url: str) -> None:
    """Roles belong to the cluster and would outlive the test's database."""
    admin = await asyncpg.connect(url)
    for service in SERVICES:
        await admin.execute(f"DROP OWNED BY {service} CASCADE")
        await admin.execute(f"DROP ROLE {service}")
    await admin.close()
