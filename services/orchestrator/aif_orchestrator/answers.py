"""The questions that any orchestrator replica answers over the bus, one method each."""

import msgspec
from msgspec.structs import replace

from aif_contracts import subjects
from aif_contracts.budgets import ENERGY_EXCEEDED
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
from aif_contracts.packets import ClaimAnswer, ClaimRequest, Later, Superseded
from aif_orchestrator.admission import Admission
from aif_orchestrator.answering import AWAY_RETRY_MS, answer_questions, unknown_execution
from aif_orchestrator.denials import denial
from aif_orchestrator.engine.arrivals import Applied, ExecutionOrdered, NotApplied
from aif_orchestrator.engine.engine import Engine
from aif_orchestrator.engine.figures import Figures
from aif_orchestrator.engine.plans import Plans
from aif_orchestrator.execution.happenings import (
    ApprovalDecisionMade,
    AttemptClaimed,
    CancelAsked,
    CompensationSkipAsked,
    Happening,
    PauseAsked,
    ResumeAsked,
)
from aif_orchestrator.execution.terms import EnergyPrices, on_less_energy, terms_of
from aif_orchestrator.kept_results import KeptResults
from aif_orchestrator.listing import wanted_executions
from aif_orchestrator.pages import fitting
from aif_orchestrator.refused_budgets import RefusedBudgets
from aif_orchestrator.store.executions import ExecutionStore, Seen
from aif_runtime.bus import Bus, Question
from aif_runtime.decoding import decode
from aif_runtime.failures import DatabaseUnavailable
from aif_runtime.ids import NewId, derived_id
from aif_runtime.postgres import Database
from aif_runtime.telemetry import SpanKind, Tracing


class Answers:
    def __init__(
        self,
        *,
        bus: Bus,
        database: Database,
        executions: ExecutionStore,
        engine: Engine,
        plans: Plans,
        admission: Admission,
        budgets: RefusedBudgets,
        kept_results: KeptResults,
        energy_prices: EnergyPrices,
        figures: Figures,
        tracing: Tracing,
        new_id: NewId,
    ) -> None:
        self._bus = bus
        self._database = database
        self._executions = executions
        self._engine = engine
        self._plans = plans
        self._admission = admission
        self._budgets = budgets
        self._kept_results = kept_results
        self._energy_prices = energy_prices
        self._figures = figures
        self._tracing = tracing
        self._new_id = new_id

    async def open(self) -> None:
        """Begin to answer; ends when the bus closes."""
        await answer_questions(self._bus, subjects.EXECUTE, Execute, self._execute)
        await answer_questions(self._bus, subjects.CANCEL, CancelExecution, self._cancel)
        await answer_questions(self._bus, subjects.PAUSE, PauseExecution, self._pause)
        await answer_questions(self._bus, subjects.RESUME, ResumeExecution, self._resume)
        await answer_questions(self._bus, subjects.DECIDE_APPROVAL, DecideApproval, self._decide_approval)
        await answer_questions(self._bus, subjects.SKIP_COMPENSATION, SkipCompensation, self._skip_compensation)
        await answer_questions(self._bus, subjects.GET, GetExecution, self._get, reads=True)
        await answer_questions(self._bus, subjects.LIST, ListExecutions, self._list, reads=True)
        await answer_questions(self._bus, subjects.EVENTS, ListEvents, self._events, reads=True)
        await answer_questions(self._bus, subjects.TEMPLATES, ListTemplates, self._templates, reads=True)
        await self._bus.answer(subjects.CLAIM, subjects.ORCHESTRATOR_GROUP, self._claim)

    async def _execute(self, asked: Execute, question: Question) -> Accepted | Refusal:
        execution_id = asked.execution_id or self._id_for(asked)
        order = asked if asked.execution_id is not None else replace(asked, execution_id=execution_id)
        with self._tracing.span(
            "orchestrator execute",
            attributes={"aif.execution_id": execution_id, "aif.template": order.template_name},
            parent=question.headers,
            kind=SpanKind.SERVER,
        ) as span:
            admitted = await self._admission.admit(order)
            if isinstance(admitted, Refusal):
                span.fail(admitted.code)
                return admitted
            terms = terms_of(order.tier, self._energy_prices)
            ordered = ExecutionOrdered(order=admitted.order, trace=dict(span.headers), owner=admitted.owner, terms=terms)
            applied = await self._engine.apply(execution_id, ordered)
            if applied.denied == ENERGY_EXCEEDED and (cheaper := on_less_energy(terms, self._energy_prices)) is not None:
                applied = await self._engine.apply(execution_id, replace(ordered, terms=cheaper))
            if applied.denied is not None:
                span.fail(applied.denied)
                return await self._denial(applied)
        if applied.client_id != order.client_id or applied.status is None:
            return Refusal(code="execution_id_taken", message=f"{execution_id} names another client's execution")
        return Accepted(execution_id=execution_id, template_version=applied.template_version, status=applied.status)

    def _id_for(self, order: Execute) -> str:
        if order.request_id is None:
            return self._new_id("exec")
        return derived_id("exec", order.client_id, order.request_id)

    async def _denial(self, applied: Applied) -> Refusal:
        assert applied.denied is not None, "only what was denied is asked about"
        assert applied.not_fitting is not None, "only a move can be denied"
        self._figures.count_denied(applied.denied)
        budget = await self._budgets.of(applied.not_fitting.client_id)
        return denial(applied.denied, applied.not_fitting, budget)

    async def _cancel(self, request: CancelExecution, question: Question) -> ExecutionView | Refusal:
        return await self._steer(request.execution_id, request.client_id, CancelAsked(reason=request.reason))

    async def _pause(self, request: PauseExecution, question: Question) -> ExecutionView | Refusal:
        return await self._steer(request.execution_id, request.client_id, PauseAsked(reason=request.reason))

    async def _resume(self, request: ResumeExecution, question: Question) -> Resumed | Refusal:
        seen = await self._find(request.execution_id, request.client_id)
        if seen is None:
            return unknown_execution(request.execution_id)
        lost = await self._kept_results.lost(seen.execution) if seen.execution.is_final else frozenset()
        applied = await self._engine.apply(request.execution_id, ResumeAsked(lost=lost))
        if applied.denied is not None:
            return await self._denial(applied)
        if applied.refusal is not None:
            return Refusal(code=applied.refusal.code, message=applied.refusal.message)
        view = await self._view(request.execution_id, request.client_id)
        if isinstance(view, Refusal) or applied.kept is None:
            return unknown_execution(request.execution_id)
        return Resumed(execution=view, kept=applied.kept)

    async def _decide_approval(self, request: DecideApproval, question: Question) -> ExecutionView | Refusal:
        decision = ApprovalDecisionMade(
            stage_id=request.stage_id,
            approved=request.approved,
            decided_by=request.decided_by,
            comment=request.comment,
        )
        return await self._steer(request.execution_id, request.client_id, decision)

    async def _skip_compensation(self, request: SkipCompensation, question: Question) -> ExecutionView | Refusal:
        asked = CompensationSkipAsked(stage_id=request.stage_id, decided_by=request.decided_by, comment=request.comment)
        return await self._steer(request.execution_id, request.client_id, asked)

    async def _steer(self, execution_id: str, client_id: str | None, happening: Happening) -> ExecutionView | Refusal:
        """Apply what a person asks for, and show the execution as it is then."""
        if await self._find(execution_id, client_id) is None:
            return unknown_execution(execution_id)
        applied = await self._engine.apply(execution_id, happening)
        if applied.refusal is not None:
            return Refusal(code=applied.refusal.code, message=applied.refusal.message)
        return await self._view(execution_id, client_id)

    async def _get(self, request: GetExecution, question: Question) -> ExecutionView | Refusal:
        return await self._view(request.execution_id, request.client_id)

    async def _list(self, request: ListExecutions, question: Question) -> ExecutionPage | Refusal:
        wanted = wanted_executions(request)
        if isinstance(wanted, Refusal):
            return wanted
        async with self._database.transaction() as connection:
            seen = await self._executions.list_page(connection, wanted, before=request.cursor, limit=request.limit + 1)
        views = [await self._plans.view(each.execution, each.at_ms) for each in seen[: request.limit]]
        page = fitting(views)
        more = len(seen) > len(page)
        return ExecutionPage(executions=page, next_cursor=page[-1].execution_id if more else None)

    async def _events(self, request: ListEvents, question: Question) -> EventPage | Refusal:
        async with self._database.connection() as connection:
            # Before the events: what comes in between is told, and the page is not taken for the last one.
            end = await self._executions.find_end_of_events(connection, request.execution_id, request.client_id)
            if end is None:
                return unknown_execution(request.execution_id)
            stored = await self._executions.list_events(connection, request.execution_id, request.after, request.limit)
        events = fitting(stored)
        last = events[-1].sequence if events else request.after
        return EventPage(events=events, is_final=end.has_ended and last >= end.last_sequence)

    async def _templates(self, request: ListTemplates, question: Question) -> TemplateList:
        await self._plans.caught_up()
        offered = self._plans.templates(request.client_id, after=request.cursor)
        page = fitting(offered[: request.limit])
        return TemplateList(
            templates=page,
            next_cursor=page[-1].name if len(page) < len(offered) else None,
            max_cost_usd=self._admission.max_execution_cost_usd,
        )

    async def _claim(self, question: Question) -> bytes:
        request = decode(_CLAIM, question.payload)
        happening = AttemptClaimed(
            stage_id=request.stage_id,
            packet_id=request.packet_id,
            instance_id=request.instance_id,
            claim_id=request.claim_id,
            is_first_delivery=request.num_delivered <= 1,
        )
        answer: ClaimAnswer
        try:
            applied = await self._engine.apply(request.execution_id, happening)
        except (DatabaseUnavailable, NotApplied) as failure:
            answer = Later(retry_after_ms=AWAY_RETRY_MS, reason=str(failure))
        else:
            answer = applied.answer if isinstance(applied.answer, ClaimAnswer) else Superseded()
        return msgspec.json.encode(answer)

    async def _find(self, execution_id: str, client_id: str | None) -> Seen | None:
        async with self._database.connection() as connection:
            return await self._executions.find(connection, execution_id, client_id)

    async def _view(self, execution_id: str, client_id: str | None) -> ExecutionView | Refusal:
        seen = await self._find(execution_id, client_id)
        return unknown_execution(execution_id) if seen is None else await self._plans.view(seen.execution, seen.at_ms)


_CLAIM = msgspec.json.Decoder(ClaimRequest)
