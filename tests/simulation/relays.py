"""What a replica does with a committed row: new packets are offered to a worker, everything else is stored at the broker.

An offer is under way once, or lost without a word. All that is known of offers is in the replica's memory.
"""

from collections.abc import Callable, Sequence

from aif_contracts.packets import WorkPacket
from simulation.broker import Broker, Queue
from simulation.mechanisms import Mechanism
from simulation.timeline import Timeline
from simulation.truth import Truth

UNANSWERED_MS = 3_000
RELUCTANT_MS = 500
"""After a refusal nothing is offered for so long."""
SILENT_MS = 30_000
"""The same after an offer that got lost."""
TIDY_MS = 1_000


class Offer:
    """An offered packet in a worker's hands: what a delivery can do, with nothing stored."""

    __slots__ = ("payload", "relay")

    number = 1

    def __init__(self, packet: WorkPacket, relay: "Relay") -> None:
        self.payload = packet
        self.relay = relay

    def ack(self) -> None: ...

    def still_working(self) -> None: ...

    def retry_later(self, _: int) -> None:
        self.refuse()

    def refuse(self) -> None:
        """To be stored after all."""
        self.relay.hear_refusal_of(self.payload.packet_id)


Settle = Callable[[bool], None]
"""Whether the news are committed."""


class Relay:
    """Of one replica, for as long as that lives."""

    def __init__(
        self,
        *,
        timeline: Timeline,
        broker: Broker,
        truth: Truth,
        without: Mechanism | None,
        offer: Callable[[Offer], None],
        tell_core: Callable[[WorkPacket, Settle], None],
        delete: Callable[[int], None],
    ) -> None:
        """`tell_core` says that nothing has been heard of a packet; `delete` removes a row from the outbox."""
        self.is_open = True
        self.published: list[int] = []
        """Outbox rows to delete with the next commit."""
        self._timeline = timeline
        self._broker = broker
        self._truth = truth
        self._keeps_rows = without is not Mechanism.KEPT_ROWS
        self._sees_after = without is not Mechanism.UNANSWERED
        self._offer = offer
        self._tell_core = tell_core
        self._delete = delete
        self._unfinished: dict[int, int] = {}
        """By row of ours, its parts that are neither stored nor answered."""
        self._offered: dict[str, tuple[WorkPacket, int | None]] = {}
        """By packet id, with its row."""
        self._reluctant_until = 0

    def holds(self, outbox_id: int) -> bool:
        return outbox_id in self._unfinished or outbox_id in self.published

    def begin(self, outbox_id: int) -> None:
        self._unfinished[outbox_id] = 1

    def finish_part(self, outbox_id: int | None) -> None:
        if outbox_id is None or outbox_id not in self._unfinished:
            return
        self._unfinished[outbox_id] -= 1
        if self._unfinished[outbox_id] == 0:
            del self._unfinished[outbox_id]
            self.published.append(outbox_id)
            self._timeline.after(TIDY_MS, self._tidy, outbox_id)

    def are_deleted(self, outbox_ids: Sequence[int]) -> None:
        self.published = [row for row in self.published if row not in outbox_ids]

    def send(self, packet: WorkPacket, outbox_id: int | None, *, is_new: bool) -> None:
        if packet.packet_id in self._offered:
            # The core has written it again, so the offer was lost.
            self._reluctant_until = self._timeline.now + SILENT_MS
        if not is_new or self._timeline.now < self._reluctant_until:
            self._store(packet)
            return
        self._timeline.note(f"offer {packet.packet_id} with {'a' if packet.grant else 'no'} grant")
        self._truth.offered_at[packet.packet_id] = self._timeline.now
        self._offered[packet.packet_id] = packet, outbox_id
        if outbox_id is not None and self._keeps_rows:
            self._unfinished[outbox_id] += 1
        self._offer(Offer(packet, self))
        if self._sees_after:
            self._timeline.after(UNANSWERED_MS + self._timeline.between(0, TIDY_MS), self._see_after, packet.packet_id)

    def has_come_of(self, packet_id: str) -> None:
        """A report on it, so it had found its worker."""
        if (offered := self._offered.pop(packet_id, None)) is not None and self._keeps_rows:
            self.finish_part(offered[1])

    def hear_refusal_of(self, packet_id: str) -> None:
        self._timeline.after(self._timeline.between(1, 10), self._refused, packet_id)

    def _refused(self, packet_id: str) -> None:
        if not self.is_open or packet_id not in self._offered:
            return
        packet, _ = self._offered[packet_id]
        self._truth.seen["offers refused"] += 1
        self._reluctant_until = self._timeline.now + RELUCTANT_MS
        self._store(packet)
        self.has_come_of(packet_id)

    def _see_after(self, packet_id: str) -> None:
        if not self.is_open or packet_id not in self._offered:
            return

        def settle(is_committed: bool) -> None:
            if is_committed:
                self.has_come_of(packet_id)
            else:
                self._timeline.after(TIDY_MS, self._see_after, packet_id)

        packet, _ = self._offered[packet_id]
        self._truth.seen["offers unanswered"] += 1
        self._tell_core(packet, settle)

    def _store(self, packet: WorkPacket) -> None:
        self._timeline.note(f"publish {packet.packet_id} with {'a' if packet.grant else 'no'} grant")
        self._truth.found_packets.add(packet.packet_id)
        self._broker.publish(Queue.WORK, packet, packet.packet_id)

    def _tidy(self, outbox_id: int) -> None:
        """Rows that no later commit has deleted."""
        if self.is_open and outbox_id in self.published:
            self.published.remove(outbox_id)
            self._delete(outbox_id)
