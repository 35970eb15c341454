"""More callers at once than can be answered."""

import asyncio
from contextlib import AsyncExitStack

from aif_runtime.postgres import MOST_CONNECTIONS
from integration.kam.gateway_under_test import open_gateway

WISH = {"request_type": "pipeline_execution", "urgency_level": "normal", "message": "a course"}


async def test_who_has_waited_too_long_behind_others_is_told_so_and_nothing_is_stored(fresh_kam_database: str) -> None:
    async with open_gateway(fresh_kam_database, acquire_seconds=0.3) as kam, kam.client() as alice:
        is_answered = asyncio.Event()

        async def ask_all_the_time() -> None:
            while not is_answered.is_set():
                await kam.rows("SELECT 1")

        async with AsyncExitStack() as held, asyncio.TaskGroup() as group:
            for _ in range(MOST_CONNECTIONS - 1):
                await held.enter_async_context(kam.database.connection())
            for _ in range(2):
                group.create_task(ask_all_the_time())
            refused = await alice.post("/api/kam/requests", json=WISH)
            is_answered.set()

        assert refused.status_code == 503
        assert refused.headers["Retry-After"]
        assert refused.json()["detail"] == "more is asked at once than can be answered in time; try again in a moment"
        assert await kam.rows("SELECT 1 FROM client_requests") == []
