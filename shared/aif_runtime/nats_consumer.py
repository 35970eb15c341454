"""A durable pull consumer that heals itself.

One request is open at a time. It asks for what is there now or, when nothing is, for the first that comes (`no_wait` together
with `expires`), so that no member holds messages that it did not fetch and the others starve. The end of the answer is a status
message; only when the consumer's `max_ack_pending` is reached it is missing, and a short wait stands in for it.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
from nats.aio.subscription import Subscription

from aif_runtime.broker_rules import check_batch
from aif_runtime.bus import ConsumerSpec
from aif_runtime.failures import BusUnavailable
from aif_runtime.nats_ballast import Ballast
from aif_runtime.nats_connection import JetStreamRefusal, NatsConnection
from aif_runtime.nats_wire import DESCRIPTION, Arrived

NANOSECONDS = 1_000_000_000
REST_OF_BATCH_SECONDS = 0.005
HELD_SHARE_OF_ACK_WAIT = 0.8
"""The broker counts from when it sent a message and we from when it arrived; the rest is room for the way between."""
LATE_STATUS_SECONDS = 0.25
"""How much later than its expiry a request's end may arrive."""
SHORTEST_WAIT_SECONDS = 0.001
"""A request has to expire, or it stays with the broker for ever and takes messages for a member that went away."""
MEND_PAUSE_SECONDS = 0.1

NO_MESSAGES = "404"
REQUEST_EXPIRED = "408"
_UNDECLARED = "not declared yet"

_logger = logging.getLogger(__name__)


class NatsDelivery:
    """One delivery.

    Settling is a plain message to the broker, so that many cost little; one that is lost leads to another delivery. Shortly
    before `ack_wait` has passed, nothing is sent any more: the broker would take the message from the member that holds it now.
    """

    __slots__ = ("_connection", "_held_seconds", "_held_since", "_message")

    def __init__(self, connection: NatsConnection, message: Arrived, ack_wait_seconds: float) -> None:
        self._connection = connection
        self._message = message
        self._held_seconds = HELD_SHARE_OF_ACK_WAIT * ack_wait_seconds
        self._held_since = time.monotonic()

    @property
    def subject(self) -> str:
        return self._message.subject

    @property
    def payload(self) -> bytes:
        return self._message.data

    @property
    def headers(self) -> Mapping[str, str]:
        return self._message.headers

    @property
    def num_delivered(self) -> int:
        return self._figure(0)

    @property
    def stream_sequence(self) -> int:
        return self._figure(1)

    @property
    def is_held(self) -> bool:
        """False once the broker may have given the message to another member."""
        return time.monotonic() - self._held_since < self._held_seconds

    async def ack(self) -> None:
        await self._settle(b"")

    async def retry_later(self, delay_seconds: float) -> None:
        await self._settle(b'-NAK {"delay":%d}' % int(delay_seconds * NANOSECONDS) if delay_seconds > 0 else b"-NAK")

    async def discard(self) -> None:
        await self._settle(b"+TERM")

    async def still_working(self) -> None:
        if self.is_held:
            await self._connection.send(self._message.reply, b"+WPI")
            self._held_since = time.monotonic()

    def _figure(self, place: int) -> int:
        # $JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>.<consumer sequence>.<time>.<pending>, which are nine
        # tokens; newer brokers put a domain and an account in front and one more behind.
        tokens = self._message.reply.split(".")
        return int(tokens[(4 if len(tokens) == 9 else 6) + place])

    async def _settle(self, verdict: bytes) -> None:
        if self.is_held:
            await self._connection.send(self._message.reply, verdict)


class NatsDeliveries:
    """Make one by `NatsBus.open_consumer`. One fetch at a time."""

    def __init__(
        self,
        connection: NatsConnection,
        spec: ConsumerSpec,
        heal: Callable[[float], Awaitable[None]],
        ballast: Ballast | None = None,
    ) -> None:
        self._connection = connection
        self._spec = spec
        self._heal = heal
        self._ballast = ballast
        self._next_subject = f"$JS.API.CONSUMER.MSG.NEXT.{spec.stream}.{spec.durable}"
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._requests = 0
        self._open_request = ""
        """Reply subject of the request that the broker still answers; empty when there is none."""
        self._expected = 0
        """Messages that it may still bring."""
        self._trouble: str | None = _UNDECLARED
        self._mended_at = 0.0
        self._arrived: deque[NatsDelivery] = deque()
        self._taken = 0
        """Messages since the last request."""
        self._news = asyncio.Event()

    async def start(self) -> None:
        """Listen for the consumer's messages; the first fetch declares it. Raises BusUnavailable when the bus is closed."""
        self._inbox = self._connection.new_inbox()
        self._subscription = await self._connection.subscribe(f"{self._inbox}.*", self._take)
        self._connection.watch(self._on_connection_change)

    async def fetch(self, max_messages: int, wait_seconds: float) -> Sequence[NatsDelivery]:
        check_batch(max_messages)
        ends_at = time.monotonic() + max(wait_seconds, SHORTEST_WAIT_SECONDS)
        while True:
            if self._subscription is None:
                raise BusUnavailable(f"the consumer {self._spec.durable} is closed")
            if self._arrived:
                await self._rest_of_batch(max_messages)
                taken = self._pop(max_messages)
                if taken:
                    self._taken += len(taken)
                    return taken
            if self._trouble is not None:
                await self._mend(ends_at)
                continue
            remaining = ends_at - time.monotonic()
            await self._connection.until_up(remaining)
            if not self._open_request:
                await self._ask_for(max_messages, remaining)
            if not await self._wait_for_news(max(remaining, 0.0) + LATE_STATUS_SECONDS):
                self._open_request = ""
            if not self._arrived and self._trouble is None and time.monotonic() >= ends_at:
                await self._connection.until_up(0.0)
                return []

    async def close(self) -> None:
        """What arrived and was not fetched goes back at once."""
        if self._subscription is None:
            return
        self._connection.unwatch(self._on_connection_change)
        subscription, self._subscription = self._subscription, None
        self._open_request = ""
        self._news.set()
        await self._connection.drain(subscription)
        while self._arrived and self._connection.is_up:
            await self._arrived.popleft().retry_later(0.0)

    async def _ask_for(self, max_messages: int, remaining: float) -> None:
        self._requests += 1
        self._open_request = f"{self._inbox}.{self._requests}"
        self._expected = max_messages
        self._news.clear()
        if self._taken and self._ballast is not None:
            await self._ballast.keep(self._taken)
        self._taken = 0
        expires = int(max(remaining, SHORTEST_WAIT_SECONDS) * NANOSECONDS)
        request = {"batch": max_messages, "no_wait": True, "expires": expires}
        await self._connection.send(self._next_subject, msgspec.json.encode(request), reply=self._open_request)

    def _take(self, message: Arrived) -> None:
        """Called by the client for each message, in order."""
        # Only what the broker itself says comes to the inbox; a stored message may call itself a status, too.
        if not message.subject.startswith(f"{self._inbox}."):
            self._arrived.append(NatsDelivery(self._connection, message, self._spec.ack_wait_seconds))
            self._expected -= 1
            if self._expected <= 0:
                self._open_request = ""
        elif message.subject == self._open_request:
            self._open_request = ""
            status = message.status
            if status not in (NO_MESSAGES, REQUEST_EXPIRED):
                # 503 without a consumer, 409 when it was deleted, moved or is asked by too many: look after it, and pause.
                self._trouble = f"{status} {message.headers.get(DESCRIPTION, '')}".strip()
        self._news.set()

    def _on_connection_change(self) -> None:
        """The broker has forgotten an open request when the connection was lost."""
        self._open_request = ""
        self._news.set()

    async def _wait_for_news(self, wait_seconds: float) -> bool:
        try:
            async with asyncio.timeout(wait_seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True

    async def _rest_of_batch(self, max_messages: int) -> None:
        while self._open_request and len(self._arrived) < max_messages:
            if not await self._wait_for_news(REST_OF_BATCH_SECONDS):
                return

    def _pop(self, max_messages: int) -> list[NatsDelivery]:
        taken: list[NatsDelivery] = []
        while self._arrived and len(taken) < max_messages:
            delivery = self._arrived.popleft()
            if delivery.is_held:
                taken.append(delivery)
        return taken

    async def _mend(self, ends_at: float) -> None:
        """Make stream and consumer again; when that fails, pause and leave the trouble to the next turn.

        Raises BusUnavailable when the time is over.
        """
        now = time.monotonic()
        if now - self._mended_at < MEND_PAUSE_SECONDS:
            await asyncio.sleep(MEND_PAUSE_SECONDS)
        self._mended_at = now
        trouble, self._trouble = self._trouble, None
        if trouble != _UNDECLARED:
            _logger.warning("consumer_lost", extra={"consumer": self._spec.durable, "reason": trouble})
        try:
            await self._declare(now)
        except BusUnavailable as failed:
            self._trouble = str(failed)
            if time.monotonic() >= ends_at:
                raise

    async def _declare(self, noticed_at: float) -> None:
        """The consumer alone if that suffices: to make streams is not every service's right."""
        try:
            await declare_consumer(self._connection, self._spec)
        except BusUnavailable:
            await self._heal(noticed_at)
            await declare_consumer(self._connection, self._spec)


async def declare_consumer(connection: NatsConnection, spec: ConsumerSpec) -> None:
    """Make the consumer, or update its limits. Raises BusUnavailable."""
    request = {
        "stream_name": spec.stream,
        "config": {
            "name": spec.durable,
            "durable_name": spec.durable,
            "filter_subject": spec.filter_subject,
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": int(spec.ack_wait_seconds * NANOSECONDS),
            "max_ack_pending": spec.max_ack_pending,
            # Giving up is ours to decide and to record; the broker would just keep the message and deliver it no more.
            "max_deliver": -1,
        },
    }
    try:
        await connection.api(f"CONSUMER.CREATE.{spec.stream}.{spec.durable}.{spec.filter_subject}", request, dict)
    except JetStreamRefusal as refusal:
        raise BusUnavailable(f"the broker refuses the consumer {spec.durable} on {spec.stream}: {refusal}") from refusal
