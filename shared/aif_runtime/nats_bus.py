"""The bus over NATS and JetStream."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Self

from nats.aio.subscription import Subscription

from aif_runtime.broker_rules import check_sendable
from aif_runtime.bus import Answerer, Broadcast, ConsumerSpec, Offer, OfferTaker, Outgoing, Question, entry_subject
from aif_runtime.failures import BusUnavailable, MalformedMessage, NoAnswer
from aif_runtime.nats_ballast import Ballast
from aif_runtime.nats_connection import NO_RESPONDERS, NatsConnection
from aif_runtime.nats_consumer import NatsDeliveries
from aif_runtime.nats_direct import StreamMissing, latest, latest_of_each
from aif_runtime.nats_expiry import TIME_TO_LIVE, without_overdue
from aif_runtime.nats_offers import make_offers, taking_offers
from aif_runtime.nats_publishing import Publisher
from aif_runtime.nats_topology import bucket_stream, declare
from aif_runtime.nats_wire import Arrived
from aif_runtime.prepared_message import Prepared
from aif_runtime.told_sparingly import ToldSparingly
from aif_runtime.topology import Retention, Topology, factory_topology

PUBLISH_LIMIT_SECONDS = 5.0
INBOXES = "_INBOX."
"""Where answers may go. The broker checks our right to say something, not the asker's right to have it said."""
ANSWERS_AT_ONCE = 1000
QUESTIONS_WAITING = 100_000
"""More are dropped: whoever asked has long given up when their turn comes."""
CLOSE_LIMIT_SECONDS = 2.0
LISTENER_BACKLOG = 10_000
SHORTEST_TTL_SECONDS = 1.0
"""NATS keeps no entry for a shorter time."""

ENTRY_OPERATION = "KV-Operation"
DELETION_MARK_SECONDS = 3600.0
"""How long a deleted entry's mark takes its place."""

SERVICE_ERROR = "Nats-Service-Error"
SERVICE_ERROR_CODE = "Nats-Service-Error-Code"

_logger = logging.getLogger(__name__)


class NatsBroadcasts:
    """Keeps the newest messages until they are asked for."""

    def __init__(self) -> None:
        self._backlog: deque[Broadcast] = deque(maxlen=LISTENER_BACKLOG)
        self._arrived = asyncio.Event()

    async def next(self, wait_seconds: float) -> Broadcast | None:
        try:
            async with asyncio.timeout(wait_seconds):
                while not self._backlog:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return None
        return self._backlog.popleft()

    def take(self, message: Arrived) -> None:
        self._backlog.append(Broadcast(subject=message.subject, payload=message.data, headers=message.headers))
        self._arrived.set()


class NatsBus:
    """Make one by `connect`."""

    def __init__(
        self, connection: NatsConnection, topology: Topology, *, publish_limit_seconds: float, may_declare: bool
    ) -> None:
        self._connection = connection
        self._topology = topology
        self._may_declare = may_declare
        self._queues = {stream.name for stream in topology.streams if stream.retention is Retention.WORK_QUEUE}
        batched = [subject for stream in topology.streams for subject in stream.subjects]
        self._publisher = Publisher(connection, self.heal, publish_limit_seconds, batched)
        self._declaring = asyncio.Lock()
        self._declared_at = 0.0
        self._answer_subscriptions: list[Subscription] = []
        self._answering: set[asyncio.Task[None]] = set()
        self._questions: deque[tuple[Answerer, Arrived]] = deque()
        """Those that wait for a place."""
        self._complaints = ToldSparingly()
        """Of questions that nobody could answer."""
        self._consumers: list[NatsDeliveries] = []
        self._closed = False

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        name: str,
        user: str | None = None,
        password: str | None = None,
        inbox_prefix: str = "_INBOX",
        topology: Topology | None = None,
        may_declare: bool = True,
        publish_limit_seconds: float = PUBLISH_LIMIT_SECONDS,
        connect_limit_seconds: float = 10.0,
    ) -> Self:
        """`name` is shown in the broker's monitoring; within `publish_limit_seconds` the broker has to confirm or to answer.
        With `may_declare` false a lost stream is waited for and not made, for users without that right.

        Raises BusUnavailable when no broker is reached within the limit."""
        connection = await NatsConnection.connect(
            url,
            name=name,
            user=user,
            password=password,
            inbox_prefix=inbox_prefix,
            connect_limit_seconds=connect_limit_seconds,
            reply_limit_seconds=publish_limit_seconds,
        )
        return cls(
            connection,
            topology if topology is not None else factory_topology(),
            publish_limit_seconds=publish_limit_seconds,
            may_declare=may_declare,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def connection(self) -> NatsConnection:
        """For the blob store beside the bus."""
        return self._connection

    @property
    def is_connected(self) -> bool:
        return self._connection.trouble is None and not self._closed

    @property
    def trouble(self) -> str | None:
        """Why the bus is of no use, or does not store, for the health report."""
        return self._connection.trouble or self._publisher.trouble

    async def declare_topology(self) -> None:
        """Make all streams, buckets and object stores, and update changed limits. May be repeated and done by several
        processes at once. Raises BusUnavailable."""
        async with self._declaring:
            await self._declare()

    async def store(self, messages: list[Prepared]) -> None:
        """For the blob store beside the bus: publish under exactly the given headers. Raises SubjectTaken, BusUnavailable."""
        self._check_open()
        await self._publisher.store(messages)

    async def heal(self, noticed_at: float) -> None:
        """Declare the topology unless this process has done so since the loss was noticed, by the monotonic clock."""
        async with self._declaring:
            if self._may_declare and self._declared_at < noticed_at:
                await self._declare()

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        for message in messages:
            check_sendable(message.subject, message.payload)
        self._check_open()
        await self._publisher.publish(messages)

    async def broadcast(self, subject: str, payload: bytes, headers: Mapping[str, str] | None = None) -> None:
        check_sendable(subject, payload)
        self._check_open()
        await self._connection.send(subject, payload, headers=headers)

    async def offer(self, offers: Sequence[Offer]) -> None:
        for offer in offers:
            check_sendable(offer.subject, offer.payload)
            check_sendable(offer.refused_to, b"")
        self._check_open()
        await make_offers(self._connection, offers)

    @asynccontextmanager
    async def take_offers(self, subject: str, group: str, taker: OfferTaker) -> AsyncIterator[None]:
        self._check_open()
        async with taking_offers(self._connection, subject, group, taker):
            yield

    async def ask(
        self, subject: str, payload: bytes, *, wait_seconds: float, headers: Mapping[str, str] | None = None
    ) -> bytes:
        check_sendable(subject, payload)
        self._check_open()
        try:
            reply = await self._connection.request(subject, payload, wait_seconds=wait_seconds, headers=headers)
        except TimeoutError as late:
            raise NoAnswer(f"no answer on {subject} within {wait_seconds:g} s") from late
        if reply.status == NO_RESPONDERS:
            raise NoAnswer(f"nobody listens on {subject}")
        if SERVICE_ERROR in reply.headers:
            raise NoAnswer(f"the answer on {subject} failed: {reply.headers[SERVICE_ERROR]}")
        return reply.data

    async def answer(self, subject: str, group: str, answerer: Answerer) -> None:
        self._check_open()

        def take(message: Arrived) -> None:
            if not message.reply.startswith(INBOXES):
                # Nobody would hear it, or it would say in our name what only we may say.
                self._complain("question_without_inbox", message, message.reply)
            elif len(self._answering) < ANSWERS_AT_ONCE:
                self._begin_answer(answerer, message)
            elif len(self._questions) < QUESTIONS_WAITING:
                self._questions.append((answerer, message))
            else:
                self._complain("question_dropped", message, "too many wait")

        self._answer_subscriptions.append(await self._connection.subscribe(subject, take, queue=group))
        await self._connection.flush()

    async def stop_answering(self) -> None:
        subscriptions, self._answer_subscriptions = self._answer_subscriptions, []
        await asyncio.gather(*(self._connection.drain(subscription) for subscription in subscriptions))
        while self._answering:
            await asyncio.wait(self._answering)

    async def open_consumer(self, spec: ConsumerSpec) -> NatsDeliveries:
        self._check_open()
        ballast = Ballast(self._connection, spec.stream) if spec.stream in self._queues else None
        deliveries = NatsDeliveries(self._connection, spec, self.heal, ballast)
        await deliveries.start()
        self._consumers.append(deliveries)
        return deliveries

    @asynccontextmanager
    async def listen(self, subject: str) -> AsyncIterator[NatsBroadcasts]:
        self._check_open()
        broadcasts = NatsBroadcasts()
        subscription = await self._connection.subscribe(subject, broadcasts.take)
        try:
            await self._connection.flush()
            yield broadcasts
        finally:
            await self._connection.unsubscribe(subscription)

    async def put_entry(self, bucket: str, key: str, value: bytes, *, ttl_seconds: float | None = None) -> None:
        subject = entry_subject(bucket, key)
        check_sendable(subject, value)
        self._check_open()
        headers = {}
        if ttl_seconds is not None:
            headers[TIME_TO_LIVE] = f"{int(max(ttl_seconds, SHORTEST_TTL_SECONDS) * 1000)}ms"
        await self.store([Prepared(subject=subject, payload=value, headers=headers)])

    async def delete_entry(self, bucket: str, key: str) -> None:
        subject = entry_subject(bucket, key)
        check_sendable(subject, b"")
        self._check_open()
        # The mark takes the entry's place, for those who watch as for those who read, and goes by itself.
        headers = {ENTRY_OPERATION: "DEL", TIME_TO_LIVE: f"{int(DELETION_MARK_SECONDS * 1000)}ms"}
        await self.store([Prepared(subject=subject, payload=b"", headers=headers)])

    async def entry(self, bucket: str, key: str) -> bytes | None:
        subject = entry_subject(bucket, key)
        check_sendable(subject, b"")
        self._check_open()
        try:
            found = await latest(self._connection, bucket_stream(bucket), subject)
        except StreamMissing:
            await self.heal(time.monotonic())
            return None
        return None if found is None or _says_gone(found.headers) else found.payload

    async def entries(self, bucket: str) -> Mapping[str, bytes]:
        self._check_open()
        prefix = entry_subject(bucket, "")
        try:
            found = await latest_of_each(self._connection, bucket_stream(bucket), f"{prefix}>")
        except StreamMissing:
            await self.heal(time.monotonic())
            found = []
        live = without_overdue(found)
        return {entry.subject.removeprefix(prefix): entry.payload for entry in live if not _says_gone(entry.headers)}

    def watch(self, bucket: str) -> AbstractAsyncContextManager[NatsBroadcasts]:
        return self.listen(entry_subject(bucket, ">"))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await asyncio.gather(
            *(deliveries.close() for deliveries in self._consumers),
            *(self._connection.drain(subscription) for subscription in self._answer_subscriptions),
        )
        try:
            async with asyncio.timeout(CLOSE_LIMIT_SECONDS):
                while self._answering:
                    await asyncio.wait(self._answering)
        except TimeoutError:
            self._questions.clear()
            unfinished = tuple(self._answering)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
        await self._connection.close()

    def _begin_answer(self, answerer: Answerer, message: Arrived) -> None:
        task = asyncio.create_task(self._answer(answerer, message))
        self._answering.add(task)
        task.add_done_callback(self._answered)

    async def _answer(self, answerer: Answerer, message: Arrived) -> None:
        question = Question(subject=message.subject, payload=message.data, headers=message.headers)
        try:
            await self._connection.send(message.reply, await answerer(question))
        except MalformedMessage as mistake:
            self._complain("question_malformed", message, str(mistake))
            await self._refuse(message, "400", str(mistake))
        except BusUnavailable as away:
            self._complain("answer_lost", message, str(away))
            await self._refuse(message, "503", "the broker was away")
        except Exception:
            # The outermost loop of an answer: whatever it was, the bus goes on and the asker learns that there is none.
            _logger.exception("answer_failed", extra={"subject": message.subject})
            await self._refuse(message, "500", "the question could not be answered")

    async def _refuse(self, message: Arrived, code: str, words: str) -> None:
        try:
            await self._connection.send(message.reply, headers={SERVICE_ERROR: words, SERVICE_ERROR_CODE: code})
        except BusUnavailable as away:
            self._complain("answer_lost", message, str(away))

    def _complain(self, event: str, message: Arrived, reason: str) -> None:
        times = self._complaints.times(event)
        if times:
            _logger.warning(event, extra={"subject": message.subject, "reason": reason, "times": times})

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._answering.discard(task)
        if self._questions:
            self._begin_answer(*self._questions.popleft())

    def _check_open(self) -> None:
        if self._closed:
            raise BusUnavailable("the bus is closed")

    async def _declare(self) -> None:
        started_at = time.monotonic()
        await declare(self._connection, self._topology)
        self._declared_at = started_at


def _says_gone(headers: Mapping[str, str]) -> bool:
    """Whether a message marks the end of an entry: a deletion, this bus's or another client's, or a time to live."""
    return ENTRY_OPERATION in headers or "Nats-Marker-Reason" in headers
