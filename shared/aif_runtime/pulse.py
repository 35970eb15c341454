"""The beat that keeps what a worker holds alive: leases at the broker, progress at the orchestrator, time limits.

One loop for all leases and one for all attempts, so that short work costs no timer of its own, and packets that only wait
cost a look now and then. An attempt whose time is over is stopped at the next beat.
"""

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from aif_contracts import subjects
from aif_contracts.packets import Cancelled, Proceed, ProgressAnswer, Superseded
from aif_contracts.reports import Progress
from aif_runtime.attempt import Attempt, StopReason
from aif_runtime.bus import Bus
from aif_runtime.decoding import decode
from aif_runtime.failures import BusUnavailable, MalformedMessage, NoAnswer
from aif_runtime.lease import Lease
from aif_runtime.worker_times import WorkerTimes

_ANSWER_SECONDS = 5.0
_WAITS = "waits until nothing else is under way in its worker"

_answers: msgspec.json.Decoder[ProgressAnswer] = msgspec.json.Decoder(ProgressAnswer)
_encoder = msgspec.json.Encoder()
_log = structlog.get_logger()


class InHand:
    """What this worker holds: leases from the fetch on, attempts while their action runs, their names until the report is
    confirmed."""

    def __init__(self) -> None:
        self.leases: set[Lease] = set()
        self.attempts: set[Attempt] = set()
        self.holds = asyncio.Event()
        """Set while there is a lease."""
        self.works = asyncio.Event()
        """Set while there is an attempt."""
        self._unsettled: set[tuple[str, int]] = set()

    def take(self, lease: Lease) -> None:
        self.leases.add(lease)
        self.holds.set()

    def let_go(self, lease: Lease) -> None:
        self.leases.discard(lease)
        if not self.leases:
            self.holds.clear()

    def begin(self, packet_id: str, attempt: int) -> None:
        """From now on it is unsettled."""
        self._unsettled.add((packet_id, attempt))

    def settle(self, packet_id: str, attempt: int) -> None:
        self._unsettled.discard((packet_id, attempt))

    def is_unsettled(self, packet_id: str, attempt: int) -> bool:
        """Whether it is worked on here, or its report under way."""
        return (packet_id, attempt) in self._unsettled

    def add(self, attempt: Attempt) -> None:
        self.attempts.add(attempt)
        self.works.set()

    def discard(self, attempt: Attempt) -> None:
        self.attempts.discard(attempt)
        if not self.attempts:
            self.works.clear()


class Pulse:
    def __init__(
        self, *, bus: Bus, in_hand: InHand, instance_id: str, monotonic: Callable[[], float], times: WorkerTimes
    ) -> None:
        self._bus = bus
        self._in_hand = in_hand
        self._instance_id = instance_id
        self._monotonic = monotonic
        self._times = times
        self._telling: dict[Attempt, asyncio.Task[bool]] = {}

    async def beat(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_leases())
            while True:
                await self._in_hand.works.wait()
                await asyncio.sleep(self._times.tick)
                self._forget_ended()
                now = self._monotonic()
                for attempt in tuple(self._in_hand.attempts):
                    attempt.stop_when_late()
                    if attempt not in self._telling and self._is_due(attempt, now):
                        self._telling[attempt] = group.create_task(self.tell(attempt, is_waiting=attempt.is_waiting))

    async def _keep_leases(self) -> None:
        while True:
            await self._in_hand.holds.wait()
            await asyncio.sleep(self._times.lease_look)
            for lease in tuple(self._in_hand.leases):
                await self._keep(lease)

    async def _keep(self, lease: Lease) -> None:
        try:
            await lease.keep()
        except BusUnavailable as failure:
            _log.warning("lease_not_refreshed", reason=str(failure))

    def _is_due(self, attempt: Attempt, now: float) -> bool:
        if attempt.told_at is None:
            return now - attempt.began_at >= self._times.first_progress
        silent_for = now - attempt.told_at
        wait = self._times.between_progress if attempt.has_news else self._times.heartbeat
        return silent_for >= wait

    async def tell(self, attempt: Attempt, *, is_waiting: bool) -> bool:
        """How far it is; true when the orchestrator knows, and wants it to go on."""
        attempt.told_at = told_at = self._monotonic()
        attempt.has_news = False
        progress = Progress(
            packet_id=attempt.packet.packet_id,
            execution_id=attempt.execution_id,
            stage_id=attempt.stage_id,
            attempt=attempt.attempt,
            worker_name=attempt.worker_name,
            instance_id=self._instance_id,
            percent=attempt.percent,
            message=_WAITS if is_waiting else attempt.message,
            is_waiting=is_waiting,
        )
        try:
            reply = await self._bus.ask(
                subjects.PROGRESS, _encoder.encode(progress), wait_seconds=_ANSWER_SECONDS, headers=attempt.trace_headers
            )
            answer = decode(_answers, reply)
        except (NoAnswer, BusUnavailable, MalformedMessage) as failure:
            # The work goes on: its report is what counts, and the next beat tells again.
            _log.info("progress_not_answered", reason=str(failure))
            return False
        if isinstance(answer, Proceed):
            attempt.confirm(told_at)
        elif isinstance(answer, Superseded):
            attempt.stop(StopReason.SUPERSEDED)
        elif isinstance(answer, Cancelled):
            attempt.stop(StopReason.CANCELLED)
        return isinstance(answer, Proceed)

    def _forget_ended(self) -> None:
        for attempt, task in tuple(self._telling.items()):
            if task.done():
                del self._telling[attempt]
            elif attempt not in self._in_hand.attempts:
                task.cancel()
