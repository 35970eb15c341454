"""From the outbox to the broker: what was committed is published, at least once, whoever dies in between.

The engine hands over each row right after its commit. A new packet is offered to a worker that is free; where none is, it is
stored, as everything else, and waits at the broker. Performance records wait a moment for each other, and so do the events of
an execution, up to the one that ends it.

A row is deleted when nothing of it is left to do: the broker has confirmed its messages, and of each packet that was offered a
report is committed. The engine deletes it along with its next batch, so that it costs no commit of its own while there is work.
An offer of which nothing has come for some seconds is told to the core: it writes the packet again unless the worker was heard
of in another way. Rows that a dead replica has left are found by their age.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

import structlog

from aif_contracts import subjects
from aif_orchestrator.engine.arrivals import NotApplied
from aif_orchestrator.engine.figures import Figures
from aif_orchestrator.engine.told_attempts import performance_messages, record_post
from aif_orchestrator.engine.told_events import event_post
from aif_orchestrator.execution.happenings import Happening, PacketUntold
from aif_orchestrator.store.outbox import NamedPacket, OutboxStore
from aif_runtime.bus import Bus, Offer, Outgoing
from aif_runtime.failures import BusUnavailable, DatabaseUnavailable
from aif_runtime.postgres import Database

RETRY_SECONDS = 0.25
TIDY_SECONDS = 1.0
STALE_SECONDS = 5.0
UNANSWERED_SECONDS = 3.0
"""Less than what makes a row stale, more than a worker needs for its first sign of life."""
RELUCTANT_SECONDS = 0.5
"""So long after a refusal nothing is offered to a worker: it is busy, and each refusal costs two messages."""
SILENT_SECONDS = 30.0
"""The same after an offer that got lost: one of the worker's processes may be frozen, and would get every other one."""
LISTEN_SECONDS = 5.0

Apply = Callable[[str, Happening], Awaitable[object]]
"""Lets something happen to an execution; returns when it is committed."""

log = structlog.get_logger()


class _Row:
    __slots__ = ("outbox_id", "unfinished")

    def __init__(self, outbox_id: int) -> None:
        self.outbox_id = outbox_id
        self.unfinished = 0
        """Parts of it that are neither confirmed nor answered."""


class _Offered:
    __slots__ = ("due_at", "message", "packet", "row")

    def __init__(self, packet: NamedPacket, message: Outgoing, row: _Row, due_at: float) -> None:
        self.packet = packet
        self.message = message
        self.row = row
        self.due_at = due_at


class Relay:
    def __init__(
        self,
        *,
        bus: Bus,
        database: Database,
        outbox: OutboxStore,
        figures: Figures,
        replica: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`replica` is this process's name among the orchestrators, where workers report on what it has offered."""
        self._bus = bus
        self._database = database
        self._outbox = outbox
        self._figures = figures
        self._replica = replica
        self._monotonic = monotonic
        self._to_store: list[tuple[_Row, Sequence[Outgoing]]] = []
        self._offered: dict[str, _Offered] = {}
        """By packet id, the oldest first."""
        self._records = record_post(self._publish)
        self._events = event_post(self._publish)
        self._hears_refusals = False
        """Before, nothing is offered."""
        self._reluctant_until: dict[str, float] = {}
        """By the subject of the work."""
        self._held: set[int] = set()
        """Rows of ours that are not deleted yet."""
        self._published: list[int] = []
        self._something_to_store = asyncio.Event()
        self._being_stored = 0
        """Parts of rows that the broker is to confirm."""
        self._idle = asyncio.Event()
        self._idle.set()

    async def send(self, outbox_id: int, messages: Sequence[Outgoing], new_packets: Sequence[NamedPacket] = ()) -> None:
        """Take over a committed row; `new_packets` are among its messages. Returns when what is to be offered is."""
        row = _Row(outbox_id)
        self._held.add(outbox_id)
        packets = {packet.packet_id: packet for packet in new_packets}
        now = self._monotonic()
        stored: list[Outgoing] = []
        offered: list[_Offered] = []
        for message in messages:
            packet = packets.get(message.message_id or "")
            if packet is not None and self._may_offer(message.subject, now):
                offered.append(_Offered(packet, message, row, now + UNANSWERED_SECONDS))
            elif subjects.is_performance(message.subject):
                self._begin_storing(row)
                self._records.send(message, partial(self._is_stored, row))
            elif subjects.is_event(message.subject):
                self._begin_storing(row)
                self._events.send(message, partial(self._is_stored, row))
            else:
                if message.message_id in self._offered:
                    # The core has written it again, so the offer was lost.
                    self._reluctant_until[message.subject] = now + SILENT_SECONDS
                    self._figures.count_unanswered(subjects.worker_of_work(message.subject))
                stored.append(message)
        if stored:
            self._store(row, stored)
        if offered:
            await self._offer(row, offered)

    def has_come_of(self, packet_ids: Iterable[str]) -> None:
        """Nobody has to look after the offers of these packets any more: reports on them are committed."""
        for packet_id in packet_ids:
            offered = self._offered.pop(packet_id, None)
            if offered is not None:
                self._finish_part(offered.row)

    def take_published(self) -> list[int]:
        """Rows to delete. Give them back if the deletion is not committed."""
        published, self._published = self._published, []
        self._held.difference_update(published)
        return published

    def give_back(self, outbox_ids: list[int]) -> None:
        self._held.update(outbox_ids)
        self._published += outbox_ids

    async def run(self) -> None:
        """Publish what is handed over until cancelled. What may wait for company is passed by what may not."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hear_refusals())
            group.create_task(self._store_all())
            group.create_task(self._records.run())
            group.create_task(self._events.run())

    async def tidy(self, apply: Apply) -> None:
        """Delete published rows while the engine idles, see after offers that nobody has answered, and adopt what dead replicas
        have left, until cancelled.

        Packets are written again by the core, which `apply` brings the news to.
        """
        while True:
            await asyncio.sleep(TIDY_SECONDS)
            try:
                await self._tell_unanswered(apply)
                await self.delete_published()
                await self._adopt_stale(apply)
            except DatabaseUnavailable as failure:
                log.warning("outbox_not_tidied", reason=str(failure))
            except BusUnavailable as failure:
                log.warning("outbox_not_published", reason=str(failure))

    async def delete_published(self) -> None:
        """Delete the rows of which nothing is left to do, without waiting for the engine's next batch."""
        published = self.take_published()
        if not published:
            return
        try:
            async with self._database.transaction() as connection:
                await self._outbox.delete(connection, published)
        except DatabaseUnavailable:
            self.give_back(published)
            raise

    async def idle(self) -> None:
        """Wait until the broker has confirmed everything that was to be stored.

        An offer that is not answered by then stays in the outbox.
        """
        self._records.hurry()
        self._events.hurry()
        await self._idle.wait()

    def _may_offer(self, work_subject: str, now: float) -> bool:
        return self._hears_refusals and now >= self._reluctant_until.get(work_subject, 0.0)

    async def _offer(self, row: _Row, offered: Sequence[_Offered]) -> None:
        row.unfinished += len(offered)
        self._offered.update((each.packet.packet_id, each) for each in offered)
        offers = [
            Offer(
                subject=subjects.offer(each.message.subject),
                payload=each.message.payload,
                headers=each.message.headers,
                refused_to=subjects.refusal(self._replica, each.packet.packet_id),
            )
            for each in offered
        ]
        try:
            await self._bus.offer(offers)
        except BusUnavailable:
            for each in offered:
                self._store_after_all(each.packet.packet_id)
        else:
            self._figures.count_offers(subjects.worker_of_work(each.message.subject) for each in offered)

    def _store(self, row: _Row, messages: Sequence[Outgoing]) -> None:
        self._begin_storing(row)
        self._to_store.append((row, messages))
        self._something_to_store.set()

    def _begin_storing(self, row: _Row) -> None:
        row.unfinished += 1
        self._being_stored += 1
        self._idle.clear()

    def _is_stored(self, row: _Row) -> None:
        self._being_stored -= 1
        if self._being_stored == 0:
            self._idle.set()
        self._finish_part(row)

    def _finish_part(self, row: _Row) -> None:
        row.unfinished -= 1
        if row.unfinished == 0:
            self._published.append(row.outbox_id)

    async def _hear_refusals(self) -> None:
        while True:
            try:
                async with self._bus.listen(subjects.refusals(self._replica)) as refusals:
                    self._hears_refusals = True
                    while True:
                        refusal = await refusals.next(LISTEN_SECONDS)
                        if refusal is not None:
                            self._refused(subjects.refused_packet(refusal.subject))
            except BusUnavailable as failure:
                log.warning("refusals_not_heard", reason=str(failure))
                await asyncio.sleep(RETRY_SECONDS)

    def _refused(self, packet_id: str) -> None:
        offered = self._store_after_all(packet_id)
        if offered is not None:
            self._figures.count_refusal(subjects.worker_of_work(offered.message.subject))

    def _store_after_all(self, packet_id: str) -> _Offered | None:
        """It waits where every worker can see it. None when it was answered already."""
        offered = self._offered.pop(packet_id, None)
        if offered is None:
            return None
        self._reluctant_until[offered.message.subject] = self._monotonic() + RELUCTANT_SECONDS
        self._store(offered.row, [offered.message])
        self._finish_part(offered.row)
        return offered

    async def _store_all(self) -> None:
        while True:
            await self._something_to_store.wait()
            self._something_to_store.clear()
            rows, self._to_store = self._to_store, []
            await self._publish([message for _, messages in rows for message in messages])
            for row, _ in rows:
                self._is_stored(row)

    async def _publish(self, messages: Sequence[Outgoing]) -> None:
        while True:
            try:
                await self._bus.publish(messages)
            except BusUnavailable as failure:
                log.warning("publish_delayed", messages=len(messages), reason=str(failure))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def _tell_unanswered(self, apply: Apply) -> None:
        now = self._monotonic()
        overdue: list[_Offered] = []
        for offered in self._offered.values():
            if offered.due_at > now:
                break
            overdue.append(offered)
        await asyncio.gather(*(_tell_again(offered.packet, apply) for offered in overdue))
        self.has_come_of([offered.packet.packet_id for offered in overdue])

    async def _adopt_stale(self, apply: Apply) -> None:
        async with self._database.transaction() as connection:
            rows = await self._outbox.lock_stale(connection, older_than_seconds=STALE_SECONDS, but_not=sorted(self._held))
            if rows:
                # Row by row, as they were committed: with more in it, a message might pass for one that has been published.
                records = [message for row in rows for message in performance_messages(row.records)]
                await self._bus.publish([message for row in rows for message in row.messages] + records)
                await asyncio.gather(*(_tell_again(packet, apply) for row in rows for packet in row.packets))
                await self._outbox.delete(connection, [row.outbox_id for row in rows])
                log.info("outbox_adopted", rows=len(rows))


async def _tell_again(packet: NamedPacket, apply: Apply) -> None:
    try:
        await apply(packet.execution_id, PacketUntold(stage_id=packet.stage_id, packet_id=packet.packet_id))
    except NotApplied as failure:
        # The sweeper offers the stage when nobody has taken it in time.
        log.warning("packet_not_told_again", packet_id=packet.packet_id, reason=str(failure))
