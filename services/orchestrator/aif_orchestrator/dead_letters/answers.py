"""What operators ask about dead letters, and what they decide."""

import structlog

from aif_contracts import subjects
from aif_contracts.audit import DEAD_LETTER_DISMISSED, DEAD_LETTER_REPLAYED
from aif_contracts.dead_letters import (
    DeadLetterContent,
    DeadLetterPage,
    DeadLetterStatus,
    DeadLetterView,
    DismissDeadLetter,
    GetDeadLetter,
    ListDeadLetters,
    ReplayDeadLetter,
)
from aif_contracts.orders import Refusal
from aif_orchestrator.answering import answer_questions
from aif_orchestrator.audit.log import AuditLog
from aif_orchestrator.dead_letters.replay import is_work, message_again, packet_in, refusal_of_letter, refusal_of_packet
from aif_orchestrator.execution.draft import rfc3339
from aif_orchestrator.pages import number_in
from aif_orchestrator.store.dead_letters import DeadLetterStore, KeptLetter, LetterContent
from aif_orchestrator.store.executions import ExecutionStore
from aif_runtime.bus import Bus, Question
from aif_runtime.postgres import Connection, Database

log = structlog.get_logger()


class DeadLetterAnswers:
    def __init__(
        self, *, bus: Bus, database: Database, letters: DeadLetterStore, executions: ExecutionStore, audit: AuditLog
    ) -> None:
        self._bus = bus
        self._database = database
        self._letters = letters
        self._executions = executions
        self._audit = audit

    async def open(self) -> None:
        """Begin to answer; ends when the bus closes."""
        await answer_questions(self._bus, subjects.LIST_DEAD_LETTERS, ListDeadLetters, self._list, reads=True)
        await answer_questions(self._bus, subjects.GET_DEAD_LETTER, GetDeadLetter, self._get, reads=True)
        await answer_questions(self._bus, subjects.REPLAY_DEAD_LETTER, ReplayDeadLetter, self._replay)
        await answer_questions(self._bus, subjects.DISMISS_DEAD_LETTER, DismissDeadLetter, self._dismiss)

    async def _list(self, request: ListDeadLetters, question: Question) -> DeadLetterPage | Refusal:
        before = number_in(request.cursor)
        if isinstance(before, Refusal):
            return before
        async with self._database.connection() as connection:
            found = await self._letters.list_page(
                connection, status=request.status, origin=request.origin, before=before, limit=request.limit + 1
            )
        page = found[: request.limit]
        return DeadLetterPage(
            dead_letters=tuple(_view(each) for each in page),
            next_cursor=str(page[-1].position) if len(found) > request.limit else None,
        )

    async def _get(self, request: GetDeadLetter, question: Question) -> DeadLetterContent | Refusal:
        async with self._database.connection() as connection:
            content = await self._letters.find(connection, request.dead_letter_id)
        if content is None:
            return _unknown(request.dead_letter_id)
        return DeadLetterContent(dead_letter=_view(content.letter), headers=content.headers, payload=content.payload)

    async def _replay(self, request: ReplayDeadLetter, question: Question) -> DeadLetterView | Refusal:
        """Sent first, marked afterwards: when the mark is lost, it waits still and may be sent a second time."""
        async with self._database.transaction() as connection:
            content = await self._lock_waiting(connection, request.dead_letter_id)
            if isinstance(content, Refusal):
                return content
            refusal = refusal_of_letter(content) or await self._refusal_of_work(connection, content)
            if refusal is not None:
                return refusal
            await self._bus.publish([message_again(content)])
            decided = await self._letters.decide(connection, content.letter, DeadLetterStatus.REPLAYED, request.decided_by)
            await self._audit_decision(connection, DEAD_LETTER_REPLAYED, decided, request.decided_by)
        _tell(decided)
        return _view(decided)

    async def _dismiss(self, request: DismissDeadLetter, question: Question) -> DeadLetterView | Refusal:
        async with self._database.transaction() as connection:
            content = await self._lock_waiting(connection, request.dead_letter_id)
            if isinstance(content, Refusal):
                return content
            decided = await self._letters.decide(connection, content.letter, DeadLetterStatus.DISMISSED, request.decided_by)
            await self._audit_decision(connection, DEAD_LETTER_DISMISSED, decided, request.decided_by)
        _tell(decided)
        return _view(decided)

    async def _audit_decision(self, connection: Connection, action: str, letter: KeptLetter, decided_by: str) -> None:
        await self._audit.tell(
            connection,
            action,
            decided_by,
            {"dead_letter_id": letter.dead_letter_id, "origin": letter.origin, "subject": letter.subject},
            execution_id=letter.execution_id,
        )

    async def _lock_waiting(self, connection: Connection, dead_letter_id: str) -> LetterContent | Refusal:
        content = await self._letters.lock(connection, dead_letter_id)
        if content is None:
            return _unknown(dead_letter_id)
        letter = content.letter
        if letter.status is not DeadLetterStatus.WAITING:
            return Refusal(
                code="already_decided",
                message=f"{dead_letter_id} was {letter.status} by {letter.decided_by}; "
                "what failed once more is a dead letter of its own",
            )
        return content

    async def _refusal_of_work(self, connection: Connection, content: LetterContent) -> Refusal | None:
        execution_id = content.letter.execution_id
        if execution_id is None or not is_work(content):
            return None
        seen = await self._executions.find(connection, execution_id, None)
        return refusal_of_packet(execution_id, packet_in(content), None if seen is None else seen.execution)


def _unknown(dead_letter_id: str) -> Refusal:
    return Refusal(code="unknown_dead_letter", message=f"there is no dead letter {dead_letter_id[:100]}")


def _view(letter: KeptLetter) -> DeadLetterView:
    return DeadLetterView(
        dead_letter_id=letter.dead_letter_id,
        origin=letter.origin,
        subject=letter.subject,
        reason=letter.reason,
        found_by=letter.found_by,
        found_at=rfc3339(letter.found_ms),
        deliveries=letter.deliveries,
        size_bytes=letter.size_bytes,
        status=letter.status,
        execution_id=letter.execution_id,
        decided_at=None if letter.decided_ms is None else rfc3339(letter.decided_ms),
        decided_by=letter.decided_by,
    )


def _tell(letter: KeptLetter) -> None:
    log.info(
        "dead_letter_decided",
        dead_letter_id=letter.dead_letter_id,
        status=str(letter.status),
        decided_by=letter.decided_by,
        origin=letter.origin,
        execution_id=letter.execution_id,
    )
