"""Questions to the orchestrator and the classifier."""

from typing import Any, TypeVar

import msgspec
import structlog
from msgspec import Struct

from aif_contracts import subjects
from aif_contracts.audit import AuditPage, AuditVerdict, ListAudit, VerifyAudit
from aif_contracts.budgets import BudgetPage, BudgetView, GetBudget, ListBudgets, SetBudget
from aif_contracts.dead_letters import (
    DeadLetterContent,
    DeadLetterPage,
    DeadLetterView,
    DismissDeadLetter,
    GetDeadLetter,
    ListDeadLetters,
    ReplayDeadLetter,
)
from aif_contracts.history import AttemptPage, CallPage, ListAttempts, ListCalls
from aif_contracts.orders import (
    Accepted,
    CancelExecution,
    DecideApproval,
    EventPage,
    Execute,
    ExecutionPage,
    ExecutionView,
    GetExecution,
    ListEvents,
    ListExecutions,
    ListTemplates,
    PauseExecution,
    Refusal,
    Resumed,
    ResumeExecution,
    SkipCompensation,
    TemplateList,
)
from aif_contracts.performance import InsightsQuery, WorkerInsights
from aif_contracts.pipelines import GetPipeline, ListPipelines, PipelineDocument, PipelinePage, PipelineSaved, SavePipeline
from aif_contracts.reconciliation import BookedCall, BookedCallPage, SearchCalls, SettleCall
from aif_contracts.simulation import SimulateExecution, Simulation
from aif_contracts.usage import MonthlyUsage, MonthlyUsageQuery, UsageQuery, UsageReport
from aif_contracts.workers import ListWorkers, WorkerList
from aif_kam.failures import Refused, Unavailable
from aif_runtime.bus import Bus
from aif_runtime.decoding import decode
from aif_runtime.failures import BusUnavailable, NoAnswer, TooManyRead
from aif_runtime.telemetry import Headers, SpanKind, Tracing
from aif_runtime.told_sparingly import ToldSparingly

ANSWER_SECONDS = 1.8
"""A caller of ours hears of an orchestrator that is away within two seconds."""
USAGE_SECONDS = 20.0
"""A year of a busy factory takes its database some seconds to add up, and so do a week's attempts."""
SAVE_SECONDS = 20.0
"""A document of the largest size takes some seconds to check, and its sender wants to hear what is wrong with it."""
RETRY_AFTER_SECONDS = 2

NO_ANSWERS = frozenset({"bus_unavailable", "database_unavailable", "internal_error"})
"""Refusals that say nothing about the question: it may have been done all the same."""

View = TypeVar("View", bound=Struct)

_log = structlog.get_logger()


class _Head(Struct, frozen=True):
    reply: str | None = None


_HEAD = msgspec.json.Decoder(_Head)
_REFUSAL = msgspec.json.Decoder(Refusal)
_ACCEPTED = msgspec.json.Decoder(Accepted)
_EXECUTION = msgspec.json.Decoder(ExecutionView)
_EXECUTIONS = msgspec.json.Decoder(ExecutionPage)
_EVENTS = msgspec.json.Decoder(EventPage)
_TEMPLATES = msgspec.json.Decoder(TemplateList)
_INSIGHTS = msgspec.json.Decoder(WorkerInsights)
_RESUMED = msgspec.json.Decoder(Resumed)
_ATTEMPTS = msgspec.json.Decoder(AttemptPage)
_CALLS = msgspec.json.Decoder(CallPage)
_SIMULATION = msgspec.json.Decoder(Simulation)
_WORKERS = msgspec.json.Decoder(WorkerList)
_PIPELINE_SAVED = msgspec.json.Decoder(PipelineSaved)
_PIPELINES = msgspec.json.Decoder(PipelinePage)
_PIPELINE = msgspec.json.Decoder(PipelineDocument)
_BOOKED_CALL = msgspec.json.Decoder(BookedCall)
_BOOKED_CALLS = msgspec.json.Decoder(BookedCallPage)
_AUDIT = msgspec.json.Decoder(AuditPage)
_AUDIT_VERDICT = msgspec.json.Decoder(AuditVerdict)
_BUDGET = msgspec.json.Decoder(BudgetView)
_BUDGETS = msgspec.json.Decoder(BudgetPage)
_USAGE = msgspec.json.Decoder(UsageReport)
_MONTH = msgspec.json.Decoder(MonthlyUsage)
_DEAD_LETTERS = msgspec.json.Decoder(DeadLetterPage)
_DEAD_LETTER = msgspec.json.Decoder(DeadLetterView)
_DEAD_LETTER_CONTENT = msgspec.json.Decoder(DeadLetterContent)


class OrchestratorClient:
    """Every question raises Unavailable when no answer comes; all but `execute` raise Refused when the answer is no."""

    def __init__(self, *, bus: Bus, tracing: Tracing, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._bus = bus
        self._tracing = tracing
        self._answer_seconds = answer_seconds
        self._unanswered = ToldSparingly()

    async def execute(
        self, order: Execute, *, ordered_by: Headers | None = None, is_one_of_many: bool = False
    ) -> Accepted | Refusal:
        """`ordered_by` is the span that stored the order, for when whoever made it does not wait any more: the execution stays
        in its trace. One of many has a trace of its own, with a link to that span.

        After Unavailable the outcome is unknown: ask again under the same execution id."""
        if not ordered_by or self._tracing.here():
            return await self._ask(subjects.EXECUTE, order, _ACCEPTED)
        if is_one_of_many:
            return await self._ask(subjects.EXECUTE, order, _ACCEPTED, link=ordered_by)
        return await self._ask(subjects.EXECUTE, order, _ACCEPTED, parent=ordered_by)

    async def get(self, execution_id: str, client_id: str | None, *, for_a_change: bool = False) -> ExecutionView:
        """`for_a_change` when one waits for the answer: then it does not wait for those who only read."""
        question = GetExecution(execution_id=execution_id, client_id=client_id)
        return await self._view(subjects.GET, question, _EXECUTION, for_a_change=for_a_change)

    async def cancel(self, execution_id: str, client_id: str | None) -> ExecutionView:
        return await self._view(subjects.CANCEL, CancelExecution(execution_id=execution_id, client_id=client_id), _EXECUTION)

    async def list_executions(self, query: ListExecutions) -> ExecutionPage:
        return await self._view(subjects.LIST, query, _EXECUTIONS)

    async def be_there(self) -> None:
        """Ask for next to nothing: whether an orchestrator and its database answer. Orders wait for it."""
        await self._view(subjects.LIST, ListExecutions(client_id=None, limit=1), _EXECUTIONS, for_a_change=True)

    async def events(self, execution_id: str, client_id: str | None, after: int) -> EventPage:
        query = ListEvents(execution_id=execution_id, client_id=client_id, after=after)
        return await self._view(subjects.EVENTS, query, _EVENTS)

    async def pause(self, question: PauseExecution) -> ExecutionView:
        return await self._view(subjects.PAUSE, question, _EXECUTION)

    async def resume(self, question: ResumeExecution) -> Resumed:
        return await self._view(subjects.RESUME, question, _RESUMED)

    async def decide_approval(self, question: DecideApproval) -> ExecutionView:
        return await self._view(subjects.DECIDE_APPROVAL, question, _EXECUTION)

    async def skip_compensation(self, question: SkipCompensation) -> ExecutionView:
        return await self._view(subjects.SKIP_COMPENSATION, question, _EXECUTION)

    async def attempts(self, query: ListAttempts) -> AttemptPage:
        return await self._view(subjects.ATTEMPTS, query, _ATTEMPTS)

    async def calls(self, query: ListCalls) -> CallPage:
        return await self._view(subjects.CALLS, query, _CALLS)

    async def templates(self, query: ListTemplates) -> TemplateList:
        return await self._view(subjects.TEMPLATES, query, _TEMPLATES)

    async def simulate(self, question: SimulateExecution) -> Simulation:
        return await self._view(subjects.SIMULATE, question, _SIMULATION)

    async def workers(self) -> WorkerList:
        return await self._view(subjects.WORKERS, ListWorkers(), _WORKERS)

    async def save_pipeline(self, question: SavePipeline) -> PipelineSaved:
        return await self._view(subjects.SAVE_PIPELINE, question, _PIPELINE_SAVED, wait_seconds=SAVE_SECONDS)

    async def list_pipelines(self, query: ListPipelines) -> PipelinePage:
        return await self._view(subjects.LIST_PIPELINES, query, _PIPELINES)

    async def get_pipeline(self, query: GetPipeline, *, for_a_change: bool = False) -> PipelineDocument:
        """As `get`."""
        return await self._view(subjects.GET_PIPELINE, query, _PIPELINE, for_a_change=for_a_change)

    async def list_dead_letters(self, query: ListDeadLetters) -> DeadLetterPage:
        return await self._view(subjects.LIST_DEAD_LETTERS, query, _DEAD_LETTERS)

    async def get_dead_letter(self, query: GetDeadLetter) -> DeadLetterContent:
        return await self._view(subjects.GET_DEAD_LETTER, query, _DEAD_LETTER_CONTENT)

    async def replay_dead_letter(self, question: ReplayDeadLetter) -> DeadLetterView:
        return await self._view(subjects.REPLAY_DEAD_LETTER, question, _DEAD_LETTER)

    async def dismiss_dead_letter(self, question: DismissDeadLetter) -> DeadLetterView:
        return await self._view(subjects.DISMISS_DEAD_LETTER, question, _DEAD_LETTER)

    async def search_calls(self, query: SearchCalls) -> BookedCallPage:
        return await self._view(subjects.SEARCH_CALLS, query, _BOOKED_CALLS)

    async def settle_call(self, question: SettleCall) -> BookedCall:
        return await self._view(subjects.SETTLE_CALL, question, _BOOKED_CALL)

    async def list_audit(self, query: ListAudit) -> AuditPage:
        return await self._view(subjects.LIST_AUDIT, query, _AUDIT)

    async def verify_audit(self, question: VerifyAudit) -> AuditVerdict:
        return await self._view(subjects.VERIFY_AUDIT, question, _AUDIT_VERDICT)

    async def insights(self, query: InsightsQuery) -> WorkerInsights:
        return await self._view(subjects.INSIGHTS, query, _INSIGHTS, wait_seconds=USAGE_SECONDS)

    async def get_budget(self, client_id: str) -> BudgetView:
        return await self._view(subjects.GET_BUDGET, GetBudget(client_id=client_id), _BUDGET)

    async def set_budget(self, question: SetBudget) -> BudgetView:
        return await self._view(subjects.SET_BUDGET, question, _BUDGET)

    async def list_budgets(self, query: ListBudgets) -> BudgetPage:
        return await self._view(subjects.LIST_BUDGETS, query, _BUDGETS)

    async def usage(self, query: UsageQuery) -> UsageReport:
        return await self._view(subjects.REPORT_USAGE, query, _USAGE, wait_seconds=USAGE_SECONDS)

    async def monthly_usage(self, query: MonthlyUsageQuery) -> MonthlyUsage:
        return await self._view(subjects.REPORT_MONTH, query, _MONTH, wait_seconds=USAGE_SECONDS)

    async def _view(
        self,
        subject: str,
        question: Struct,
        decoder: msgspec.json.Decoder[View],
        *,
        wait_seconds: float | None = None,
        for_a_change: bool = False,
    ) -> View:
        answer = await self._ask(subject, question, decoder, wait_seconds=wait_seconds, for_a_change=for_a_change)
        if isinstance(answer, Refusal):
            raise Refused(answer)
        return answer

    async def _ask(
        self,
        subject: str,
        question: Struct,
        decoder: msgspec.json.Decoder[View],
        *,
        wait_seconds: float | None = None,
        for_a_change: bool = False,
        parent: Headers | None = None,
        link: Headers | None = None,
    ) -> View | Refusal:
        attributes: dict[str, Any] = {"messaging.system": "nats", "messaging.destination.name": subject}
        with self._tracing.span(
            f"ask {subject}", attributes=attributes, parent=parent, link=link, kind=SpanKind.CLIENT
        ) as span:
            payload = msgspec.json.encode(question)
            headers = {**span.headers, subjects.FOR_A_CHANGE: "yes"} if for_a_change else span.headers
            patience = self._answer_seconds if wait_seconds is None else wait_seconds
            try:
                reply = await self._bus.ask(subject, payload, wait_seconds=patience, headers=headers)
            except (NoAnswer, BusUnavailable) as failure:
                raise self._unavailable(subject, str(failure)) from failure
        answer = _decoded(reply, decoder)
        if isinstance(answer, Refusal) and answer.code in NO_ANSWERS:
            raise self._unavailable(subject, answer.message)
        if isinstance(answer, Refusal) and answer.code == TooManyRead.code:
            self._tell_unanswered(subject, answer.message)
            raise Unavailable(answer.message, code=answer.code, retry_after_seconds=Refused(answer).retry_after_seconds)
        return answer

    def _unavailable(self, subject: str, reason: str) -> Unavailable:
        """The caller is told who does not answer; why, for the operator, who may have to look elsewhere."""
        self._tell_unanswered(subject, reason)
        service = subject.split(".")[1]
        return Unavailable(
            f"the {service} does not answer; try again in a moment",
            code=f"{service}_unavailable",
            retry_after_seconds=RETRY_AFTER_SECONDS,
        )

    def _tell_unanswered(self, subject: str, reason: str) -> None:
        times = self._unanswered.times(subject)
        if times:
            _log.warning("question_unanswered", subject=subject, reason=reason, times=times)


def _decoded(payload: bytes, decoder: msgspec.json.Decoder[View]) -> View | Refusal:
    if decode(_HEAD, payload).reply == "refusal":
        return decode(_REFUSAL, payload)
    return decode(decoder, payload)
