"""Clients whose budget is passed and may not be: nothing that costs money begins for them, not in running executions either."""

import asyncio

import structlog

from aif_orchestrator.store.accounts import AccountStore
from aif_runtime.failures import DatabaseUnavailable
from aif_runtime.postgres import Database

LOOK_SECONDS = 1.0

log = structlog.get_logger()


class BlockedClients:
    def __init__(self, *, database: Database, accounts: AccountStore) -> None:
        self._database = database
        self._accounts = accounts
        self._clients: frozenset[str] = frozenset()

    @property
    def clients(self) -> frozenset[str]:
        """As of the last look, at most a second ago while the database answers."""
        return self._clients

    async def refresh(self) -> None:
        async with self._database.connection() as connection:
            self._clients = await self._accounts.blocked_clients(connection)

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.refresh()
            except DatabaseUnavailable as failure:
                log.warning("budgets_not_read", reason=str(failure))
            await asyncio.sleep(LOOK_SECONDS)
