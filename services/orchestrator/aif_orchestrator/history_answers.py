"""The history of an execution beside its events, and who is there to work: attempts, provider calls, workers."""

import re
from datetime import datetime

from msgspec import Struct

from aif_contracts import subjects
from aif_contracts.history import AttemptPage, AttemptView, CallPage, ListAttempts, ListCalls
from aif_contracts.orders import Refusal
from aif_contracts.workers import ListWorkers, WorkerList
from aif_orchestrator.answering import answer_questions, unknown_execution
from aif_orchestrator.engine.plans import Plans
from aif_orchestrator.engine.workforce import Workforce
from aif_orchestrator.open_attempts import open_attempts
from aif_orchestrator.pages import fitting, unknown_cursor
from aif_orchestrator.store.attempts import AttemptStore, Ended, StoredAttempt
from aif_orchestrator.store.calls import CallStore
from aif_orchestrator.store.executions import ExecutionStore
from aif_runtime.bus import Bus, Question
from aif_runtime.clock import rfc3339
from aif_runtime.postgres import Database

_ENDED = re.compile(r"(?P<at>[0-9T:.-]{23}Z)/(?P<stage>[^/]{1,200})/(?P<attempt>[0-9]{1,9})")
_OPEN = re.compile(r"open/(?P<stage>[^/]{1,200})")


class _OpenAfter(Struct, frozen=True, kw_only=True):
    """A place among the attempts that have not ended."""

    stage_id: str


class HistoryAnswers:
    def __init__(
        self,
        *,
        bus: Bus,
        database: Database,
        executions: ExecutionStore,
        attempts: AttemptStore,
        calls: CallStore,
        plans: Plans,
        workforce: Workforce,
    ) -> None:
        self._bus = bus
        self._database = database
        self._executions = executions
        self._attempts = attempts
        self._calls = calls
        self._plans = plans
        self._workforce = workforce

    async def open(self) -> None:
        """Begin to answer; ends when the bus closes."""
        await answer_questions(self._bus, subjects.ATTEMPTS, ListAttempts, self._list_attempts, reads=True)
        await answer_questions(self._bus, subjects.CALLS, ListCalls, self._list_calls, reads=True)
        await answer_questions(self._bus, subjects.WORKERS, ListWorkers, self._list_workers, reads=True)

    async def _list_attempts(self, request: ListAttempts, question: Question) -> AttemptPage | Refusal:
        place = _place(request.cursor)
        if isinstance(place, Refusal):
            return place
        async with self._database.connection() as connection:
            # The state first: what ends in between is then seen twice and shown once, rather than missed.
            seen = await self._executions.find(connection, request.execution_id, request.client_id)
            if seen is None:
                return unknown_execution(request.execution_id)
            ended: list[StoredAttempt] = []
            if not isinstance(place, _OpenAfter):
                ended = await self._attempts.list_ended(connection, request.execution_id, place, request.limit + 1)
        under_way: list[AttemptView] = []
        if len(ended) <= request.limit:
            view = await self._plans.view(seen.execution, seen.at_ms)
            done = {(each.view.stage_id, each.view.attempt) for each in ended}
            under_way = [each for each in open_attempts(seen.execution, view, seen.at_ms) if _key(each) not in done]
            under_way = _after(place, under_way)
        page = fitting([*(each.view for each in ended), *under_way][: request.limit])
        if len(page) == len(ended) + len(under_way):
            return AttemptPage(attempts=page, next_cursor=None)
        if len(page) <= len(ended):
            return AttemptPage(attempts=page, next_cursor=_cursor(ended[len(page) - 1].place))
        return AttemptPage(attempts=page, next_cursor=f"open/{page[-1].stage_id}")

    async def _list_calls(self, request: ListCalls, question: Question) -> CallPage | Refusal:
        if request.cursor is not None and not request.cursor.startswith(f"{request.execution_id}."):
            return unknown_cursor()
        async with self._database.connection() as connection:
            if await self._executions.find(connection, request.execution_id, request.client_id) is None:
                return unknown_execution(request.execution_id)
            after = request.cursor or ""
            found = await self._calls.list_page(connection, request.execution_id, after, request.limit + 1)
        page = fitting(found[: request.limit])
        return CallPage(calls=page, next_cursor=page[-1].call_key if len(found) > len(page) else None)

    async def _list_workers(self, request: ListWorkers, question: Question) -> WorkerList:
        return WorkerList(workers=self._workforce.present().workers)


def _place(cursor: str | None) -> Ended | _OpenAfter | Refusal | None:
    if cursor is None:
        return None
    if found := _OPEN.fullmatch(cursor):
        return _OpenAfter(stage_id=found["stage"])
    try:
        found = _ENDED.fullmatch(cursor)
        if found is not None:
            return Ended(at=datetime.fromisoformat(found["at"]), stage_id=found["stage"], attempt=int(found["attempt"]))
    except ValueError:
        return unknown_cursor()
    return unknown_cursor()


def _cursor(place: Ended) -> str:
    return f"{rfc3339(place.at)}/{place.stage_id}/{place.attempt}"


def _key(attempt: AttemptView) -> tuple[str, int]:
    return attempt.stage_id, attempt.attempt


def _after(place: Ended | _OpenAfter | None, under_way: list[AttemptView]) -> list[AttemptView]:
    """Those that follow the place. Its attempt may have ended meanwhile, and its stage may be gone; stages are sorted by id."""
    ordered = sorted(under_way, key=_key)
    return [each for each in ordered if not isinstance(place, _OpenAfter) or each.stage_id > place.stage_id]
