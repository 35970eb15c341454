"""Many refusals at once ask the database once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from aif_orchestrator.refused_budgets import RefusedBudgets
from aif_orchestrator.store.budgets import BudgetStore
from aif_runtime.postgres import Database


class _Shelf:
    """A database and its budgets, which answer when they may."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.may_answer = asyncio.Event()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        yield None

    async def find(self, _connection: Any, client_id: str) -> str:
        self.read.append(client_id)
        await self.may_answer.wait()
        return f"the budget of {client_id}"


async def test_refusals_at_once_share_one_reading_for_each_client_and_a_later_one_reads_anew() -> None:
    shelf = _Shelf()
    budgets = RefusedBudgets(database=cast(Database, shelf), budgets=cast(BudgetStore, shelf))
    asked = [asyncio.create_task(budgets.of(client_id)) for client_id in ("acme", "acme", "other", "acme")]
    leaving = asyncio.create_task(budgets.of("acme"))
    await asyncio.sleep(0)
    leaving.cancel()
    shelf.may_answer.set()

    told = await asyncio.gather(*asked)
    await budgets.of("acme")

    assert cast(list[str], told) == [f"the budget of {name}" for name in ("acme", "acme", "other", "acme")]
    assert shelf.read == ["acme", "other", "acme"]
