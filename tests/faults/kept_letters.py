"""The dead letters of a trial, as an operator sees them: asked for by the orchestrator's own verbs."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from aif_contracts import subjects
from aif_contracts.dead_letters import (
    DeadLetterContent,
    DeadLetterPage,
    DeadLetterStatus,
    DeadLetterView,
    GetDeadLetter,
    ListDeadLetters,
    ReplayDeadLetter,
)
from aif_contracts.orders import Refusal
from aif_runtime.bus import Bus
from aif_runtime.failures import BusUnavailable, NoAnswer

ANSWER_SECONDS = 5.0
PAGE = 100
OPERATOR = "faults"

_REPLAYED = msgspec.json.Decoder(DeadLetterView)
_REFUSED = msgspec.json.Decoder(Refusal)


class KeptLetters:
    """Nothing is broken any more when it asks: an answer that does not come is an AssertionError."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def waiting(self) -> Sequence[DeadLetterView]:
        """All that nobody has decided about, newest first."""
        found: list[DeadLetterView] = []
        cursor: str | None = None
        while True:
            request = ListDeadLetters(status=DeadLetterStatus.WAITING, cursor=cursor, limit=PAGE)
            page = msgspec.json.decode(await self._asked(subjects.LIST_DEAD_LETTERS, request), type=DeadLetterPage)
            found += page.dead_letters
            cursor = page.next_cursor
            if cursor is None:
                return found

    async def content(self, letter: DeadLetterView) -> DeadLetterContent:
        request = GetDeadLetter(dead_letter_id=letter.dead_letter_id)
        return msgspec.json.decode(await self._asked(subjects.GET_DEAD_LETTER, request), type=DeadLetterContent)

    async def replay(self, letter: DeadLetterView) -> DeadLetterView | Refusal:
        request = ReplayDeadLetter(dead_letter_id=letter.dead_letter_id, decided_by=OPERATOR)
        answer = await self._asked(subjects.REPLAY_DEAD_LETTER, request)
        return _REFUSED.decode(answer) if b'"reply":"refusal"' in answer else _REPLAYED.decode(answer)

    async def _asked(self, subject: str, question: Struct) -> bytes:
        try:
            return await self._bus.ask(subject, msgspec.json.encode(question), wait_seconds=ANSWER_SECONDS)
        except (NoAnswer, BusUnavailable) as failure:
            raise AssertionError(str(failure)) from failure
