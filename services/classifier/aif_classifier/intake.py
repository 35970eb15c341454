"""Takes performance records off their stream into the log: whole batches in one transaction, acknowledged after the commit.

A record delivered twice is the same row. A record that cannot be a row goes to the dead letters. While the database is away
everything is handed back for later, and nothing is ever dropped for having been delivered often because of that.
"""

import asyncio
from collections.abc import Sequence

import structlog
from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter

from aif_classifier.failures import RecordInvalid
from aif_classifier.records import RecordReader
from aif_classifier.rhythm import pause
from aif_classifier.samples import Slice
from aif_classifier.store import AttemptRow, PerformanceStore
from aif_contracts import subjects
from aif_runtime.bus import Bus, ConsumerSpec, Deliveries, Delivery
from aif_runtime.dead_letters import bury
from aif_runtime.failures import BusUnavailable, DatabaseUnavailable, MalformedMessage
from aif_runtime.postgres import Database
from aif_runtime.redaction import Redactor

CONSUMER = ConsumerSpec(
    stream=subjects.STREAM_PERFORMANCE,
    durable=subjects.CONSUMER_PERFORMANCE,
    filter_subject=subjects.ALL_PERFORMANCE,
    # A batch takes milliseconds, and while the database hangs its time limits end it before this.
    ack_wait_seconds=10.0,
)
MOST_IN_A_BATCH = 256
MOST_DELIVERIES = 5
"""A record that the database refuses for a reason unforeseen is given up after so many."""
_FETCH_SECONDS = 1.0
_PAUSE_SECONDS = 1.0
_LONGEST_DELAY_SECONDS = 60.0
_FOUND_BY = "classifier"
_ORIGIN = subjects.STREAM_PERFORMANCE.removeprefix("AIF_").lower()

_log = structlog.get_logger()


class _Readable(Struct, frozen=True, kw_only=True):
    delivery: Delivery
    row: AttemptRow


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
        deliveries = await self._open(stop)
        if deliveries is None:
            return
        try:
            while not stop.is_set():
                await self._next_batch(deliveries, stop)
        finally:
            await deliveries.close()

    async def _open(self, stop: asyncio.Event) -> Deliveries | None:
        while not stop.is_set():
            try:
                return await self._bus.open_consumer(CONSUMER)
            except BusUnavailable as failure:
                _log.warning("intake_waits", reason=str(failure))
                await pause(stop, _PAUSE_SECONDS)
        return None

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
        readable: list[_Readable] = []
        unreadable: list[tuple[Delivery, str]] = []
        for delivery in batch:
            try:
                readable.append(_Readable(delivery=delivery, row=self._reader.read(delivery.payload)))
            except (MalformedMessage, RecordInvalid) as wrong:
                unreadable.append((delivery, str(wrong)))
        # The good ones first: they do not wait for room among the dead letters.
        if readable:
            await self._keep_batch(readable)
        for delivery, reason in unreadable:
            await self._give_up(delivery, reason)

    async def _keep_batch(self, readable: Sequence[_Readable]) -> None:
        try:
            await self._keep(readable)
        except DatabaseUnavailable:
            for taken in readable:
                await self._postpone(taken.delivery)
            raise
        except BusUnavailable:
            raise
        except Exception:  # noqa: BLE001 one record must not hold up the others for ever: find it by trying each alone
            _log.exception("batch_refused", records=len(readable))
            for taken in readable:
                await self._keep_alone(taken)

    async def _keep(self, readable: Sequence[_Readable]) -> None:
        async with self._database.transaction() as connection:
            new = await self._store.insert_attempts(connection, [taken.row for taken in readable])
        self._touched.update(new)
        self._records.labels("stored").inc(len(new))
        self._records.labels("repeated").inc(len(readable) - len(new))
        for taken in readable:
            await taken.delivery.ack()

    async def _keep_alone(self, taken: _Readable) -> None:
        try:
            await self._keep([taken])
        except DatabaseUnavailable:
            await self._postpone(taken.delivery)
        except BusUnavailable:
            raise
        except Exception as unforeseen:  # noqa: BLE001 the same for one record
            if taken.delivery.num_delivered > MOST_DELIVERIES:
                await self._give_up(taken.delivery, f"the database refused it: {type(unforeseen).__name__}")
            else:
                await self._postpone(taken.delivery)

    async def _postpone(self, delivery: Delivery) -> None:
        self._records.labels("postponed").inc()
        await delivery.retry_later(min(2.0 ** min(delivery.num_delivered, 10), _LONGEST_DELAY_SECONDS))

    async def _give_up(self, delivery: Delivery, reason: str) -> None:
        _log.warning("record_refused", subject=delivery.subject, reason=reason)
        await bury(self._bus, delivery, reason, _FOUND_BY, _ORIGIN, redactor=self._redactor)
        self._records.labels("buried").inc()
