"""The bus within one process, for tests and simulations: the promises of `bus.py` over a shared `MemoryBroker`."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Self

from aif_runtime.broker_rules import check_batch, check_sendable
from aif_runtime.bus import Answerer, Broadcast, ConsumerSpec, Offer, OfferTaker, Outgoing, Question, entry_subject
from aif_runtime.failures import BusUnavailable, MalformedMessage, NoAnswer
from aif_runtime.memory_broker import Listener, Member, MemoryBroker, Taker
from aif_runtime.memory_streams import MemoryConsumer, StoredMessage

CLOSE_LIMIT_SECONDS = 2.0

_logger = logging.getLogger(__name__)


class MemoryDelivery:
    """One delivery. Settling it after its time, when another member holds the message, does nothing."""

    __slots__ = ("_broker", "_consumer", "_message", "_num_delivered")

    def __init__(self, broker: MemoryBroker, consumer: MemoryConsumer, message: StoredMessage, num_delivered: int) -> None:
        self._broker = broker
        self._consumer = consumer
        self._message = message
        self._num_delivered = num_delivered

    @property
    def subject(self) -> str:
        return self._message.subject

    @property
    def payload(self) -> bytes:
        return self._message.payload

    @property
    def headers(self) -> Mapping[str, str]:
        return self._message.headers

    @property
    def num_delivered(self) -> int:
        return self._num_delivered

    @property
    def stream_sequence(self) -> int:
        return self._message.sequence

    async def ack(self) -> None:
        if self._broker.is_up:
            self._consumer.ack(self._message.sequence, self._num_delivered)
            self._broker.wake()

    async def retry_later(self, delay_seconds: float) -> None:
        if self._broker.is_up:
            self._consumer.retry_later(self._message.sequence, self._num_delivered, delay_seconds)
            self._broker.wake()

    async def discard(self) -> None:
        await self.ack()

    async def still_working(self) -> None:
        if self._broker.is_up:
            self._consumer.still_working(self._message.sequence, self._num_delivered)


class MemoryDeliveries:
    """An open consumer; `is_bus_open` says whether its bus still is."""

    def __init__(self, broker: MemoryBroker, spec: ConsumerSpec, is_bus_open: Callable[[], bool]) -> None:
        self._broker = broker
        self._spec = spec
        self._is_bus_open = is_bus_open
        self._closed = False

    async def fetch(self, max_messages: int, wait_seconds: float) -> Sequence[MemoryDelivery]:
        check_batch(max_messages)
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + wait_seconds
        while True:
            if self._closed or not self._is_bus_open():
                raise BusUnavailable(f"the consumer {self._spec.durable} is closed")
            if self._broker.is_up:
                consumer = self._broker.consumer(self._spec)
                taken = consumer.take(max_messages)
                if taken:
                    return [MemoryDelivery(self._broker, consumer, message, number) for message, number in taken]
                next_look = consumer.seconds_to_redelivery()
            else:
                next_look = None
            remaining = ends_at - loop.time()
            if remaining <= 0:
                self._broker.check_up()
                return []
            await self._broker.change(remaining if next_look is None else min(remaining, max(next_look, 0.0)))

    async def close(self) -> None:
        self._closed = True
        self._broker.wake()


class MemoryBroadcasts:
    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    async def next(self, wait_seconds: float) -> Broadcast | None:
        try:
            async with asyncio.timeout(wait_seconds):
                while not self._listener.backlog:
                    self._listener.arrived.clear()
                    await self._listener.arrived.wait()
        except TimeoutError:
            return None
        return self._listener.backlog.popleft()


class MemoryBus:
    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._closed = False
        self._members: list[Member] = []
        self._listeners: list[Listener] = []
        self._takers: list[Taker] = []
        self._answering: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def is_connected(self) -> bool:
        return self._broker.is_up and not self._closed

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        for message in messages:
            check_sendable(message.subject, message.payload)
        self._check_open()
        for message in messages:
            self._broker.store(message)

    async def broadcast(self, subject: str, payload: bytes, headers: Mapping[str, str] | None = None) -> None:
        check_sendable(subject, payload)
        self._check_open()
        self._broker.broadcast(Broadcast(subject=subject, payload=payload, headers=dict(headers or {})))

    async def offer(self, offers: Sequence[Offer]) -> None:
        for offer in offers:
            check_sendable(offer.subject, offer.payload)
            check_sendable(offer.refused_to, b"")
        self._check_open()
        for offer in offers:
            self._broker.offer(offer)

    @asynccontextmanager
    async def take_offers(self, subject: str, group: str, taker: OfferTaker) -> AsyncIterator[None]:
        self._check_open()
        member = Taker(pattern=subject, group=group, take=taker)
        self._broker.add_taker(member)
        self._takers.append(member)
        try:
            yield
        finally:
            self._takers.remove(member)
            self._broker.remove_taker(member)

    async def ask(
        self, subject: str, payload: bytes, *, wait_seconds: float, headers: Mapping[str, str] | None = None
    ) -> bytes:
        check_sendable(subject, payload)
        self._check_open()
        self._broker.check_up()
        member = self._broker.next_member(subject)
        if member is None:
            raise NoAnswer(f"nobody listens on {subject}")
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        member.start(member.answerer, answer, subject, payload, dict(headers or {}))
        try:
            async with asyncio.timeout(wait_seconds):
                return await answer
        except TimeoutError as late:
            raise NoAnswer(f"no answer on {subject} within {wait_seconds:g} s") from late

    async def answer(self, subject: str, group: str, answerer: Answerer) -> None:
        self._check_open()
        member = Member(pattern=subject, group=group, answerer=answerer, start=self._start_answer)
        self._broker.join(member)
        self._members.append(member)

    async def stop_answering(self) -> None:
        members, self._members = self._members, []
        for member in members:
            self._broker.leave(member)
        while self._answering:
            await asyncio.wait(self._answering)

    async def open_consumer(self, spec: ConsumerSpec) -> MemoryDeliveries:
        self._check_open()
        self._broker.consumer(spec)
        return MemoryDeliveries(self._broker, spec, lambda: not self._closed)

    @asynccontextmanager
    async def listen(self, subject: str) -> AsyncIterator[MemoryBroadcasts]:
        self._check_open()
        listener = Listener(subject)
        self._broker.add_listener(listener)
        try:
            yield MemoryBroadcasts(listener)
        finally:
            self._broker.remove_listener(listener)

    async def put_entry(self, bucket: str, key: str, value: bytes, *, ttl_seconds: float | None = None) -> None:
        check_sendable(entry_subject(bucket, key), value)
        self._check_open()
        self._broker.put_entry(bucket, key, value, ttl_seconds)

    async def delete_entry(self, bucket: str, key: str) -> None:
        check_sendable(entry_subject(bucket, key), b"")
        self._check_open()
        self._broker.delete_entry(bucket, key)

    async def entry(self, bucket: str, key: str) -> bytes | None:
        check_sendable(entry_subject(bucket, key), b"")
        self._check_open()
        return self._broker.entries(bucket).get(key)

    def watch(self, bucket: str) -> AbstractAsyncContextManager[MemoryBroadcasts]:
        return self.listen(entry_subject(bucket, ">"))

    async def entries(self, bucket: str) -> Mapping[str, bytes]:
        self._check_open()
        return self._broker.entries(bucket)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._broker.wake()
        for member in self._members:
            self._broker.leave(member)
        for taker in self._takers:
            self._broker.remove_taker(taker)
        if self._answering:
            _, unfinished = await asyncio.wait(self._answering, timeout=CLOSE_LIMIT_SECONDS)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    def _check_open(self) -> None:
        if self._closed:
            raise BusUnavailable("the bus is closed")

    def _start_answer(
        self,
        answerer: Answerer,
        answer: asyncio.Future[bytes],
        subject: str,
        payload: bytes,
        headers: Mapping[str, str],
    ) -> None:
        question = Question(subject=subject, payload=payload, headers=headers)
        task = asyncio.create_task(_answer(answerer, question, answer))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)


async def _answer(answerer: Answerer, question: Question, answer: asyncio.Future[bytes]) -> None:
    try:
        content = await answerer(question)
    except MalformedMessage as mistake:
        _refuse(answer, question, str(mistake))
    except Exception:
        # The outermost loop of an answer: whatever it was, the bus goes on and the asker learns that there is none.
        _logger.exception("answer_failed", extra={"subject": question.subject})
        _refuse(answer, question, "the question could not be answered")
    else:
        if not answer.done():
            answer.set_result(content)


def _refuse(answer: asyncio.Future[bytes], question: Question, words: str) -> None:
    if not answer.done():
        answer.set_exception(NoAnswer(f"the answer on {question.subject} failed: {words}"))
