"""An orchestrator process that begins while its broker is frozen: the kernel still accepts connections for it, and no answer
comes."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import msgspec
import pytest
import pytest_asyncio

from aif_console.embedded.nats_server import EmbeddedNats
from aif_contracts import subjects
from aif_runtime.nats_bus import NatsBus
from support.kernel_view import is_stopped
from support.waiting import PATIENCE_SECONDS, eventually

HOLD = "SELECT pg_advisory_lock(hashtext('migrations of orchestrator'))"
HELD_UP = """
SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = database
WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()
"""


class Beginning:
    """An orchestrator's log, and its broker, which may be frozen."""

    def __init__(self, broker: EmbeddedNats) -> None:
        self.logged: list[str] = []
        self._broker = broker

    async def freeze(self) -> None:
        self._signal(signal.SIGSTOP)
        await eventually(lambda: self._broker.pid is not None and is_stopped(self._broker.pid), what="the broker is frozen")

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    async def has_logged(self, event: str) -> None:
        def is_there() -> bool:
            assert event in self.logged
            return True

        await eventually(is_there, what=f"it logs {event}")

    async def read(self, log: asyncio.StreamReader) -> None:
        async for line in log:
            self.logged.append(msgspec.json.decode(line)["event"])

    def _signal(self, number: signal.Signals) -> None:
        assert self._broker.pid is not None
        os.kill(self._broker.pid, number)


@pytest_asyncio.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedNats]:
    server = EmbeddedNats(tmp_path / "nats", sync_interval="2m")
    await server.start()
    yield server
    await server.kill()


@asynccontextmanager
async def migrations_held_up(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Meanwhile an orchestrator that begins stands between its broker, which it has reached, and its tables."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(HOLD)
        yield connection
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("frozen", "tells"),
    [
        ("before it begins", "waiting_for_server"),
        ("when it has reached it", "waiting_for_server"),
        ("when it is ready", "workforce_not_refreshed"),
    ],
)
async def test_it_tells_that_it_waits_and_works_as_soon_as_the_broker_answers(
    broker: EmbeddedNats, fresh_database: str, frozen: str, tells: str
) -> None:
    beginning = Beginning(broker)
    async with migrations_held_up(fresh_database) as connection:
        if frozen == "before it begins":
            await beginning.freeze()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "aif_orchestrator"),
            env={"PATH": os.environ["PATH"], "AIF_NATS_URL": broker.url, "AIF_ORCHESTRATOR_DATABASE_URL": fresh_database},
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        reading = asyncio.create_task(beginning.read(process.stderr))
        if frozen == "when it has reached it":
            await eventually(lambda: connection.fetchval(HELD_UP), what="it is held up")
            await beginning.freeze()
    if frozen == "when it is ready":
        await beginning.has_logged("ready")
        await beginning.freeze()

    await eventually(lambda: tells in beginning.logged or process.returncode is not None, what=f"it logs {tells}")
    told = process.returncode
    beginning.thaw()
    await beginning.has_logged("ready")
    async with await NatsBus.connect(broker.url, name="test") as bus:
        answer = await bus.ask(subjects.TEMPLATES, b"{}", wait_seconds=PATIENCE_SECONDS)
    process.terminate()
    code = await process.wait()
    await reading

    assert told is None, beginning.logged
    assert answer
    assert code == 0
