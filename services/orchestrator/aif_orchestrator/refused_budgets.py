"""The budgets of clients that are refused, read once for all that are refused at the same time.

A client whose budget is full asks again and again, and many of its orders at once: each refusal by itself would put a
query between the commits that the others wait for.
"""

import asyncio

from aif_contracts.budgets import BudgetView
from aif_orchestrator.store.budgets import BudgetStore
from aif_runtime.postgres import Database


class RefusedBudgets:
    def __init__(self, *, database: Database, budgets: BudgetStore) -> None:
        self._database = database
        self._budgets = budgets
        self._reading: dict[str, asyncio.Task[BudgetView]] = {}

    async def of(self, client_id: str) -> BudgetView:
        """Raises DatabaseUnavailable."""
        reading = self._reading.get(client_id)
        if reading is None:
            reading = self._reading[client_id] = asyncio.create_task(self._read(client_id))
        # One who leaves does not take the answer from the others.
        return await asyncio.shield(reading)

    async def _read(self, client_id: str) -> BudgetView:
        try:
            async with self._database.connection() as connection:
                return await self._budgets.find(connection, client_id)
        finally:
            del self._reading[client_id]
