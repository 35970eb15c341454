"""An orchestrator whose commits and publishes are sometimes done and reported as failed, as a cut connection does it.

The wrappers stand where the orchestrator meets its surroundings; inside, nothing knows of them.
"""

import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from aif_orchestrator.settings import OrchestratorSettings
from aif_orchestrator.wiring import SERVICE, assemble
from aif_pipelines.library import builtin_pipelines
from aif_runtime.bus import Outgoing
from aif_runtime.connection_line import ConnectionLine
from aif_runtime.failures import BusUnavailable, DatabaseUnavailable
from aif_runtime.nats_bus import NatsBus
from aif_runtime.open_blob_store import open_blob_store
from aif_runtime.postgres import Connection, Database, HeldConnection, Pool
from aif_runtime.process import Assembled, Part, Surroundings, run_service
from aif_runtime.recent_trouble import RecentTrouble


class UnsureSettings(OrchestratorSettings, frozen=True, kw_only=True):
    unsure_share: Annotated[float, Meta(ge=0, le=1, description="Of commits and publishes that are reported as failed")]
    unsure_seed: int
    unsure_tally: Annotated[str, Meta(description="File that each deed reported as failed is written to, one on a line")]


ENGINE_COMMIT, STATEMENTS, PUBLISH = "engine commit", "statements", "publish"
"""What was done and reported as failed. The engine, and nobody else, commits on connections that it holds."""


class Doubt:
    """Decides which deeds are reported as failed, once the process has started, and writes down each."""

    def __init__(self, *, share: float, seed: int, tally_path: str) -> None:
        self._share = share
        self._chance = random.Random(seed)
        self._tally = os.open(tally_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.begun = False

    def strikes(self, deed: str) -> bool:
        if not self.begun or self._chance.random() >= self._share:
            return False
        os.write(self._tally, f"{deed}\n".encode())
        return True


def doubted(tally_path: Path) -> Counter[str]:
    """By deed, how many were reported as failed."""
    return Counter(tally_path.read_text().splitlines()) if tally_path.exists() else Counter()


def _is_done() -> DatabaseUnavailable:
    return DatabaseUnavailable("the answer was lost; whatever was asked is done")


class UnsureConnection(HeldConnection):
    """Of the engine: everything asked within one use of it, the commit included, is done before it says that it is gone."""

    def __init__(
        self, pool: Pool, line: ConnectionLine, acquire_seconds: float, full_disk: RecentTrouble, doubt: Doubt
    ) -> None:
        super().__init__(pool, line, acquire_seconds, full_disk)
        self._doubt = doubt

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        async with super().connection() as connection:
            yield connection
        if self._doubt.strikes(ENGINE_COMMIT):
            await self.close()
            raise _is_done()


class UnsureDatabase(Database):
    """Does what it is asked, commits included, and then says that it could not be reached."""

    doubt: Doubt

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        async with super().connection() as connection:
            yield connection
        if self.doubt.strikes(STATEMENTS):
            raise _is_done()

    def held(self) -> HeldConnection:
        return UnsureConnection(self._pool, self._line, self._acquire_seconds, self._full_disk, self.doubt)


class UnsureBus(NatsBus):
    """Publishes, and then says that nothing was confirmed."""

    doubt: Doubt

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        await super().publish(messages)
        if self.doubt.strikes(PUBLISH):
            raise BusUnavailable("the messages were not confirmed and may be stored")


@asynccontextmanager
async def wire(surroundings: Surroundings[OrchestratorSettings]) -> AsyncIterator[Assembled]:
    settings = surroundings.settings
    assert isinstance(settings, UnsureSettings)
    doubt = Doubt(share=settings.unsure_share, seed=settings.unsure_seed, tally_path=settings.unsure_tally)
    async with await UnsureBus.connect(settings.nats_url, name=surroundings.instance_id) as bus:
        bus.doubt = doubt
        await bus.declare_topology()
        database = await UnsureDatabase.open(
            settings.orchestrator_database_url.reveal(), application_name=surroundings.instance_id, schema=SERVICE
        )
        database.doubt = doubt
        try:
            blobs = open_blob_store(settings.blobs_url, bus)
            line = await assemble(surroundings, bus, blobs, database, builtin_pipelines())
            doubt.begun = True
            yield Assembled(parts=(Part(name="line", run=line.run),))
        finally:
            await database.close()


SETTINGS: type[OrchestratorSettings] = UnsureSettings

if __name__ == "__main__":
    sys.exit(run_service(service=SERVICE, settings_type=SETTINGS, wire=wire))
