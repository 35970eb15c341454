"""Executions: found, told in full, steered."""

from msgspec import Struct

from aif_console.gateway.answers import History, ResumeAnswer
from aif_console.gateway.gateway import Gateway, once, without_none
from aif_contracts.history import AttemptPage, AttemptView, CallPage
from aif_contracts.metering import ProviderCall
from aif_contracts.orders import ExecutionPage, ExecutionView

EXECUTIONS = "/api/v1/ai/pipelines"
PAGE_SIZE = 500


class ExecutionFilter(Struct, frozen=True, kw_only=True):
    """Which executions are meant. None leaves a thing open."""

    status: str | None = None
    template: str | None = None
    created_after: str | None = None
    """RFC 3339."""
    created_before: str | None = None
    """RFC 3339."""
    text: str | None = None


async def list_executions(gateway: Gateway, wanted: ExecutionFilter, *, cursor: str | None, limit: int) -> ExecutionPage:
    """Newest first."""
    query = without_none(
        status=wanted.status,
        template=wanted.template,
        created_after=wanted.created_after,
        created_before=wanted.created_before,
        text=wanted.text,
        cursor=cursor,
        limit=limit,
    )
    return await gateway.ask("GET", EXECUTIONS, ExecutionPage, params=query)


async def history_of(gateway: Gateway, execution_id: str) -> History:
    return await gateway.ask("GET", f"{EXECUTIONS}/{execution_id}/history", History)


async def all_attempts(gateway: Gateway, execution_id: str) -> tuple[AttemptView, ...]:
    """Page by page."""
    found: tuple[AttemptView, ...] = ()
    cursor: str | None = None
    while True:
        query = without_none(cursor=cursor, limit=PAGE_SIZE)
        page = await gateway.ask("GET", f"{EXECUTIONS}/{execution_id}/attempts", AttemptPage, params=query)
        found, cursor = found + page.attempts, page.next_cursor
        if cursor is None:
            return found


async def all_calls(gateway: Gateway, execution_id: str) -> tuple[ProviderCall, ...]:
    """Page by page."""
    found: tuple[ProviderCall, ...] = ()
    cursor: str | None = None
    while True:
        query = without_none(cursor=cursor, limit=PAGE_SIZE)
        page = await gateway.ask("GET", f"{EXECUTIONS}/{execution_id}/calls", CallPage, params=query)
        found, cursor = found + page.calls, page.next_cursor
        if cursor is None:
            return found


async def pause(gateway: Gateway, execution_id: str, reason: str | None) -> ExecutionView:
    body = without_none(reason=reason)
    return await gateway.ask("POST", f"{EXECUTIONS}/{execution_id}/pause", ExecutionView, headers=once(), json=body)


async def resume(gateway: Gateway, execution_id: str) -> ResumeAnswer:
    return await gateway.ask("POST", f"{EXECUTIONS}/{execution_id}/resume", ResumeAnswer, headers=once(), json={})


async def skip_compensation(gateway: Gateway, execution_id: str, *, stage_id: str | None, comment: str | None) -> ExecutionView:
    """Give up undoing a stage; without a stage, the only one that is left to undo."""
    body = without_none(stage_id=stage_id, comment=comment)
    path = f"{EXECUTIONS}/{execution_id}/skip-compensation"
    return await gateway.ask("POST", path, ExecutionView, headers=once(), json=body)


async def decide(
    gateway: Gateway, execution_id: str, *, approved: bool, stage_id: str | None, comment: str | None
) -> ExecutionView:
    """Agree, or not, with what a stage has made; without a stage, with the only one that waits."""
    verb = "approve" if approved else "reject"
    body = without_none(stage_id=stage_id, comment=comment)
    return await gateway.ask("POST", f"{EXECUTIONS}/{execution_id}/{verb}", ExecutionView, headers=once(), json=body)
