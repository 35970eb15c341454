"""A running orchestrator over given surroundings, and a worker moved by hand."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from aif_contracts import subjects
from aif_contracts.blobs import BlobRef, StorageType
from aif_contracts.metering import Metrics, ProviderCall
from aif_contracts.orders import (
    Accepted,
    CancelExecution,
    DecideApproval,
    EventPage,
    Execute,
    ExecutionView,
    GetExecution,
    ListEvents,
    PauseExecution,
    Refusal,
    Resumed,
    ResumeExecution,
    SkipCompensation,
)
from aif_contracts.packets import ClaimAnswer, ClaimRequest, Granted, Later, ProgressAnswer, WorkPacket
from aif_contracts.reports import Completed, Failed, Progress
from aif_contracts.workers import ActionDescription, WorkerDescription
from aif_orchestrator.settings import OrchestratorSettings
from aif_orchestrator.wiring import READERS_SECONDS, assemble
from aif_pipelines.definition import Pipeline
from aif_runtime.blobs import WholeBlobStore
from aif_runtime.bus import Bus, ConsumerSpec, Delivery, Outgoing
from aif_runtime.clock import SystemClock
from aif_runtime.health import Health
from aif_runtime.ids import id_mint
from aif_runtime.metrics import new_registry
from aif_runtime.migrations import load_migrations, migrate
from aif_runtime.postgres import Database
from aif_runtime.process import Surroundings
from aif_runtime.redaction import Redactor
from aif_runtime.settings import Secret
from aif_runtime.telemetry import Tracing, TracingOff
from support.waiting import eventually

_EXECUTE_ANSWER = msgspec.json.Decoder(Accepted | Refusal)
_RESUME_ANSWER = msgspec.json.Decoder(Resumed | Refusal)
_PROGRESS_ANSWERS = msgspec.json.Decoder(list[ProgressAnswer])


@asynccontextmanager
async def orchestrator_database(admin_url: str) -> AsyncIterator[Database]:
    database = await Database.open(
        admin_url, application_name="orchestrator-test", schema="orchestrator", readers_seconds=READERS_SECONDS
    )
    try:
        await migrate(database, schema="orchestrator", migrations=load_migrations("aif_orchestrator"))
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def running_orchestrator(
    bus: Bus,
    blobs: WholeBlobStore,
    database: Database,
    pipelines: Sequence[Pipeline],
    *,
    tracing: Tracing | None = None,
    registry: CollectorRegistry | None = None,
    instance_id: str = "orchestrator_test",
    **settings: Any,
) -> AsyncIterator[None]:
    """One replica, drained at the end. Patience is short. Several at one broker need ids of their own."""
    stop = asyncio.Event()
    given = {"orchestrator_sweep_seconds": 0.05, "orchestrator_unclaimed_seconds": 1.0, "orchestrator_lease_seconds": 1.0}
    clock = SystemClock()
    surroundings = Surroundings(
        service="orchestrator",
        version="test",
        instance_id=instance_id,
        settings=OrchestratorSettings(orchestrator_database_url=Secret("unused"), **{**given, **settings}),
        clock=clock,
        new_id=id_mint(clock=clock),
        redactor=Redactor(()),
        registry=registry or new_registry(service="orchestrator", version="test"),
        tracing=tracing or TracingOff(),
        health=Health(service="orchestrator", version="test"),
        stop=stop,
    )
    line = await assemble(surroundings, bus, blobs, database, pipelines)
    running = asyncio.create_task(line.run(stop))
    try:
        yield
    finally:
        stop.set()
        await running


class Client:
    """Asks the orchestrator as the gateway does."""

    def __init__(self, bus: Bus, client_id: str = "acme") -> None:
        self._bus = bus
        self._client_id = client_id

    async def execute(self, execution_id: str, template: str, **parameters: Any) -> Accepted | Refusal:
        return await self.order(
            Execute(execution_id=execution_id, client_id=self._client_id, template_name=template, parameters=parameters)
        )

    async def order(self, order: Execute) -> Accepted | Refusal:
        answer: Accepted | Refusal = _EXECUTE_ANSWER.decode(await self._ask(subjects.EXECUTE, order))
        return answer

    async def pause(self, execution_id: str) -> ExecutionView | Refusal:
        return await self._steer(subjects.PAUSE, PauseExecution(execution_id=execution_id, client_id=self._client_id))

    async def resume(self, execution_id: str) -> Resumed | Refusal:
        answer: Resumed | Refusal = _RESUME_ANSWER.decode(
            await self._ask(subjects.RESUME, ResumeExecution(execution_id=execution_id, client_id=self._client_id))
        )
        return answer

    async def decide(self, execution_id: str, *, approved: bool) -> ExecutionView | Refusal:
        decision = DecideApproval(
            execution_id=execution_id, client_id=self._client_id, approved=approved, decided_by="ada", comment=""
        )
        return await self._steer(subjects.DECIDE_APPROVAL, decision)

    async def skip_compensation(self, execution_id: str, stage_id: str | None = None) -> ExecutionView | Refusal:
        skip = SkipCompensation(
            execution_id=execution_id, client_id=self._client_id, decided_by="ada", stage_id=stage_id, comment="by hand"
        )
        return await self._steer(subjects.SKIP_COMPENSATION, skip)

    async def _steer(self, subject: str, request: msgspec.Struct) -> ExecutionView | Refusal:
        answer = await self._ask(subject, request)
        if b'"reply":"refusal"' in answer:
            return msgspec.json.decode(answer, type=Refusal)
        return msgspec.json.decode(answer, type=ExecutionView)

    async def get(self, execution_id: str) -> ExecutionView:
        request = GetExecution(execution_id=execution_id, client_id=self._client_id)
        return msgspec.json.decode(await self._ask(subjects.GET, request), type=ExecutionView)

    async def get_or_refusal(self, execution_id: str) -> ExecutionView | Refusal:
        answer = await self._bus.ask(
            subjects.GET,
            msgspec.json.encode(GetExecution(execution_id=execution_id, client_id=self._client_id)),
            wait_seconds=5,
        )
        if b'"reply":"refusal"' in answer:
            return msgspec.json.decode(answer, type=Refusal)
        return msgspec.json.decode(answer, type=ExecutionView)

    async def status(self, execution_id: str) -> str:
        return (await self.get(execution_id)).status

    async def has_ended(self, execution_id: str) -> bool:
        return (await self.get(execution_id)).status.is_final

    async def cancel(self, execution_id: str) -> ExecutionView | Refusal:
        return await self._steer(subjects.CANCEL, CancelExecution(execution_id=execution_id, client_id=self._client_id))

    async def events(self, execution_id: str, after: int = 0, limit: int = 500) -> EventPage:
        request = ListEvents(execution_id=execution_id, client_id=self._client_id, after=after, limit=limit)
        return msgspec.json.decode(await self._ask(subjects.EVENTS, request), type=EventPage)

    async def _ask(self, subject: str, request: msgspec.Struct) -> bytes:
        return await self._bus.ask(subject, msgspec.json.encode(request), wait_seconds=30)


class HandWorker:
    """A worker whose every move a test makes. It is registered as `maker`, and reports as whoever a packet is for."""

    def __init__(self, bus: Bus, *, paid: bool = True, instance_id: str = "worker_a") -> None:
        self._bus = bus
        self._paid = paid
        self._instance_id = instance_id

    async def register(self) -> None:
        description = WorkerDescription(
            worker_name="maker",
            instance_id=self._instance_id,
            version="test",
            actions=(ActionDescription(name="make", paid=self._paid),),
        )
        key = f"maker.{self._instance_id}"
        await self._bus.put_entry(subjects.BUCKET_REGISTRY, key, msgspec.json.encode(description), ttl_seconds=60)

    async def take(self, wait_seconds: float = 5.0) -> tuple[Delivery, WorkPacket]:
        deliveries = await self._bus.open_consumer(
            ConsumerSpec(
                stream=subjects.STREAM_WORK,
                durable=subjects.work_consumer("maker", "normal"),
                filter_subject=subjects.work("maker", "normal"),
                ack_wait_seconds=30,
            )
        )
        batch = await deliveries.fetch(1, wait_seconds)
        assert batch, "no packet came"
        return batch[0], msgspec.json.decode(batch[0].payload, type=WorkPacket)

    async def claim(self, packet: WorkPacket) -> Any:
        request = ClaimRequest(
            packet_id=packet.packet_id,
            execution_id=packet.execution_id,
            stage_id=packet.stage_id,
            instance_id=self._instance_id,
        )
        reply = await self._bus.ask(subjects.CLAIM, msgspec.json.encode(request), wait_seconds=30)
        return msgspec.json.decode(reply, type=ClaimAnswer)

    async def granted(self, packet: WorkPacket) -> int:
        """The attempt's number. What a worker that was lost had reserved is waited for."""
        answer = await eventually(lambda: self._granted_or_refused(packet), what="a grant")
        assert isinstance(answer, Granted), answer
        return answer.attempt

    async def _granted_or_refused(self, packet: WorkPacket) -> Any:
        answer = await self.claim(packet)
        assert not isinstance(answer, Later) or "reserved" not in answer.reason, answer
        return answer

    async def beats(self, packet: WorkPacket, attempt: int) -> ProgressAnswer:
        """A sign of life."""
        [answer] = await self.tells(self.progress(packet, attempt))
        return answer

    async def tells(self, *together: Progress | Mapping[str, str]) -> list[ProgressAnswer]:
        """Signs of life as one question, among them some that are none."""
        answers: list[ProgressAnswer] = _PROGRESS_ANSWERS.decode(
            await self._bus.ask(subjects.PROGRESS, msgspec.json.encode(together), wait_seconds=30)
        )
        return answers

    def progress(self, packet: WorkPacket, attempt: int, percent: int = 10) -> Progress:
        return Progress(
            packet_id=packet.packet_id,
            execution_id=packet.execution_id,
            stage_id=packet.stage_id,
            attempt=attempt,
            worker_name=packet.worker_name,
            instance_id=self._instance_id,
            percent=percent,
        )

    async def completes(
        self,
        packet: WorkPacket,
        attempt: int,
        value: Any,
        *,
        output: BlobRef | None = None,
        cost_usd: str = "0",
        quality_score: float | None = None,
        element_count: int | None = None,
        calls: tuple[ProviderCall, ...] = (),
    ) -> None:
        report = Completed(
            packet_id=packet.packet_id,
            execution_id=packet.execution_id,
            stage_id=packet.stage_id,
            attempt=attempt,
            worker_name=packet.worker_name,
            instance_id=self._instance_id,
            output=output or inline_ref(value),
            metrics=Metrics(processing_time_ms=7, cost_usd=cost_usd),
            quality_score=quality_score,
            element_count=element_count,
            calls=calls,
        )
        await self.report(report)

    async def fails(
        self, packet: WorkPacket, attempt: int, code: str, *, retryable: bool, message: str = "it did not work"
    ) -> None:
        await self.report(
            Failed(
                packet_id=packet.packet_id,
                execution_id=packet.execution_id,
                stage_id=packet.stage_id,
                attempt=attempt,
                worker_name=packet.worker_name,
                instance_id=self._instance_id,
                code=code,
                message=message,
                retryable=retryable,
            )
        )

    async def report(self, report: Completed | Failed) -> None:
        message = Outgoing(subject=subjects.report(report.worker_name), payload=msgspec.json.encode([report]))
        await self._bus.publish([message])

    async def books(self, call: ProviderCall) -> None:
        message = Outgoing(subject=subjects.usage(call.execution_id), payload=msgspec.json.encode(call))
        await self._bus.publish([message])

    async def does_next(self, value: Any, **told: Any) -> WorkPacket:
        """Take a packet, claim it if it has to be claimed, complete it."""
        delivery, packet = await self.take()
        attempt = packet.attempt if packet.grant is not None else await self.granted(packet)
        await self.completes(packet, attempt, value, **told)
        await delivery.ack()
        return packet

    async def fails_next(self, code: str) -> WorkPacket:
        """Take a packet, claim it if it has to be claimed, and report that it will never work."""
        delivery, packet = await self.take()
        attempt = packet.attempt if packet.grant is not None else await self.granted(packet)
        await self.fails(packet, attempt, code, retryable=False)
        await delivery.ack()
        return packet


def inline_ref(value: Any) -> BlobRef:
    content = msgspec.json.encode(value)
    return BlobRef(
        storage_type=StorageType.INLINE,
        storage_key="data/output",
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        inline=content,
    )
