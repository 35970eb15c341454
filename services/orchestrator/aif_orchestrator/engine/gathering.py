"""Messages that wait a moment for others that can travel with them, where nobody waits for a single one.

Each message costs the broker a write to its disk, and everybody who reads it a delivery.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aif_runtime.bus import Outgoing

GATHER_SECONDS = 0.25

Publish = Callable[[Sequence[Outgoing]], Awaitable[None]]
"""Returns when they are stored."""
_Gathered = list[tuple[Outgoing, Callable[[], None]]]
"""In order; each with what is called when it is stored."""


class Gathering:
    def __init__(
        self,
        publish: Publish,
        *,
        company_of: Callable[[str], str],
        together: Callable[[Sequence[Outgoing]], Sequence[Outgoing]],
        may_wait: Callable[[str], bool],
    ) -> None:
        """`company_of` names, by its subject, what a message can travel with, and `together` makes as few of such messages as
        will hold them. One that may not wait, by its subject, takes along what waits of its company."""
        self._publish = publish
        self._company_of = company_of
        self._together = together
        self._may_wait = may_wait
        self._waiting: dict[str, _Gathered] = {}
        """By company."""
        self._ready: list[_Gathered] = []
        self._something_is_ready = asyncio.Event()
        self._moment: asyncio.TimerHandle | None = None
        self._is_in_a_hurry = False

    def send(self, message: Outgoing, stored: Callable[[], None]) -> None:
        """`stored` is called when what it holds is."""
        company = self._company_of(message.subject)
        self._waiting.setdefault(company, []).append((message, stored))
        if self._is_in_a_hurry or not self._may_wait(message.subject):
            self._ready.append(self._waiting.pop(company))
            self._something_is_ready.set()
        elif self._moment is None:
            self._moment = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._let_all_go)

    def hurry(self) -> None:
        """From now on nothing is gathered any more."""
        self._is_in_a_hurry = True
        if self._moment is not None:
            self._moment.cancel()
            self._let_all_go()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._something_is_ready.wait()
            self._something_is_ready.clear()
            ready, self._ready = self._ready, []
            await self._publish([each for gathered in ready for each in self._together([message for message, _ in gathered])])
            for gathered in ready:
                for _, stored in gathered:
                    stored()

    def _let_all_go(self) -> None:
        self._moment = None
        self._ready += self._waiting.values()
        self._waiting = {}
        self._something_is_ready.set()
