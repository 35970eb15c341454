"""Puts the requests of batches to the orchestrator, and what is to be cancelled of them.

The database says what is to be done, so a batch whose gateway was killed is finished by another one, or by the next. A claim
lasts ten seconds; a claimed request that was not asked for in that time is claimed again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from aif_kam.batches.store import BatchStore
from aif_kam.failures import Conflict, Refused, Unavailable
from aif_kam.orchestrator_client import OrchestratorClient
from aif_kam.request_store import ClientRequest
from aif_kam.request_tracker import RequestTracker
from aif_kam.submissions import Submissions
from aif_runtime.failures import DatabaseUnavailable
from aif_runtime.postgres import Database

ASKED_AT_ONCE = 8
CLAIMED_AT_ONCE = 32
"""So few that all are asked for within a claim's ten seconds, even when every answer is late."""
_log = structlog.get_logger()


class BatchDispatch:
    def __init__(
        self,
        *,
        database: Database,
        batches: BatchStore,
        submissions: Submissions,
        tracker: RequestTracker,
        orchestrator: OrchestratorClient,
    ) -> None:
        self._database = database
        self._batches = batches
        self._submissions = submissions
        self._tracker = tracker
        self._orchestrator = orchestrator

    async def submit_some(self) -> int:
        """Ask for a few requests. Returns for how many; 0 when there are none.

        Raises Unavailable or DatabaseUnavailable when one of both is away; then what was not asked for yet stays so.
        """
        async with self._database.connection() as connection:
            if not await self._batches.has_submissions(connection):
                return 0
        await self._orchestrator.be_there()
        async with self._database.connection() as connection:
            claimed = await self._batches.claim_submissions(connection, CLAIMED_AT_ONCE)
        await _for_each(claimed, self._submit)
        return len(claimed)

    async def cancel_some(self) -> int:
        """Have a few requests cancelled. Returns for how many; 0 when there are none.

        Raises Unavailable, DatabaseUnavailable.
        """
        async with self._database.connection() as connection:
            claimed = await self._batches.claim_cancellations(connection, CLAIMED_AT_ONCE)
        await _for_each(claimed, self._cancel)
        return len(claimed)

    async def _submit(self, request: ClientRequest) -> None:
        await self._submissions.submit(request)

    async def _cancel(self, request: ClientRequest) -> None:
        try:
            await self._tracker.cancel(request)
        except (Conflict, Refused) as ended:
            _log.info("not_cancelled", request_id=request.request_id, code=ended.code)
        async with self._database.connection() as connection:
            await self._batches.settle_cancellation(connection, request.request_id)


async def _for_each(requests: Sequence[ClientRequest], deed: Callable[[ClientRequest], Awaitable[None]]) -> None:
    """Several at a time. After the first who finds somebody away nothing new is begun, and that is raised at the end."""
    waiting = iter(requests)
    away: Unavailable | DatabaseUnavailable | None = None

    async def work() -> None:
        nonlocal away
        for request in waiting:
            if away is not None:
                return
            try:
                await deed(request)
            except (Unavailable, DatabaseUnavailable) as failure:
                away = failure

    async with asyncio.TaskGroup() as group:
        for _ in range(min(ASKED_AT_ONCE, len(requests))):
            group.create_task(work())
    if away is not None:
        raise away
