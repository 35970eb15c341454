"""The port to the message broker: what every adapter promises.

Stored messages (JetStream) survive the broker's restart and are delivered at least once; broadcasts and questions are not
stored. Payloads are bytes; `aif_contracts` says what they mean. Trace context travels in the headers.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct, field


class Outgoing(Struct, frozen=True, kw_only=True):
    """A message to store."""

    subject: str
    payload: bytes
    message_id: str | None = None
    """Within the stream's duplicate window a second message with the same id is dropped. It saves work; it guarantees
    nothing, because a work queue forgets the ids of consumed messages when the broker restarts."""
    headers: Mapping[str, str] = field(default_factory=dict)


class Delivery(Protocol):
    """One delivery of a stored message. Settle it once: `ack`, `retry_later` or `discard`."""

    @property
    def subject(self) -> str: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def num_delivered(self) -> int:
        """1 on the first delivery."""
        ...

    @property
    def stream_sequence(self) -> int: ...
    async def ack(self) -> None:
        """Done: the broker forgets the message."""
        ...

    async def retry_later(self, delay_seconds: float) -> None:
        """Deliver it again, not before the delay is over."""
        ...

    async def discard(self) -> None:
        """Never deliver it again. For poison, after its dead letter is stored."""
        ...

    async def still_working(self) -> None:
        """Start the consumer's `ack_wait` anew."""
        ...


class ConsumerSpec(Struct, frozen=True, kw_only=True):
    """A durable consumer, shared by all who open it."""

    stream: str
    durable: str
    filter_subject: str
    ack_wait_seconds: float = 30.0
    """A delivery that is neither settled nor refreshed for so long is delivered again."""
    max_ack_pending: int = 1000


class Deliveries(Protocol):
    """An open consumer."""

    async def fetch(self, max_messages: int, wait_seconds: float) -> Sequence[Delivery]:
        """Up to `max_messages`, as soon as there is one; empty when the time is over. Never raises because the stream or
        the consumer vanished (a wiped broker): it declares them again and goes on. Raises BusUnavailable while the broker
        cannot be reached."""
        ...

    async def close(self) -> None: ...


class Question(Struct, frozen=True, kw_only=True):
    subject: str
    payload: bytes
    headers: Mapping[str, str]


Answerer = Callable[[Question], Awaitable[bytes]]
"""Gives the reply's payload. MalformedMessage is answered with an error header that says what is wrong with the question; any
other exception with one that names no internals, and it is logged."""


class Offer(Struct, frozen=True, kw_only=True):
    """A message for one who is free now; nobody keeps it for later."""

    subject: str
    payload: bytes
    refused_to: str
    """Where an empty message says that it was not taken."""
    headers: Mapping[str, str] = field(default_factory=dict)


OfferTaker = Callable[[Offer], bool]
"""Whether it takes the offer. It must not raise, nor take long."""


class Broadcast(Struct, frozen=True, kw_only=True):
    subject: str
    payload: bytes
    headers: Mapping[str, str]


class Broadcasts(Protocol):
    """A running subscription to unstored messages (it sees stored ones as they are published, too)."""

    async def next(self, wait_seconds: float) -> Broadcast | None:
        """The next message; None when the time is over."""
        ...


def entry_subject(bucket: str, key: str) -> str:
    """The subject under which an entry is written and told to its watchers."""
    return f"$KV.{bucket}.{key}"


def watched_key(message: Broadcast) -> str:
    """The key of the entry that a watched bucket tells of."""
    return message.subject.split(".", 2)[2]


class Bus(Protocol):
    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Store all messages, in order per subject; return when the broker has confirmed every one. Raises BusUnavailable
        when one is not confirmed in time: all of them may be sent again under the same ids."""
        ...

    async def broadcast(self, subject: str, payload: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Send without storing; nobody may be listening."""
        ...

    async def offer(self, offers: Sequence[Offer]) -> None:
        """Give each to one member of the group that takes offers on its subject. What is not taken, because nobody is there or
        the member does not want it, is refused by an empty message on its `refused_to`; an offer can get lost without a word.
        Raises BusUnavailable."""
        ...

    def take_offers(self, subject: str, group: str, taker: OfferTaker) -> AbstractAsyncContextManager[None]:
        """Take offers while the context lasts, as a member of `group`; what `taker` does not take is refused."""
        ...

    async def ask(
        self, subject: str, payload: bytes, *, wait_seconds: float, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Put a question to one member of the group that answers `subject`. Raises NoAnswer, BusUnavailable."""
        ...

    async def answer(self, subject: str, group: str, answerer: Answerer) -> None:
        """Answer questions on `subject` until the bus closes; concurrent questions are answered concurrently."""
        ...

    async def stop_answering(self) -> None:
        """Leave every question from now on to the others of its group; return when those already taken are answered."""
        ...

    async def open_consumer(self, spec: ConsumerSpec) -> Deliveries:
        """Needs no broker: the first fetch makes the consumer where it is missing."""
        ...

    def listen(self, subject: str) -> AbstractAsyncContextManager[Broadcasts]:
        """Subscribe while the context lasts; what is published after entering is seen. A reader that falls behind by more
        than 10,000 messages loses the oldest."""
        ...

    async def put_entry(self, bucket: str, key: str, value: bytes, *, ttl_seconds: float | None = None) -> None:
        """Write an entry of a bucket; with a time to live it vanishes unless written again."""
        ...

    async def delete_entry(self, bucket: str, key: str) -> None:
        """Take an entry out of a bucket; nothing happens when there is none."""
        ...

    async def entry(self, bucket: str, key: str) -> bytes | None:
        """One live entry; None when there is none."""
        ...

    async def entries(self, bucket: str) -> Mapping[str, bytes]:
        """All live entries of a bucket."""
        ...

    def watch(self, bucket: str) -> AbstractAsyncContextManager[Broadcasts]:
        """Every entry written or deleted while the context lasts, as a message whose subject `watched_key` reads; an empty
        payload says that the entry is gone. What changes while the broker is out of reach is not told, nor is the end of a
        time to live: whoever must not miss anything reads the entries again from time to time."""
        ...

    @property
    def is_connected(self) -> bool: ...

    async def close(self) -> None:
        """Stop answering and listening, send what is pending, leave. Bounded in time."""
        ...
