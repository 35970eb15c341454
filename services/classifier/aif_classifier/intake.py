"""Takes performance records off their stream into the log: whole batches in one transaction, acknowledged after the commit.

A message holds many records. A record delivered twice is the same row. One that cannot be a row goes to the dead letters by
itself. While the database is away everything is handed back for later, and nothing is ever dropped for having been delivered
often because of that.
"""

import asyncio
from collections.abc import Sequence

import structlog
from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter

from aif_classifier.records import Poison, RecordReader, Records
from aif_classifier.rhythm import pause
from aif_classifier.samples import Slice
from aif_classifier.store import AttemptRow, PerformanceStore
from aif_contracts import subjects
from aif_runtime.bus import Bus, ConsumerSpec, Deliveries, Delivery
from aif_runtime.dead_letters import bury_part
from aif_runtime.failures import BusUnavailable, DatabaseUnavailable
from aif_runtime.postgres import Database
from aif_runtime.redaction import Redactor

CONSUMER = ConsumerSpec(
    stream=subjects.STREAM_PERFORMANCE,
    durable=subjects.CONSUMER_PERFORMANCE,
    filter_subject=subjects.ALL_PERFORMANCE,
    # A batch takes milliseconds, and while the database hangs its time limits end it before this.
    ack_wait_seconds=10.0,
)
MOST_IN_A_BATCH = 32
"""Messages, each of up to a hundred records."""
MOST_DELIVERIES = 5
"""A message whose records the database refuses for a reason unforeseen is given up after so many."""
_FETCH_SECONDS = 1.0
_PAUSE_SECONDS = 1.0
_LONGEST_DELAY_SECONDS = 60.0
_FOUND_BY = "classifier"
_ORIGIN = subjects.STREAM_PERFORMANCE.removeprefix("AIF_").lower()

_log = structlog.get_logger()


class _Told(Struct, frozen=True, kw_only=True):
    delivery: Delivery
    records: Records


class Intake:
    def __init__(
        self,
        *,
        bus: Bus,
        database: Database,
        store: PerformanceStore,
        touched: set[Slice],
        registry: CollectorRegistry,
        redactor: Redactor,
    ) -> None:
        """`touched` collects the slices of new attempts, for the analysis."""
        self._bus = bus
        self._database = database
        self._store = store
        self._touched = touched
        self._redactor = redactor
        self._reader = RecordReader()
        self._records = Counter(
            "aif_classifier_records", "Performance records by what became of them", ["outcome"], registry=registry
        )

    async def run(self, stop: asyncio.Event) -> None:
        deliveries = await self._bus.open_consumer(CONSUMER)
        try:
            while not stop.is_set():
                await self._next_batch(deliveries, stop)
        finally:
            await deliveries.close()

    async def _next_batch(self, deliveries: Deliveries, stop: asyncio.Event) -> None:
        try:
            batch = await deliveries.fetch(MOST_IN_A_BATCH, _FETCH_SECONDS)
            if batch:
                await self.take(batch)
        except (BusUnavailable, DatabaseUnavailable) as failure:
            _log.warning("intake_waits", code=failure.code, reason=str(failure))
            await pause(stop, _PAUSE_SECONDS)

    async def take(self, batch: Sequence[Delivery]) -> None:
        """Store a batch and settle its deliveries. Raises DatabaseUnavailable after handing the readable ones back, and
        BusUnavailable; what is then unsettled comes again."""
        told = [_Told(delivery=delivery, records=self._reader.read(delivery.payload)) for delivery in batch]
        # The good ones first: they do not wait for room among the dead letters.
        readable = [each for each in told if each.records.readable]
        if readable:
            await self._keep_batch(readable)
        for each in told:
            if not each.records.readable:
                await self._settle(each, each.records.poison)

    async def _keep_batch(self, readable: Sequence[_Told]) -> None:
        try:
            await self._keep([row for each in readable for row in each.records.rows])
        except DatabaseUnavailable:
            for each in readable:
                await self._postpone(each)
            raise
        except Exception:  # noqa: BLE001 one record must not hold up the others for ever: find it by trying each alone
            _log.exception("batch_refused", messages=len(readable))
            for each in readable:
                await self._keep_one_by_one(each)
        else:
            for each in sorted(readable, key=_is_flawed):
                await self._settle(each, each.records.poison)

    async def _keep(self, rows: Sequence[AttemptRow]) -> None:
        async with self._database.transaction() as connection:
            new = await self._store.insert_attempts(connection, rows)
        self._touched.update(new)
        self._records.labels("stored").inc(len(new))
        self._records.labels("repeated").inc(len(rows) - len(new))

    async def _keep_one_by_one(self, told: _Told) -> None:
        refused: list[Poison] = []
        for record in told.records.readable:
            try:
                await self._keep([record.row])
            except DatabaseUnavailable:
                await self._postpone(told)
                return
            except Exception as unforeseen:  # noqa: BLE001 the same for one record
                refused.append(record.refused(f"the database refused it: {type(unforeseen).__name__}"))
        if refused and told.delivery.num_delivered <= MOST_DELIVERIES:
            await self._postpone(told)
        else:
            await self._settle(told, [*told.records.poison, *refused])

    async def _settle(self, told: _Told, poison: Sequence[Poison]) -> None:
        """When all that can be stored is. Burying the same again is harmless, should it come once more."""
        for each in poison:
            _log.warning("record_refused", subject=told.delivery.subject, reason=each.reason)
            await bury_part(self._bus, told.delivery, each.content, each.reason, _FOUND_BY, _ORIGIN, redactor=self._redactor)
            self._records.labels("buried").inc()
        await told.delivery.ack()

    async def _postpone(self, told: _Told) -> None:
        self._records.labels("postponed").inc(len(told.records.readable))
        await told.delivery.retry_later(min(2.0 ** min(told.delivery.num_delivered, 10), _LONGEST_DELAY_SECONDS))


def _is_flawed(told: _Told) -> bool:
    return bool(told.records.poison)
