"""From the dead letters' stream into the table.

A letter is acknowledged after the commit, so one that was read is not lost with the broker's store.
"""

import asyncio
from collections.abc import Sequence

import structlog

from aif_contracts import subjects
from aif_orchestrator.dead_letters.reading import new_letter
from aif_orchestrator.store.dead_letters import DeadLetterStore, NewLetter
from aif_runtime.bus import Bus, ConsumerSpec, Delivery
from aif_runtime.clock import Clock
from aif_runtime.failures import BusUnavailable, DatabaseUnavailable
from aif_runtime.postgres import Database
from aif_runtime.redaction import Redactor

AT_ONCE = 16
"""A letter may be as large as a message, so few are in memory together."""
WAIT_SECONDS = 5.0
PAUSE_SECONDS = 0.5
RETRY_SECONDS = 1.0
TIDY_SECONDS = 3600.0
TIDIED_AT_ONCE = 1000
KEEP_DECIDED_DAYS = 30
SPEC = ConsumerSpec(
    stream=subjects.STREAM_DEAD,
    durable=subjects.CONSUMER_DEAD,
    filter_subject=subjects.ALL_DEAD,
    max_ack_pending=4 * AT_ONCE,
)

log = structlog.get_logger()


class DeadLetterIntake:
    def __init__(self, *, bus: Bus, database: Database, letters: DeadLetterStore, redactor: Redactor, clock: Clock) -> None:
        self._bus = bus
        self._database = database
        self._letters = letters
        self._redactor = redactor
        self._monotonic = clock.monotonic
        self._tidy_at = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        deliveries = await self._bus.open_consumer(SPEC)
        try:
            while True:
                if self._monotonic() >= self._tidy_at:
                    await self._tidy()
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
        letters = {letter.dead_letter_id: letter for letter in (new_letter(each, self._redactor) for each in batch)}
        try:
            async with self._database.transaction() as connection:
                new = await self._letters.keep(connection, list(letters.values()))
        except DatabaseUnavailable as failure:
            log.warning("dead_letters_delayed", letters=len(letters), reason=str(failure))
            for delivery in batch:
                await delivery.retry_later(RETRY_SECONDS)
            return
        for dead_letter_id in new:
            _tell(letters[dead_letter_id])
        for delivery in batch:
            await delivery.ack()

    async def _tidy(self) -> None:
        """Forget what was decided long ago."""
        try:
            async with self._database.transaction() as connection:
                await self._letters.delete_decided(connection, older_than_days=KEEP_DECIDED_DAYS, limit=TIDIED_AT_ONCE)
        except DatabaseUnavailable as failure:
            log.warning("dead_letters_not_tidied", reason=str(failure))
        self._tidy_at = self._monotonic() + TIDY_SECONDS


def _tell(letter: NewLetter) -> None:
    log.warning(
        "dead_letter_kept",
        dead_letter_id=letter.dead_letter_id,
        origin=letter.origin,
        found_by=letter.found_by,
        execution_id=letter.execution_id,
        client_id=letter.client_id,
        size_bytes=letter.size_bytes,
    )
