"""An orchestrator process that begins while its broker is frozen: the kernel still accepts connections for it, and no answer
comes."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from aif_console.embedded.nats_server import EmbeddedNats
from aif_contracts import subjects
from aif_runtime.nats_bus import NatsBus
from support.waiting import PATIENCE_SECONDS, eventually

BEFORE_IT_BEGINS = ""


class Beginning:
    """Freezes the broker as soon as the orchestrator has logged an event."""

    def __init__(self, broker: EmbeddedNats, frozen_at: str) -> None:
        self.logged: list[str] = []
        self._broker = broker
        self._frozen_at = frozen_at
        if frozen_at == BEFORE_IT_BEGINS:
            self.signal_broker(signal.SIGSTOP)

    def signal_broker(self, number: signal.Signals) -> None:
        assert self._broker.pid is not None
        os.kill(self._broker.pid, number)

    def has_logged_ready(self) -> bool:
        assert "ready" in self.logged
        return True

    async def read(self, log: asyncio.StreamReader) -> None:
        async for line in log:
            event = msgspec.json.decode(line)["event"]
            if event == self._frozen_at and event not in self.logged:
                self.signal_broker(signal.SIGSTOP)
            self.logged.append(event)


@pytest_asyncio.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedNats]:
    server = EmbeddedNats(tmp_path / "nats", sync_interval="2m")
    await server.start()
    yield server
    await server.kill()


@pytest.mark.parametrize(
    ("frozen_at", "tells"),
    [
        (BEFORE_IT_BEGINS, "waiting_for_server"),
        ("migration_applied", "waiting_for_server"),
        ("ready", "workforce_not_refreshed"),
    ],
)
async def test_it_tells_that_it_waits_and_works_as_soon_as_the_broker_answers(
    broker: EmbeddedNats, fresh_database: str, frozen_at: str, tells: str
) -> None:
    beginning = Beginning(broker, frozen_at)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "aif_orchestrator"),
        env={"PATH": os.environ["PATH"], "AIF_NATS_URL": broker.url, "AIF_ORCHESTRATOR_DATABASE_URL": fresh_database},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    reading = asyncio.create_task(beginning.read(process.stderr))

    await eventually(lambda: tells in beginning.logged or process.returncode is not None, what=f"it logs {tells}")
    told = process.returncode
    beginning.signal_broker(signal.SIGCONT)
    await eventually(beginning.has_logged_ready, what="it is ready")
    async with await NatsBus.connect(broker.url, name="test") as bus:
        answer = await bus.ask(subjects.TEMPLATES, b"{}", wait_seconds=PATIENCE_SECONDS)
    process.terminate()
    code = await process.wait()
    await reading

    assert told is None, beginning.logged
    assert answer
    assert code == 0
