"""Pipelines that other replicas store: heard of at once, and looked for now and then, since a broadcast may be missed."""

import asyncio

import msgspec
import structlog

from aif_contracts.pipelines import PipelinesChanged
from aif_contracts.subjects import PIPELINES_CHANGED
from aif_orchestrator.engine.plans import Plans
from aif_runtime.bus import Bus
from aif_runtime.failures import BusUnavailable, DatabaseUnavailable

REFRESH_SECONDS = 30.0
PAUSE_SECONDS = 2.0

log = structlog.get_logger()


class PlanNews:
    def __init__(self, *, bus: Bus, plans: Plans) -> None:
        self._bus = bus
        self._plans = plans

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._follow()
            except BusUnavailable as failure:
                log.warning("pipelines_not_followed", reason=str(failure))
                await asyncio.sleep(PAUSE_SECONDS)

    async def tell(self, owner: str | None) -> None:
        """Something of a client's, or for None of the factory's, was stored: know it here, and have the others look."""
        await self._plans.refresh()
        try:
            await self._bus.broadcast(PIPELINES_CHANGED, msgspec.json.encode(PipelinesChanged(owner=owner)))
        except BusUnavailable as failure:
            log.warning("pipelines_change_not_told", reason=str(failure))

    async def _follow(self) -> None:
        async with self._bus.listen(PIPELINES_CHANGED) as news:
            try:
                while True:
                    await self._look()
                    await news.next(REFRESH_SECONDS)
            finally:
                self._plans.hears_news = False

    async def _look(self) -> None:
        try:
            await self._plans.refresh()
        except DatabaseUnavailable as failure:
            # What was told is not known here, and will not be told again.
            self._plans.hears_news = False
            log.warning("pipelines_not_refreshed", reason=str(failure))
        else:
            self._plans.hears_news = True
