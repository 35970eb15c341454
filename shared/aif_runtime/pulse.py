"""The beat that keeps what a worker holds alive: leases at the broker, progress at the orchestrator, time limits.

One loop for all leases and one for all attempts, so that short work costs no timer of its own, and packets that only wait
cost a look now and then. What attempts have to tell at the same beat is one question. An attempt whose time is over is stopped
at the next beat.
"""

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import structlog

from aif_contracts import subjects
from aif_contracts.packets import Cancelled, ControlMessage, NotNoted, Proceed, ProgressAnswer, Superseded
from aif_contracts.reports import MOST_BYTES_TOGETHER, MOST_TOGETHER, Progress
from aif_runtime.attempt import Attempt, StopReason
from aif_runtime.bundles import in_bundles, joined
from aif_runtime.bus import Bus
from aif_runtime.decoding import decode
from aif_runtime.failures import BusUnavailable, MalformedMessage, NoAnswer
from aif_runtime.lease import Lease
from aif_runtime.worker_times import WorkerTimes

_ANSWER_SECONDS = 5.0
CANCELS_REMEMBERED = 10_000
"""By execution. Whoever is forgotten is begun, and told with its first sign of life."""
_WAITS = "waits until nothing else is under way in its worker"

_answers = msgspec.json.Decoder(list[ProgressAnswer])
_encoder = msgspec.json.Encoder()
_log = structlog.get_logger()

_Sign = tuple[Attempt, bytes]
"""Of life: an attempt, and what is told of it."""


def names(message: ControlMessage, execution_id: str, stage_id: str, attempt: int) -> bool:
    """Whether the message is about this attempt."""
    return message.execution_id == execution_id and message.stage_id in (None, stage_id) and message.attempt in (None, attempt)


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
        self._cancels: dict[str, list[ControlMessage]] = {}
        """By execution, the newest last."""

    def note_cancel(self, message: ControlMessage) -> None:
        """What it names and is not here yet may still come: a packet that carries its grant is older than the message."""
        self._cancels[message.execution_id] = [*self._cancels.pop(message.execution_id, []), message]
        if len(self._cancels) > CANCELS_REMEMBERED:
            del self._cancels[next(iter(self._cancels))]

    def is_named_by_a_cancel(self, execution_id: str, stage_id: str, attempt: int) -> bool:
        return any(names(message, execution_id, stage_id, attempt) for message in self._cancels.get(execution_id, ()))

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

    def has_of(self, packet_id: str) -> bool:
        """Whether some attempt of it is unsettled."""
        return any(held == packet_id for held, _ in self._unsettled)

    def add(self, attempt: Attempt) -> None:
        self.attempts.add(attempt)
        self.works.set()

    def discard(self, attempt: Attempt) -> None:
        self.attempts.discard(attempt)
        if not self.attempts:
            self.works.clear()


class Pulse:
    def __init__(
        self,
        *,
        bus: Bus,
        in_hand: InHand,
        instance_id: str,
        monotonic: Callable[[], float],
        times: WorkerTimes,
        sendable: Callable[[str], str],
    ) -> None:
        """`sendable` makes texts of actions fit to leave the process."""
        self._bus = bus
        self._in_hand = in_hand
        self._instance_id = instance_id
        self._monotonic = monotonic
        self._times = times
        self._sendable = sendable
        self._telling: set[Attempt] = set()
        """Those of a question that is under way."""

    async def beat(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_leases())
            while True:
                await self._in_hand.works.wait()
                await asyncio.sleep(self._times.tick)
                for signs in in_bundles(self._due(), most_bytes=MOST_BYTES_TOGETHER, most=MOST_TOGETHER):
                    self._telling.update(attempt for attempt, _ in signs)
                    group.create_task(self._tell_together(signs))

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
        [answer] = await self._tell([self._sign_of(attempt, is_waiting=is_waiting)])
        return isinstance(answer, Proceed)

    def _due(self) -> list[_Sign]:
        """What is to be told at this beat. Stops attempts whose time is over."""
        now = self._monotonic()
        due: list[_Sign] = []
        for attempt in tuple(self._in_hand.attempts):
            attempt.stop_when_late()
            if attempt not in self._telling and self._is_due(attempt, now):
                due.append(self._sign_of(attempt, is_waiting=attempt.is_waiting))
        return due

    def _sign_of(self, attempt: Attempt, *, is_waiting: bool) -> _Sign:
        attempt.told_at = self._monotonic()
        attempt.has_news = False
        message = _WAITS if is_waiting else self._sendable(attempt.message)
        points = attempt.untold.taken(self._sendable)
        if points and (points[-1].percent, points[-1].message) == (attempt.percent, message):
            points = points[:-1]
        progress = Progress(
            packet_id=attempt.packet.packet_id,
            execution_id=attempt.execution_id,
            stage_id=attempt.stage_id,
            attempt=attempt.attempt,
            worker_name=attempt.worker_name,
            instance_id=self._instance_id,
            percent=attempt.percent,
            message=message,
            is_waiting=is_waiting,
            points=points,
        )
        return attempt, _encoder.encode(progress)

    async def _tell_together(self, signs: Sequence[_Sign]) -> None:
        try:
            await self._tell(signs)
        finally:
            self._telling.difference_update(attempt for attempt, _ in signs)

    async def _tell(self, signs: Sequence[_Sign]) -> Sequence[ProgressAnswer]:
        """One answer for each. It means nothing to an attempt that has ended meanwhile."""
        told_at = self._monotonic()
        answers = await self._ask(signs)
        for (attempt, _), answer in zip(signs, answers, strict=True):
            match answer:
                case Proceed():
                    attempt.confirm(told_at)
                case Superseded():
                    attempt.stop(StopReason.SUPERSEDED)
                case Cancelled():
                    attempt.stop(StopReason.CANCELLED)
                case NotNoted():
                    # The work goes on: its report is what counts, and it is told again when it is due again.
                    continue
        return answers

    async def _ask(self, signs: Sequence[_Sign]) -> Sequence[ProgressAnswer]:
        """Without an answer nothing is noted."""
        try:
            reply = await self._bus.ask(subjects.PROGRESS, joined(signs), wait_seconds=_ANSWER_SECONDS)
            answers = decode(_answers, reply)
            if len(answers) != len(signs):
                raise MalformedMessage(f"{len(answers)} answers to {len(signs)} signs of life: one for each is due")
        except (NoAnswer, BusUnavailable, MalformedMessage) as failure:
            _log.info("progress_not_answered", attempts=len(signs), reason=str(failure))
            return [NotNoted()] * len(signs)
        if not_noted := sum(isinstance(answer, NotNoted) for answer in answers):
            _log.info("progress_not_noted", attempts=not_noted)
        return answers
