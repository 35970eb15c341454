"""Questions to an orchestrator about pipelines, history and workers, as the gateway asks them."""

from typing import Any, TypeVar

import msgspec

from aif_contracts import subjects
from aif_contracts.history import AttemptPage, CallPage, ListAttempts, ListCalls
from aif_contracts.orders import ExecutionPage, ListExecutions, ListTemplates, Refusal, TemplateList
from aif_contracts.pipelines import (
    GetPipeline,
    ListPipelines,
    PipelineDocument,
    PipelinePage,
    PipelineSaved,
    SavePipeline,
)
from aif_contracts.workers import ListWorkers, WorkerList
from aif_runtime.bus import Bus

A = TypeVar("A", bound=msgspec.Struct)


class Questions:
    """Every answer is the one that was hoped for, else the test fails with the refusal; `refused` gives that."""

    def __init__(self, bus: Bus, client_id: str | None = "acme") -> None:
        self._bus = bus
        self._client_id = client_id

    async def saves(self, document: str, **how: Any) -> PipelineSaved:
        request = SavePipeline(client_id=self._client_id, document=document, **how)
        return await self._answer(subjects.SAVE_PIPELINE, request, PipelineSaved)

    async def refused_to_save(self, document: str, **how: Any) -> Refusal:
        return await self.refused(subjects.SAVE_PIPELINE, SavePipeline(client_id=self._client_id, document=document, **how))

    async def pipelines(self, **wanted: Any) -> PipelinePage:
        request = ListPipelines(client_id=self._client_id, **wanted)
        return await self._answer(subjects.LIST_PIPELINES, request, PipelinePage)

    async def pipeline(self, name: str, version: str | None = None) -> PipelineDocument:
        request = GetPipeline(client_id=self._client_id, name=name, version=version)
        return await self._answer(subjects.GET_PIPELINE, request, PipelineDocument)

    async def templates(self) -> dict[str, str | None]:
        """Owners by name."""
        return {template.name: template.owner for template in (await self.template_page()).templates}

    async def template_page(self, **wanted: Any) -> TemplateList:
        return await self._answer(subjects.TEMPLATES, ListTemplates(client_id=self._client_id, **wanted), TemplateList)

    async def executions(self, **wanted: Any) -> ExecutionPage:
        return await self._answer(subjects.LIST, ListExecutions(client_id=self._client_id, **wanted), ExecutionPage)

    async def ids(self, **wanted: Any) -> list[str]:
        """Of the first page of executions."""
        return [each.execution_id for each in (await self.executions(**wanted)).executions]

    async def attempts(self, execution_id: str, **page: Any) -> AttemptPage:
        request = ListAttempts(execution_id=execution_id, client_id=self._client_id, **page)
        return await self._answer(subjects.ATTEMPTS, request, AttemptPage)

    async def calls(self, execution_id: str, **page: Any) -> CallPage:
        request = ListCalls(execution_id=execution_id, client_id=self._client_id, **page)
        return await self._answer(subjects.CALLS, request, CallPage)

    async def workers(self) -> WorkerList:
        return await self._answer(subjects.WORKERS, ListWorkers(), WorkerList)

    async def refused(self, subject: str, request: msgspec.Struct) -> Refusal:
        return await self._answer(subject, request, Refusal)

    async def _answer(self, subject: str, request: msgspec.Struct, kind: type[A]) -> A:
        payload = await self._bus.ask(subject, msgspec.json.encode(request), wait_seconds=5)
        if kind is not Refusal and b'"reply":"refusal"' in payload:
            raise AssertionError(f"refused: {payload.decode()}")
        return msgspec.json.decode(payload, type=kind)
