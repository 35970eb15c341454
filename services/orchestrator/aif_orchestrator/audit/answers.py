"""What operators ask of the audit log."""

from aif_contracts import subjects
from aif_contracts.audit import AuditPage, AuditVerdict, ListAudit, VerifyAudit
from aif_contracts.orders import FieldMistake, Refusal
from aif_orchestrator.answering import answer_questions
from aif_orchestrator.audit.seals import Seals
from aif_orchestrator.audit.store import AuditFilter, AuditStore
from aif_orchestrator.audit.verification import examine
from aif_orchestrator.moments import moment_in
from aif_orchestrator.pages import fitting, number_in
from aif_runtime.bus import Bus, Question
from aif_runtime.postgres import Database

EXAMINED_AT_ONCE = 5_000
"""Well within the time that an asker waits."""


class AuditAnswers:
    def __init__(
        self, *, bus: Bus, database: Database, store: AuditStore, seals: Seals, at_once: int = EXAMINED_AT_ONCE
    ) -> None:
        self._bus = bus
        self._database = database
        self._store = store
        self._seals = seals
        self._at_once = at_once

    async def open(self) -> None:
        """Begin to answer; ends when the bus closes."""
        await answer_questions(self._bus, subjects.LIST_AUDIT, ListAudit, self._list, reads=True)
        await answer_questions(self._bus, subjects.VERIFY_AUDIT, VerifyAudit, self._verify, reads=True)

    async def _list(self, request: ListAudit, question: Question) -> AuditPage | Refusal:
        wanted = _wanted(request)
        before = number_in(request.cursor)
        if isinstance(wanted, Refusal):
            return wanted
        if isinstance(before, Refusal):
            return before
        async with self._database.transaction() as connection:
            found = await self._store.list_page(connection, wanted, before=before, limit=request.limit + 1)
        page = fitting(found[: request.limit])
        return AuditPage(rows=page, next_cursor=str(page[-1].sequence) if len(found) > len(page) else None)

    async def _verify(self, request: VerifyAudit, question: Question) -> AuditVerdict | Refusal:
        async with self._database.connection() as connection:
            stretch = await self._store.read_on(connection, request.after, self._at_once)
        return examine(stretch, self._seals, after=request.after, kept=request.head)


def _wanted(request: ListAudit) -> AuditFilter | Refusal:
    mistakes: list[FieldMistake] = []
    after = moment_in("recorded_after", request.recorded_after, mistakes)
    before = moment_in("recorded_before", request.recorded_before, mistakes)
    if mistakes:
        return Refusal(code="invalid_filter", message=mistakes[0].message, mistakes=tuple(mistakes))
    return AuditFilter(
        action=request.action,
        severity=request.severity,
        actor=request.actor,
        client_id=request.client_id,
        execution_id=request.execution_id,
        recorded_after=after,
        recorded_before=before,
    )
