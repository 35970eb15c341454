"""Wakes executions whose time has come: deadlines, silent attempts, waiting retries, packets that the broker has lost.

Several replicas may wake the same execution; the second finds nothing due.
"""

import asyncio

import structlog

from aif_orchestrator.engine.engine import Engine, NotApplied
from aif_orchestrator.execution.happenings import TimePassed
from aif_orchestrator.store.executions import ExecutionStore
from aif_runtime.failures import DatabaseUnavailable
from aif_runtime.postgres import Database

AT_ONCE = 200

log = structlog.get_logger()


class Sweeper:
    def __init__(self, *, database: Database, executions: ExecutionStore, engine: Engine, every_seconds: float) -> None:
        self._database = database
        self._executions = executions
        self._engine = engine
        self._every_seconds = every_seconds

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                woken = await self.sweep()
            except DatabaseUnavailable as failure:
                log.warning("sweep_failed", reason=str(failure))
                woken = 0
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
            if isinstance(result, NotApplied | DatabaseUnavailable):
                log.warning("not_woken", execution_id=execution_id, reason=str(result))
            elif isinstance(result, BaseException):
                raise result
        return len(due)
