"""Pipelines as documents: checked and stored, listed, read back."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from aif_contracts import subjects
from aif_contracts.audit import PIPELINE_SAVED
from aif_contracts.orders import Refusal
from aif_contracts.pipelines import (
    GetPipeline,
    ListPipelines,
    PipelineDocument,
    PipelinePage,
    PipelineSaved,
    PipelineView,
    SavePipeline,
)
from aif_orchestrator.answering import answer_questions
from aif_orchestrator.audit.log import AuditLog
from aif_orchestrator.engine.plan_news import PlanNews
from aif_orchestrator.engine.plans import TOLD_VERSIONS
from aif_orchestrator.engine.versions import version_rank
from aif_orchestrator.engine.workforce import Workforce
from aif_orchestrator.pages import fitting, number_in, unknown_cursor
from aif_orchestrator.pipeline_checks import as_field_mistake, mistakes_in, notes_on, offered_by, sendable
from aif_orchestrator.store.pipelines import (
    FACTORY,
    PipelineNameTaken,
    PipelineStore,
    PipelineVersion,
    PipelineVersionTaken,
    StoredPipeline,
)
from aif_pipelines.definition import Pipeline
from aif_pipelines.failures import PipelineInvalid
from aif_pipelines.loading import dump_pipeline, load_pipeline, pipeline_digest
from aif_prices.listing import shipped_prices
from aif_runtime.bus import Bus, Question
from aif_runtime.clock import rfc3339
from aif_runtime.postgres import Connection, Database


class PipelineAnswers:
    def __init__(
        self,
        *,
        bus: Bus,
        database: Database,
        pipelines: PipelineStore,
        workforce: Workforce,
        news: PlanNews,
        audit: AuditLog,
    ) -> None:
        self._bus = bus
        self._database = database
        self._pipelines = pipelines
        self._workforce = workforce
        self._news = news
        self._audit = audit
        self._price_files = shipped_prices()

    async def open(self) -> None:
        """Begin to answer; ends when the bus closes."""
        await answer_questions(self._bus, subjects.SAVE_PIPELINE, SavePipeline, self._save)
        await answer_questions(self._bus, subjects.LIST_PIPELINES, ListPipelines, self._list, reads=True)
        await answer_questions(self._bus, subjects.GET_PIPELINE, GetPipeline, self._get, reads=True)

    async def _save(self, request: SavePipeline, question: Question) -> PipelineSaved | Refusal:
        offered = offered_by(self._workforce.present(), self._price_files)
        required = offered if request.require_workers else None
        owner = request.client_id or FACTORY
        try:
            # A large document takes a second, in which this replica has executions to go on with.
            pipeline = await asyncio.to_thread(load_pipeline, request.document, lambda found: mistakes_in(found, required))
            is_new = await self._keep(pipeline, owner, dry_run=request.dry_run)
        except PipelineInvalid as invalid:
            return _invalid(invalid)
        except PipelineNameTaken as taken:
            return Refusal(code="pipeline_name_taken", message=str(taken))
        except PipelineVersionTaken as taken:
            return Refusal(code="pipeline_version_taken", message=str(taken))
        if not request.dry_run:
            # Also for one that was there: whoever stored it may have died before telling.
            await self._news.tell(request.client_id)
        # With workers required there is nothing left to note of them.
        notes = await asyncio.to_thread(notes_on, pipeline, offered)
        return PipelineSaved(
            name=pipeline.name,
            version=pipeline.version,
            owner=request.client_id,
            digest=pipeline_digest(pipeline),
            is_new=is_new,
            notes=tuple(map(str, notes)),
        )

    async def _keep(self, pipeline: Pipeline, owner: str, *, dry_run: bool) -> bool:
        async with self._database.transaction() as connection:
            if dry_run:
                return await self._pipelines.would_be_new(connection, pipeline, owner)
            is_new = await self._pipelines.keep(connection, pipeline, owner)
            if is_new:
                await self._audit.tell(
                    connection,
                    PIPELINE_SAVED,
                    "operator" if owner == FACTORY else f"client:{owner}",
                    {"name": pipeline.name, "version": pipeline.version, "digest": pipeline_digest(pipeline)},
                    client_id=None if owner == FACTORY else owner,
                )
            return is_new

    async def _list(self, request: ListPipelines, question: Question) -> PipelinePage | Refusal:
        after = number_in(request.cursor)
        if isinstance(after, Refusal):
            return after
        async with self._database.connection() as connection:
            ids = [version.pipeline_id for version in in_order(await self._listed(connection, request, after))]
            if after is not None and after not in ids:
                return unknown_cursor()
            begin = 0 if after is None else ids.index(after) + 1
            wanted = ids[begin : begin + request.limit]
            stored = await self._pipelines.read(connection, wanted)
        page = fitting([_view(stored[pipeline_id]) for pipeline_id in wanted])
        end = begin + len(page)
        return PipelinePage(pipelines=page, next_cursor=str(ids[end - 1]) if end < len(ids) else None)

    async def _listed(self, connection: Connection, request: ListPipelines, after: int | None) -> list[PipelineVersion]:
        """What is asked for, from the name of the page's cursor on: more than a page shows, and all versions of each name."""
        if request.name is not None:
            return await self._pipelines.list_versions(connection, request.client_id, request.name)
        if after is None:
            return await self._pipelines.list_behind(connection, request.client_id, "", request.limit + 1)
        name = await self._pipelines.find_name(connection, after)
        if name is None:
            return []
        begun = await self._pipelines.list_versions(connection, request.client_id, name)
        return begun + await self._pipelines.list_behind(connection, request.client_id, name, request.limit + 1)

    async def _get(self, request: GetPipeline, question: Question) -> PipelineDocument | Refusal:
        async with self._database.connection() as connection:
            # The operator, too, gets what everybody is offered: a client's own is asked for in the client's name.
            client_id = request.client_id or FACTORY
            versions = in_order(await self._pipelines.list_versions(connection, client_id, request.name))
            chosen = _chosen(versions, client_id, request.version)
            if chosen is None:
                return _unknown(request, versions)
            stored = (await self._pipelines.read(connection, [chosen.pipeline_id]))[chosen.pipeline_id]
        document: dict[str, Any] = msgspec.json.decode(dump_pipeline(stored.pipeline))
        return PipelineDocument(pipeline=_view(stored), document=document)


def in_order(versions: Iterable[PipelineVersion]) -> list[PipelineVersion]:
    """By name and owner, the newest version first."""
    newest_first = sorted(versions, key=lambda each: version_rank(each.version), reverse=True)
    return sorted(newest_first, key=lambda each: (each.name, each.owner))


def _unknown(request: GetPipeline, versions: Sequence[PipelineVersion]) -> Refusal:
    wanted = request.name if request.version is None else f"{request.name} {request.version}"
    there_are = f"; its newest versions are {', '.join(each.version for each in versions[:TOLD_VERSIONS])}" if versions else ""
    return Refusal(code="unknown_pipeline", message=f"there is no pipeline {wanted}{there_are}")


def _chosen(versions: list[PipelineVersion], client_id: str, version: str | None) -> PipelineVersion | None:
    """The client's own before the factory's, as for an order."""
    for owner in (client_id, FACTORY):
        for each in versions:
            if each.owner == owner and version in (None, each.version):
                return each
    return None


def _view(stored: StoredPipeline) -> PipelineView:
    pipeline = stored.pipeline
    return PipelineView(
        name=pipeline.name,
        version=pipeline.version,
        owner=stored.owner or None,
        title=pipeline.title,
        description=pipeline.description,
        digest=stored.digest,
        created_at=rfc3339(stored.created_at),
        offered=pipeline.offered,
        stages=tuple(stage.id for stage in pipeline.stages),
    )


def _invalid(invalid: PipelineInvalid) -> Refusal:
    mistakes = invalid.mistakes
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    return Refusal(
        code="invalid_pipeline",
        message=sendable(f"{mistakes[0]}{more}"),
        mistakes=tuple(as_field_mistake(mistake) for mistake in mistakes),
    )
