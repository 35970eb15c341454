"""Work queues of JetStream, read and written without waiting for each message."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

AT_ONCE = 512
EXPIRES_SECONDS = 30
CONFIRMED_WITHIN_SECONDS = 30.0

Take = Callable[[Msg], Awaitable[None]]


class Reader:
    """Reads a durable pull consumer. The broker always has a request to fill: more is asked for when half has come."""

    def __init__(self, client: Client, stream: str, consumer: str, take: Take) -> None:
        self._client = client
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = client.new_inbox()
        self._take = take
        self._expected = 0

    async def start(self) -> None:
        await self._client.subscribe(self._inbox, cb=self._on_message, pending_msgs_limit=AT_ONCE * 8)
        await self._ask()

    async def _ask(self) -> None:
        batch = AT_ONCE - self._expected
        self._expected += batch
        request = {"batch": batch, "expires": EXPIRES_SECONDS * 1_000_000_000}
        await self._client.publish(self._next, msgspec.json.encode(request), reply=self._inbox)

    async def _on_message(self, message: Msg) -> None:
        if message.reply:
            self._expected -= 1
            await self._take(message)
        else:
            # The end of a request says how much of it was not filled.
            self._expected -= int((message.headers or {}).get("Nats-Pending-Messages", 0))
        if self._expected <= AT_ONCE // 2:
            await self._ask()


class Writer:
    """Stores messages; a batch is waited for as a whole."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._batches = 0
        self._open: dict[str, tuple[int, asyncio.Future[None]]] = {}

    async def start(self) -> None:
        await self._client.subscribe(f"{self._inbox}.*", cb=self._on_confirmation)

    async def store(self, subject: str, payloads: Sequence[bytes]) -> None:
        """Return when the broker has every one of them."""
        self._batches += 1
        token = str(self._batches)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open[token] = (len(payloads), done)
        reply = f"{self._inbox}.{token}"
        for payload in payloads:
            await self._client.publish(subject, payload, reply=reply)
        async with asyncio.timeout(CONFIRMED_WITHIN_SECONDS):
            await done

    async def _on_confirmation(self, confirmation: Msg) -> None:
        if b'"error"' in confirmation.data or not confirmation.data:
            raise SystemExit(f"not stored: {confirmation.data.decode()}")
        token = confirmation.subject.rpartition(".")[2]
        missing, done = self._open[token]
        if missing > 1:
            self._open[token] = (missing - 1, done)
        else:
            del self._open[token]
            done.set_result(None)
