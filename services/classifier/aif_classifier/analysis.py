"""Looks at the attempts again whenever some arrived, and keeps the pending recommendations in step with what they say."""

import asyncio
from datetime import timedelta

import structlog

from aif_classifier.findings import Thresholds
from aif_classifier.recommendations import findings_about
from aif_classifier.samples import Slice
from aif_classifier.store import InsightStore, PerformanceStore
from aif_runtime.clock import Clock
from aif_runtime.failures import RuntimeFailure
from aif_runtime.postgres import Database

MOST_SAMPLES = 5000
"""Of a slice, newest first: more would sharpen nothing that matters and take long."""
SWEEP_SECONDS = 3600.0
"""Between two looks at all slices, arrivals or not: attempts leave the window, too."""

_log = structlog.get_logger()


class Analysis:
    def __init__(
        self,
        *,
        database: Database,
        attempts: PerformanceStore,
        insights: InsightStore,
        touched: set[Slice],
        window: timedelta,
        thresholds: Thresholds,
        clock: Clock,
    ) -> None:
        """`touched` holds the slices with attempts that have not been looked at yet."""
        self._database = database
        self._attempts = attempts
        self._insights = insights
        self._touched = touched
        self._window = window
        self._thresholds = thresholds
        self._clock = clock
        self._sweep_due_at = clock.monotonic()

    async def look(self, stop: asyncio.Event) -> None:
        """Look at every slice that is due. Raises DatabaseUnavailable; what is left is looked at the next time. A slice that
        cannot be analysed is passed over until something of it arrives, or all are looked at."""
        # Arrivals first: they do not wait for a sweep that is too slow to end.
        await self._look_at_touched(stop)
        if self._clock.monotonic() >= self._sweep_due_at:
            await self._sweep()
            await self._look_at_touched(stop)

    async def _look_at_touched(self, stop: asyncio.Event) -> None:
        while self._touched and not stop.is_set():
            slice_ = self._touched.pop()
            try:
                await self._look_at(slice_)
            except (RuntimeFailure, asyncio.CancelledError):
                self._touched.add(slice_)
                raise
            except Exception:  # noqa: BLE001 one slice must not hold up the others for ever: it waits for its next attempt
                _log.exception("slice_failed", worker=slice_.worker_name, action=slice_.action, template=slice_.template)

    async def _sweep(self) -> None:
        async with self._database.transaction() as connection:
            self._touched.update(await self._attempts.list_slices(connection, self._window))
            await self._insights.withdraw_unobserved(connection, self._window)
        self._sweep_due_at = self._clock.monotonic() + SWEEP_SECONDS

    async def _look_at(self, slice_: Slice) -> None:
        async with self._database.transaction() as connection:
            # Waits for a replica that looks at the same slice now: its samples may be older than ours.
            await self._insights.lock(connection, slice_)
            samples = await self._attempts.list_samples(connection, slice_, self._window, MOST_SAMPLES)
            findings = await asyncio.to_thread(findings_about, slice_, samples, self._thresholds)
            await self._insights.put_findings(connection, slice_, findings)
        _log.debug("slice_analysed", worker=slice_.worker_name, action=slice_.action, findings=len(findings))
