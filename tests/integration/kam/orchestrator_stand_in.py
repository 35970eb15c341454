"""An orchestrator small enough to read: it answers the gateway's questions on the memory bus and ends when the test says."""

import asyncio
from collections import Counter
from typing import Any

import msgspec

from aif_contracts import subjects
from aif_contracts.blobs import BlobRef
from aif_contracts.events import (
    ApprovalDecided,
    ApprovalRequested,
    CompensationFailed,
    Deliverable,
    EventData,
    ExecutionEvent,
    Kept,
    ProgressUpdate,
    Totals,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowPaused,
    WorkflowResumed,
    WorkflowStarted,
)
from aif_contracts.history import AttemptPage, AttemptView, CallPage, ListAttempts, ListCalls
from aif_contracts.metering import Metrics, ProviderCall, ResourceUsage, TimeBreakdown, Tokens
from aif_contracts.orders import (
    Accepted,
    CancelExecution,
    DecideApproval,
    EventPage,
    Execute,
    ExecutionPage,
    ExecutionStatus,
    ExecutionView,
    GetExecution,
    ListEvents,
    ListExecutions,
    PauseExecution,
    Refusal,
    Resumed,
    ResumeExecution,
    SkipCompensation,
    StageStatus,
    StageView,
    TemplateView,
)
from aif_contracts.performance import InsightsQuery, WorkerInsights
from aif_runtime.bus import Bus, Outgoing, Question
from integration.kam.library_stand_in import LibraryStandIn

COURSE = TemplateView(
    name="content_granulation_course",
    version="1.0.0",
    title="Course",
    description="A document becomes a course",
    structure_type="course",
    parameters={
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "topic": {"type": "string", "maxLength": 300},
            "source": {"type": "object"},
            "granularityLevel": {"type": "integer", "minimum": 1, "maximum": 5, "default": 3},
            "targetAudience": {"type": "string", "maxLength": 200, "default": "general audience"},
            "validationEnabled": {"type": "boolean", "default": True},
            "validationLevel": {"type": "integer", "minimum": 1, "maximum": 3, "default": 2},
            "structureType": {"const": "course"},
        },
    },
    stages=("structure",),
)
TOTALS = Totals(
    tokens_used=Tokens(prompt_tokens=900, completion_tokens=100, total_tokens=1000),
    cost_usd="0.0015",
    cost_is_complete=True,
    wall_time_ms=1200,
    busy_time_ms=1000,
    breakdown=TimeBreakdown(ai_generation_ms=800),
    resource_usage=ResourceUsage(api_calls=1),
    attempts=1,
)
KEPT = Kept(stages=("structure",), tokens_used=TOTALS.tokens_used, cost_usd="0.0015", processing_time_ms=1000)
NOTHING_KEPT = Kept(stages=(), tokens_used=Tokens(), cost_usd="0", processing_time_ms=0)


class OrchestratorStandIn:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.library = LibraryStandIn((COURSE,))
        self.waiting: dict[str, list[str]] = {}
        """Stages that wait for a person, by execution."""
        self.decisions: list[DecideApproval] = []
        self.left_to_undo: dict[str, list[str]] = {}
        """Stages whose compensation has not ended, by execution."""
        self.skips: list[SkipCompensation] = []
        self.steered: list[PauseExecution | ResumeExecution] = []
        self.listed: list[ListExecutions] = []
        self.attempts: dict[str, list[AttemptView]] = {}
        self.calls: dict[str, list[ProviderCall]] = {}
        self.orders: dict[str, Execute] = {}
        self.asked_to_execute = 0
        self.asked_for_events: Counter[str] = Counter()
        self.views: dict[str, ExecutionView] = {}
        self.events: dict[str, list[ExecutionEvent]] = {}
        self.headers: dict[str, dict[str, str]] = {}
        """Of the newest question, by subject."""
        self.is_away = False
        self.first_to_resume_may_ask = asyncio.Event()
        """Until it is set, the first question to resume is on its way; the next ones overtake it."""
        self.first_to_resume_may_ask.set()
        self.first_to_resume_may_hear = asyncio.Event()
        """Until it is set, the answer to the first is on its way."""
        self.first_to_resume_may_hear.set()
        self.loses_answers = False
        """It accepts, and its answers do not arrive."""
        self.loses_answers_to_execute = False
        self.loses_answers_to_resume = False
        self.never_answers: set[str] = set()
        """Executions about which every question comes to nothing."""
        self.loses_events = False
        """The broker does."""
        self.refusal: Refusal | None = None
        self.refusal_to_readers: Refusal | None = None
        """Of those who list executions."""

    async def start(self) -> None:
        answers = {
            subjects.EXECUTE: self._execute,
            subjects.GET: self._get,
            subjects.CANCEL: self._cancel,
            subjects.LIST: self._list,
            subjects.EVENTS: self._events,
            subjects.PAUSE: self._pause,
            subjects.RESUME: self._resume,
            subjects.DECIDE_APPROVAL: self._decide_approval,
            subjects.SKIP_COMPENSATION: self._skip_compensation,
            subjects.ATTEMPTS: self._attempts,
            subjects.CALLS: self._calls,
            subjects.TEMPLATES: self.library.list_templates,
            subjects.WORKERS: self.library.list_workers,
            subjects.SAVE_PIPELINE: self.library.save_pipeline,
            subjects.LIST_PIPELINES: self.library.list_pipelines,
            subjects.GET_PIPELINE: self.library.get_pipeline,
            subjects.LIST_DEAD_LETTERS: self.library.list_dead_letters,
            subjects.GET_DEAD_LETTER: self.library.get_dead_letter,
            subjects.REPLAY_DEAD_LETTER: self.library.replay_dead_letter,
            subjects.DISMISS_DEAD_LETTER: self.library.dismiss_dead_letter,
        }
        for subject, answer in answers.items():
            await self._bus.answer(subject, subjects.ORCHESTRATOR_GROUP, self._when_here(answer))
        await self._bus.answer(subjects.INSIGHTS, subjects.CLASSIFIER_GROUP, self._insights)

    async def emit(self, execution_id: str, data: EventData, *, stored_only: bool = False) -> ExecutionEvent:
        """Number, keep and publish an event; a `stored_only` one is lost by the broker."""
        log = self.events.setdefault(execution_id, [])
        order = self.orders[execution_id]
        tag = str(data.__struct_config__.tag)
        event = ExecutionEvent(
            id=f"{execution_id}:{len(log) + 1}",
            type=f"aif.{tag.lower()}",
            time="2026-05-01T09:30:00.000Z",
            subject=execution_id,
            sequence=len(log) + 1,
            client_id=order.client_id,
            data=data,
            progress_percent=self.views[execution_id].progress_percent,
            request_id=order.request_id,
        )
        log.append(event)
        self._change(execution_id, last_sequence=event.sequence)
        if not stored_only and not self.loses_events:
            await self.publish(event)
        return event

    async def publish(self, *events: ExecutionEvent) -> None:
        """Together. Also again, as an orchestrator does that died before it noted the publishing."""
        last = events[-1]
        subject = subjects.event(last.client_id, last.subject, str(last.data.__struct_config__.tag))
        await self._bus.publish([Outgoing(subject=subject, payload=msgspec.json.encode(events))])

    async def progress(self, execution_id: str, percent: int) -> None:
        self._change(execution_id, progress_percent=percent)
        await self.emit(execution_id, ProgressUpdate(progress_percent=percent, message="working"))

    async def complete(self, execution_id: str, blob: BlobRef, *, stored_only: bool = False) -> Deliverable:
        deliverable = Deliverable(
            deliverable_id=f"dlv_{execution_id.removeprefix('exec_')}.course",
            name="course",
            title="Bees",
            media_type="application/json",
            blob=blob,
        )
        self._end(execution_id, ExecutionStatus.COMPLETED, deliverables=(deliverable,), progress_percent=100)
        data = WorkflowCompleted(status="completed", totals=TOTALS, deliverables=(deliverable,))
        await self.emit(execution_id, data, stored_only=stored_only)
        return deliverable

    async def fail(self, execution_id: str, code: str, message: str, *, stored_only: bool = False) -> None:
        self._end(execution_id, ExecutionStatus.FAILED, failure_code=code, failure_message=message)
        data = WorkflowFailed(code=code, message=message, totals=TOTALS)
        await self.emit(execution_id, data, stored_only=stored_only)

    async def resumed(self, execution_id: str) -> Resumed:
        """Go on: after a pause as before, after an ending on a new leg."""
        view = self.views[execution_id]
        leg, kept = (view.leg + 1, KEPT) if view.status.is_final else (view.leg, NOTHING_KEPT)
        self._change(
            execution_id,
            status=ExecutionStatus.RUNNING,
            leg=leg,
            completed_at=None,
            failure_code=None,
            failure_message=None,
        )
        await self.emit(execution_id, WorkflowResumed(leg=leg, kept=kept))
        return Resumed(execution=self.views[execution_id], kept=kept)

    def undo(self, execution_id: str, *stages: str) -> None:
        """It has failed, and is undoing these."""
        self.left_to_undo[execution_id] = list(stages)
        self._change(execution_id, status=ExecutionStatus.COMPENSATING)

    async def ask_for_approval(self, execution_id: str, stage: str) -> None:
        self.waiting.setdefault(execution_id, []).append(stage)
        self._change(execution_id, status=ExecutionStatus.AWAITING_APPROVAL)
        await self.emit(execution_id, ApprovalRequested(step_name=stage, message="is this good?"))

    def set_status(self, execution_id: str, status: ExecutionStatus) -> None:
        """Without an event: what a broker lost."""
        self._change(execution_id, status=status)

    def _end(self, execution_id: str, status: ExecutionStatus, **changes: Any) -> None:
        stage = StageView(
            stage_id="structure",
            worker_name="content_granulator",
            action="structure_course",
            status=StageStatus.COMPLETED,
            attempt=1,
            progress_percent=100,
            metrics=Metrics(
                provider="anthropic", model="claude-x", fallback_from="gpt-4o-mini", fallback_reason="price_unknown"
            ),
        )
        completed_at = "2026-05-01T09:31:00.000Z"
        self._change(execution_id, status=status, totals=TOTALS, stages=(stage,), completed_at=completed_at, **changes)

    def _change(self, execution_id: str, **changes: Any) -> None:
        self.views[execution_id] = msgspec.structs.replace(self.views[execution_id], **changes)

    def _when_here(self, answer: Any) -> Any:
        async def answered(question: Question) -> bytes:
            self.headers[question.subject] = dict(question.headers)
            if self.is_away:
                raise ConnectionError("away")
            if any(execution_id.encode() in question.payload for execution_id in self.never_answers):
                raise ConnectionError("no answer to this one")
            reply = await answer(question.payload)
            lost = {subjects.EXECUTE: self.loses_answers_to_execute, subjects.RESUME: self.loses_answers_to_resume}
            if self.loses_answers or lost.get(question.subject, False):
                raise ConnectionError("the answer is lost")
            return msgspec.json.encode(reply)

        return answered

    async def _execute(self, payload: bytes) -> Accepted | Refusal:
        order = msgspec.json.decode(payload, type=Execute)
        execution_id = order.execution_id
        assert execution_id is not None, "the gateway names each execution"
        self.asked_to_execute += 1
        if self.refusal is not None and execution_id not in self.orders:
            return self.refusal
        if execution_id not in self.orders:
            self.orders[execution_id] = order
            self.views[execution_id] = _new_view(execution_id, order)
            await self.emit(execution_id, WorkflowStarted(template=order.template_name, version="1.0.0", stages=("structure",)))
        return Accepted(execution_id=execution_id, template_version="1.0.0", status=ExecutionStatus.RUNNING)

    async def _get(self, payload: bytes) -> ExecutionView | Refusal:
        question = msgspec.json.decode(payload, type=GetExecution)
        return self._visible(question.execution_id, question.client_id)

    async def _cancel(self, payload: bytes) -> ExecutionView | Refusal:
        question = msgspec.json.decode(payload, type=CancelExecution)
        found = self._visible(question.execution_id, question.client_id)
        if isinstance(found, ExecutionView):
            self._end(question.execution_id, ExecutionStatus.CANCELLED)
            await self.emit(question.execution_id, WorkflowCancelled(reason=question.reason, totals=TOTALS))
            return self.views[question.execution_id]
        return found

    async def _list(self, payload: bytes) -> ExecutionPage | Refusal:
        query = msgspec.json.decode(payload, type=ListExecutions)
        if self.refusal_to_readers is not None and subjects.FOR_A_CHANGE not in self.headers[subjects.LIST]:
            return self.refusal_to_readers
        self.listed.append(query)
        found = [view for view in self.views.values() if query.client_id in (None, view.client_id)]
        return ExecutionPage(executions=tuple(found[: query.limit]), next_cursor=None)

    async def _events(self, payload: bytes) -> EventPage | Refusal:
        query = msgspec.json.decode(payload, type=ListEvents)
        self.asked_for_events[query.execution_id] += 1
        found = self._visible(query.execution_id, query.client_id)
        if isinstance(found, Refusal):
            return found
        events = [event for event in self.events[query.execution_id] if event.sequence > query.after]
        return EventPage(events=tuple(events[: query.limit]), is_final=found.status.is_final and len(events) <= query.limit)

    async def _pause(self, payload: bytes) -> ExecutionView | Refusal:
        question = msgspec.json.decode(payload, type=PauseExecution)
        self.steered.append(question)
        found = self._visible(question.execution_id, question.client_id)
        if isinstance(found, Refusal):
            return found
        if found.status is ExecutionStatus.PAUSED:
            return found
        if found.status not in (ExecutionStatus.SCHEDULED, ExecutionStatus.RUNNING, ExecutionStatus.AWAITING_APPROVAL):
            return Refusal(code="not_pausable", message=f"the execution is {found.status}")
        self._change(question.execution_id, status=ExecutionStatus.PAUSED)
        await self.emit(question.execution_id, WorkflowPaused(reason=question.reason))
        return self.views[question.execution_id]

    async def _resume(self, payload: bytes) -> Resumed | Refusal:
        question = msgspec.json.decode(payload, type=ResumeExecution)
        self.steered.append(question)
        if len(self.steered) > 1:
            return await self._resume_now(question)
        await self.first_to_resume_may_ask.wait()
        answer = await self._resume_now(question)
        await self.first_to_resume_may_hear.wait()
        return answer

    async def _resume_now(self, question: ResumeExecution) -> Resumed | Refusal:
        found = self._visible(question.execution_id, question.client_id)
        if isinstance(found, Refusal):
            return found
        has_ended = found.status.is_final and found.status is not ExecutionStatus.COMPLETED
        if found.status is not ExecutionStatus.PAUSED and not has_ended:
            return Refusal(code="not_resumable", message=f"the execution is {found.status}")
        return await self.resumed(question.execution_id)

    async def _decide_approval(self, payload: bytes) -> ExecutionView | Refusal:
        question = msgspec.json.decode(payload, type=DecideApproval)
        found = self._visible(question.execution_id, question.client_id)
        if isinstance(found, Refusal):
            return found
        waiting = self.waiting.get(question.execution_id, [])
        chosen = [stage for stage in waiting if question.stage_id in (None, stage)]
        if not chosen:
            return Refusal(code="nothing_to_approve", message="no stage waits for a person")
        if len(chosen) > 1:
            return Refusal(code="ambiguous_approval", message="several stages wait: name one of " + ", ".join(chosen))
        waiting.remove(chosen[0])
        self.decisions.append(question)
        self._change(question.execution_id, status=ExecutionStatus.AWAITING_APPROVAL if waiting else ExecutionStatus.RUNNING)
        decided = ApprovalDecided(
            step_name=chosen[0], approved=question.approved, decided_by=question.decided_by, comment=question.comment
        )
        await self.emit(question.execution_id, decided)
        return self.views[question.execution_id]

    async def _skip_compensation(self, payload: bytes) -> ExecutionView | Refusal:
        question = msgspec.json.decode(payload, type=SkipCompensation)
        found = self._visible(question.execution_id, question.client_id)
        if isinstance(found, Refusal):
            return found
        if found.status is not ExecutionStatus.COMPENSATING:
            return Refusal(code="not_compensating", message=f"it is {found.status}; nothing is being undone")
        left = self.left_to_undo[question.execution_id]
        if question.stage_id is None and len(left) > 1:
            return Refusal(code="ambiguous_compensation", message=f"several stages are left to undo: {', '.join(left)}")
        stage_id = question.stage_id or left[0]
        if stage_id not in left:
            return Refusal(code="nothing_to_skip", message=f"{stage_id} is not among the stages that are left to undo")
        left.remove(stage_id)
        self.skips.append(question)
        await self.emit(question.execution_id, CompensationFailed(step_name=stage_id, code="compensation_skipped", message=""))
        if not left:
            await self.fail(question.execution_id, "sold_out", "no seats")
        return self.views[question.execution_id]

    async def _attempts(self, payload: bytes) -> AttemptPage | Refusal:
        query = msgspec.json.decode(payload, type=ListAttempts)
        found = self._visible(query.execution_id, query.client_id)
        if isinstance(found, Refusal):
            return found
        kept = self.attempts.get(query.execution_id, [])
        first = int(query.cursor or "0")
        end = first + query.limit
        return AttemptPage(attempts=tuple(kept[first:end]), next_cursor=str(end) if end < len(kept) else None)

    async def _calls(self, payload: bytes) -> CallPage | Refusal:
        query = msgspec.json.decode(payload, type=ListCalls)
        found = self._visible(query.execution_id, query.client_id)
        if isinstance(found, Refusal):
            return found
        kept = self.calls.get(query.execution_id, [])
        first = int(query.cursor or "0")
        end = first + query.limit
        return CallPage(calls=tuple(kept[first:end]), next_cursor=str(end) if end < len(kept) else None)

    async def _insights(self, question: Question) -> bytes:
        query = msgspec.json.decode(question.payload, type=InsightsQuery)
        insights = WorkerInsights(
            worker_name=query.worker_name,
            analysis_period=query.analysis_period,
            performance_score=None,
            figures=(),
            ai_recommendations=(),
            analysis_timestamp="2026-05-01T09:30:00.000Z",
        )
        return msgspec.json.encode(insights)

    def _visible(self, execution_id: str, client_id: str | None) -> ExecutionView | Refusal:
        view = self.views.get(execution_id)
        if view is None or client_id not in (None, view.client_id):
            return Refusal(code="unknown_execution", message=f"there is no execution {execution_id}")
        return view


def _new_view(execution_id: str, order: Execute) -> ExecutionView:
    return ExecutionView(
        execution_id=execution_id,
        client_id=order.client_id,
        request_id=order.request_id,
        template=order.template_name,
        template_version="1.0.0",
        status=ExecutionStatus.RUNNING,
        priority=order.priority,
        progress_percent=0,
        created_at="2026-05-01T09:30:00.000Z",
        completed_at=None,
        stages=(),
        totals=msgspec.structs.replace(TOTALS, cost_usd="0", tokens_used=Tokens()),
        deliverables=(),
        last_sequence=0,
        max_cost_usd=order.max_cost_usd or "25",
    )
