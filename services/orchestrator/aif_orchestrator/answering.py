"""How a question over the bus becomes an answer: read, put to whoever knows, written; what cannot be answered is refused."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from msgspec import Struct

from aif_contracts import subjects
from aif_contracts.orders import Refusal
from aif_orchestrator.engine.arrivals import NotApplied
from aif_runtime.bus import Bus, Question
from aif_runtime.decoding import decode
from aif_runtime.failures import BusUnavailable, DatabaseUnavailable, MalformedMessage
from aif_runtime.postgres import reading

AWAY_RETRY_MS = 1_000

Q = TypeVar("Q", bound=Struct)


async def answer_questions(
    bus: Bus, subject: str, kind: type[Q], verb: Callable[[Q, Question], Awaitable[Struct]], *, reads: bool = False
) -> None:
    """Answer every question on the subject, shared with the other replicas, until the bus closes.

    Who only `reads`, and no change waits for it, takes no connection to Postgres from those who keep the executions going.
    """
    decoder = msgspec.json.Decoder(kind)

    async def answerer(question: Question) -> bytes:
        try:
            with reading(reads and subjects.FOR_A_CHANGE not in question.headers):
                answer = await verb(decode(decoder, question.payload), question)
        except MalformedMessage as mistake:
            answer = Refusal(code=mistake.code, message=str(mistake))
        except (DatabaseUnavailable, BusUnavailable) as failure:
            answer = Refusal(code=failure.code, message=str(failure), retry_after_ms=AWAY_RETRY_MS)
        except NotApplied as failure:
            answer = Refusal(code="internal_error", message=str(failure))
        return msgspec.json.encode(answer)

    await bus.answer(subject, subjects.ORCHESTRATOR_GROUP, answerer)


def unknown_execution(execution_id: str) -> Refusal:
    return Refusal(code="unknown_execution", message=f"there is no execution {execution_id}")
