"""Signs of life of attempts, those that a worker tells together as one question: applied at once, answered after the commit.

One that cannot be read, or applied now, is answered as such, and takes none of the others with it.
"""

import asyncio
from collections.abc import Sequence

import msgspec
import structlog

from aif_contracts import subjects
from aif_contracts.packets import NotNoted, ProgressAnswer, Superseded
from aif_contracts.reports import MOST_TOGETHER, Progress
from aif_orchestrator.engine.arrivals import Applied, NotApplied
from aif_orchestrator.engine.engine import Engine
from aif_orchestrator.execution.happenings import AttemptProgressed
from aif_runtime.bus import Bus, Question
from aif_runtime.decoding import decode, parts_of
from aif_runtime.failures import DatabaseUnavailable, MalformedMessage
from aif_runtime.told_sparingly import ToldSparingly

_TOGETHER = msgspec.json.Decoder(list[Progress])
_ONE = msgspec.json.Decoder(Progress)

log = structlog.get_logger()


class ProgressAnswers:
    def __init__(self, *, bus: Bus, engine: Engine) -> None:
        self._bus = bus
        self._engine = engine
        self._complaints = ToldSparingly()

    async def open(self) -> None:
        """Begin to answer; ends when the bus closes."""
        await self._bus.answer(subjects.PROGRESS, subjects.ORCHESTRATOR_GROUP, self._answer)

    async def _answer(self, question: Question) -> bytes:
        under_way = [None if told is None else self._submit(told) for told in self._read(question.payload)]
        return msgspec.json.encode([await _answer_of(applied) for applied in under_way])

    def _read(self, payload: bytes) -> Sequence[Progress | None]:
        """None for each that cannot be read. Raises MalformedMessage for what is no array, or too long a one."""
        try:
            return decode(_TOGETHER, payload)
        except MalformedMessage as mistake:
            signs = [_read_one(part) for part in parts_of(payload, at_most=MOST_TOGETHER)]
            times = self._complaints.times("progress_malformed")
            if times:
                log.warning("progress_malformed", reason=str(mistake), times=times)
            return signs

    def _submit(self, told: Progress) -> "asyncio.Future[Applied]":
        happening = AttemptProgressed(
            stage_id=told.stage_id,
            attempt=told.attempt,
            instance_id=told.instance_id,
            percent=told.percent,
            message=told.message,
            is_waiting=told.is_waiting,
            points=told.points,
        )
        return self._engine.submit(told.execution_id, happening)


async def _answer_of(applied: "asyncio.Future[Applied] | None") -> ProgressAnswer:
    if applied is None:
        return NotNoted()
    try:
        answer = (await applied).answer
    except (DatabaseUnavailable, NotApplied):
        return NotNoted()
    return answer if isinstance(answer, ProgressAnswer) else Superseded()


def _read_one(content: bytes) -> Progress | None:
    try:
        return decode(_ONE, content)
    except MalformedMessage:
        return None
