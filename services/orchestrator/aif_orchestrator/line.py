"""The orchestrator's running parts, and the order in which they stop: first what takes in, then what works it off."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection
from functools import partial

from aif_orchestrator.alerts.lookout import Lookout
from aif_orchestrator.audit.intake import AuditIntake
from aif_orchestrator.blob_collection import BlobCollection
from aif_orchestrator.calls.doubt import Doubt
from aif_orchestrator.dead_letters.intake import DeadLetterIntake
from aif_orchestrator.engine.blocked_clients import BlockedClients
from aif_orchestrator.engine.engine import Engine
from aif_orchestrator.engine.inputs import FollowUps
from aif_orchestrator.engine.plan_news import PlanNews
from aif_orchestrator.engine.relay import Relay
from aif_orchestrator.engine.sweeper import Sweeper
from aif_orchestrator.engine.workforce import Workforce
from aif_orchestrator.intake import Intake
from aif_orchestrator.retention import Retention
from aif_orchestrator.usage.rolling import UsageRolling
from aif_runtime.bus import Bus
from aif_runtime.failures import DatabaseUnavailable

WORK_OFF_SECONDS = 10.0
CANCEL_AGAIN_SECONDS = 0.5


class Line:
    def __init__(
        self,
        *,
        bus: Bus,
        intake: Intake,
        dead_letters: DeadLetterIntake,
        audit: AuditIntake,
        doubt: Doubt,
        lookout: Lookout,
        engine: Engine,
        relay: Relay,
        sweeper: Sweeper,
        workforce: Workforce,
        blocked: BlockedClients,
        follow_ups: FollowUps,
        news: PlanNews,
        retention: Retention,
        blob_collection: BlobCollection,
        usage_rolling: UsageRolling,
    ) -> None:
        self._bus = bus
        self._intake = intake
        self._dead_letters = dead_letters
        self._audit = audit
        self._doubt = doubt
        self._lookout = lookout
        self._engine = engine
        self._relay = relay
        self._sweeper = sweeper
        self._workforce = workforce
        self._blocked = blocked
        self._follow_ups = follow_ups
        self._news = news
        self._retention = retention
        self._blob_collection = blob_collection
        self._usage_rolling = usage_rolling

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set and what had been taken in is committed and published, as far as time allows."""
        takes_in = (
            self._intake.run,
            self._dead_letters.run,
            self._audit.run,
            self._doubt.run,
            self._lookout.run,
            self._sweeper.run,
            self._workforce.run,
            self._blocked.run,
            self._news.run,
            self._retention.run,
            self._blob_collection.run,
            self._usage_rolling.run,
        )
        works_off = (self._engine.run, self._relay.run, partial(self._relay.tidy, self._engine.apply))
        async with asyncio.TaskGroup() as group:
            inner = [group.create_task(part()) for part in works_off]
            outer = [group.create_task(part()) for part in takes_in]
            await stop.wait()
            ending = group.create_task(_cancelled(outer))
            await _within(WORK_OFF_SECONDS, self._worked_off)
            await self._follow_ups.close()
            await ending
            await _cancelled(inner)

    async def _worked_off(self) -> None:
        # Before the engine goes: what was asked after that nobody would answer, and another replica can.
        await self._bus.stop_answering()
        await self._engine.idle()
        await self._relay.idle()
        with contextlib.suppress(DatabaseUnavailable):
            await self._relay.delete_published()


async def _cancelled(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel until all have ended: `wait_for` of Python 3.11 loses a cancellation that meets its result."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_SECONDS)


async def _within(seconds: float, wait: Callable[[], Awaitable[None]]) -> None:
    try:
        async with asyncio.timeout(seconds):
            await wait()
    except TimeoutError:
        return
