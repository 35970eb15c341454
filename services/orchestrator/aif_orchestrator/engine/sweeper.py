"""Wakes executions whose time has come: deadlines, silent attempts, waiting retries, packets that the broker has lost.

Several replicas may wake the same execution; the second finds nothing due.

Silence counts only while we could hear. After a start, and after the broker or the database was away, living workers get the
time of a heartbeat to be heard before anybody is taken for lost; otherwise every outage would be paid for by repeated calls.
"""

import asyncio

import structlog

from aif_orchestrator.engine.arrivals import NotApplied
from aif_orchestrator.engine.engine import Engine
from aif_orchestrator.execution.happenings import TimePassed
from aif_orchestrator.store.executions import ExecutionStore
from aif_runtime.bus import Bus
from aif_runtime.clock import Clock
from aif_runtime.failures import DatabaseUnavailable
from aif_runtime.postgres import Database

AT_ONCE = 200

log = structlog.get_logger()


class Sweeper:
    def __init__(
        self,
        *,
        database: Database,
        bus: Bus,
        executions: ExecutionStore,
        engine: Engine,
        clock: Clock,
        every_seconds: float,
        hearing_seconds: float,
    ) -> None:
        """`hearing_seconds` is how long everything has to be there before silence means something; above a heartbeat."""
        self._database = database
        self._bus = bus
        self._executions = executions
        self._engine = engine
        self._monotonic = clock.monotonic
        self._every_seconds = every_seconds
        self._hearing_seconds = hearing_seconds
        self._hears_since: float | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            woken = 0
            try:
                if self._hears():
                    woken = await self.sweep()
            except DatabaseUnavailable as failure:
                log.warning("sweep_failed", reason=str(failure))
                self._hears_since = None
            if woken < AT_ONCE:
                await asyncio.sleep(self._every_seconds)

    async def sweep(self) -> int:
        """Wake what is due, once; returns how many executions that were."""
        async with self._database.connection() as connection:
            due = await self._executions.list_due(connection, AT_ONCE)
        results = await asyncio.gather(
            *(self._engine.apply(execution_id, TimePassed()) for execution_id in due), return_exceptions=True
        )
        for execution_id, result in zip(due, results, strict=True):
            if isinstance(result, DatabaseUnavailable):
                self._hears_since = None
            if isinstance(result, NotApplied | DatabaseUnavailable):
                log.warning("not_woken", execution_id=execution_id, reason=str(result))
            elif isinstance(result, BaseException):
                raise result
        return len(due)

    def _hears(self) -> bool:
        if not self._bus.is_connected:
            self._hears_since = None
            return False
        now = self._monotonic()
        if self._hears_since is None:
            self._hears_since = now
        return now - self._hears_since >= self._hearing_seconds
