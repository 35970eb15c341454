"""`/api/v1/ai/pipelines/{execution_id}/…`: attempts, provider calls, everything at once."""

from typing import Annotated

from litestar import Router, get
from litestar.params import FromPath, QueryParameter

from aif_contracts.history import AttemptPage, CallPage, ListAttempts, ListCalls
from aif_kam import problems
from aif_kam.deleted_executions import gone_if_deleted
from aif_kam.execution_history import ATTEMPTS_ON_A_PAGE, CALLS_ON_A_PAGE
from aif_kam.execution_payloads import ExecutionHistory
from aif_kam.parts import Parts
from aif_kam.request_store import ClientRequest
from aif_kam.routes.calling import CallerRequest, PageCursor, known_id, page_cursor


def history_routes(parts: Parts) -> Router:
    async def ordered_by(request: CallerRequest, execution_id: str) -> ClientRequest:
        return await parts.tracker.find_of_execution(known_id(execution_id), request.auth.sees)

    @get(
        "/{execution_id:str}/attempts",
        responses=problems.documented(*problems.DELETED),
        summary="Every attempt with its grant and its report, in the order in which they ended",
    )
    async def attempts(
        request: CallerRequest,
        execution_id: FromPath[str],
        cursor: PageCursor = None,
        limit: Annotated[int, QueryParameter(ge=1, le=ATTEMPTS_ON_A_PAGE)] = ATTEMPTS_ON_A_PAGE,
    ) -> AttemptPage:
        found = await ordered_by(request, execution_id)
        query = ListAttempts(execution_id=execution_id, client_id=found.client_id, cursor=page_cursor(cursor), limit=limit)
        with gone_if_deleted(found):
            return await parts.orchestrator.attempts(query)

    @get(
        "/{execution_id:str}/calls",
        responses=problems.documented(*problems.DELETED),
        summary="Every provider call with what it cost",
    )
    async def calls(
        request: CallerRequest,
        execution_id: FromPath[str],
        cursor: PageCursor = None,
        limit: Annotated[int, QueryParameter(ge=1, le=CALLS_ON_A_PAGE)] = CALLS_ON_A_PAGE,
    ) -> CallPage:
        found = await ordered_by(request, execution_id)
        query = ListCalls(execution_id=execution_id, client_id=found.client_id, cursor=page_cursor(cursor), limit=limit)
        with gone_if_deleted(found):
            return await parts.orchestrator.calls(query)

    @get(
        "/{execution_id:str}/history",
        responses=problems.documented(*problems.DELETED),
        summary="All that is known of an execution: events, attempts, provider calls",
    )
    async def history(request: CallerRequest, execution_id: FromPath[str]) -> ExecutionHistory:
        found = await ordered_by(request, execution_id)
        with gone_if_deleted(found):
            return await parts.history.read(execution_id, found.client_id)

    return Router("/api/v1/ai/pipelines", route_handlers=[attempts, calls, history], tags=["pipelines"])
