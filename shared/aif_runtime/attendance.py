"""What becomes of one delivery: it is buried, declined, put off, dropped, or worked on and reported.

The order keeps the promises. Nothing is begun without a grant. The packet is acknowledged only after the broker has confirmed
the report, so a worker that dies anywhere leaves the packet to another one.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

import msgspec
import structlog

from aif_contracts import subjects
from aif_contracts.metering import ProviderCall
from aif_contracts.packets import (
    Cancelled,
    ClaimAnswer,
    ClaimRequest,
    ControlAction,
    Granted,
    Later,
    Superseded,
    WorkPacket,
)
from aif_contracts.reports import UNKNOWN_ACTION, Completed, Declined, Failed, Report
from aif_runtime.assignment import ActionSpec, WorkerSpec
from aif_runtime.attempt import Attempt, Permission
from aif_runtime.attempt_work import AttemptWork
from aif_runtime.blobs import BlobStore
from aif_runtime.bus import Bus, Outgoing
from aif_runtime.call_spans import record_call_span
from aif_runtime.claim_ids import ClaimIds
from aif_runtime.clock import Clock
from aif_runtime.dead_letters import bury
from aif_runtime.decoding import decode
from aif_runtime.failures import BusUnavailable, MalformedMessage, NoAnswer
from aif_runtime.lease import Lease
from aif_runtime.logs import name_lines
from aif_runtime.pulse import Pulse
from aif_runtime.redaction import Redactor
from aif_runtime.report_post import ReportPost
from aif_runtime.solitude import Solitude
from aif_runtime.telemetry import Span, SpanKind, Tracing
from aif_runtime.worker_figures import WorkerFigures
from aif_runtime.worker_times import WorkerTimes

MOST_DELIVERIES = 20
"""A packet that comes more often is not even read: reading it may be what takes its workers down. Whether working on it does
is for the orchestrator to say, which counts the attempts that were lost."""
DELIVERIES_SPENT_WAITING = 5
"""A packet that waits for its grant and has come so often stays here: from then on only ended processes count."""
CLAIM_SECONDS = 5.0
_PUBLISH_PAUSE_SECONDS = 0.5
_LONGEST_CLAIM_PAUSE_SECONDS = 30.0
_SHORTEST_WAIT_SECONDS = 0.01

_packets = msgspec.json.Decoder(WorkPacket)
_claim_answers: msgspec.json.Decoder[ClaimAnswer] = msgspec.json.Decoder(ClaimAnswer)
_encoder = msgspec.json.Encoder()
_log = structlog.get_logger()


class AttemptsInHand(Protocol):
    """Where attempts are seen by those who refresh, cancel and drain them, and by a second delivery of the same."""

    def begin(self, packet_id: str, attempt: int, /) -> None: ...
    def settle(self, packet_id: str, attempt: int, /) -> None: ...
    def is_unsettled(self, packet_id: str, attempt: int, /) -> bool: ...
    def has_of(self, packet_id: str, /) -> bool: ...
    def is_named_by_a_cancel(self, execution_id: str, stage_id: str, attempt: int, /) -> bool: ...
    def add(self, attempt: Attempt, /) -> None: ...
    def discard(self, attempt: Attempt, /) -> None: ...


class Attendance:
    def __init__(
        self,
        *,
        spec: WorkerSpec,
        bus: Bus,
        post: ReportPost,
        blobs: BlobStore,
        tracing: Tracing,
        clock: Clock,
        instance_id: str,
        work: AttemptWork,
        figures: WorkerFigures,
        in_hand: AttemptsInHand,
        claim_ids: ClaimIds,
        solitude: Solitude,
        pulse: Pulse,
        times: WorkerTimes,
        redactor: Redactor,
    ) -> None:
        self._spec = spec
        self._bus = bus
        self._post = post
        self._blobs = blobs
        self._tracing = tracing
        self._clock = clock
        self._instance_id = instance_id
        self._work = work
        self._figures = figures
        self._in_hand = in_hand
        self._claim_ids = claim_ids
        self._solitude = solitude
        self._pulse = pulse
        self._times = times
        self._redactor = redactor

    async def attend(self, lease: Lease, worked: Callable[[], None]) -> float | None:
        """Bring one delivery to its end. Gives the seconds to wait when it has to be attended to again, with the same lease.

        `worked` is called when its action has ended: what is left is to have the report confirmed, which takes no slot.
        Raises BusUnavailable when the broker is away: the delivery comes again then.
        """
        delivery = lease.delivery
        if lease.is_lost:
            return None
        num_delivered = delivery.num_delivered
        if num_delivered > MOST_DELIVERIES:
            await self._bury(lease, f"delivered {num_delivered} times and never finished")
            return None
        try:
            packet = decode(_packets, delivery.payload)
        except MalformedMessage as malformed:
            await self._bury(lease, str(malformed))
            return None
        action = self._spec.actions.get(packet.action)
        if packet.control.action is ControlAction.CANCEL:
            await lease.ack()
        elif action is None or packet.worker_name != self._spec.worker_name:
            known = ", ".join(sorted(self._spec.actions))
            message = f"{self._spec.worker_name} has no action {packet.worker_name}.{packet.action}; it has {known}"
            await self._decline(lease, packet, UNKNOWN_ACTION, message)
        elif packet.grant is not None and packet.attempt > 0 and num_delivered == 1 and not self._is_named_by_a_cancel(packet):
            if self._in_hand.is_unsettled(packet.packet_id, packet.attempt):
                # It was offered to us, and stored as well by somebody who did not know that we have it.
                await lease.ack()
                self._figures.packet("dropped")
                return None
            permission = Permission(
                attempt=packet.attempt,
                grant=packet.grant,
                timeout_ms=packet.control.timeout_ms,
                asked_at=self._clock.monotonic(),
            )
            await self._make(lease, packet, action, permission, worked)
        elif self._in_hand.has_of(packet.packet_id):
            # We were frozen, and the broker took us for dead. A claim would say so to the orchestrator, too.
            return await self._put_off(lease, self._times.claim_again)
        else:
            return await self._claim_and_make(lease, packet, action, worked)
        return None

    def _is_named_by_a_cancel(self, packet: WorkPacket) -> bool:
        """It waited in the queue while its execution was cancelled, or failed; the orchestrator says whether it is over."""
        return self._in_hand.is_named_by_a_cancel(packet.execution_id, packet.stage_id, packet.attempt)

    async def hand_back(self, lease: Lease, seconds: float) -> None:
        """Leave to others what has no room here: they get it after so many seconds, or soon.

        A stored packet that has opened its attempt is declined: delivered again, it would pass for one that has taken its
        worker down. Raises BusUnavailable.
        """
        packet = _first_of_its_attempt(lease)
        if packet is None:
            await lease.put_off(seconds)
        elif self._in_hand.is_unsettled(packet.packet_id, packet.attempt):
            await lease.ack()
        else:
            await self._decline(lease, packet, "no_room", f"{self._spec.worker_name} has no room for it in this process")

    async def _bury(self, lease: Lease, reason: str) -> None:
        _log.error("packet_buried", reason=reason, subject=lease.delivery.subject, deliveries=lease.delivery.num_delivered)
        origin = subjects.STREAM_WORK.lower()
        await bury(self._bus, lease.delivery, reason, self._spec.worker_name, origin, redactor=self._redactor)
        self._figures.packet("buried")

    async def _decline(self, lease: Lease, packet: WorkPacket, code: str, message: str) -> None:
        report = Declined(
            packet_id=packet.packet_id,
            execution_id=packet.execution_id,
            stage_id=packet.stage_id,
            attempt=max(packet.attempt, 1),
            worker_name=self._spec.worker_name,
            instance_id=self._instance_id,
            code=code,
            message=message,
        )
        if await self._confirmed(report, lease.replica):
            await lease.ack()
        self._figures.packet("declined")

    async def _claim_and_make(
        self, lease: Lease, packet: WorkPacket, action: ActionSpec, worked: Callable[[], None]
    ) -> float | None:
        asked_at = self._clock.monotonic()
        answer = await self._claim(lease, packet)
        match answer:
            case Granted():
                permission = Permission(
                    attempt=answer.attempt,
                    grant=answer.grant,
                    timeout_ms=answer.timeout_ms,
                    asked_at=asked_at,
                    alone=answer.alone,
                )
                await self._make(lease, packet, action, permission, worked)
            case Later():
                return await self._put_off(lease, answer.retry_after_ms / 1000)
            case None if lease.replica is not None:
                # The attempt may be granted to us already, and whoever has offered it may have let it go by now.
                self._figures.packet("put_off")
                return self._times.claim_again
            case None:
                growing = min(2.0 ** (lease.delivery.num_delivered - 1), _LONGEST_CLAIM_PAUSE_SECONDS)
                return await self._put_off(lease, growing)
            case Superseded() | Cancelled():
                await lease.ack()
                self._figures.packet("dropped")
        return None

    async def _claim(self, lease: Lease, packet: WorkPacket) -> ClaimAnswer | None:
        """The orchestrator's answer, None when there was none that we understand, although it was asked twice."""
        claim_id = self._claim_ids.lend(packet.packet_id)
        answer: ClaimAnswer | None = None
        try:
            answer = await self._ask(lease, packet, claim_id)
            if answer is None:
                # An orchestrator that died over its answer may have granted the attempt: only we can still get it, under the
                # same claim id, and the next delivery may be somebody else's.
                await asyncio.sleep(self._times.claim_again)
                answer = await self._ask(lease, packet, claim_id)
        finally:
            if isinstance(answer, Later | None):
                self._claim_ids.give_back(packet.packet_id, claim_id)
        return answer

    async def _ask(self, lease: Lease, packet: WorkPacket, claim_id: str) -> ClaimAnswer | None:
        request = ClaimRequest(
            packet_id=packet.packet_id,
            execution_id=packet.execution_id,
            stage_id=packet.stage_id,
            instance_id=self._instance_id,
            num_delivered=lease.delivery.num_delivered,
            models=self._spec.models,
            claim_id=claim_id,
        )
        try:
            reply = await self._bus.ask(subjects.CLAIM, _encoder.encode(request), wait_seconds=CLAIM_SECONDS)
            return decode(_claim_answers, reply)
        except (NoAnswer, BusUnavailable, MalformedMessage) as failure:
            _log.warning("claim_not_answered", packet_id=packet.packet_id, reason=str(failure))
            return None

    async def _put_off(self, lease: Lease, seconds: float) -> float | None:
        """Have it delivered again later, by anybody; or, when it has come often, keep it: gives the seconds until it is due.

        Waiting for a grant is no sign of poison, but the broker counts its deliveries
        like any others.
        """
        self._figures.packet("put_off")
        if lease.delivery.num_delivered >= DELIVERIES_SPENT_WAITING:
            return max(seconds, _SHORTEST_WAIT_SECONDS)
        await lease.put_off(seconds)
        return None

    async def _make(
        self, lease: Lease, packet: WorkPacket, action: ActionSpec, permission: Permission, worked: Callable[[], None]
    ) -> None:
        self._in_hand.begin(packet.packet_id, permission.attempt)
        try:
            attempt, report = await self._work_on(lease, packet, action, permission)
            worked()
            await self._settle(lease, attempt, report)
        finally:
            self._in_hand.settle(packet.packet_id, permission.attempt)

    async def _work_on(
        self, lease: Lease, packet: WorkPacket, action: ActionSpec, permission: Permission
    ) -> tuple[Attempt, Completed | Failed]:
        with self._tracing.span(
            "attempt",
            parent=lease.delivery.headers,
            kind=SpanKind.CONSUMER,
            attributes={
                "aif.execution_id": packet.execution_id,
                "aif.stage_id": packet.stage_id,
                "aif.attempt": permission.attempt,
                "aif.worker": packet.worker_name,
                "aif.action": packet.action,
            },
        ) as span:
            headers = span.headers
            attempt = Attempt(
                packet=packet,
                permission=permission,
                bus=self._bus,
                blobs=self._blobs,
                monotonic=self._clock.monotonic,
                trace_headers=headers,
                lease_seconds=self._times.lease,
                note_call=partial(self._note_call, headers),
            )
            _name_in_logs(attempt)
            self._in_hand.add(attempt)
            try:
                alone = self._alone(attempt) if permission.alone else None
                report = await self._work.report(attempt, action.run, alone)
            finally:
                self._in_hand.discard(attempt)
            _name_in_span(span, report)
        return attempt, report

    def _note_call(self, headers: Mapping[str, str], call: ProviderCall) -> None:
        record_call_span(self._tracing, call, ended_ns=int(self._clock.now().timestamp() * 1_000_000_000), parent=headers)
        self._figures.call(call)

    @asynccontextmanager
    async def _alone(self, attempt: Attempt) -> AsyncIterator[None]:
        """The orchestrator knows that it begins before it does: one that ends the process at once leaves no later word."""
        async with self._solitude.alone():
            while True:
                if await self._pulse.tell(attempt, is_waiting=False):
                    break
                await asyncio.sleep(self._times.claim_again)
            yield

    async def _settle(self, lease: Lease, attempt: Attempt, report: Completed | Failed) -> None:
        if not await self._confirmed(report, lease.replica, attempt.unconfirmed_messages()):
            _log.error("report_not_confirmed", packet_id=report.packet_id)
            self._figures.packet("unconfirmed")
            return
        self._figures.attempt(attempt, report)
        await lease.ack()

    async def _confirmed(self, report: Report, replica: str | None, before: Sequence[Outgoing] = ()) -> bool:
        """Send what comes before the report, and the report; again while the broker does not confirm, for some seconds.

        False when it never did.
        """
        until = self._clock.monotonic() + self._times.report
        while True:
            try:
                if before:
                    await self._bus.publish(before)
                    before = ()
                await self._post.send(report, replica=replica)
            except BusUnavailable:
                if self._clock.monotonic() >= until:
                    return False
            else:
                return True
            await asyncio.sleep(_PUBLISH_PAUSE_SECONDS)


def _first_of_its_attempt(lease: Lease) -> WorkPacket | None:
    """The stored packet, if it brings an open attempt with it and has been delivered to nobody before."""
    if lease.replica is not None or lease.delivery.num_delivered > 1:
        return None
    try:
        packet = decode(_packets, lease.delivery.payload)
    except MalformedMessage:
        return None
    return packet if packet.grant is not None and packet.attempt > 0 else None


def _name_in_logs(attempt: Attempt) -> None:
    # The asyncio task is the attempt's own.
    ids: dict[str, str | int] = {"execution_id": attempt.execution_id, "stage_id": attempt.stage_id, "attempt": attempt.attempt}
    if attempt.trace is not None:
        ids["trace_id"] = attempt.trace.trace_id
    name_lines(ids)


def _name_in_span(span: Span, report: Completed | Failed) -> None:
    if isinstance(report, Failed):
        span.set("aif.failure_code", report.code)
        span.fail(report.code)
