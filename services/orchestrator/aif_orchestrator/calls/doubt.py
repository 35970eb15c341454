"""Settles calls that nobody could say anything about for long, at the most that they can have cost.

Money that is reserved for them would otherwise be missing for ever. It is an estimate: a statement that comes later corrects
it.
"""

import asyncio

import structlog

from aif_contracts.metering import Basis
from aif_orchestrator.audit.failures import AuditHeadMissing
from aif_orchestrator.calls.settling import Settling
from aif_orchestrator.calls.store import BookedCallStore, FoundCall, Position, Settlement
from aif_orchestrator.engine.arrivals import NotApplied
from aif_runtime.failures import DatabaseUnavailable
from aif_runtime.postgres import Database

LONGEST_PAUSE_SECONDS = 60.0
SHORTEST_PAUSE_SECONDS = 1.0
AT_ONCE = 100
SECONDS_IN_AN_HOUR = 3600.0
DECIDED_BY = "service:orchestrator"

log = structlog.get_logger()


class Doubt:
    """Several replicas do no harm: a call is settled once, whoever comes first."""

    def __init__(
        self,
        *,
        database: Database,
        store: BookedCallStore,
        settling: Settling,
        after_hours: float,
    ) -> None:
        self._database = database
        self._store = store
        self._settling = settling
        self._after_hours = after_hours
        # A tenth later than said at most, however short that is.
        tenth = after_hours * SECONDS_IN_AN_HOUR / 10
        self._every_seconds = min(LONGEST_PAUSE_SECONDS, max(SHORTEST_PAUSE_SECONDS, tenth))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.settle_old()
            except (DatabaseUnavailable, AuditHeadMissing) as failure:
                log.warning("calls_in_doubt_not_settled", reason=str(failure))
            await asyncio.sleep(self._every_seconds)

    async def settle_old(self) -> int:
        """Settle what is old enough now; returns how many calls that were. Raises DatabaseUnavailable."""
        settled = 0
        after: Position | None = None
        while True:
            async with self._database.connection() as connection:
                found = await self._store.list_old_in_doubt(
                    connection, older_than_seconds=self._after_hours * SECONDS_IN_AN_HOUR, after=after, limit=AT_ONCE
                )
            for each in found:
                settled += await self._settle(each)
            if len(found) < AT_ONCE:
                return settled
            after = found[-1].position

    async def _settle(self, found: FoundCall) -> int:
        call = found.booked.call
        assert call.upper_bound_usd is not None, "only calls with a bound are looked for"
        settlement = Settlement(
            call_key=call.call_key,
            cost_usd=call.upper_bound_usd,
            basis=Basis.ESTIMATE,
            note=f"no answer and no statement within {self._after_hours:g} hours: its upper bound",
        )
        try:
            await self._settling.settle(found, settlement, DECIDED_BY)
        except NotApplied as failure:
            log.error("call_not_settled", call_key=call.call_key, execution_id=call.execution_id, reason=str(failure))
            return 0
        log.warning(
            "call_settled_by_estimate", call_key=call.call_key, execution_id=call.execution_id, client_id=call.client_id
        )
        return 1
