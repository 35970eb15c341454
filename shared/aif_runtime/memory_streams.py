"""One stream of the memory broker, and the durable consumers on it."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from aif_runtime.broker_rules import takes
from aif_runtime.bus import ConsumerSpec, Outgoing
from aif_runtime.failures import BusUnavailable
from aif_runtime.topology import Retention, StreamSpec

MESSAGE_OVERHEAD_BYTES = 64
"""Roughly what a broker adds to a stored message."""


class StoredMessage(Struct, frozen=True, kw_only=True):
    sequence: int
    subject: str
    payload: bytes
    headers: Mapping[str, str]
    stored_at: float

    @property
    def size_bytes(self) -> int:
        return len(self.subject) + len(self.payload) + MESSAGE_OVERHEAD_BYTES


class MemoryStream:
    def __init__(self, spec: StreamSpec, clock: Callable[[], float]) -> None:
        self.spec = spec
        self.messages: dict[int, StoredMessage] = {}
        self.last_sequence = 0
        self._clock = clock
        self._size_bytes = 0
        self._stored_ids: dict[str, float] = {}
        self._consumers: dict[str, MemoryConsumer] = {}

    def store(self, message: Outgoing) -> bool:
        """True when it was stored, False when its id is known. Raises BusUnavailable when the stream is full."""
        now = self._clock()
        self._forget_old(now)
        if message.message_id is not None and message.message_id in self._stored_ids:
            return False
        stored = StoredMessage(
            sequence=self.last_sequence + 1,
            subject=message.subject,
            payload=message.payload,
            headers=dict(message.headers),
            stored_at=now,
        )
        if self._size_bytes + stored.size_bytes > self.spec.max_bytes:
            raise BusUnavailable(f"the stream {self.spec.name} is full: it holds at most {self.spec.max_bytes} bytes")
        self.last_sequence = stored.sequence
        self.messages[stored.sequence] = stored
        self._size_bytes += stored.size_bytes
        if message.message_id is not None:
            self._stored_ids[message.message_id] = now
        return True

    def remove(self, sequence: int) -> None:
        removed = self.messages.pop(sequence, None)
        if removed is not None:
            self._size_bytes -= removed.size_bytes

    def consumer(self, spec: ConsumerSpec) -> "MemoryConsumer":
        known = self._consumers.get(spec.durable)
        if known is None:
            known = MemoryConsumer(self, spec, self._clock)
            self._consumers[spec.durable] = known
        elif known.spec != spec:
            known.spec = spec
        return known

    def _forget_old(self, now: float) -> None:
        """Ids and messages are in the order of their time, so each search ends at the first young one."""
        while self._stored_ids:
            message_id, stored_at = next(iter(self._stored_ids.items()))
            if now - stored_at < self.spec.duplicate_window_seconds:
                break
            del self._stored_ids[message_id]
        if self.spec.max_age_seconds is None:
            return
        while self.messages:
            oldest = next(iter(self.messages.values()))
            if now - oldest.stored_at < self.spec.max_age_seconds:
                break
            self.remove(oldest.sequence)


class _Pending(Struct, kw_only=True):
    """A message that was delivered and not yet settled."""

    due_at: float
    """Then it is delivered again."""
    num_delivered: int


class MemoryConsumer:
    """Delivers each message to one of its members, and again when it is not settled in time."""

    def __init__(self, stream: MemoryStream, spec: ConsumerSpec, clock: Callable[[], float]) -> None:
        self.spec = spec
        self._stream = stream
        self._clock = clock
        self._next_sequence = 1
        self._pending: dict[int, _Pending] = {}

    def take(self, max_messages: int) -> list[tuple[StoredMessage, int]]:
        """What may be delivered now, each with the number of its delivery: overdue messages first, then new ones."""
        now = self._clock()
        taken = self._take_overdue(now, max_messages)
        room = min(max_messages - len(taken), self.spec.max_ack_pending - len(self._pending))
        while room > 0 and self._next_sequence <= self._stream.last_sequence:
            message = self._stream.messages.get(self._next_sequence)
            self._next_sequence += 1
            if message is not None and takes(self.spec.filter_subject, message.subject):
                self._pending[message.sequence] = _Pending(due_at=now + self.spec.ack_wait_seconds, num_delivered=1)
                taken.append((message, 1))
                room -= 1
        return taken

    def seconds_to_redelivery(self) -> float | None:
        """None when nothing is pending."""
        if not self._pending:
            return None
        return min(pending.due_at for pending in self._pending.values()) - self._clock()

    def ack(self, sequence: int, num_delivered: int) -> None:
        """A message that was meanwhile delivered again belongs to its new holder: nothing happens."""
        if self._is_held(sequence, num_delivered):
            del self._pending[sequence]
            if self._stream.spec.retention is Retention.WORK_QUEUE:
                self._stream.remove(sequence)

    def retry_later(self, sequence: int, num_delivered: int, delay_seconds: float) -> None:
        if self._is_held(sequence, num_delivered):
            self._pending[sequence].due_at = self._clock() + delay_seconds

    def still_working(self, sequence: int, num_delivered: int) -> None:
        if self._is_held(sequence, num_delivered):
            self._pending[sequence].due_at = self._clock() + self.spec.ack_wait_seconds

    def _is_held(self, sequence: int, num_delivered: int) -> bool:
        pending = self._pending.get(sequence)
        return pending is not None and pending.num_delivered == num_delivered

    def _take_overdue(self, now: float, max_messages: int) -> list[tuple[StoredMessage, int]]:
        taken: list[tuple[StoredMessage, int]] = []
        for sequence in sorted(sequence for sequence, pending in self._pending.items() if pending.due_at <= now):
            if len(taken) == max_messages:
                break
            message = self._stream.messages.get(sequence)
            if message is None:
                del self._pending[sequence]
                continue
            pending = self._pending[sequence]
            pending.num_delivered += 1
            pending.due_at = now + self.spec.ack_wait_seconds
            taken.append((message, pending.num_delivered))
        return taken
