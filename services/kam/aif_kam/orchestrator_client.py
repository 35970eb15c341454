"""Questions to the orchestrator and the classifier."""

from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from aif_contracts import subjects
from aif_contracts.orders import (
    Accepted,
    CancelExecution,
    EventPage,
    Execute,
    ExecutionPage,
    ExecutionView,
    GetExecution,
    ListEvents,
    ListExecutions,
    ListTemplates,
    Refusal,
    TemplateList,
)
from aif_contracts.performance import InsightsQuery, WorkerInsights
from aif_kam.failures import Refused, Unavailable
from aif_runtime.bus import Bus
from aif_runtime.decoding import decode
from aif_runtime.failures import BusUnavailable, NoAnswer
from aif_runtime.telemetry import SpanKind, Tracing

ANSWER_SECONDS = 1.8
"""A caller of ours hears of an orchestrator that is away within two seconds."""
RETRY_AFTER_SECONDS = 2

NO_ANSWERS = frozenset({"database_unavailable", "internal_error"})
"""Refusals that say nothing about the question: it may have been done all the same."""

View = TypeVar("View", bound=Struct)


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


class OrchestratorClient:
    """Every question raises Unavailable when no answer comes; all but `execute` raise Refused when the answer is no."""

    def __init__(self, *, bus: Bus, tracing: Tracing, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._bus = bus
        self._tracing = tracing
        self._answer_seconds = answer_seconds

    async def execute(self, order: Execute) -> Accepted | Refusal:
        """After Unavailable the outcome is unknown: ask again under the same execution id."""
        return await self._ask(subjects.EXECUTE, order, _ACCEPTED)

    async def get(self, execution_id: str, client_id: str | None) -> ExecutionView:
        return await self._view(subjects.GET, GetExecution(execution_id=execution_id, client_id=client_id), _EXECUTION)

    async def cancel(self, execution_id: str, client_id: str | None) -> ExecutionView:
        return await self._view(subjects.CANCEL, CancelExecution(execution_id=execution_id, client_id=client_id), _EXECUTION)

    async def list_executions(self, query: ListExecutions) -> ExecutionPage:
        return await self._view(subjects.LIST, query, _EXECUTIONS)

    async def events(self, execution_id: str, client_id: str | None, after: int) -> EventPage:
        query = ListEvents(execution_id=execution_id, client_id=client_id, after=after)
        return await self._view(subjects.EVENTS, query, _EVENTS)

    async def templates(self) -> TemplateList:
        return await self._view(subjects.TEMPLATES, ListTemplates(), _TEMPLATES)

    async def insights(self, query: InsightsQuery) -> WorkerInsights:
        return await self._view(subjects.INSIGHTS, query, _INSIGHTS)

    async def _view(self, subject: str, question: Struct, decoder: msgspec.json.Decoder[View]) -> View:
        answer = await self._ask(subject, question, decoder)
        if isinstance(answer, Refusal):
            raise Refused(answer)
        return answer

    async def _ask(self, subject: str, question: Struct, decoder: msgspec.json.Decoder[View]) -> View | Refusal:
        attributes: dict[str, Any] = {"messaging.system": "nats", "messaging.destination.name": subject}
        with self._tracing.span(f"ask {subject}", attributes=attributes, kind=SpanKind.CLIENT) as span:
            payload = msgspec.json.encode(question)
            try:
                reply = await self._bus.ask(subject, payload, wait_seconds=self._answer_seconds, headers=span.headers)
            except (NoAnswer, BusUnavailable) as failure:
                raise _unavailable(subject) from failure
        answer = _decoded(reply, decoder)
        if isinstance(answer, Refusal) and answer.code in NO_ANSWERS:
            raise _unavailable(subject)
        return answer


def _unavailable(subject: str) -> Unavailable:
    service = subject.split(".")[1]
    return Unavailable(
        f"the {service} does not answer; try again in a moment",
        code=f"{service}_unavailable",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )


def _decoded(payload: bytes, decoder: msgspec.json.Decoder[View]) -> View | Refusal:
    if decode(_HEAD, payload).reply == "refusal":
        return decode(_REFUSAL, payload)
    return decode(decoder, payload)
