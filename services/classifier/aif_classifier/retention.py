"""Deletes attempts that are older than the log is kept."""

import asyncio
from datetime import timedelta

from aif_classifier.store import PerformanceStore
from aif_runtime.postgres import Database

BATCH_ROWS = 500
ROUND_SECONDS = 3600.0
"""Between two rounds."""


class Retention:
    def __init__(
        self, *, database: Database, attempts: PerformanceStore, keep: timedelta, batch_rows: int = BATCH_ROWS
    ) -> None:
        self._database = database
        self._attempts = attempts
        self._keep = keep
        self._batch_rows = batch_rows

    async def delete_old(self, stop: asyncio.Event) -> None:
        """One small transaction after another until nothing old is left or the process is to stop."""
        deleted = self._batch_rows
        while deleted == self._batch_rows and not stop.is_set():
            async with self._database.transaction() as connection:
                deleted = await self._attempts.delete_old_attempts(connection, self._keep, self._batch_rows)
