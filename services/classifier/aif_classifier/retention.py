"""Deletes attempts that are older than the log is kept, and recommendations that were withdrawn so long ago."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from aif_classifier.store import InsightStore, PerformanceStore
from aif_runtime.postgres import Connection, Database

BATCH_ROWS = 500
ROUND_SECONDS = 3600.0
"""Between two rounds."""

DeleteOld = Callable[[Connection, timedelta, int], Awaitable[int]]


class Retention:
    def __init__(
        self,
        *,
        database: Database,
        attempts: PerformanceStore,
        insights: InsightStore,
        keep: timedelta,
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        self._database = database
        self._attempts = attempts
        self._insights = insights
        self._keep = keep
        self._batch_rows = batch_rows

    async def delete_old(self, stop: asyncio.Event) -> None:
        """One small transaction after another until nothing old is left or the process is to stop."""
        await self._delete(self._attempts.delete_old_attempts, stop)
        await self._delete(self._insights.delete_old_insights, stop)

    async def _delete(self, delete: DeleteOld, stop: asyncio.Event) -> None:
        deleted = self._batch_rows
        while deleted == self._batch_rows and not stop.is_set():
            async with self._database.transaction() as connection:
                deleted = await delete(connection, self._keep, self._batch_rows)
