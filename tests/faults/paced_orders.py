"""Orders at a steady pace, as a client sends them that does not give up: under the same id until it is told yes or no."""

import asyncio
import time
from hashlib import sha256
from typing import Any

import msgspec

from aif_contracts import subjects
from aif_contracts.budgets import BUDGET_EXCEEDED, BUDGET_RESERVED
from aif_contracts.orders import CancelExecution, Execute
from aif_runtime.bus import Bus
from aif_runtime.failures import BusUnavailable, NoAnswer
from aif_runtime.ids import NewId, id_mint
from faults.paper_factory import STAGES, TEMPLATE

CLIENT = "faults"
ANSWER_SECONDS = 2.0
PAUSE_SECONDS = 0.1
GIVE_UP_SECONDS = 120.0
AGAIN = ("database_unavailable", BUDGET_RESERVED)
"""Codes of refusals that ask for patience."""


class Orders:
    """What was ordered, and what was promised."""

    def __init__(self, bus: Bus, *, new_id: NewId | None = None) -> None:
        self._bus = bus
        self._new_id = new_id or id_mint()
        self.texts: dict[str, str] = {}
        """Of the accepted ones, by execution."""
        self.turned_away: list[str] = []
        """Refused, or never answered."""
        self.denied: list[str] = []
        """Refused because the client's budget is spent."""
        self.unanswered: list[str] = []
        """Why questions had to be put again: no answer came."""

    async def place(self, text: str | None = None) -> str:
        """Order until it is accepted; returns the execution's id. Without a text the id is the text."""
        execution_id = self._new_id("exec")
        text = text if text is not None else execution_id
        order = Execute(execution_id=execution_id, client_id=CLIENT, template_name=TEMPLATE, parameters={"text": text})
        try:
            reply = await self._asked(subjects.EXECUTE, msgspec.json.encode(order))
        except TimeoutError:
            self.turned_away.append(f"{execution_id} was not answered for {GIVE_UP_SECONDS:g} s")
            return execution_id
        if reply.get("reply") == "accepted":
            self.texts[execution_id] = text
        elif reply.get("code") == BUDGET_EXCEEDED:
            self.denied.append(execution_id)
        else:
            self.turned_away.append(f"{execution_id}: {reply.get('message')}")
        return execution_id

    async def place_many(self, count: int, *, per_second: float) -> None:
        """At a steady pace, whatever becomes of the ones before."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
                group.create_task(self.place())

    async def cancel(self, execution_id: str) -> None:
        cancel = CancelExecution(execution_id=execution_id, client_id=CLIENT)
        await self._asked(subjects.CANCEL, msgspec.json.encode(cancel))

    async def _asked(self, subject: str, question: bytes) -> dict[str, Any]:
        """The first answer that says anything about the question."""
        async with asyncio.timeout(GIVE_UP_SECONDS):
            while True:
                try:
                    reply = await self._bus.ask(subject, question, wait_seconds=ANSWER_SECONDS)
                except (NoAnswer, BusUnavailable) as failure:
                    self.unanswered.append(str(failure))
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
                answer: dict[str, Any] = msgspec.json.decode(reply)
                if answer.get("code") not in AGAIN:
                    return answer
                await asyncio.sleep(PAUSE_SECONDS)


def expected_digest(text: str) -> str:
    """What the pipeline makes of a text."""
    for _ in STAGES:
        text = sha256(text.encode()).hexdigest()
    return text
