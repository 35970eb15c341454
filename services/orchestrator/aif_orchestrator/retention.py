"""Deletes executions that ended long ago, so that tables, indexes and backups stop growing.

A chunk at a time and with pauses, so that nobody waits for it. Provider calls stay: they are the bill.
"""

import asyncio

import structlog

from aif_orchestrator.store.executions import ExecutionStore
from aif_runtime.failures import DatabaseUnavailable
from aif_runtime.postgres import Database

EVERY_SECONDS = 3600.0
AT_ONCE = 200
PAUSE_SECONDS = 0.2

log = structlog.get_logger()


class Retention:
    """Several replicas may do it: each skips what others have deleted meanwhile, or work on."""

    def __init__(self, *, database: Database, executions: ExecutionStore, keep_days: int, at_once: int = AT_ONCE) -> None:
        """`keep_days` of 0 keeps everything for ever."""
        self._database = database
        self._executions = executions
        self._keep_days = keep_days
        self._at_once = at_once

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.delete_old()
            except DatabaseUnavailable as failure:
                log.warning("old_executions_not_deleted", reason=str(failure))
            await asyncio.sleep(EVERY_SECONDS)

    async def delete_old(self) -> int:
        """Delete what is old enough now; returns how many executions that were. Raises DatabaseUnavailable."""
        deleted = 0
        while self._keep_days:
            async with self._database.transaction() as connection:
                chunk = await self._executions.delete_old(connection, ended_before_days=self._keep_days, limit=self._at_once)
            deleted += chunk
            if not chunk:
                break
            await asyncio.sleep(PAUSE_SECONDS)
        if deleted:
            log.info("old_executions_deleted", executions=deleted)
        return deleted
