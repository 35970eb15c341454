"""Takes packets for a worker, as many at once as it has slots, the urgent ones first, and drains when told to stop.

A packet is offered first, and begun at once where a slot is free. What nobody takes waits at the broker, where each priority
has a durable consumer, shared by all replicas. Beyond its slots a process holds only a few packets of each priority, so that
any replica can take the others. An attempt holds its slot while it is worked on; having its report confirmed takes none.
"""

import asyncio
import contextvars
import heapq
from collections.abc import Callable, Iterable
from functools import partial

import msgspec
import structlog

from aif_contracts import subjects
from aif_contracts.packets import ControlAction, ControlMessage, Priority
from aif_contracts.workers import WorkerDescription
from aif_runtime.assignment import WorkerSpec
from aif_runtime.attempt import StopReason
from aif_runtime.attempt_work import AttemptWork
from aif_runtime.attendance import Attendance
from aif_runtime.blobs import BlobStore
from aif_runtime.bus import Bus, ConsumerSpec, Deliveries, Offer
from aif_runtime.claim_ids import ClaimIds
from aif_runtime.clock import Clock
from aif_runtime.decoding import decode
from aif_runtime.failures import BusUnavailable, MalformedMessage
from aif_runtime.ids import id_mint
from aif_runtime.lease import Lease
from aif_runtime.offered_delivery import OfferedDelivery
from aif_runtime.process import version
from aif_runtime.pulse import InHand, Pulse, names
from aif_runtime.redaction import Redactor
from aif_runtime.registry import describe, stay_registered
from aif_runtime.report_post import ReportPost
from aif_runtime.solitude import Solitude
from aif_runtime.telemetry import Tracing
from aif_runtime.worker_figures import WorkerFigures
from aif_runtime.worker_settings import WorkerSettings
from aif_runtime.worker_times import WorkerTimes

PRIORITIES = (Priority.CRITICAL, Priority.HIGH, Priority.NORMAL, Priority.LOW)
_RANKS = {priority.value: rank for rank, priority in enumerate(PRIORITIES)}
_BEGUN_TOGETHER = 25
_MOST_UNCONFIRMED = 64
"""So many attempts at most wait for their reports' confirmation beside the slots: nobody works on and on while it fails."""
_PAUSE_SECONDS = 0.5
_LISTEN_SECONDS = 1.0
_HAND_BACK_SECONDS = 0.2

_control_messages = msgspec.json.Decoder(ControlMessage)
_log = structlog.get_logger()


async def run_worker(
    spec: WorkerSpec,
    *,
    bus: Bus,
    blobs: BlobStore,
    tracing: Tracing,
    clock: Clock,
    instance_id: str,
    settings: WorkerSettings,
    stop_event: asyncio.Event,
    figures: WorkerFigures,
    solitude: Solitude | None = None,
    redactor: Redactor | None = None,
    times: WorkerTimes | None = None,
) -> None:
    """Work until `stop_event` is set, then drain: finish what is begun within the settings' drain time, hand back the rest.

    A process may run several workers side by side; they share its `figures` and one `solitude`. Without a `redactor` secrets
    are known by their shapes alone.
    """
    ack_wait = settings.ack_wait_seconds
    rhythm = times or WorkerTimes(heartbeat=ack_wait / 3, lease=ack_wait, lease_look=ack_wait / 30)
    in_hand = InHand()
    solitude = solitude or Solitude()
    redactor = redactor or Redactor()
    pulse = Pulse(
        bus=bus,
        in_hand=in_hand,
        instance_id=instance_id,
        monotonic=clock.monotonic,
        times=rhythm,
        sendable=redactor.sendable,
    )
    post = ReportPost(bus=bus, worker_name=spec.worker_name, answer_seconds=rhythm.answer)
    attendance = Attendance(
        spec=spec,
        bus=bus,
        post=post,
        blobs=blobs,
        tracing=tracing,
        clock=clock,
        instance_id=instance_id,
        work=AttemptWork(instance_id=instance_id, rates=settings.cost_rates, sendable=redactor.sendable),
        figures=figures,
        in_hand=in_hand,
        claim_ids=ClaimIds(id_mint(clock=clock)),
        solitude=solitude,
        pulse=pulse,
        times=rhythm,
        redactor=redactor,
    )
    intake = _Intake(
        spec=spec,
        bus=bus,
        attendance=attendance,
        in_hand=in_hand,
        solitude=solitude,
        ack_wait_seconds=ack_wait,
        fetch_seconds=rhythm.fetch,
        monotonic=clock.monotonic,
        stop=stop_event,
    )

    def described() -> WorkerDescription:
        return describe(spec, instance_id=instance_id, version=version())

    async with asyncio.TaskGroup() as group:
        beside = [
            group.create_task(pulse.beat()),
            group.create_task(post.run()),
            group.create_task(intake.make_way()),
            group.create_task(_obey(bus, spec.worker_name, in_hand)),
            group.create_task(stay_registered(bus, described, stop_event)),
        ]
        await intake.run(settings.drain_seconds)
        for task in beside:
            task.cancel()


async def _obey(bus: Bus, worker_name: str, in_hand: InHand) -> None:
    """Stop attempts when a control message cancels their execution or stage."""
    while True:
        try:
            async with bus.listen(subjects.control(worker_name)) as broadcasts:
                while True:
                    broadcast = await broadcasts.next(_LISTEN_SECONDS)
                    if broadcast is not None:
                        _heed(broadcast.payload, in_hand)
        except BusUnavailable as failure:
            _log.warning("control_messages_not_heard", reason=str(failure))
            await asyncio.sleep(_PAUSE_SECONDS)


def _heed(payload: bytes, in_hand: InHand) -> None:
    try:
        message = decode(_control_messages, payload)
    except MalformedMessage as malformed:
        _log.warning("control_message_malformed", reason=str(malformed))
        return
    if message.action is ControlAction.CANCEL:
        in_hand.note_cancel(message)
        for attempt in list(in_hand.attempts):
            if names(message, attempt.execution_id, attempt.stage_id, attempt.attempt):
                attempt.stop(StopReason.CANCELLED)


class _Intake:
    """Slots, and the few packets that wait for one."""

    def __init__(
        self,
        *,
        spec: WorkerSpec,
        bus: Bus,
        attendance: Attendance,
        in_hand: InHand,
        solitude: Solitude,
        ack_wait_seconds: float,
        fetch_seconds: float,
        monotonic: Callable[[], float],
        stop: asyncio.Event,
    ) -> None:
        self._spec = spec
        self._bus = bus
        self._attendance = attendance
        self._in_hand = in_hand
        self._solitude = solitude
        self._ack_wait_seconds = ack_wait_seconds
        self._fetch_seconds = fetch_seconds
        self._monotonic = monotonic
        self._stop = stop
        self._ahead = max(1, spec.slots // 4)
        """So many packets of each priority may wait here for a slot."""
        self._waiting: list[tuple[int, int, Lease]] = []
        self._waiting_by_rank = [0] * len(PRIORITIES)
        self._arrivals = 0
        self._in_slots: set[Lease] = set()
        self._under_way: set[asyncio.Task[None]] = set()
        """Of those in the slots, of those whose report is not confirmed yet, and of what is being handed back."""
        self._asked_beyond = 0
        """Slots that fetches under way may still fill."""
        self._kept: dict[Lease, asyncio.TimerHandle] = {}
        """Packets that wait for their grant here."""
        self._room = [asyncio.Event() for _ in PRIORITIES]
        self._context = contextvars.copy_context()
        """That of no attempt."""

    async def run(self, drain_seconds: float) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._take_offers())
                for rank, priority in enumerate(PRIORITIES):
                    group.create_task(self._fetch(rank, priority))
                group.create_task(self._wake_at_stop())
            await self._drain(drain_seconds)
        finally:
            for attempt in self._in_hand.attempts:
                attempt.abandon()
            for task in self._under_way:
                task.cancel()

    async def make_way(self) -> None:
        """Until cancelled: when an attempt, which may end the process, is to be alone, what waits for a slot goes to others."""
        while True:
            await self._solitude.begins.wait()
            self._hand_back_what_waits_for_a_slot(self._fetch_seconds)
            await self._solitude.is_over.wait()
            self._wake()

    async def _take_offers(self) -> None:
        worker = self._spec.worker_name
        while not self._stop.is_set():
            try:
                async with self._bus.take_offers(subjects.offers(worker), worker, self._takes):
                    await self._stop.wait()
            except BusUnavailable as failure:
                _log.warning("broker_away", reason=str(failure))
                await self._pause()

    def _takes(self, offer: Offer) -> bool:
        """Only what can begin at once: whatever has to wait does so where others see it."""
        rank = _RANKS.get(subjects.last_token(offer.subject))
        if rank is None or not subjects.is_refusal(offer.refused_to) or not self._may_begin():
            return False
        delivery = OfferedDelivery(self._bus, offer)
        lease = Lease(delivery, ack_wait_seconds=self._ack_wait_seconds, monotonic=self._monotonic, replica=delivery.replica)
        self._in_hand.take(lease)
        self._begin(rank, lease)
        return True

    async def _fetch(self, rank: int, priority: Priority) -> None:
        consumer = ConsumerSpec(
            stream=subjects.STREAM_WORK,
            durable=subjects.work_consumer(self._spec.worker_name, priority),
            filter_subject=subjects.work(self._spec.worker_name, priority),
            ack_wait_seconds=self._ack_wait_seconds,
        )
        deliveries = await self._bus.open_consumer(consumer)
        is_flowing = False
        try:
            while not self._stop.is_set():
                try:
                    is_flowing = await self._fetch_once(rank, deliveries, is_flowing)
                except BusUnavailable as failure:
                    _log.warning("broker_away", reason=str(failure))
                    await self._pause()
        finally:
            await deliveries.close()

    async def _fetch_once(self, rank: int, deliveries: Deliveries, is_flowing: bool) -> bool:
        """True when packets came. An idle priority asks for a few; one that flows asks for every free slot."""
        own = self._ahead - self._waiting_by_rank[rank]
        free = self._free_slots() - len(self._waiting) - self._asked_beyond
        beyond = max(free, 0) if is_flowing else 0
        if own + beyond <= 0 or self._solitude.is_wanted:
            self._room[rank].clear()
            await self._room[rank].wait()
            return is_flowing
        self._asked_beyond += beyond
        try:
            batch = await deliveries.fetch(own + beyond, self._fetch_seconds)
        finally:
            self._asked_beyond -= beyond
        for number, delivery in enumerate(batch, 1):
            if number % _BEGUN_TOGETHER == 0:
                # Of a large batch the first reports leave while the last packets are begun: somebody waits for them.
                await asyncio.sleep(0)
            lease = Lease(delivery, ack_wait_seconds=self._ack_wait_seconds, monotonic=self._monotonic)
            if self._stop.is_set():
                self._hand_back([lease], 0)
            elif self._solitude.is_wanted:
                self._hand_back([lease], self._fetch_seconds)
            else:
                self._in_hand.take(lease)
                self._accept(rank, lease)
        return bool(batch)

    def _free_slots(self) -> int:
        slots = self._spec.slots
        return min(slots - len(self._in_slots), slots + _MOST_UNCONFIRMED - len(self._under_way))

    def _may_begin(self) -> bool:
        return self._free_slots() > 0 and not self._stop.is_set() and not self._solitude.is_wanted

    def _accept(self, rank: int, lease: Lease) -> None:
        if self._free_slots() > 0:
            self._begin(rank, lease)
            return
        self._arrivals += 1
        self._waiting_by_rank[rank] += 1
        heapq.heappush(self._waiting, (rank, self._arrivals, lease))

    def _begin(self, rank: int, lease: Lease) -> None:
        # An attempt is named in its context; this one may be begun in that of another, and must not inherit its name.
        task = asyncio.create_task(self._attend(rank, lease), context=self._context.copy())
        # Now, and not with its first step: an attempt that is to be alone may come before that.
        self._solitude.join_company()
        self._in_slots.add(lease)
        self._under_way.add(task)
        task.add_done_callback(partial(self._ended, lease))

    async def _attend(self, rank: int, lease: Lease) -> None:
        again_in: float | None = None
        try:
            again_in = await self._attendance.attend(lease, partial(self._leave_slot, lease))
        except BusUnavailable as failure:
            _log.warning("packet_left_to_redelivery", reason=str(failure))
        except Exception:  # noqa: BLE001 the outermost place of a packet: it is delivered again
            _log.error("packet_broke_the_worker", subject=lease.delivery.subject, exc_info=True)
        finally:
            if again_in is None:
                self._in_hand.let_go(lease)
            else:
                self._keep_for_later(rank, lease, again_in)

    def _keep_for_later(self, rank: int, lease: Lease, seconds: float) -> None:
        """It takes no slot meanwhile, and stays ours."""
        self._kept[lease] = asyncio.get_running_loop().call_later(seconds, self._is_due, rank, lease)

    def _is_due(self, rank: int, lease: Lease) -> None:
        del self._kept[lease]
        if self._solitude.is_wanted:
            self._keep_for_later(rank, lease, self._fetch_seconds)
        else:
            self._accept(rank, lease)

    def _ended(self, lease: Lease, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._solitude.leave_company()
        self._leave_slot(lease)

    def _leave_slot(self, lease: Lease) -> None:
        self._in_slots.discard(lease)
        if self._waiting and self._may_begin():
            rank, _, next_one = heapq.heappop(self._waiting)
            self._waiting_by_rank[rank] -= 1
            self._begin(rank, next_one)
        self._wake()

    async def _wake_at_stop(self) -> None:
        await self._stop.wait()
        self._wake()

    def _wake(self) -> None:
        """Let the fetches see whether there is room."""
        for room in self._room:
            room.set()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(_PAUSE_SECONDS):
                await self._stop.wait()
        except TimeoutError:
            return

    async def _drain(self, within_seconds: float) -> None:
        self._hand_back_what_waits()
        for attempt in tuple(self._in_hand.attempts):
            if attempt.is_waiting:
                attempt.stop(StopReason.HANDED_BACK)
        limit = within_seconds
        while self._under_way:
            await asyncio.wait(self._under_way, timeout=limit)
            # Again and again, because a claim under way may still begin an attempt.
            for attempt in tuple(self._in_hand.attempts):
                attempt.stop(StopReason.HANDED_BACK)
            self._hand_back_what_waits()
            limit = _HAND_BACK_SECONDS

    def _hand_back_what_waits(self) -> None:
        self._hand_back_what_waits_for_a_slot(0)
        for timer in self._kept.values():
            timer.cancel()
        kept = tuple(self._kept)
        self._kept.clear()
        self._hand_back(kept, 0)

    def _hand_back_what_waits_for_a_slot(self, after_seconds: float) -> None:
        waiting = [lease for _, _, lease in self._waiting]
        self._waiting.clear()
        self._waiting_by_rank = [0] * len(PRIORITIES)
        self._hand_back(waiting, after_seconds)

    def _hand_back(self, leases: Iterable[Lease], after_seconds: float) -> None:
        for lease in leases:
            task = asyncio.create_task(self._leave_to_others(lease, after_seconds), context=self._context.copy())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _leave_to_others(self, lease: Lease, after_seconds: float) -> None:
        try:
            await self._attendance.hand_back(lease, after_seconds)
        except BusUnavailable as failure:
            _log.warning("packet_left_to_redelivery", reason=str(failure))
        finally:
            self._in_hand.let_go(lease)
