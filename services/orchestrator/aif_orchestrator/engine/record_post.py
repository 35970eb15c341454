"""Performance records of a moment, published together: nobody waits for them, and each message costs the broker a write.

Under load a batch tells many attempts in one message already; when work comes one at a time each would be a message of its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aif_orchestrator.engine.told_attempts import told_together
from aif_runtime.bus import Outgoing

GATHER_SECONDS = 0.25

Publish = Callable[[Sequence[Outgoing]], Awaitable[None]]
"""Returns when they are stored."""


class RecordPost:
    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._waiting: list[tuple[Outgoing, Callable[[], None]]] = []
        self._something = asyncio.Event()
        self._hurry = asyncio.Event()

    def send(self, message: Outgoing, stored: Callable[[], None]) -> None:
        """`stored` is called when its records are."""
        self._waiting.append((message, stored))
        self._something.set()

    def hurry(self) -> None:
        """From now on nothing is gathered any more."""
        self._hurry.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._something.wait()
            try:
                async with asyncio.timeout(GATHER_SECONDS):
                    await self._hurry.wait()
            except TimeoutError:
                pass
            self._something.clear()
            gathered, self._waiting = self._waiting, []
            await self._publish(told_together([message for message, _ in gathered]))
            for _, stored in gathered:
                stored()
