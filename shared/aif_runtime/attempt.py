"""One attempt at a stage while it is worked on: what its action sees of it, and what it has used so far."""

import asyncio
import enum
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from aif_contracts import reports, subjects
from aif_contracts.audit import SOC2, AuditEntry, Severity
from aif_contracts.metering import CallOutcome, ProviderCall
from aif_contracts.packets import Context, ControlAction, Grant, PreviousAttempt, WorkPacket
from aif_runtime.blobs import BlobStore
from aif_runtime.bus import Bus, Outgoing
from aif_runtime.counting_blobs import CountingBlobStore
from aif_runtime.cpu_meter import CpuMeter
from aif_runtime.failures import BusUnavailable
from aif_runtime.interruption import Interruption
from aif_runtime.patient_blobs import PatientBlobStore
from aif_runtime.time_limit import TimeLimit
from aif_runtime.trace_headers import read_trace_headers
from aif_runtime.untold_points import UntoldPoints

_PARTS = ("ai_generation", "validation", "storage")
_MESSAGE_CHARACTERS = 500
_MOST_SECONDS = 10_000_000

_encoder = msgspec.json.Encoder()


class StopReason(enum.StrEnum):
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    HANDED_BACK = reports.HANDED_BACK
    """The process ends; another one continues."""


class Permission(Struct, frozen=True, kw_only=True):
    """To work on a packet as one attempt, got with the packet or by a claim."""

    attempt: int
    grant: Grant
    timeout_ms: int
    asked_at: float
    """When it was asked for, by the monotonic clock; nobody else gets the attempt for a lease from then on."""
    alone: bool = False
    """It may begin only when nothing else is under way in the process."""


class Attempt:
    """Fulfils the `Assignment` that actions are written against."""

    def __init__(
        self,
        *,
        packet: WorkPacket,
        permission: Permission,
        bus: Bus,
        blobs: BlobStore,
        monotonic: Callable[[], float],
        trace_headers: Mapping[str, str],
        lease_seconds: float,
        note_call: Callable[[ProviderCall], None] | None = None,
    ) -> None:
        """`note_call` hears of every call that has ended."""
        self.packet = packet
        self.execution_id = packet.execution_id
        self.stage_id = packet.stage_id
        self.worker_name = packet.worker_name
        self.action = packet.action
        self.attempt = permission.attempt
        self.meter = CpuMeter()
        self.calls: list[ProviderCall] = []
        self.parts: dict[str, float] = {}
        self._limit = TimeLimit(permission.timeout_ms / 1000, monotonic=monotonic)
        self.counted_blobs = CountingBlobStore(PatientBlobStore(blobs, self._limit), clock=monotonic)
        self.is_waiting = permission.alone
        """For the others in the process to end; its time has not begun."""
        self.told_at: float | None = None
        """When progress was last sent; None before the first time."""
        self.has_news = False
        self.percent = 0
        self.message = ""
        self.untold = UntoldPoints(monotonic)
        self.stop_reason: StopReason | None = None
        self.trace_headers = trace_headers
        self.trace = read_trace_headers(trace_headers) if trace_headers else None
        self._permission = permission
        self._note_call = note_call
        self._bus = bus
        self._monotonic = monotonic
        self._input: Mapping[str, Any] = {}
        self._unconfirmed: dict[str, Outgoing] = {}
        self._audited = 0
        self._lease_seconds = lease_seconds
        """At most the orchestrator's: an attempt that it has heard nothing of for so long may be somebody else's."""
        self._confirmed_at = permission.asked_at
        self._is_confirmed_anew: asyncio.Event | None = None
        """Only for one who waits for it."""
        self.interruption: Interruption | None = None
        """Of its action, once that waits or runs."""
        self._calls_numbered = 0

    @property
    def context(self) -> Context:
        return self.packet.context

    @property
    def grant(self) -> Grant:
        return self._permission.grant

    @property
    def input(self) -> Mapping[str, Any]:
        return self._input

    @property
    def previous(self) -> PreviousAttempt | None:
        return self.packet.previous

    @property
    def is_compensation(self) -> bool:
        return self.packet.control.action is ControlAction.COMPENSATE

    @property
    def blobs(self) -> BlobStore:
        return self.counted_blobs

    @property
    def began_at(self) -> float:
        return self._limit.began_at

    def remaining_seconds(self) -> float:
        return self._limit.seconds_left()

    async def progress(self, percent: int, message: str) -> None:
        """Only notes it: the worker's pulse sends the newest note a few times a second, or the report what came before."""
        # Whole, although authors divide: nobody could read 12.5, and the attempt would pass for silent.
        self.percent = int(max(self.percent, min(percent, 100)))
        self.message = message[:_MESSAGE_CHARACTERS]
        self.has_news = True
        if self.told_at is None:
            self.untold.pass_by(self.percent, self.message)

    async def announce_call(self, call: ProviderCall) -> None:
        """Also waits until the attempt is known to be ours still: a process that was frozen must not pay for what another one
        does by now."""
        message = self._usage_message(call, f"{call.call_key}.started")
        while True:
            while not self._is_surely_ours():
                self._is_confirmed_anew = self._is_confirmed_anew or asyncio.Event()
                self._is_confirmed_anew.clear()
                await self._is_confirmed_anew.wait()
            await self._bus.publish([message])
            if self._is_surely_ours():
                return

    def confirm(self, told_at: float) -> None:
        """The orchestrator has answered that the attempt is ours, to what it was told at that time (monotonic)."""
        self._confirmed_at = max(self._confirmed_at, told_at)
        if self._is_confirmed_anew is not None:
            self._is_confirmed_anew.set()

    def _is_surely_ours(self) -> bool:
        return self._monotonic() - self._confirmed_at < self._lease_seconds

    async def record_call(self, call: ProviderCall) -> None:
        """A call that the broker does not confirm now goes out again with the report, under the same message id."""
        self.calls.append(call)
        await self._publish_or_keep(self._usage_message(call, call.call_key))
        if self._note_call is not None:
            self._note_call(call)

    async def audit(self, action: str, severity: Severity, details: Mapping[str, Any]) -> None:
        self._audited += 1
        now = datetime.now(UTC)
        entry = AuditEntry(
            # With the time, because an execution that was deleted may be ordered again under its id.
            audit_id=f"{self.execution_id}.{self.stage_id}.{self.attempt}.{self._audited}.{int(now.timestamp())}",
            action=action,
            severity=Severity(severity),
            actor=f"worker:{self.worker_name}",
            occurred_at=now.isoformat(),
            details=dict(details),
            compliance=(SOC2,),
            client_id=self.context.client_id,
            execution_id=self.execution_id,
        )
        await self._publish_or_keep(
            Outgoing(
                subject=subjects.audit(self.worker_name),
                payload=_encoder.encode(entry),
                message_id=f"audit.{entry.audit_id}",
                headers=self.trace_headers,
            )
        )

    def _usage_message(self, call: ProviderCall, message_id: str) -> Outgoing:
        return Outgoing(
            subject=subjects.usage(call.execution_id),
            payload=_encoder.encode(call),
            message_id=message_id,
            headers=self.trace_headers,
        )

    async def _publish_or_keep(self, message: Outgoing) -> None:
        assert message.message_id is not None, "what must not get lost has a name"
        self._unconfirmed[message.message_id] = message
        try:
            await self._bus.publish([message])
        except BusUnavailable:
            return
        del self._unconfirmed[message.message_id]

    def next_call_number(self) -> int:
        self._calls_numbered += 1
        return self._calls_numbered

    def spent_on(self, part: str, seconds: float) -> None:
        if part not in _PARTS:
            raise ValueError(f"there is no part {part!r} of an attempt's time: use one of {', '.join(_PARTS)}")
        if not 0 <= seconds <= _MOST_SECONDS:
            raise ValueError(f"{seconds} seconds of {part} are no wall time: give a number from 0 to {_MOST_SECONDS}")
        self.parts[part] = self.parts.get(part, 0.0) + seconds

    def take_input(self, stage_input: Mapping[str, Any]) -> None:
        self._input = stage_input

    def unconfirmed_messages(self) -> list[Outgoing]:
        """Calls and audit entries that the broker has not confirmed."""
        return list(self._unconfirmed.values())

    def elapsed_seconds(self) -> float:
        return 0.0 if self.is_waiting else self._monotonic() - self.began_at

    def begin(self) -> None:
        """It has waited long enough: its time counts from now on."""
        self._limit.begin()
        self.is_waiting = False

    def stop(self, reason: StopReason) -> None:
        """Cancel the action; the first reason counts. Without effect once the action has ended."""
        if self.interruption is not None and self.interruption.is_possible:
            self.stop_reason = reason
            self.interruption.strike()

    def abandon(self) -> None:
        """Nothing is reported of it any more: whoever cancels its task now ends that."""
        if self.interruption is not None:
            self.interruption.is_of_the_task = True

    def stop_when_late(self) -> None:
        """Cancel the action if its time is over. Whoever looks often enough spares each attempt a timer of its own."""
        if self.interruption is not None and not self.is_waiting and self.remaining_seconds() <= 0:
            self.interruption.strike()

    def last_model_call(self) -> ProviderCall | None:
        """The call that made the output, as far as the calls tell: the last one that was answered in full."""
        return next((call for call in reversed(self.calls) if call.outcome is CallOutcome.ANSWERED), None)
