"""A broker in one process: streams, consumers, entries and subscriptions in memory, with the promises of the real one.

Several `MemoryBus` instances share one `MemoryBroker`, as processes share a NATS server. Times of redelivery, of ids and of
entries come from the clock that is passed in; a test that moves a clock of its own calls `wake()` afterwards. A test can take
the broker down, make it store without confirming, and wipe its store.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping

from msgspec import Struct

from aif_runtime.broker_rules import takes
from aif_runtime.bus import Answerer, Broadcast, ConsumerSpec, Offer, OfferTaker, Outgoing, entry_subject
from aif_runtime.failures import BusUnavailable
from aif_runtime.memory_streams import MemoryConsumer, MemoryStream
from aif_runtime.topology import StreamSpec, Topology, factory_topology

LISTENER_BACKLOG = 10_000


class _Entry(Struct, frozen=True, kw_only=True):
    value: bytes
    expires_at: float | None


class Member(Struct, frozen=True, kw_only=True, eq=False):
    """One bus that answers a subject as a member of a group."""

    pattern: str
    group: str
    answerer: Answerer
    start: Callable[[Answerer, "asyncio.Future[bytes]", str, bytes, Mapping[str, str]], None]
    """Runs the answerer in the member's own bus."""


class Taker(Struct, frozen=True, kw_only=True, eq=False):
    """One bus that takes offers of a subject as a member of a group."""

    pattern: str
    group: str
    take: OfferTaker


class Listener:
    """One subscription's queue."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.backlog: deque[Broadcast] = deque(maxlen=LISTENER_BACKLOG)
        self.arrived = asyncio.Event()


class MemoryBroker:
    def __init__(self, topology: Topology | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._topology = topology if topology is not None else factory_topology()
        self._clock = clock
        self._up = True
        self._confirming = True
        self._changed = asyncio.Event()
        self._listeners: list[Listener] = []
        self._members: list[Member] = []
        self._takers: list[Taker] = []
        self._streams: dict[str, MemoryStream] = {}
        self._entries: dict[str, dict[str, _Entry]] = {}
        self.wipe()

    @property
    def is_up(self) -> bool:
        return self._up

    def go_down(self) -> None:
        """Nobody reaches the broker until `come_back`. What is stored stays."""
        self._up = False
        self.wake()

    def come_back(self) -> None:
        self._up = True
        self._confirming = True
        self.wake()

    def stop_confirming(self) -> None:
        """From now on messages are stored but their senders are not told, until `come_back`."""
        self._confirming = False

    def wipe(self) -> None:
        """Lose everything stored: messages, consumers, message ids, entries. Subscriptions and connections stay."""
        self._streams = {spec.name: MemoryStream(spec, self._clock) for spec in self._topology.streams}
        self._entries = {}
        self.wake()

    def wake(self) -> None:
        """Let everyone who waits look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def check_up(self) -> None:
        if not self._up:
            raise BusUnavailable("the broker is down")

    async def change(self, wait_seconds: float) -> None:
        """Wait until something may have changed, at most so long."""
        changed = self._changed
        try:
            async with asyncio.timeout(max(0.0, wait_seconds)):
                await changed.wait()
        except TimeoutError:
            pass

    def store(self, message: Outgoing) -> None:
        self.check_up()
        stream = self._stream_for(message.subject)
        if stream is None:
            raise BusUnavailable(f"no stream takes the subject {message.subject}")
        if stream.store(message):
            self.wake()
        self._show(Broadcast(subject=message.subject, payload=message.payload, headers=dict(message.headers)))
        if not self._confirming:
            raise BusUnavailable(f"a message to {message.subject} was not confirmed; it may be stored")

    def broadcast(self, message: Broadcast) -> None:
        """Lost when the broker is down."""
        if self._up:
            self._show(message)

    def consumer(self, spec: ConsumerSpec) -> MemoryConsumer:
        """The shared consumer, made if it is not there (any more)."""
        self.check_up()
        stream = self._streams.get(spec.stream)
        if stream is None:
            raise BusUnavailable(f"there is no stream {spec.stream} for the consumer {spec.durable}")
        return stream.consumer(spec)

    def join(self, member: Member) -> None:
        self._members.append(member)

    def leave(self, member: Member) -> None:
        self._members.remove(member)

    def next_member(self, subject: str) -> Member | None:
        """The members that answer a subject take turns."""
        for member in self._members:
            if takes(member.pattern, subject):
                self._members.remove(member)
                self._members.append(member)
                return member
        return None

    def add_taker(self, taker: Taker) -> None:
        self._takers.append(taker)

    def remove_taker(self, taker: Taker) -> None:
        """Does nothing when it is gone."""
        if taker in self._takers:
            self._takers.remove(taker)

    def offer(self, offer: Offer) -> None:
        """Lost when the broker is down. Those who take a subject take turns."""
        if not self._up:
            return
        taker = next((taker for taker in self._takers if takes(taker.pattern, offer.subject)), None)
        if taker is not None:
            self._takers.remove(taker)
            self._takers.append(taker)
        if taker is None or not taker.take(offer):
            self._show(Broadcast(subject=offer.refused_to, payload=b"", headers={}))

    def add_listener(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def remove_listener(self, listener: Listener) -> None:
        self._listeners.remove(listener)

    def put_entry(self, bucket: str, key: str, value: bytes, ttl_seconds: float | None) -> None:
        self.check_up()
        self._check_bucket(bucket)
        expires_at = None if ttl_seconds is None else self._clock() + ttl_seconds
        self._entries.setdefault(bucket, {})[key] = _Entry(value=value, expires_at=expires_at)
        self._show(Broadcast(subject=entry_subject(bucket, key), payload=value, headers={}))

    def delete_entry(self, bucket: str, key: str) -> None:
        self.check_up()
        self._check_bucket(bucket)
        self._entries.get(bucket, {}).pop(key, None)
        self._show(Broadcast(subject=entry_subject(bucket, key), payload=b"", headers={}))

    def entries(self, bucket: str) -> dict[str, bytes]:
        self.check_up()
        self._check_bucket(bucket)
        now = self._clock()
        live = {
            key: entry
            for key, entry in self._entries.get(bucket, {}).items()
            if entry.expires_at is None or now < entry.expires_at
        }
        self._entries[bucket] = live
        return {key: entry.value for key, entry in live.items()}

    def _stream_for(self, subject: str) -> MemoryStream | None:
        return next((stream for stream in self._streams.values() if _is_kept_by(stream.spec, subject)), None)

    def _show(self, message: Broadcast) -> None:
        for listener in self._listeners:
            if takes(listener.pattern, message.subject):
                listener.backlog.append(message)
                listener.arrived.set()

    def _check_bucket(self, bucket: str) -> None:
        if all(spec.name != bucket for spec in self._topology.buckets):
            raise BusUnavailable(f"there is no bucket {bucket}")


def _is_kept_by(spec: StreamSpec, subject: str) -> bool:
    return any(takes(pattern, subject) for pattern in spec.subjects)
