"""Many messages of one stream, confirmed by one answer: the broker's fast-ingest batches (nats-server 2.14, ADR-50).

The reply subject of each message names its batch, how far apart acknowledgements may lie, what a gap means, the message's
place, and whether it begins, continues or ends the batch. The broker stores each message as it comes, drops repeated ids as
ever, and answers the last one with how many it has taken. Any other answer, and none at all, means that nothing is known:
whoever sent them sends them again, one by one, under the same ids.
"""

import asyncio
from collections.abc import Sequence

import msgspec
from msgspec import Struct
from nats.aio.subscription import Subscription

from aif_runtime.nats_connection import NatsConnection
from aif_runtime.nats_wire import Arrived
from aif_runtime.prepared_message import Prepared

WORTH_A_BATCH = 8
"""Fewer messages are confirmed one by one: a batch has an answer to its beginning as well."""
FLOW = 65_535
"""The broker need not acknowledge what lies between."""

_BEGINS, _CONTINUES, _ENDS = 0, 1, 2


class _Answer(Struct, frozen=True, kw_only=True):
    """`type` is `ack` for the answer to a beginning, `gap` and `err` for troubles; the answer that ends a batch has none."""

    type: str = ""
    count: int = 0
    """Absent from a refusal."""


_ANSWER = msgspec.json.Decoder(_Answer)


class FastIngest:
    """The batches of one connection. Used by one task at a time for each batch; several batches may be under way."""

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection
        self._inbox = connection.new_inbox()
        self._subscription: Subscription | None = None
        self._subscribing = asyncio.Lock()
        self._batches = 0
        self._waiting: dict[str, asyncio.Future[int]] = {}
        connection.watch(self._give_up_when_lost)

    async def store(self, messages: Sequence[Prepared]) -> bool:
        """True when the broker has confirmed all of them, which belong to one stream. Raises BusUnavailable.

        The caller limits the time.
        """
        await self._listen()
        self._batches += 1
        batch = str(self._batches)
        taken: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[batch] = taken
        prefix = f"{self._inbox}.{batch}.{FLOW}.fail"
        last = len(messages)
        try:
            replies = [f"{prefix}.{place}.{_CONTINUES}.$FI" for place in range(1, last + 1)]
            replies[0] = f"{prefix}.1.{_BEGINS}.$FI"
            replies[-1] = f"{prefix}.{last}.{_ENDS}.$FI"
            await self._connection.send_all(zip(replies, messages, strict=True))
            return await taken == last
        finally:
            del self._waiting[batch]

    def _give_up_when_lost(self) -> None:
        if not self._connection.is_up:
            for taken in self._waiting.values():
                if not taken.done():
                    taken.set_result(0)

    async def _listen(self) -> None:
        async with self._subscribing:
            if self._subscription is None:
                self._subscription = await self._connection.subscribe(f"{self._inbox}.>", self._take)

    def _take(self, message: Arrived) -> None:
        batch = message.subject.removeprefix(self._inbox).split(".", 2)[1]
        taken = self._waiting.get(batch)
        if taken is None or taken.done():
            return
        answer = _ANSWER.decode(message.data) if message.data else _Answer(type="err")
        if answer.type in ("err", "gap"):
            taken.set_result(0)
        elif not answer.type:
            taken.set_result(answer.count)
