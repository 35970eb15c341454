"""Reports and usage from the workers: read from their streams, applied by the engine, acknowledged after the commit.

Reports on packets that this replica has offered are told to it directly, and answered after the commit. When they cannot all be
applied at once, their worker is asked to store them, so that trouble is met in one place only.

A message holds the reports of several attempts. It comes again as a whole while one of them cannot be applied now, because
applying the others again is harmless; what can never be applied is buried alone, when all the rest is done.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import structlog

from aif_contracts import subjects
from aif_contracts.blobs import BlobRef, StorageType
from aif_contracts.metering import Metrics, ProviderCall
from aif_contracts.reports import (
    APPLIED,
    UNKNOWN_ACTION,
    Accepted,
    Completed,
    Declined,
    Failed,
    Progress,
    ProgressPoint,
    Report,
)
from aif_orchestrator.engine.arrivals import Applied, NotApplied, NotItsAttempt
from aif_orchestrator.engine.engine import Engine
from aif_orchestrator.engine.relay import Relay
from aif_orchestrator.execution.happenings import (
    AttemptCompleted,
    AttemptFailed,
    AttemptProgressed,
    CallBooked,
    Happening,
    PacketDeclined,
)
from aif_orchestrator.reports_in import Ended, Poison, read_reports
from aif_pipelines.json_values import is_deeper_than
from aif_runtime.blobs import BlobStore
from aif_runtime.bus import Bus, ConsumerSpec, Delivery, Question
from aif_runtime.dead_letters import bury_part
from aif_runtime.decoding import decode
from aif_runtime.failures import (
    BlobCorrupt,
    BlobMissing,
    BlobStoreUnavailable,
    BusUnavailable,
    DatabaseUnavailable,
    MalformedMessage,
    RuntimeFailure,
)
from aif_runtime.redaction import Redactor

CALLS_AT_ONCE = 256
REPORT_MESSAGES_AT_ONCE = 32
"""With up to 64 reports in each: what is in hand has to be applied well within the ack wait."""
READERS = 3
"""Batches of reports under way at once: while one is being committed the next is read."""
WAIT_SECONDS = 5.0
PAUSE_SECONDS = 0.5
RETRY_SECONDS = 1.0
MOST_DELIVERIES = 5
SHORTEST_ACK_WAIT_SECONDS = 2.0
"""A replica that is only busy should not get everything twice."""
TO_BE_STORED = b"store"
MOST_LEVELS = 100
"""Of lists and objects in an output. Beyond that its validation, its JSON and its text have limits of their own."""
_TOO_DEEP = f"the output is nested deeper than {MOST_LEVELS} levels"
JSON_MEDIA_TYPE = "application/json"
FOUND_BY = "orchestrator"

log = structlog.get_logger()
_CALL = msgspec.json.Decoder(ProviderCall)

Take = Callable[[Delivery], Awaitable[Sequence[Poison]]]
"""Applies a message and gives what in it can never be applied. Raises what keeps the rest from being applied now."""


class Intake:
    """Reads both streams, reports with a few readers at once, and answers what is told directly."""

    def __init__(
        self,
        *,
        bus: Bus,
        blobs: BlobStore,
        engine: Engine,
        relay: Relay,
        replica: str,
        lease_seconds: float,
        redactor: Redactor,
    ) -> None:
        """`replica` is the relay's name for this process; `lease_seconds` is how long an attempt may be silent.

        What a killed replica had in hand comes to another one well within it: an attempt whose report lies at a dead
        replica would otherwise be taken for lost, and paid for again.
        """
        self._bus = bus
        self._blobs = blobs
        self._engine = engine
        self._relay = relay
        self._replica = replica
        self._is_open = False
        self._redactor = redactor
        self._ack_wait_seconds = max(lease_seconds / 3, SHORTEST_ACK_WAIT_SECONDS)

    async def open(self) -> None:
        """Answer reports from now on; until it runs, that they are to be stored. Raises BusUnavailable."""
        await self._bus.answer(subjects.direct_reports(self._replica), subjects.ORCHESTRATOR_GROUP, self._answer_reports)

    async def run(self) -> None:
        """Until cancelled."""
        reports = ConsumerSpec(
            stream=subjects.STREAM_REPORTS,
            durable=subjects.CONSUMER_REPORTS,
            filter_subject=subjects.ALL_REPORTS,
            ack_wait_seconds=self._ack_wait_seconds,
        )
        usage = ConsumerSpec(
            stream=subjects.STREAM_USAGE,
            durable=subjects.CONSUMER_USAGE,
            filter_subject=subjects.ALL_USAGE,
            ack_wait_seconds=self._ack_wait_seconds,
            max_ack_pending=4 * CALLS_AT_ONCE,
        )
        self._is_open = True
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(READERS):
                    group.create_task(self._read(reports, self._take_reports, "reports", REPORT_MESSAGES_AT_ONCE))
                group.create_task(self._read(usage, self._take_call, "usage", CALLS_AT_ONCE))
        finally:
            self._is_open = False

    async def _read(self, spec: ConsumerSpec, take: Take, origin: str, at_once: int) -> None:
        deliveries = await self._bus.open_consumer(spec)
        try:
            while True:
                try:
                    batch = await deliveries.fetch(at_once, WAIT_SECONDS)
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
                poison = await take(delivery)
            except (NotApplied, DatabaseUnavailable, BlobStoreUnavailable) as failure:
                log.warning("delivery_delayed", origin=origin, reason=str(failure))
                await delivery.retry_later(RETRY_SECONDS)
                return
            for each in poison:
                # Else it would come again before all is buried, each time, and nobody would ever have done with it.
                await delivery.still_working()
                await bury_part(self._bus, delivery, each.content, each.reason, FOUND_BY, origin, redactor=self._redactor)
            await delivery.ack()
        except BusUnavailable as failure:
            # Unsettled: it comes again, and applying it again is harmless.
            log.warning("delivery_not_settled", origin=origin, reason=str(failure))

    async def _answer_reports(self, question: Question) -> bytes:
        if not self._is_open:
            return TO_BE_STORED
        reports, poison = read_reports(question.payload, worker=subjects.last_token(question.subject))
        failed = await self._apply_all(reports)
        # Of the others nothing has come yet: their worker may die before it has stored what it reports.
        not_applied = {report.packet_id for report, _ in failed}
        self._relay.has_come_of(report.packet_id for report in reports if report.packet_id not in not_applied)
        return TO_BE_STORED if poison or failed else APPLIED

    async def _take_reports(self, delivery: Delivery) -> Sequence[Poison]:
        reports, poison = read_reports(delivery.payload, worker=subjects.last_token(delivery.subject))
        for report, failure in await self._apply_all(reports):
            content = msgspec.json.encode([report])
            if isinstance(failure, NotItsAttempt):
                poison.append(Poison(content=content, reason=str(failure)))
                continue
            if not isinstance(failure, NotApplied) or delivery.num_delivered < MOST_DELIVERIES:
                raise failure
            ended = Ended(
                execution_id=report.execution_id,
                stage_id=report.stage_id,
                attempt=report.attempt,
                worker_name=report.worker_name,
                instance_id=report.instance_id,
            )
            poison.append(Poison(content=content, reason=str(failure), ended=ended))
        for each in poison:
            await self._end_attempt_of(each)
        return poison

    async def _end_attempt_of(self, poison: Poison) -> None:
        """Its worker has done with it, and would otherwise pass for silent, again and again."""
        if poison.ended is None:
            return
        try:
            await self._engine.submit(poison.ended.execution_id, poison.ended.failed(poison.reason))
        except NotApplied as failure:
            log.warning("attempt_not_ended", execution_id=poison.ended.execution_id, reason=str(failure))

    async def _apply_all(self, reports: Sequence[Report]) -> list[tuple[Report, NotApplied | RuntimeFailure]]:
        """Those that were not applied, and why."""
        near = [report for report in reports if not _is_stored_elsewhere(report)]
        far = [report for report in reports if _is_stored_elsewhere(report)]
        if not far:
            return await self._apply_together(near)
        found = await asyncio.gather(self._apply_together(near), *(self._apply_together([report]) for report in far))
        return [each for some in found for each in some]

    async def _apply_together(self, reports: Sequence[Report]) -> list[tuple[Report, NotApplied | RuntimeFailure]]:
        """Those that were not applied, and why."""
        failed: list[tuple[Report, NotApplied | RuntimeFailure]] = []
        under_way: list[tuple[Report, asyncio.Future[Applied]]] = []
        for report in reports:
            try:
                happening = await self._happening(report)
            except BlobStoreUnavailable as failure:
                failed.append((report, failure))
            else:
                under_way.append((report, self._engine.submit(report.execution_id, happening)))
        for report, applied in under_way:
            try:
                await applied
            except (NotApplied, DatabaseUnavailable) as failure:
                failed.append((report, failure))
        return failed

    async def _take_call(self, delivery: Delivery) -> Sequence[Poison]:
        try:
            call = decode(_CALL, delivery.payload)
            if call.execution_id != subjects.last_token(delivery.subject):
                raise MalformedMessage(f"the call is of {call.execution_id}, its subject says {delivery.subject}")
            await self._engine.apply(call.execution_id, CallBooked(call=call))
        except MalformedMessage as mistake:
            return [Poison(content=delivery.payload, reason=str(mistake))]
        except NotApplied as failure:
            if delivery.num_delivered < MOST_DELIVERIES:
                raise
            return [Poison(content=delivery.payload, reason=str(failure))]
        return ()

    async def _happening(self, report: Report) -> Happening:
        match report:
            case Completed():
                return await self._completed(report)
            case Failed():
                return AttemptFailed(
                    stage_id=report.stage_id,
                    attempt=report.attempt,
                    worker_name=report.worker_name,
                    code=report.code,
                    message=report.message,
                    retryable=report.retryable,
                    retry_after_ms=report.retry_after_ms,
                    metrics=report.metrics,
                    instance_id=report.instance_id,
                    calls=report.calls,
                    points=report.points,
                )
            case Declined():
                return PacketDeclined(
                    stage_id=report.stage_id,
                    packet_id=report.packet_id,
                    worker_name=report.worker_name,
                    message=report.message,
                    is_action_unknown=report.code == UNKNOWN_ACTION,
                )
            case Accepted():
                return _alive(report)
            case Progress():
                return _alive(report, report.percent, report.message, report.points)

    async def _completed(self, report: Completed) -> Happening:
        """A result counts only if its bytes are there and are the right ones."""
        try:
            value = await self._read_output(report.output)
        except (BlobMissing, BlobCorrupt) as failure:
            return _unusable(report, failure.code, str(failure))
        except (msgspec.DecodeError, UnicodeDecodeError) as mistake:
            return _unusable(report, "output_malformed", f"the output is no JSON: {mistake}")
        except RecursionError:
            return _unusable(report, "output_malformed", _TOO_DEEP)
        if is_deeper_than(MOST_LEVELS, value):
            return _unusable(report, "output_malformed", _TOO_DEEP)
        return AttemptCompleted(
            stage_id=report.stage_id,
            attempt=report.attempt,
            worker_name=report.worker_name,
            output=report.output,
            value=value,
            metrics=report.metrics,
            quality_score=report.quality_score,
            element_count=report.element_count,
            summary=report.output_summary,
            instance_id=report.instance_id,
            calls=report.calls,
            points=report.points,
        )

    async def _read_output(self, output: BlobRef) -> Any:
        content = await self._blobs.get(output)
        return msgspec.json.decode(content) if output.media_type == JSON_MEDIA_TYPE else None


def _is_stored_elsewhere(report: Report) -> bool:
    """Whether its output has to be fetched first: others should not wait for that."""
    return isinstance(report, Completed) and report.output.storage_type is not StorageType.INLINE


def _alive(
    report: Accepted | Progress, percent: int = 0, message: str = "", points: tuple[ProgressPoint, ...] = ()
) -> AttemptProgressed:
    return AttemptProgressed(
        stage_id=report.stage_id,
        attempt=report.attempt,
        instance_id=report.instance_id,
        percent=percent,
        message=message,
        points=points,
    )


def _unusable(report: Completed, code: str, message: str) -> AttemptFailed:
    metrics: Metrics = report.metrics
    return AttemptFailed(
        stage_id=report.stage_id,
        attempt=report.attempt,
        worker_name=report.worker_name,
        code=code,
        message=message,
        retryable=True,
        retry_after_ms=None,
        metrics=metrics,
        instance_id=report.instance_id,
        calls=report.calls,
        points=report.points,
    )
