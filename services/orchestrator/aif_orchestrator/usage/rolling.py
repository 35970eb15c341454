"""Keeps totals of usage, so that a month is not added up from each of its executions whenever somebody asks.

Behind what happens and not in its way: an execution is added some minutes after it was created, if it has ended by then, and
nothing waits for it. What is not among the totals is read as it stands, so what is told is complete all the same. Whoever
changes something of an execution that has ended takes it out of the totals first, in the same transaction (`unroll_usage`), and
it is added again later. Executions and attempts belong to the day on which their execution was created, calls to the day on
which they were booked.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from msgspec import Struct

from aif_orchestrator.usage.store import UsageStore
from aif_runtime.failures import DatabaseUnavailable
from aif_runtime.postgres import Database

EVERY_SECONDS = 60.0
LEAST_AGE_SECONDS = 600.0
"""Longer than anything takes from the time that it is given to its commit."""
AT_ONCE = 500
"""Executions; fewer where so many take too long."""
PAUSE_SECONDS = 0.2
MOST_SECONDS = 1.0
"""A commit that changes something of an execution that has ended waits for those that are just being added, and would be given
up after twice that."""

log = structlog.get_logger()


class Pace(Struct, frozen=True, kw_only=True):
    least_age_seconds: float = LEAST_AGE_SECONDS
    at_once: int = AT_ONCE
    pause_seconds: float = PAUSE_SECONDS


class UsageRolling:
    """Any number of replicas may do it: each goes on where another one was."""

    def __init__(self, *, database: Database, usage: UsageStore, pace: Pace = Pace()) -> None:  # noqa: B008 it is frozen
        self._database = database
        self._usage = usage
        self._pace = pace

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await self.roll()
            except DatabaseUnavailable as failure:
                log.warning("usage_not_rolled_up", reason=str(failure))

    async def roll(self) -> None:
        """Add what may be added by now. Raises DatabaseUnavailable; then the rest stays for another time."""
        for roll in (self._usage.roll_on, self._usage.roll_again):
            at_once, more = self._pace.at_once, True
            while more:
                try:
                    more = await self._roll_some(roll, at_once)
                except DatabaseUnavailable:
                    if at_once == 1:
                        raise
                    at_once = max(1, at_once // 4)
                if more:
                    await asyncio.sleep(self._pace.pause_seconds)
        async with self._database.transaction() as connection:
            days = await self._usage.days_to_bring_together(connection)
        for day in days:
            async with self._database.transaction() as connection:
                await self._usage.bring_together(connection, day)

    async def _roll_some(self, roll: Callable[..., Awaitable[bool]], at_once: int) -> bool:
        async with self._database.transaction() as connection:
            if at_once > 1:
                await self._usage.limit_rolling(connection, MOST_SECONDS)
            return await roll(connection, least_age_seconds=self._pace.least_age_seconds, most=at_once)
