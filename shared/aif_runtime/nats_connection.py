"""One connection to a NATS server: kept up for ever, its troubles known, its replies sorted.

All that expects an answer (stored messages, questions, the JetStream API) shares one reply subscription. A request names a
reply subject of its own below it, and whoever waits is found by the last token; no subscription and no task per request.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Self, TypeVar

import msgspec
import nats.errors
from msgspec import Struct
from nats.aio.subscription import Subscription

from aif_runtime.failures import BusUnavailable
from aif_runtime.nats_client import ShortWayClient, Taker
from aif_runtime.nats_wire import Arrived, written
from aif_runtime.prepared_message import Prepared

PING_SECONDS = 5
UNANSWERED_PINGS = 2
"""A frozen broker is noticed after about 15 s; the library's own defaults take minutes."""
RECONNECT_PAUSE_SECONDS = 0.25
CONNECT_LIMIT_SECONDS = 10.0
REPLY_LIMIT_SECONDS = 5.0
RETURN_SECONDS = 5.0
"""A question waits no longer for a lost connection, however long its answer may take: who asks is to hear that nobody can."""
VIOLATION_SECONDS = 60.0
"""So long a refused permission makes the connection a troubled one. A wrong configuration shows again and again; a worker that
once tried to mend a lost stream, which is not its right, is well when somebody else has done it."""
FLUSH_LIMIT_SECONDS = 2
CLOSE_LIMIT_SECONDS = 2.0
BUFFER_BYTES = 64 * 1024 * 1024
"""Of unsent bytes. Above it the client would flush within a send and swallow a cancellation while doing so."""

NO_RESPONDERS = "503"

_logger = logging.getLogger(__name__)

T = TypeVar("T")


class ApiError(Struct, frozen=True, kw_only=True):
    """What JetStream says when it refuses."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class JetStreamRefusal(Exception):
    """Between the NATS adapters only: the caller decides whether it can be mended, or translates it."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.description)
        self.error = error


class _Refused(Struct, frozen=True):
    error: ApiError | None = None


_REFUSED = msgspec.json.Decoder(_Refused)

ReplyTaker = Callable[[Arrived | None], None]
"""Called once: with the reply, or with None when the connection was lost before it came."""


class NatsConnection:
    """Make one by `connect`."""

    def __init__(self, client: ShortWayClient, name: str, reply_limit_seconds: float) -> None:
        self.reply_limit_seconds = reply_limit_seconds
        """How long the broker itself may take for an answer."""
        self._client = client
        self._name = name
        self._inbox = ""
        self._next_token = 0
        self._waiting: dict[str, ReplyTaker] = {}
        self._up = asyncio.Event()
        self._closing = False
        self._is_silent = False
        """A flush was not answered, and nothing else has been since."""
        self._violation = ""
        self._violated_at = 0.0
        self._last_error: str | None = None
        self._subscriptions: set[Subscription] = set()
        self._watchers: list[Callable[[], None]] = []

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        name: str,
        user: str | None = None,
        password: str | None = None,
        inbox_prefix: str = "_INBOX",
        connect_limit_seconds: float = CONNECT_LIMIT_SECONDS,
        reply_limit_seconds: float = REPLY_LIMIT_SECONDS,
    ) -> Self:
        """Raises BusUnavailable when there is no connection within the limit; once made, it is restored for ever.

        `url` may name several servers, separated by commas.
        """
        client = ShortWayClient()
        self = cls(client, name, reply_limit_seconds)
        try:
            async with asyncio.timeout(connect_limit_seconds):
                await client.connect(
                    url.split(","),
                    name=name,
                    user=user,
                    password=password,
                    inbox_prefix=inbox_prefix,
                    ping_interval=PING_SECONDS,
                    max_outstanding_pings=UNANSWERED_PINGS,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=RECONNECT_PAUSE_SECONDS,  # type: ignore[arg-type]
                    pending_size=BUFFER_BYTES,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_disconnected,
                    reconnected_cb=self._on_reconnected,
                    closed_cb=self._on_closed,
                )
        except (TimeoutError, OSError, nats.errors.Error) as failed:
            self._closing = True
            await client.close()
            reason = self._last_error or str(failed) or "no answer"
            where = ", ".join(_address(each) for each in url.split(","))
            raise BusUnavailable(f"no connection to NATS at {where} within {connect_limit_seconds:g} s: {reason}") from failed
        except BaseException:
            self._closing = True
            await client.close()
            raise
        self._inbox = client.new_inbox()
        self._up.set()
        await self.subscribe(f"{self._inbox}.*", self._on_reply)
        return self

    @property
    def is_up(self) -> bool:
        """True while the socket is connected."""
        return self._up.is_set()

    @property
    def trouble(self) -> str | None:
        """Why this connection is of no use now: lost, closed, or something was refused for want of a permission."""
        if not self._up.is_set():
            return self._last_error or "not connected"
        if self._violation and time.monotonic() - self._violated_at < VIOLATION_SECONDS:
            return self._violation
        return None

    @property
    def max_payload(self) -> int:
        return self._client.max_payload

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have `watcher` called after every loss and every return of the connection."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: Callable[[], None]) -> None:
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    async def until_up(self, wait_seconds: float) -> None:
        """Raises BusUnavailable when there is no connection within the time."""
        if self._up.is_set():
            return
        if self._closing:
            raise BusUnavailable("the connection to NATS is closed")
        try:
            async with asyncio.timeout(max(0.0, wait_seconds)):
                await self._up.wait()
        except TimeoutError as late:
            raise BusUnavailable(f"no connection to NATS: {self.trouble}") from late

    async def send(
        self, subject: str, payload: bytes = b"", *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Hand a message to the connection; it leaves in order with all others. Raises ValueError when this broker does not
        take it, BusUnavailable."""
        if len(payload) > self.max_payload:
            raise self._too_large(subject, payload)
        await self._write(written(subject, payload, reply=reply, headers=headers))

    async def send_all(self, addressed: Iterable[tuple[str, Prepared]]) -> None:
        """The same for many, each with where its reply is to go: all of them, or none."""
        commands: list[bytes] = []
        most_bytes = self.max_payload
        for reply, message in addressed:
            if len(message.payload) > most_bytes:
                raise self._too_large(message.subject, message.payload)
            commands.append(written(message.subject, message.payload, reply=reply, headers=message.headers))
        await self._write(b"".join(commands))

    async def subscribe(self, subject: str, taker: Taker, *, queue: str = "") -> Subscription:
        """`taker` must not raise, nor take long."""
        try:
            subscription = await self._client.take(subject, taker, queue=queue)
        except nats.errors.ConnectionClosedError as lost:
            raise BusUnavailable(f"no connection to NATS: {self.trouble}") from lost
        self._subscriptions.add(subscription)
        return subscription

    async def unsubscribe(self, subscription: Subscription) -> None:
        """Does nothing when the connection is closed."""
        self._subscriptions.discard(subscription)
        try:
            await subscription.unsubscribe()
        except (nats.errors.ConnectionClosedError, nats.errors.BadSubscriptionError):
            pass

    async def drain(self, subscription: Subscription) -> None:
        """Unsubscribe, and return when all that had been sent to it was taken. Bounded in time."""
        if self._up.is_set():
            # Not as the library does it, which forgets the subscription before the server knows of it and so loses messages.
            try:
                await self._client.leave(subscription)
                await self.flush()
            except (nats.errors.Error, BusUnavailable):
                _logger.warning("nats_undrained", extra={"connection": self._name, "subject": subscription.subject})
        await self.unsubscribe(subscription)

    def expect(self, taker: ReplyTaker) -> str:
        """A reply subject of its own for `taker`. It is forgotten after one reply or by `forget`."""
        self._next_token += 1
        token = str(self._next_token)
        self._waiting[token] = taker
        return f"{self._inbox}.{token}"

    def forget(self, reply: str) -> None:
        self._waiting.pop(reply.rpartition(".")[2], None)

    def new_inbox(self) -> str:
        """A subject under which replies may be received by an own subscription."""
        return self._client.new_inbox()

    async def request(
        self, subject: str, payload: bytes, *, wait_seconds: float, headers: Mapping[str, str] | None = None
    ) -> Arrived:
        """The reply, whatever it says. Raises TimeoutError, and BusUnavailable when there is no connection or it is lost before
        the reply came."""
        await self.until_up(min(wait_seconds, RETURN_SECONDS))
        reply_came: asyncio.Future[Arrived | None] = asyncio.get_running_loop().create_future()

        def take(message: Arrived | None) -> None:
            if not reply_came.done():
                reply_came.set_result(message)

        reply = self.expect(take)
        try:
            async with asyncio.timeout(wait_seconds):
                await self.send(subject, payload, reply=reply, headers=headers)
                message = await reply_came
        finally:
            self.forget(reply)
        if message is None:
            raise BusUnavailable("the connection to NATS was lost before the reply came")
        return message

    async def api(self, verb: str, request: object, answer_type: type[T]) -> T:
        """Ask the JetStream API, for example `STREAM.INFO.AIF_WORK`. Raises JetStreamRefusal, BusUnavailable."""
        payload = msgspec.json.encode(request) if request is not None else b""
        try:
            message = await self.request(f"$JS.API.{verb}", payload, wait_seconds=self.reply_limit_seconds)
        except TimeoutError as late:
            raise BusUnavailable(f"JetStream did not answer {verb}: {self.trouble or 'no reply'}") from late
        if message.status == NO_RESPONDERS:
            raise BusUnavailable(f"JetStream is not available for {verb}")
        refusal = refusal_in(message.data)
        if refusal is not None:
            raise JetStreamRefusal(refusal)
        return msgspec.json.decode(message.data, type=answer_type)

    @property
    def pong_at(self) -> float:
        """When the broker last answered a ping, by the monotonic clock; it is asked every five seconds."""
        return self._client.pong_at

    async def is_answering(self, within_seconds: float) -> bool:
        """Whether the broker answers a ping at once. One that hangs keeps its connections up for a while."""
        pinging = asyncio.ensure_future(self._client.flush(within_seconds))  # type: ignore[arg-type]
        pinging.add_done_callback(_heeded)
        try:
            await asyncio.shield(pinging)
        except (nats.errors.Error, OSError):
            return False
        return True

    async def flush(self) -> None:
        """Return when the broker has read all that was sent. Raises BusUnavailable.

        It goes on when the caller is cancelled: the client would not survive a ping that is broken off while it is sent.
        """
        flushing = asyncio.ensure_future(self._flush())
        flushing.add_done_callback(_heeded)
        try:
            await asyncio.shield(flushing)
        except (nats.errors.Error, OSError) as failed:
            self._is_silent = True
            raise BusUnavailable(f"the broker does not answer: {self.trouble or failed}") from failed

    def _too_large(self, subject: str, payload: bytes) -> ValueError:
        return ValueError(
            f"payload to {subject} has {len(payload)} bytes, this broker takes at most {self.max_payload}: store it as a "
            "blob and send the reference"
        )

    async def _write(self, commands: bytes) -> None:
        try:
            await self._client.write(commands)
        except (nats.errors.ConnectionClosedError, nats.errors.OutboundBufferLimitError) as lost:
            raise BusUnavailable(f"no connection to NATS: {self.trouble}") from lost

    async def _flush(self) -> None:
        # Twice, because the client's ping overtakes what it has not yet written; only the second comes behind it.
        await self._client.flush(FLUSH_LIMIT_SECONDS)
        await self._client.flush(FLUSH_LIMIT_SECONDS)

    async def close(self) -> None:
        """Send what is pending and leave, within about four seconds; sooner where the broker has just been silent."""
        if self._closing:
            return
        self._closing = True
        if self._up.is_set() and not self._is_silent:
            try:
                await self.flush()
            except BusUnavailable:
                _logger.warning("nats_close_unflushed", extra={"connection": self._name})
        self._up.clear()
        # By us, because the client leaves the tasks of its subscriptions behind when it cannot send its rest.
        for subscription in tuple(self._subscriptions):
            await self.unsubscribe(subscription)
        try:
            async with asyncio.timeout(CLOSE_LIMIT_SECONDS):
                await self._client.close()
        except (TimeoutError, OSError, TypeError) as failed:
            # A frozen broker reads nothing, and the socket waits for it to take the rest; a lost one refuses it. Asyncio of
            # Python 3.12 and 3.13 answers the rest with a TypeError where the socket was closed before.
            _logger.warning("nats_close_unfinished", extra={"connection": self._name, "error": repr(failed)})
            self._client.abort()
        self._tell_all_lost()

    def _on_reply(self, message: Arrived) -> None:
        self._is_silent = False
        taker = self._waiting.pop(message.subject.rpartition(".")[2], None)
        if taker is not None:
            taker(message)

    async def _on_error(self, error: Exception) -> None:
        text = "no answer" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        is_news = text != self._last_error
        if isinstance(error, OSError) and "authorization" in (self._last_error or "").lower():
            # A server that refuses a password closes at once; now and then its words are lost and only the reset is seen.
            return
        self._last_error = text
        if "permissions violation" in text.lower():
            # Without this a refused subject would look like a slow broker.
            self._violation = text
            self._violated_at = time.monotonic()
            _logger.error("nats_permission_violation", extra={"connection": self._name, "error": text})
        elif is_news and not self._closing:
            _logger.warning("nats_error", extra={"connection": self._name, "error": text})

    async def _on_disconnected(self) -> None:
        self._up.clear()
        if not self._closing:
            _logger.warning("nats_disconnected", extra={"connection": self._name})
        self._tell_all_lost()

    async def _on_reconnected(self) -> None:
        self._is_silent = False
        self._violation = ""
        self._last_error = None
        self._up.set()
        _logger.info("nats_reconnected", extra={"connection": self._name})
        self._tell_watchers()

    async def _on_closed(self) -> None:
        self._up.clear()
        if not self._closing:
            _logger.error("nats_closed", extra={"connection": self._name, "error": self._last_error})
        self._tell_all_lost()

    def _tell_all_lost(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for taker in waiting.values():
            taker(None)
        self._tell_watchers()

    def _tell_watchers(self) -> None:
        for watcher in tuple(self._watchers):
            watcher()


def _address(url: str) -> str:
    """Without what is secret in it."""
    return url.rpartition("@")[2].rpartition("//")[2]


def _heeded(flushing: "asyncio.Future[None]") -> None:
    """Nobody may be left to see how it ended."""
    if not flushing.cancelled():
        flushing.exception()


def refusal_in(reply: bytes) -> ApiError | None:
    """The error of a JetStream reply."""
    if b'"error"' not in reply:
        return None
    return _REFUSED.decode(reply).error
