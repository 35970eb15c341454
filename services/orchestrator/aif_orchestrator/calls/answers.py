"""What operators ask about provider calls, and what they decide."""

import re
from datetime import UTC, datetime

import structlog

from aif_contracts import subjects
from aif_contracts.metering import Basis, Tokens
from aif_contracts.orders import FieldMistake, Refusal
from aif_contracts.reconciliation import BookedCall, BookedCallPage, SearchCalls, SettleCall
from aif_orchestrator.answering import answer_questions
from aif_orchestrator.calls.settling import Settling
from aif_orchestrator.calls.store import BookedCallStore, CallFilter, FoundCall, Position, Settlement
from aif_orchestrator.moments import moment_in
from aif_orchestrator.pages import fitting, unknown_cursor
from aif_runtime.bus import Bus, Question
from aif_runtime.postgres import Database

MICROSECONDS = 1_000_000
_CURSOR = re.compile(r"(?P<at>[0-9]{1,17})/(?P<key>.{0,400})")
"""So few digits are always a time that Python and Postgres know."""

log = structlog.get_logger()


class CallAnswers:
    def __init__(self, *, bus: Bus, database: Database, store: BookedCallStore, settling: Settling) -> None:
        self._bus = bus
        self._database = database
        self._store = store
        self._settling = settling

    async def open(self) -> None:
        """Begin to answer; ends when the bus closes."""
        await answer_questions(self._bus, subjects.SEARCH_CALLS, SearchCalls, self._search, reads=True)
        await answer_questions(self._bus, subjects.SETTLE_CALL, SettleCall, self._settle)

    async def _search(self, request: SearchCalls, question: Question) -> BookedCallPage | Refusal:
        wanted = _wanted(request)
        after = _position_in(request.cursor)
        if isinstance(wanted, Refusal):
            return wanted
        if isinstance(after, Refusal):
            return after
        async with self._database.transaction() as connection:
            found = await self._store.search(connection, wanted, after, request.limit + 1)
        page = fitting([each.booked for each in found.calls[: request.limit]])
        is_cut = len(found.calls) > len(page)
        goes_on_after = found.calls[len(page) - 1].position if is_cut else found.searched_until
        return BookedCallPage(calls=page, next_cursor=None if goes_on_after is None else _cursor(goes_on_after))

    async def _settle(self, request: SettleCall, question: Question) -> BookedCall | Refusal:
        settlement = _settlement(request)
        if isinstance(settlement, Refusal):
            return settlement
        async with self._database.connection() as connection:
            found = await self._store.find(connection, request.call_key)
        refusal = _refusal_of(request.call_key, found)
        if found is None or refusal is not None:
            return refusal or _unknown(request.call_key)
        settled = await self._settling.settle(found, settlement, request.decided_by)
        log.info(
            "call_settled",
            call_key=request.call_key,
            execution_id=found.booked.call.execution_id,
            client_id=found.booked.call.client_id,
            decided_by=request.decided_by,
        )
        return settled.booked


def _wanted(request: SearchCalls) -> CallFilter | Refusal:
    mistakes: list[FieldMistake] = []
    booked_from = moment_in("booked_from", request.booked_from, mistakes)
    booked_to = moment_in("booked_to", request.booked_to, mistakes)
    if mistakes:
        return Refusal(code="invalid_filter", message=mistakes[0].message, mistakes=tuple(mistakes))
    return CallFilter(
        provider=request.provider,
        model=request.model,
        client_id=request.client_id,
        execution_id=request.execution_id,
        outcome=request.outcome,
        basis=request.basis,
        in_doubt=request.in_doubt,
        booked_from=booked_from,
        booked_to=booked_to,
    )


def _settlement(request: SettleCall) -> Settlement | Refusal:
    if not request.billed:
        if request.cost_usd not in (None, "0"):
            return _wrong("cost_usd", "is given for a call that was not billed", "leave it out, or say billed: true")
        return _decided(request, "0", Tokens())
    if request.cost_usd is None:
        return _wrong("cost_usd", "is missing", "say what the provider has billed for the call, in US dollars")
    return _decided(request, request.cost_usd, request.tokens)


def _decided(request: SettleCall, cost_usd: str, tokens: Tokens | None) -> Settlement:
    return Settlement(call_key=request.call_key, cost_usd=cost_usd, basis=Basis.STATEMENT, note=request.note, tokens=tokens)


def _refusal_of(call_key: str, found: FoundCall | None) -> Refusal | None:
    if found is None:
        return _unknown(call_key)
    if found.is_open:
        return None
    message = f"{call_key[:100]} was answered, and its answer told what it has cost; only calls without an answer are settled"
    return Refusal(code="call_has_answer", message=message)


def _unknown(call_key: str) -> Refusal:
    return Refusal(code="unknown_call", message=f"there is no provider call {call_key[:100]}")


def _wrong(field: str, message: str, mend: str) -> Refusal:
    mistake = FieldMistake(field=field, message=message, mend=mend)
    return Refusal(code="invalid_settlement", message=f"{field} {message}", mistakes=(mistake,))


def _position_in(cursor: str | None) -> Position | Refusal | None:
    if cursor is None:
        return None
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        return unknown_cursor()
    seconds, micros = divmod(int(match["at"]), MICROSECONDS)
    return Position(booked_at=datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros), call_key=match["key"])


def _cursor(position: Position) -> str:
    """The time to the microsecond, as the database has it."""
    whole = int(position.booked_at.timestamp()) * MICROSECONDS + position.booked_at.microsecond
    return f"{whole}/{position.call_key}"
