"""Reports and usage from the workers: read from their streams, applied by the engine, acknowledged after the commit."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog

from aif_contracts import subjects
from aif_contracts.blobs import BlobRef
from aif_contracts.metering import Metrics, ProviderCall
from aif_contracts.reports import Accepted, Completed, Declined, Failed, Progress, Report
from aif_orchestrator.engine.engine import Engine, NotApplied
from aif_orchestrator.execution.happenings import (
    AttemptCompleted,
    AttemptFailed,
    AttemptProgressed,
    CallBooked,
    Happening,
    PacketDeclined,
)
from aif_runtime.blobs import BlobStore
from aif_runtime.bus import Bus, ConsumerSpec, Delivery
from aif_runtime.dead_letters import bury
from aif_runtime.decoding import decode
from aif_runtime.failures import (
    BlobCorrupt,
    BlobMissing,
    BlobStoreUnavailable,
    BusUnavailable,
    DatabaseUnavailable,
    MalformedMessage,
)
from aif_runtime.redaction import Redactor

AT_ONCE = 256
READERS = 3
"""Batches under way at once: while one is being committed the next is read."""
WAIT_SECONDS = 5.0
PAUSE_SECONDS = 0.5
RETRY_SECONDS = 1.0
MOST_DELIVERIES = 5
SHORTEST_ACK_WAIT_SECONDS = 2.0
"""A replica that is only busy should not get everything twice."""
JSON_MEDIA_TYPE = "application/json"
FOUND_BY = "orchestrator"

log = structlog.get_logger()
_REPORT = msgspec.json.Decoder(Report)
_CALL = msgspec.json.Decoder(ProviderCall)

Take = Callable[[Delivery], Awaitable[None]]


class Intake:
    """Reads both streams with a few concurrent readers each."""

    def __init__(self, *, bus: Bus, blobs: BlobStore, engine: Engine, lease_seconds: float, redactor: Redactor) -> None:
        """`lease_seconds` is how long an attempt may be silent.

        What a killed replica had in hand comes to another one well within it: an attempt whose report lies at a dead
        replica would otherwise be taken for lost, and paid for again.
        """
        self._bus = bus
        self._blobs = blobs
        self._engine = engine
        self._redactor = redactor
        self._ack_wait_seconds = max(lease_seconds / 3, SHORTEST_ACK_WAIT_SECONDS)

    async def run(self) -> None:
        """Until cancelled."""
        reports = ConsumerSpec(
            stream=subjects.STREAM_REPORTS,
            durable=subjects.CONSUMER_REPORTS,
            filter_subject=subjects.ALL_REPORTS,
            ack_wait_seconds=self._ack_wait_seconds,
            max_ack_pending=4 * AT_ONCE,
        )
        usage = ConsumerSpec(
            stream=subjects.STREAM_USAGE,
            durable=subjects.CONSUMER_USAGE,
            filter_subject=subjects.ALL_USAGE,
            ack_wait_seconds=self._ack_wait_seconds,
            max_ack_pending=4 * AT_ONCE,
        )
        async with asyncio.TaskGroup() as group:
            for _ in range(READERS):
                group.create_task(self._read(reports, self._take_report, "reports"))
            group.create_task(self._read(usage, self._take_call, "usage"))

    async def _read(self, spec: ConsumerSpec, take: Take, origin: str) -> None:
        deliveries = await self._bus.open_consumer(spec)
        try:
            while True:
                try:
                    batch = await deliveries.fetch(AT_ONCE, WAIT_SECONDS)
                except BusUnavailable:
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
                if len(batch) == 1:
                    await self._settle(batch[0], take, origin)
                elif batch:
                    await asyncio.gather(*(self._settle(delivery, take, origin) for delivery in batch))
        finally:
            await deliveries.close()

    async def _settle(self, delivery: Delivery, take: Take, origin: str) -> None:
        try:
            try:
                await take(delivery)
            except MalformedMessage as mistake:
                await bury(self._bus, delivery, str(mistake), FOUND_BY, origin, redactor=self._redactor)
            except NotApplied as failure:
                if delivery.num_delivered >= MOST_DELIVERIES:
                    await bury(self._bus, delivery, str(failure), FOUND_BY, origin, redactor=self._redactor)
                else:
                    await delivery.retry_later(RETRY_SECONDS)
            except (DatabaseUnavailable, BlobStoreUnavailable) as failure:
                log.warning("delivery_delayed", origin=origin, reason=str(failure))
                await delivery.retry_later(RETRY_SECONDS)
            else:
                await delivery.ack()
        except BusUnavailable as failure:
            # Unsettled: it comes again, and applying it again is harmless.
            log.warning("delivery_not_settled", origin=origin, reason=str(failure))

    async def _take_report(self, delivery: Delivery) -> None:
        report = decode(_REPORT, delivery.payload)
        if report.execution_id != subjects.last_token(delivery.subject):
            raise MalformedMessage(f"the report is for {report.execution_id}, its subject says {delivery.subject}")
        await self._engine.apply(report.execution_id, await self._happening(report))

    async def _take_call(self, delivery: Delivery) -> None:
        call = decode(_CALL, delivery.payload)
        if call.execution_id != subjects.last_token(delivery.subject):
            raise MalformedMessage(f"the call is of {call.execution_id}, its subject says {delivery.subject}")
        await self._engine.apply(call.execution_id, CallBooked(call=call))

    async def _happening(self, report: Report) -> Happening:
        match report:
            case Completed():
                return await self._completed(report)
            case Failed():
                return AttemptFailed(
                    stage_id=report.stage_id,
                    attempt=report.attempt,
                    code=report.code,
                    message=report.message,
                    retryable=report.retryable,
                    retry_after_ms=report.retry_after_ms,
                    metrics=report.metrics,
                    instance_id=report.instance_id,
                )
            case Declined():
                return PacketDeclined(stage_id=report.stage_id, packet_id=report.packet_id, message=report.message)
            case Accepted():
                return _alive(report, 0, "")
            case Progress():
                return _alive(report, report.percent, report.message)

    async def _completed(self, report: Completed) -> Happening:
        """A result counts only if its bytes are there and are the right ones."""
        try:
            value = await self._read_output(report.output)
        except (BlobMissing, BlobCorrupt) as failure:
            return _unusable(report, failure.code, str(failure))
        except msgspec.DecodeError as mistake:
            return _unusable(report, "output_malformed", f"the output is no JSON: {mistake}")
        return AttemptCompleted(
            stage_id=report.stage_id,
            attempt=report.attempt,
            output=report.output,
            value=value,
            metrics=report.metrics,
            quality_score=report.quality_score,
            element_count=report.element_count,
            summary=report.output_summary,
            instance_id=report.instance_id,
        )

    async def _read_output(self, output: BlobRef) -> Any:
        content = await self._blobs.get(output)
        return msgspec.json.decode(content) if output.media_type == JSON_MEDIA_TYPE else None


def _alive(report: Accepted | Progress, percent: int, message: str) -> AttemptProgressed:
    return AttemptProgressed(
        stage_id=report.stage_id,
        attempt=report.attempt,
        instance_id=report.instance_id,
        percent=percent,
        message=message,
    )


def _unusable(report: Completed, code: str, message: str) -> AttemptFailed:
    metrics: Metrics = report.metrics
    return AttemptFailed(
        stage_id=report.stage_id,
        attempt=report.attempt,
        code=code,
        message=message,
        retryable=True,
        retry_after_ms=None,
        metrics=metrics,
        instance_id=report.instance_id,
    )
