"""The NATS client library, with a shorter way for messages in both directions.

The library handles messages one at a time. Each that is sent is validated again, and written by a task that is woken for it;
each that comes wakes the task that reads, has its headers parsed and waits in a queue for a task of its subscription. That is
most of what a message costs. Here what a turn of the event loop sends goes out as one write, and what comes goes straight to
who takes it.

For that the library gets a transport of ours, and some of its inner methods are called; every test over a real broker goes
through them. Connecting, reconnecting and what cannot go out yet stay the library's affair.
"""

import asyncio
import functools
import logging
import time
from collections.abc import Callable

import nats.errors
from nats.aio.client import Client, Srv
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.protocol.parser import AUTHORIZATION_VIOLATION, PERMISSIONS_ERR, STALE_CONNECTION

from aif_runtime.nats_transport import ShortWayTransport
from aif_runtime.nats_wire import Arrived

Taker = Callable[[Arrived], None]

_logger = logging.getLogger(__name__)


class ShortWayClient(Client):
    def __init__(self) -> None:
        super().__init__()
        self._unsent: list[bytes] = []
        """Commands that go out with the next turn of the event loop."""
        self.pong_at = 0.0
        """When the server last answered a ping, by the monotonic clock."""

    async def write(self, commands: bytes) -> None:
        """Send what `nats_wire.written` has made, of one message or of many. Raises the library's errors."""
        if self.is_connected and self._pending_data_size == 0 and self._has_room():
            if not self._unsent:
                asyncio.get_running_loop().call_soon(self._send_unsent)
            self._unsent.append(commands)
            return
        if self.is_closed:
            raise nats.errors.ConnectionClosedError
        if not self.is_connected and self.pending_data_size + len(commands) > self._max_pending_size:
            raise nats.errors.OutboundBufferLimitError
        await self._send_command(commands)
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()

    async def take(self, subject: str, taker: Taker, *, queue: str = "") -> Subscription:
        """Subscribe; `taker` is called with each message, in order, while what follows it waits."""
        return await self.subscribe(subject, queue=queue, cb=_ShortWay(_long_way, taker))

    async def leave(self, subscription: Subscription) -> None:
        """Tell the server that nothing more is wanted; what it has sent by then is still taken. Raises the library's errors."""
        await self.write(b"UNSUB %d\r\n" % subscription._id)

    def abort(self) -> None:
        """Close the socket now, whatever is unsent, after a close that did not come to it."""
        if isinstance(self._transport, ShortWayTransport):
            self._transport.abort()
        elif self._transport is not None:
            self._transport.close()  # type: ignore[no-untyped-call]

    async def _connect_to_server(self, s: Srv) -> None:
        if self._transport is None and s.uri.scheme in ("nats", "tls"):
            self._transport = ShortWayTransport(self._take)
        await super()._connect_to_server(s)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        """What the library has read itself: over a WebSocket, or for a subscription of its own."""
        if not self._take(sid, subject, reply, data, headers):
            await super()._process_msg(sid, subject, reply, data, headers)

    async def _process_pong(self) -> None:
        """The answer may be to a ping that nobody waits for any more. The library would end its reading over it: it would flush
        without asking, answer no ping of the server, and give the connection up when its own remain unanswered as well."""
        self.pong_at = time.monotonic()
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    async def _process_err(self, err_msg: str) -> None:
        """What a server complains of that it does not go on with. The library would leave it for good: over bytes that were
        garbled on their way, or over a password that holds again a moment later. Here it is connected to again."""
        if PERMISSIONS_ERR in err_msg or STALE_CONNECTION in err_msg:
            await super()._process_err(err_msg)
            return
        is_refused = AUTHORIZATION_VIOLATION in err_msg
        complaint = nats.errors.AuthorizationError() if is_refused else nats.errors.Error(f"nats: {err_msg}")
        await self._error_cb(complaint)
        await self._process_op_err(complaint)

    def _has_room(self) -> bool:
        """False over a WebSocket, too."""
        return isinstance(self._transport, ShortWayTransport) and self._transport.has_room

    def _send_unsent(self) -> None:
        commands, self._unsent = self._unsent, []
        if self.is_connected and self._transport is not None:
            self._transport.writelines(commands)
        elif not self.is_closed:
            self._pending += commands
            self._pending_data_size += sum(map(len, commands))

    def _take(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> bool:
        subscription = self._subs.get(sid)
        if subscription is None or not isinstance(subscription._cb, _ShortWay):
            return False
        (taker,) = subscription._cb.args
        try:
            taker(Arrived(subject, reply, data, headers))
        except Exception:
            # The outermost loop of everything that comes: one message that cannot be taken must not end the connection.
            _logger.exception("message_not_taken", extra={"subject": subject.decode("utf-8", "replace")})
        return True


class _ShortWay(functools.partial):  # type: ignore[type-arg]
    """How a subscription of ours is known again. A partial function, because the library accepts nothing else."""


async def _long_way(_taker: Taker, message: Msg) -> None:
    raise AssertionError(f"a message on {message.subject} has come by the library's own way")
