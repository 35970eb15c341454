"""From the audit stream into the log.

An entry is acknowledged after the commit, and is one row under its id however often and to how many replicas it is delivered.
"""

import asyncio
from collections.abc import Sequence

import msgspec
import structlog

from aif_contracts import subjects
from aif_contracts.audit import AuditEntry
from aif_orchestrator.audit.failures import AuditHeadMissing
from aif_orchestrator.audit.log import AuditLog
from aif_runtime.bus import Bus, ConsumerSpec, Delivery
from aif_runtime.dead_letters import bury
from aif_runtime.decoding import decode
from aif_runtime.failures import BusUnavailable, DatabaseUnavailable, MalformedMessage
from aif_runtime.postgres import Database
from aif_runtime.redaction import Redactor

AT_ONCE = 128
WAIT_SECONDS = 5.0
PAUSE_SECONDS = 0.5
RETRY_SECONDS = 1.0
FOUND_BY = "orchestrator"
ORIGIN = "audit"
SPEC = ConsumerSpec(
    stream=subjects.STREAM_AUDIT,
    durable=subjects.CONSUMER_AUDIT,
    filter_subject=subjects.ALL_AUDIT,
    max_ack_pending=4 * AT_ONCE,
)

log = structlog.get_logger()
_ENTRY = msgspec.json.Decoder(AuditEntry)


class AuditIntake:
    def __init__(self, *, bus: Bus, database: Database, audit: AuditLog, redactor: Redactor) -> None:
        self._bus = bus
        self._redactor = redactor
        self._database = database
        self._audit = audit

    async def run(self) -> None:
        """Until cancelled."""
        deliveries = await self._bus.open_consumer(SPEC)
        try:
            while True:
                try:
                    batch = await deliveries.fetch(AT_ONCE, WAIT_SECONDS)
                    if batch:
                        await self._take(batch)
                except BusUnavailable:
                    # What was not acknowledged comes again, and is the same row.
                    await asyncio.sleep(PAUSE_SECONDS)
        finally:
            await deliveries.close()

    async def _take(self, batch: Sequence[Delivery]) -> None:
        told: list[tuple[Delivery, AuditEntry]] = []
        for delivery in batch:
            try:
                told.append((delivery, decode(_ENTRY, delivery.payload)))
            except MalformedMessage as mistake:
                await bury(self._bus, delivery, str(mistake), FOUND_BY, ORIGIN, redactor=self._redactor)
        if not told:
            return
        try:
            async with self._database.transaction() as connection:
                await self._audit.append(connection, [entry for _, entry in told])
        except (DatabaseUnavailable, AuditHeadMissing) as failure:
            log.error("audit_delayed", entries=len(told), reason=str(failure))
            for delivery, _ in told:
                await delivery.retry_later(RETRY_SECONDS)
            return
        for delivery, _ in told:
            await delivery.ack()
