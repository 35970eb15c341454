"""The whole history of one execution in one answer: its events, attempts and provider calls, page after page."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from aif_contracts.events import ExecutionEvent
from aif_contracts.history import AttemptView, ListAttempts, ListCalls
from aif_contracts.metering import ProviderCall
from aif_kam.execution_payloads import ExecutionHistory
from aif_kam.orchestrator_client import OrchestratorClient

# What an answer holds at most.
EVENTS_TOLD = 5000
ATTEMPTS_TOLD = 1000
CALLS_TOLD = 5000
# Small enough for a page to be one message of the broker, which takes a mebibyte.
ATTEMPTS_ON_A_PAGE = 100
CALLS_ON_A_PAGE = 200

Item = TypeVar("Item")
Page = tuple[tuple[Item, ...], str | None]


class HistoryReader:
    def __init__(self, orchestrator: OrchestratorClient) -> None:
        self._orchestrator = orchestrator

    async def read(self, execution_id: str, client_id: str) -> ExecutionHistory:
        """Raises Refused for an execution that is not the client's, Unavailable."""

        async def attempts(cursor: str | None) -> Page[AttemptView]:
            page = await self._orchestrator.attempts(
                ListAttempts(execution_id=execution_id, client_id=client_id, cursor=cursor, limit=ATTEMPTS_ON_A_PAGE)
            )
            return page.attempts, page.next_cursor

        async def calls(cursor: str | None) -> Page[ProviderCall]:
            page = await self._orchestrator.calls(
                ListCalls(execution_id=execution_id, client_id=client_id, cursor=cursor, limit=CALLS_ON_A_PAGE)
            )
            return page.calls, page.next_cursor

        execution = await self._orchestrator.get(execution_id, client_id)
        events, more_events = await self._events(execution_id, client_id, execution.last_sequence)
        made, more_attempts = await _collected(attempts, at_most=ATTEMPTS_TOLD)
        called, more_calls = await _collected(calls, at_most=CALLS_TOLD)
        return ExecutionHistory(
            execution=execution,
            events=events,
            attempts=made,
            calls=called,
            truncated=more_events or more_attempts or more_calls,
        )

    async def _events(self, execution_id: str, client_id: str, newest: int) -> tuple[tuple[ExecutionEvent, ...], bool]:
        """Events up to the number `newest`, and whether some of them are left out."""
        events: list[ExecutionEvent] = []
        while len(events) < min(newest, EVENTS_TOLD):
            page = await self._orchestrator.events(execution_id, client_id, len(events))
            if not page.events:
                # An execution that has been over for long may have lost its events to retention.
                break
            events += page.events
        return tuple(events[: min(newest, EVENTS_TOLD)]), len(events) < newest or newest > EVENTS_TOLD


async def _collected(page_at: Callable[[str | None], Awaitable[Page[Item]]], *, at_most: int) -> tuple[tuple[Item, ...], bool]:
    """Pages up to so many items, and whether there are more."""
    items: list[Item] = []
    cursor: str | None = None
    while True:
        found, cursor = await page_at(cursor)
        items += found
        if cursor is None or len(items) >= at_most:
            return tuple(items[:at_most]), cursor is not None or len(items) > at_most
