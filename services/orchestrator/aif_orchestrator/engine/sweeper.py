"""Wakes executions whose time has come: deadlines, silent attempts, waiting retries, packets that the broker has lost.

Several replicas may wake the same execution; the second finds nothing due.

Silence counts only while we could hear. After a start, and after the broker or the database was away, living workers get the
time of a heartbeat to be heard before anybody is taken for lost; otherwise every outage would be paid for by repeated calls.

The sweeper keeps a connection of its own: many questions at once, which wait for the others, do not hold up what is due.

When the database's clock was set back, whatever sleeps is told so: it would sleep for as long as the clock was ahead.
"""

import asyncio
from collections.abc import Sequence

import structlog

from aif_orchestrator.engine.arrivals import NotApplied
from aif_orchestrator.engine.database_clock import DatabaseClock
from aif_orchestrator.engine.engine import Engine
from aif_orchestrator.execution.happenings import ClockSetBack, TimePassed
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
        database_clock: DatabaseClock,
        every_seconds: float,
        hearing_seconds: float,
    ) -> None:
        """`hearing_seconds` is how long everything has to be there before silence means something; above a heartbeat."""
        self._connection = database.held()
        self._bus = bus
        self._executions = executions
        self._engine = engine
        self._monotonic = clock.monotonic
        self._database_clock = database_clock
        self._times_told = database_clock.times_set_back
        """Of the times that the clock was set back, those that everybody was told of."""
        self._every_seconds = every_seconds
        self._hearing_seconds = hearing_seconds
        self._hears_since: float | None = None

    async def run(self) -> None:
        """Until cancelled."""
        try:
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
        finally:
            await self._connection.close()

    async def sweep(self) -> int:
        """Wake what is due, once; returns how many executions that were."""
        async with self._connection.connection() as connection:
            asked_at = self._database_clock.asks()
            due = await self._executions.list_due(connection, AT_ONCE)
        self._database_clock.seen(due.at_ms, asked_at)
        if self._times_told != self._database_clock.times_set_back:
            await self._tell_set_back()
        await self._apply(due.execution_ids, TimePassed())
        return len(due.execution_ids)

    async def _tell_set_back(self) -> None:
        """Raises DatabaseUnavailable; then it is told again."""
        times = self._database_clock.times_set_back
        log.warning("database_clock_set_back")
        told = ""
        while True:
            async with self._connection.connection() as connection:
                sleeping = await self._executions.list_sleeping(connection, after=told, limit=AT_ONCE)
            if not sleeping:
                break
            if not await self._apply(sleeping, ClockSetBack()):
                return
            told = sleeping[-1]
        self._times_told = times

    async def _apply(self, execution_ids: Sequence[str], happening: TimePassed | ClockSetBack) -> bool:
        """Tell all of them; whether the database was there for each."""
        results = await asyncio.gather(
            *(self._engine.apply(execution_id, happening) for execution_id in execution_ids), return_exceptions=True
        )
        is_there = True
        for execution_id, result in zip(execution_ids, results, strict=True):
            if isinstance(result, DatabaseUnavailable):
                self._hears_since = None
                is_there = False
            if isinstance(result, NotApplied | DatabaseUnavailable):
                log.warning("not_woken", execution_id=execution_id, reason=str(result))
            elif isinstance(result, BaseException):
                raise result
        return is_there

    def _hears(self) -> bool:
        if not self._bus.is_connected:
            self._hears_since = None
            return False
        now = self._monotonic()
        if self._hears_since is None:
            self._hears_since = now
        return now - self._hears_since >= self._hearing_seconds
