"""A worker in front of a broker in memory, with an orchestrator that answers as the test says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from aif_contracts import subjects
from aif_contracts.dead_letters import DeadLetter
from aif_contracts.metering import CallOutcome, ProviderCall, Tokens
from aif_contracts.packets import (
    ClaimAnswer,
    ClaimRequest,
    Context,
    Control,
    ControlMessage,
    Grant,
    Granted,
    Priority,
    Proceed,
    ProgressAnswer,
    WorkPacket,
)
from aif_contracts.reports import Progress, Report
from aif_runtime.assignment import Action, ActionSpec, Assignment, Outcome, WorkerSpec
from aif_runtime.bus import ConsumerSpec, Delivery, Outgoing, Question
from aif_runtime.memory_blobs import MemoryBlobStore
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.memory_streams import MemoryConsumer
from aif_runtime.solitude import Solitude
from aif_runtime.telemetry import Tracing, TracingOff
from aif_runtime.worker_figures import WorkerFigures
from aif_runtime.worker_loop import run_worker
from aif_runtime.worker_settings import WorkerSettings
from aif_runtime.worker_times import WorkerTimes
from support.manual_clock import ManualClock
from support.waiting import eventually

WORKER = "echo"
QUICK = WorkerTimes(tick=0.002, lease_look=0.002, claim_again=0.002, fetch=0.02)
GRANT = Grant(max_cost_usd="0.05", models=("small",))


async def echo(assignment: Assignment) -> Outcome:
    return Outcome(output={"heard": dict(assignment.input)}, summary="heard it")


class WorkerRig:
    def __init__(
        self,
        action: Action = echo,
        *,
        paid: bool = False,
        slots: int = 4,
        drain_seconds: float = 5.0,
        times: WorkerTimes = QUICK,
        tracing: Tracing | None = None,
        bus: type[MemoryBus] = MemoryBus,
        cpu_cost_per_ms: Decimal = Decimal(0),
        kv_operation_cost: Decimal = Decimal(0),
    ) -> None:
        self.clock = ManualClock()
        self.broker = MemoryBroker(clock=self.clock.monotonic)
        self.blobs = MemoryBlobStore()
        self.orchestrator = MemoryBus(self.broker)
        self.claims: list[ClaimRequest] = []
        self.answer_claim: Callable[[ClaimRequest], ClaimAnswer] = lambda _: Granted(attempt=7, grant=GRANT, timeout_ms=60_000)
        self.solitude = Solitude()
        self.before_claims: Callable[[], Awaitable[object]] | None = None
        """Awaited before a claim is answered."""
        self._answers_to_lose = 0
        self.told_together: list[list[Progress]] = []
        self._reports: list[Report] = []
        self.answer_progress: Callable[[Progress], ProgressAnswer] = lambda _: Proceed()
        self.before_progress_answers: Callable[[], Awaitable[object]] | None = None
        """Awaited before a question is answered."""
        self.spoil_progress_answers: Callable[[bytes], bytes] = lambda answers: answers
        """What becomes of them on their way."""
        self.stop = asyncio.Event()
        self.registry = CollectorRegistry()
        self._bus = bus(self.broker)
        self._spec = WorkerSpec(
            worker_name=WORKER,
            actions={"say": ActionSpec(run=action, paid=paid)},
            capabilities=("echoing",),
            models=("small",),
            slots=slots,
        )
        self._settings = WorkerSettings(
            drain_seconds=drain_seconds, cpu_cost_per_ms=cpu_cost_per_ms, kv_operation_cost=kv_operation_cost
        )
        self._times = times
        self._tracing = tracing or TracingOff()

    @property
    def told(self) -> list[Progress]:
        return [progress for together in self.told_together for progress in together]

    @asynccontextmanager
    async def running(self, *, orchestrator_answers: bool = True) -> AsyncIterator["asyncio.Task[None]"]:
        """The worker, until the block ends; then it is drained."""
        if orchestrator_answers:
            await self.orchestrator.answer(subjects.CLAIM, subjects.ORCHESTRATOR_GROUP, self._on_claim)
            await self.orchestrator.answer(subjects.PROGRESS, subjects.ORCHESTRATOR_GROUP, self._on_progress)
        worker = asyncio.create_task(
            run_worker(
                self._spec,
                bus=self._bus,
                blobs=self.blobs,
                tracing=self._tracing,
                clock=self.clock,
                instance_id="echo_1",
                settings=self._settings,
                stop_event=self.stop,
                figures=WorkerFigures(self.registry),
                solitude=self.solitude,
                times=self._times,
            )
        )
        try:
            yield worker
        finally:
            self.stop.set()
            await asyncio.wait_for(worker, 10)
            await self._bus.close()
            await self.orchestrator.close()

    async def offer(
        self, packet: WorkPacket, *, priority: Priority = Priority.NORMAL, headers: Mapping[str, str] | None = None
    ) -> None:
        await self.offer_bytes(msgspec.json.encode(packet), priority=priority, headers=headers)

    async def offer_bytes(
        self, payload: bytes, *, priority: Priority = Priority.NORMAL, headers: Mapping[str, str] | None = None
    ) -> None:
        subject = subjects.work(WORKER, priority)
        await self.orchestrator.publish([Outgoing(subject=subject, payload=payload, headers=headers or {})])

    async def packet(self, number: int = 1, *, stage_input: bytes = b'{"word":"bee"}', **changes: Any) -> WorkPacket:
        """A packet with a grant for attempt 1; `changes` replace its fields."""
        fields: dict[str, Any] = {
            "packet_id": f"pkt_{number}",
            "execution_id": f"exec_{number}",
            "stage_id": "stage_1",
            "attempt": 1,
            "worker_name": WORKER,
            "action": "say",
            "control": Control(timeout_ms=600_000),
            "data_ref": await self.blobs.put(f"data/exec_{number}/stage_1/input", stage_input),
            "grant": GRANT,
            "context": Context(client_id="acme"),
        }
        return WorkPacket(**(fields | changes))

    async def reports(self, count: int = 1) -> list[Report]:
        """The next ones, however many travel together."""
        while len(self._reports) < count:
            self._reports += await self.reports_together()
        taken, self._reports = self._reports[:count], self._reports[count:]
        return taken

    async def reports_together(self) -> list[Report]:
        """Those of the next message."""
        (message,) = await self._take(subjects.STREAM_REPORTS, subjects.ALL_REPORTS, 1)
        return msgspec.json.decode(message.payload, type=list[Report])

    async def calls(self, count: int = 1) -> list[ProviderCall]:
        taken = await self._take(subjects.STREAM_USAGE, subjects.ALL_USAGE, count)
        return [msgspec.json.decode(delivery.payload, type=ProviderCall) for delivery in taken]

    async def dead_letters(self, count: int = 1) -> list[DeadLetter]:
        taken = await self._take(subjects.STREAM_DEAD, subjects.ALL_DEAD, count)
        return [msgspec.json.decode(delivery.payload, type=DeadLetter) for delivery in taken]

    async def nothing_is_left(self) -> None:
        """Until the broker holds no packet any more."""
        await eventually(lambda: self.packets_left() == 0, what="every packet is acknowledged")

    def packets_left(self) -> int:
        return len(self.broker._streams[subjects.STREAM_WORK].messages)

    def reports_stored(self) -> int:
        stored = self.broker._streams[subjects.STREAM_REPORTS].messages.values()
        return sum(len(msgspec.json.decode(message.payload, type=list[Report])) for message in stored)

    def delivered(self) -> int:
        """Packets that the broker has given to the worker and not heard the end of."""
        return sum(len(consumer._pending) for consumer in self._work_consumers())

    def seconds_to_redelivery(self) -> float | None:
        """Of the packet that is due first; None when none is out."""
        times = [consumer.seconds_to_redelivery() for consumer in self._work_consumers()]
        return min((seconds for seconds in times if seconds is not None), default=None)

    def set_aside(self, end: str) -> float:
        """How many packets ended so, by the worker's own figures."""
        return self.registry.get_sample_value("aif_packets_set_aside_total", {"end": end}) or 0.0

    def lose_answers(self, count: int) -> None:
        """The next claims reach the orchestrator, and what it answers does not reach the worker."""
        self._answers_to_lose = count

    async def control(self, message: ControlMessage) -> None:
        await self.orchestrator.broadcast(subjects.control(WORKER), msgspec.json.encode(message))

    async def fetches_ended(self) -> None:
        """After the stop: until every fetch that was under way has come back."""
        await asyncio.sleep(self._times.fetch * 3)

    async def deliver_in_vain(self, *, times: int) -> None:
        """As if workers took the first packet and died."""
        consumer = await self._bus.open_consumer(
            ConsumerSpec(
                stream=subjects.STREAM_WORK,
                durable=subjects.work_consumer(WORKER, Priority.NORMAL),
                filter_subject=subjects.work(WORKER, Priority.NORMAL),
            )
        )
        for _ in range(times):
            assert len(await consumer.fetch(1, 1.0)) == 1
            self.clock.advance(30.0)
        await consumer.close()

    async def passes(self, seconds: float) -> None:
        """Time passes for everyone at once, when whatever can happen before it has happened."""
        await self.settles()
        self.clock.advance(seconds)
        self.broker.wake()

    async def settles(self) -> None:
        """Whatever can happen without time passing has happened."""
        for _ in range(100):
            await asyncio.sleep(0)

    def _work_consumers(self) -> list[MemoryConsumer]:
        return list(self.broker._streams[subjects.STREAM_WORK]._consumers.values())

    async def _take(self, stream: str, filter_subject: str, count: int) -> Sequence[Delivery]:
        consumer = await self.orchestrator.open_consumer(
            ConsumerSpec(stream=stream, durable=f"test_{stream.lower()}", filter_subject=filter_subject)
        )
        taken: list[Delivery] = []
        while len(taken) < count:
            for delivery in await consumer.fetch(count - len(taken), 5.0):
                taken.append(delivery)
                await delivery.ack()
        return taken

    async def _on_claim(self, question: Question) -> bytes:
        request = msgspec.json.decode(question.payload, type=ClaimRequest)
        self.claims.append(request)
        if self.before_claims is not None:
            await self.before_claims()
        if self._answers_to_lose:
            self._answers_to_lose -= 1
            return b"cut off on its w"
        return msgspec.json.encode(self.answer_claim(request))

    async def _on_progress(self, question: Question) -> bytes:
        together = msgspec.json.decode(question.payload, type=list[Progress])
        self.told_together.append(together)
        if self.before_progress_answers is not None:
            await self.before_progress_answers()
        return self.spoil_progress_answers(msgspec.json.encode([self.answer_progress(progress) for progress in together]))


def provider_call(assignment: Assignment, **changes: Any) -> ProviderCall:
    fields: dict[str, Any] = {
        "call_key": f"{assignment.execution_id}.{assignment.stage_id}.{assignment.attempt}.{assignment.next_call_number()}",
        "execution_id": assignment.execution_id,
        "client_id": assignment.context.client_id,
        "stage_id": assignment.stage_id,
        "attempt": assignment.attempt,
        "worker_name": assignment.worker_name,
        "provider": "openai",
        "model": "small",
        "purpose": "first_try",
        "outcome": CallOutcome.ANSWERED,
        "tokens": Tokens(prompt_tokens=100, completion_tokens=20, total_tokens=120),
        "cost_usd": "0.000027",
    }
    return ProviderCall(**(fields | changes))
