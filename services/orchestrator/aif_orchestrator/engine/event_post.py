"""Events on their way to the broker. Those of an execution that goes on wait a moment for what follows them, and go with it.

Each message costs the broker a write to its disk, and everybody who reads events a delivery; that a step is told a quarter of a
second later nobody minds. What ends an execution waits for nothing, and takes along what waits of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby
from operator import attrgetter

from aif_contracts import subjects
from aif_contracts.events import MOST_EVENTS_BYTES
from aif_runtime.bundles import in_bundles, joined
from aif_runtime.bus import Outgoing

GATHER_SECONDS = 0.25

Publish = Callable[[Sequence[Outgoing]], Awaitable[None]]
"""Returns when they are stored."""
_News = list[tuple[Outgoing, Callable[[], None]]]
"""Of one execution, in order; each with what is called when it is stored."""


class EventPost:
    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._waiting: dict[str, _News] = {}
        """By execution."""
        self._ready: list[_News] = []
        self._something_is_ready = asyncio.Event()
        self._gathering: asyncio.TimerHandle | None = None
        self._is_in_a_hurry = False

    def send(self, message: Outgoing, stored: Callable[[], None]) -> None:
        """`stored` is called when its events are."""
        execution = message.subject.rpartition(".")[0]
        self._waiting.setdefault(execution, []).append((message, stored))
        if self._is_in_a_hurry or not subjects.tells_progress(message.subject):
            self._ready.append(self._waiting.pop(execution))
            self._something_is_ready.set()
        elif self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._let_all_go)

    def hurry(self) -> None:
        """From now on nothing is gathered any more."""
        self._is_in_a_hurry = True
        if self._gathering is not None:
            self._gathering.cancel()
            self._let_all_go()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._something_is_ready.wait()
            self._something_is_ready.clear()
            ready, self._ready = self._ready, []
            await self._publish([message for news in ready for message in told_together([message for message, _ in news])])
            for news in ready:
                for _, stored in news:
                    stored()

    def _let_all_go(self) -> None:
        self._gathering = None
        self._ready += self._waiting.values()
        self._waiting = {}
        self._something_is_ready.set()


def told_together(messages: Sequence[Outgoing]) -> list[Outgoing]:
    """The same events, all of one execution, in as few messages as will hold them."""
    return [message for _, of_trace in groupby(messages, key=attrgetter("headers")) for message in _bundled(list(of_trace))]


def _bundled(messages: Sequence[Outgoing]) -> Sequence[Outgoing]:
    if len(messages) == 1:
        return messages
    without_brackets = [(message, message.payload[1:-1]) for message in messages]
    return [_one(bundle) for bundle in in_bundles(without_brackets, most_bytes=MOST_EVENTS_BYTES)]


def _one(bundle: Sequence[tuple[Outgoing, bytes]]) -> Outgoing:
    (first, _), (last, _) = bundle[0], bundle[-1]
    if first is last:
        return first
    return Outgoing(
        # After the last event, as ever: whether the execution goes on can be seen from it.
        subject=last.subject,
        payload=joined(bundle),
        # Another replica may publish any of them by itself, under its own id: that must not pass for all of these.
        message_id=f"{first.message_id}..{last.message_id}",
        headers=last.headers,
    )
