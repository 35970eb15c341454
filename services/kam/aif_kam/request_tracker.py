"""Keeps requests up to date with their executions.

Events bring news at once; the orchestrator's own view, asked for every half minute and on reading, mends what a lost broker
swallowed, and brings the details once an execution has ended. The number of the newest event decides between them: a resumed
execution goes on after its ending and ends again, and what is late changes nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import structlog

from aif_contracts import subjects
from aif_contracts.events import (
    ApprovalDecided,
    ApprovalRequested,
    CompensationStarted,
    EventData,
    ExecutionEvent,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowPaused,
    WorkflowResumed,
    WorkflowScheduled,
    WorkflowStarted,
)
from aif_contracts.orders import ExecutionStatus, ExecutionView
from aif_kam.deleted_executions import UNKNOWN_EXECUTION
from aif_kam.failures import Conflict, NotFound, Refused, Unavailable
from aif_kam.orchestrator_client import OrchestratorClient
from aif_kam.request_store import ClientRequest, Ending, News, Observation, RequestStatus, RequestStore, StoredProblem
from aif_runtime.bus import Bus, ConsumerSpec, Delivery
from aif_runtime.dead_letters import bury
from aif_runtime.decoding import decode
from aif_runtime.failures import MalformedMessage
from aif_runtime.postgres import Database
from aif_runtime.redaction import Redactor

UNSEEN_SECONDS = 30.0
RECONCILED_AT_ONCE = 100
EVENTS_CONSUMER = ConsumerSpec(
    stream=subjects.STREAM_EVENTS, durable=subjects.CONSUMER_KAM_EVENTS, filter_subject=subjects.ALL_EVENTS
)
_EVENTS = msgspec.json.Decoder(list[ExecutionEvent])
_log = structlog.get_logger()


class RequestTracker:
    def __init__(
        self,
        *,
        database: Database,
        bus: Bus,
        orchestrator: OrchestratorClient,
        requests: RequestStore,
        redactor: Redactor,
    ) -> None:
        self._database = database
        self._bus = bus
        self._orchestrator = orchestrator
        self._requests = requests
        self._redactor = redactor

    async def find(self, request_id: str, client_id: str | None) -> ClientRequest:
        """The request as it is now. Raises NotFound, also for another client's."""
        async with self._database.connection() as connection:
            request = await self._requests.find(connection, request_id, client_id)
        if request is None:
            raise NotFound(f"there is no request {request_id}", code="unknown_request")
        return await self._fresh(request)

    async def find_of_execution(self, execution_id: str, client_id: str | None) -> ClientRequest:
        """The request behind an execution. Raises NotFound, also for another client's."""
        async with self._database.connection() as connection:
            request = await self._requests.find_of_execution(connection, execution_id, client_id)
        if request is None:
            raise NotFound(f"there is no execution {execution_id}", code="unknown_execution")
        return await self._fresh(request)

    async def list_page(
        self, client_id: str | None, status: RequestStatus | None, before: str | None, limit: int
    ) -> list[ClientRequest]:
        async with self._database.transaction() as connection:
            return await self._requests.list_page(connection, client_id=client_id, status=status, before=before, limit=limit)

    async def cancel(self, request: ClientRequest) -> ClientRequest:
        """Cancel a request. Repeating it is harmless. Raises Conflict when it has ended otherwise, Unavailable."""
        if request.status is RequestStatus.CANCELLED:
            return request
        if request.status.is_final:
            raise Conflict(f"request {request.request_id} has ended as {request.status}", code="already_ended")
        if request.execution_id is None or request.status is RequestStatus.SUBMITTING:
            async with self._database.transaction() as connection:
                cancelled = await self._requests.mark_cancelled(connection, request.request_id)
            if cancelled is not None:
                return cancelled
            if request.execution_id is None:
                raise being_submitted()
        return await self._cancel_execution(request, request.execution_id)

    async def reconcile(self, *, unseen_seconds: float = UNSEEN_SECONDS) -> int:
        """Ask the orchestrator for what nobody has looked at for so long. Returns how many were asked for.

        One that gets no answer does not hold up the others. Raises Unavailable when the orchestrator answers nothing at all.
        """
        async with self._database.transaction() as connection:
            unsettled = await self._requests.list_unsettled(connection, unseen_seconds=unseen_seconds, limit=RECONCILED_AT_ONCE)
            await self._requests.mark_checked(connection, unsettled)
        for execution_id in unsettled:
            try:
                await self._observe(execution_id)
            except Refused as refused:
                _log.warning("execution_unknown_to_orchestrator", execution_id=execution_id, code=refused.code)
                await self._note_refusal(execution_id, refused)
            except Unavailable as failure:
                _log.warning("observation_unanswered", execution_id=execution_id, code=failure.code)
                await self._orchestrator.be_there()
        return len(unsettled)

    async def apply_events(self, deliveries: Sequence[Delivery]) -> None:
        """Enter a batch of events in one transaction, then acknowledge it. Repeated and late events change nothing."""
        news: dict[str, News] = {}
        endings: list[Ending] = []
        good: list[Delivery] = []
        for delivery in deliveries:
            try:
                events = decode(_EVENTS, delivery.payload)
            except MalformedMessage as wrong:
                await bury(self._bus, delivery, str(wrong), "kam", "events", redactor=self._redactor)
                continue
            good.append(delivery)
            for event in events:
                if (ending := _ending(event)) is not None:
                    endings.append(ending)
                else:
                    news[event.subject] = _with(news.get(event.subject), event)
        if news or endings:
            async with self._database.transaction() as connection:
                await self._requests.lock_executions(connection, [*news, *(ending.execution_id for ending in endings)])
                # An ending before the news: with a higher number they tell of a resumed execution.
                for ending in sorted(endings, key=lambda ending: ending.sequence):
                    await self._requests.apply_ending(connection, ending)
                if news:
                    await self._requests.apply_news(connection, news)
        for delivery in good:
            await delivery.ack()

    async def observe(self, view: ExecutionView) -> ClientRequest | None:
        """Enter what the orchestrator has said. The request as it is then; None when there is none."""
        async with self._database.transaction() as connection:
            return await self._requests.apply_observation(connection, observation_of(view))

    async def expect_resumption(self, request: ClientRequest) -> None:
        """Look at an ended request again, whatever comes of a resume.

        Raises Refused when the orchestrator has deleted the execution, of which the request alone knows now, and Unavailable.
        """
        if request.status.is_final and request.execution_id is not None:
            await self._orchestrator.get(request.execution_id, None, for_a_change=True)
            await self._mark_unsettled(request.execution_id)

    async def expect_correction(self, execution_id: str) -> None:
        """A call of the execution has cost something else than was known: look at its request again, now or with the sweep."""
        try:
            view = await self._orchestrator.get(execution_id, None)
            await self._mark_unsettled(execution_id)
            await self.observe(view)
        except Refused as deleted:
            _log.warning("correction_of_unknown_execution", execution_id=execution_id, reason=str(deleted))
        except Unavailable as failure:
            await self._mark_unsettled(execution_id)
            _log.warning("correction_not_looked_at", execution_id=execution_id, reason=str(failure))

    async def _mark_unsettled(self, execution_id: str) -> None:
        async with self._database.connection() as connection:
            await self._requests.mark_unsettled(connection, execution_id)

    async def _fresh(self, request: ClientRequest) -> ClientRequest:
        """With the orchestrator's newest word, where there is something to learn and the orchestrator answers."""
        is_told = request.detailed_metrics is not None and (request.totals is None or request.totals.cost_is_complete)
        is_deleted = request.execution_deleted_at is not None
        settled = request.status.is_final and (is_told or is_deleted or request.status is RequestStatus.REFUSED)
        if request.execution_id is None or settled:
            return request
        try:
            return await self._observe(request.execution_id) or request
        except Refused as refused:
            await self._note_refusal(request.execution_id, refused)
            return request
        except Unavailable:
            return request

    async def _note_refusal(self, execution_id: str, refused: Refused) -> None:
        """An ended request whose execution was deleted is not asked about again."""
        if refused.code == UNKNOWN_EXECUTION:
            async with self._database.connection() as connection:
                await self._requests.mark_execution_deleted(connection, execution_id)

    async def _observe(self, execution_id: str) -> ClientRequest | None:
        return await self.observe(await self._orchestrator.get(execution_id, None))

    async def _cancel_execution(self, request: ClientRequest, execution_id: str) -> ClientRequest:
        try:
            view = await self._orchestrator.cancel(execution_id, request.client_id)
        except Refused as refused:
            if request.status is RequestStatus.SUBMITTING:
                raise being_submitted() from refused
            raise
        return await self.observe(view) or request


def observation_of(view: ExecutionView) -> Observation:
    problem = None
    if view.failure_code is not None:
        problem = StoredProblem(code=view.failure_code, message=view.failure_message or "")
    return Observation(
        execution_id=view.execution_id,
        status=_status(view.status),
        execution_status=view.status,
        template_version=view.template_version,
        progress_percent=view.progress_percent,
        last_sequence=view.last_sequence,
        totals=view.totals,
        deliverables=view.deliverables,
        detailed_metrics=_details(view) if view.status.is_final else None,
        problem=problem,
        completed_at=datetime.fromisoformat(view.completed_at) if view.completed_at is not None else None,
    )


def _status(status: ExecutionStatus) -> RequestStatus:
    return RequestStatus(status.value) if status.is_final else RequestStatus.RUNNING


def _details(view: ExecutionView) -> dict[str, Any]:
    stages: list[Any] = msgspec.to_builtins(view.stages)
    return {"stages": stages}


def _with(known: News | None, event: ExecutionEvent) -> News:
    """The newest of what was known and what an event tells."""
    known = known or News(sequence=0, progress_percent=0)
    if event.sequence > known.sequence:
        known = msgspec.structs.replace(known, sequence=event.sequence, progress_percent=event.progress_percent)
    told = _told(event.data)
    if told is not None and event.sequence > known.told_by:
        known = msgspec.structs.replace(known, told=told, told_by=event.sequence)
    return known


def _told(data: EventData) -> ExecutionStatus | None:
    """The status that an execution has after an event, as far as the event alone can tell: whether one more stage waits for a
    person, the orchestrator's view says."""
    match data:
        case WorkflowScheduled():
            return ExecutionStatus.SCHEDULED
        case WorkflowStarted() | WorkflowResumed() | ApprovalDecided():
            return ExecutionStatus.RUNNING
        case ApprovalRequested():
            return ExecutionStatus.AWAITING_APPROVAL
        case WorkflowPaused():
            return ExecutionStatus.PAUSED
        case CompensationStarted():
            return ExecutionStatus.COMPENSATING
        case _:
            return None


def _ending(event: ExecutionEvent) -> Ending | None:
    match event.data:
        case WorkflowCompleted() as data:
            return Ending(
                execution_id=event.subject,
                status=RequestStatus(data.status),
                sequence=event.sequence,
                totals=data.totals,
                deliverables=data.deliverables,
            )
        case WorkflowFailed() as data:
            problem = StoredProblem(code=data.code, message=data.message)
            status = RequestStatus.FAILED
        case WorkflowCancelled() as data:
            problem = StoredProblem(code="cancelled", message=data.reason)
            status = RequestStatus.CANCELLED
        case _:
            return None
    return Ending(execution_id=event.subject, status=status, sequence=event.sequence, totals=data.totals, problem=problem)


def being_submitted() -> Conflict:
    return Conflict("this request is being submitted; ask again in a moment", code="being_submitted", retry_after_seconds=2)
