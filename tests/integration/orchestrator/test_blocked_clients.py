"""Whose running work has to stop, as a replica looks at it again and again."""

import asyncio

import pytest

from aif_orchestrator.engine import blocked_clients
from aif_orchestrator.engine.blocked_clients import BlockedClients
from aif_orchestrator.store.accounts import AccountStore, DefaultBudget
from aif_runtime.postgres import Database
from aif_runtime.sql_files import load_queries
from support.waiting import eventually

PASSED = """
INSERT INTO budget_windows (client_id, budget_window, limit_usd, policy, spent_usd, excess_usd)
VALUES ($1, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM'), 1, 'hard_block', 2, 1)
"""


class CountedLooks(BlockedClients):
    looks = 0

    async def refresh(self) -> None:
        self.looks += 1
        await super().refresh()


async def test_while_the_database_is_away_those_stay_blocked_who_were_and_later_it_is_looked_at_again(
    fresh_orchestrator_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocked_clients, "LOOK_SECONDS", 0.01)
    only_connection = await Database.open(
        fresh_orchestrator_database, application_name="test", schema="orchestrator", max_size=1, acquire_seconds=0.1
    )
    blocked = CountedLooks(
        database=only_connection, accounts=AccountStore(load_queries("aif_orchestrator.store"), DefaultBudget())
    )
    async with only_connection.connection() as connection:
        await connection.execute(PASSED, "acme")
    await blocked.refresh()

    async with only_connection.connection() as connection:
        looking = asyncio.create_task(blocked.run())
        await eventually(lambda: blocked.looks > 2, what="it is looked in vain")
        meanwhile = blocked.clients
        await connection.execute(PASSED, "globex")

    await eventually(lambda: blocked.clients == {"acme", "globex"}, what="it is looked again")
    assert meanwhile == {"acme"}
    looking.cancel()
    await asyncio.wait([looking])
    await only_connection.close()
