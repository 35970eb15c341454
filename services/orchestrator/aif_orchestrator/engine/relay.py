"""From the outbox to the broker: what was committed is published, at least once, whoever dies in between.

The engine hands over each row right after its commit. Rows that a dead replica has left are found by their age. A row is
deleted only after the broker has confirmed all of its messages; the engine does that along with its next batch, so that it
costs no commit of its own while there is work.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from aif_orchestrator.engine.arrivals import NotApplied
from aif_orchestrator.execution.happenings import Happening, PacketUntold
from aif_orchestrator.store.outbox import NamedPacket, OutboxStore
from aif_runtime.bus import Bus, Outgoing
from aif_runtime.failures import BusUnavailable, DatabaseUnavailable
from aif_runtime.postgres import Database

RETRY_SECONDS = 0.25
TIDY_SECONDS = 1.0
STALE_SECONDS = 5.0

Apply = Callable[[str, Happening], Awaitable[object]]
"""Lets something happen to an execution; returns when it is committed."""

log = structlog.get_logger()


class Relay:
    def __init__(self, *, bus: Bus, database: Database, outbox: OutboxStore) -> None:
        self._bus = bus
        self._database = database
        self._outbox = outbox
        self._waiting: list[tuple[int, Sequence[Outgoing]]] = []
        self._held: set[int] = set()
        """Rows of ours that are not deleted yet."""
        self._published: list[int] = []
        self._something = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def send(self, outbox_id: int, messages: Sequence[Outgoing]) -> None:
        """Take over a committed row."""
        self._held.add(outbox_id)
        self._waiting.append((outbox_id, messages))
        self._idle.clear()
        self._something.set()

    def take_published(self) -> list[int]:
        """Rows to delete. Give them back if the deletion is not committed."""
        published, self._published = self._published, []
        self._held.difference_update(published)
        return published

    def give_back(self, outbox_ids: list[int]) -> None:
        self._held.update(outbox_ids)
        self._published += outbox_ids

    async def run(self) -> None:
        """Publish what is handed over, in order, until cancelled."""
        while True:
            await self._something.wait()
            self._something.clear()
            rows, self._waiting = self._waiting, []
            if not rows:
                continue
            messages = [message for _, row_messages in rows for message in row_messages]
            await self._publish(messages)
            self._published += [outbox_id for outbox_id, _ in rows]
            if not self._waiting:
                self._idle.set()

    async def tidy(self, apply: Apply) -> None:
        """Delete published rows while the engine idles, and adopt what dead replicas have left, until cancelled.

        Packets of theirs are written again by the core, which `apply` brings the news to.
        """
        while True:
            await asyncio.sleep(TIDY_SECONDS)
            try:
                await self.delete_published()
                await self._adopt_stale(apply)
            except DatabaseUnavailable as failure:
                log.warning("outbox_not_tidied", reason=str(failure))
            except BusUnavailable as failure:
                log.warning("outbox_not_published", reason=str(failure))

    async def delete_published(self) -> None:
        """Delete the rows that the broker has confirmed, without waiting for the engine's next batch."""
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
        """Wait until the broker has confirmed everything that was handed over."""
        await self._idle.wait()

    async def _publish(self, messages: Sequence[Outgoing]) -> None:
        while True:
            try:
                await self._bus.publish(messages)
            except BusUnavailable as failure:
                log.warning("publish_delayed", messages=len(messages), reason=str(failure))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def _adopt_stale(self, apply: Apply) -> None:
        async with self._database.transaction() as connection:
            rows = await self._outbox.lock_stale(connection, older_than_seconds=STALE_SECONDS, but_not=sorted(self._held))
            if rows:
                await self._bus.publish([message for row in rows for message in row.messages])
                await asyncio.gather(*(_tell_again(packet, apply) for row in rows for packet in row.packets))
                await self._outbox.delete(connection, [row.outbox_id for row in rows])
                log.info("outbox_adopted", rows=len(rows))


async def _tell_again(packet: NamedPacket, apply: Apply) -> None:
    try:
        await apply(packet.execution_id, PacketUntold(stage_id=packet.stage_id, packet_id=packet.packet_id))
    except NotApplied as failure:
        # The sweeper offers the stage when nobody has taken it in time.
        log.warning("packet_not_told_again", packet_id=packet.packet_id, reason=str(failure))
