"""What time it is, by the database: one clock for all gateways, and the one that orders are started by."""

from collections.abc import Mapping
from datetime import datetime

from aif_runtime.postgres import Connection, Database


class DatabaseTime:
    def __init__(self, database: Database, queries: Mapping[str, str]) -> None:
        self._database = database
        self._sql = queries

    async def now(self) -> datetime:
        """Raises DatabaseUnavailable."""
        async with self._database.connection() as connection:
            return await self.within(connection)

    async def within(self, connection: Connection) -> datetime:
        """For whoever has a connection."""
        now: datetime = await connection.fetchval(self._sql["database_now"])
        return now
