"""What the orchestrator keeps besides executions, small enough to read: pipelines, live workers, dead letters."""

import hashlib
from typing import Any

import msgspec
import yaml

from aif_contracts.dead_letters import (
    DeadLetterContent,
    DeadLetterPage,
    DeadLetterStatus,
    DeadLetterView,
    DismissDeadLetter,
    GetDeadLetter,
    ListDeadLetters,
    ReplayDeadLetter,
)
from aif_contracts.orders import FieldMistake, ListTemplates, Refusal, TemplateList, TemplateView
from aif_contracts.pipelines import (
    GetPipeline,
    ListPipelines,
    PipelineDocument,
    PipelinePage,
    PipelineSaved,
    PipelineView,
    SavePipeline,
)
from aif_contracts.workers import ActionDescription, WorkerDescription, WorkerList

NOW = "2026-05-01T09:30:00.000Z"
GRANULATOR = WorkerDescription(
    worker_name="content_granulator",
    instance_id="granulator-1",
    version="1.0.0",
    actions=(ActionDescription(name="structure_course", paid=False),),
    capabilities=("structuring",),
    models=("extractive",),
    slots=4,
)


class LibraryStandIn:
    def __init__(self, templates: tuple[TemplateView, ...]) -> None:
        self.templates = list(templates)
        self.workers: list[WorkerDescription] = [GRANULATOR]
        self.pipelines: list[PipelineDocument] = []
        self.dead_letters: dict[str, DeadLetterContent] = {}
        self.asked_for_templates: list[str | None] = []

    def bury(self, dead_letter_id: str, *, origin: str = "requests", payload: bytes = b"{nonsense") -> None:
        view = DeadLetterView(
            dead_letter_id=dead_letter_id,
            origin=origin,
            subject="aif.request.submit.alice",
            reason="the message is no JSON",
            found_by="kam",
            found_at=NOW,
            deliveries=1,
            size_bytes=len(payload),
            status=DeadLetterStatus.WAITING,
        )
        self.dead_letters[dead_letter_id] = DeadLetterContent(dead_letter=view, headers={"Nats-Msg-Id": "m1"}, payload=payload)

    async def list_templates(self, payload: bytes) -> TemplateList:
        query = msgspec.json.decode(payload, type=ListTemplates)
        self.asked_for_templates.append(query.client_id)
        offered = sorted((each for each in self.templates if each.owner in (None, query.client_id)), key=lambda each: each.name)
        behind = [each for each in offered if query.cursor is None or each.name > query.cursor]
        page = tuple(behind[: query.limit])
        cursor = page[-1].name if len(behind) > len(page) else None
        return TemplateList(templates=page, next_cursor=cursor, max_cost_usd="25")

    async def list_workers(self, _payload: bytes) -> WorkerList:
        return WorkerList(workers=tuple(self.workers))

    async def save_pipeline(self, payload: bytes) -> PipelineSaved | Refusal:
        wish = msgspec.json.decode(payload, type=SavePipeline)
        document = yaml.safe_load(wish.document)
        if (mistake := self._mistake(document, wish.require_workers)) is not None:
            return Refusal(code="invalid_pipeline", message="the pipeline has a mistake", mistakes=(mistake,))
        name, version = document["name"], document["version"]
        digest = hashlib.sha256(msgspec.json.encode(document, order="sorted")).hexdigest()
        before = next(
            (
                each.pipeline.digest
                for each in self.pipelines
                if (each.pipeline.owner, each.pipeline.name, each.pipeline.version) == (wish.client_id, name, version)
            ),
            None,
        )
        if before not in (None, digest):
            return Refusal(code="pipeline_version_taken", message=f"{name} {version} is stored already: raise the version")
        saved = PipelineSaved(name=name, version=version, owner=wish.client_id, digest=digest, is_new=before is None)
        if before is None and not wish.dry_run:
            self._store(saved, document)
        return saved

    async def list_pipelines(self, payload: bytes) -> PipelinePage:
        query = msgspec.json.decode(payload, type=ListPipelines)
        found = [
            each.pipeline
            for each in self.pipelines
            if _sees(query.client_id, each.pipeline.owner) and query.name in (None, each.pipeline.name)
        ]
        first = int(query.cursor or "0")
        end = first + query.limit
        return PipelinePage(pipelines=tuple(found[first:end]), next_cursor=str(end) if end < len(found) else None)

    async def get_pipeline(self, payload: bytes) -> PipelineDocument | Refusal:
        query = msgspec.json.decode(payload, type=GetPipeline)
        found = [
            each
            for each in self.pipelines
            if _sees(query.client_id, each.pipeline.owner)
            and each.pipeline.name == query.name
            and query.version in (None, each.pipeline.version)
        ]
        return found[-1] if found else Refusal(code="unknown_pipeline", message=f"there is no pipeline {query.name}")

    async def list_dead_letters(self, payload: bytes) -> DeadLetterPage:
        query = msgspec.json.decode(payload, type=ListDeadLetters)
        found = [
            each.dead_letter
            for each in reversed(self.dead_letters.values())
            if query.status in (None, each.dead_letter.status) and query.origin in (None, each.dead_letter.origin)
        ]
        first = int(query.cursor or "0")
        end = first + query.limit
        return DeadLetterPage(dead_letters=tuple(found[first:end]), next_cursor=str(end) if end < len(found) else None)

    async def get_dead_letter(self, payload: bytes) -> DeadLetterContent | Refusal:
        dead_letter_id = msgspec.json.decode(payload, type=GetDeadLetter).dead_letter_id
        return self.dead_letters.get(dead_letter_id) or _no_letter(dead_letter_id)

    async def replay_dead_letter(self, payload: bytes) -> DeadLetterView | Refusal:
        question = msgspec.json.decode(payload, type=ReplayDeadLetter)
        return self._decide(question.dead_letter_id, DeadLetterStatus.REPLAYED, question.decided_by)

    async def dismiss_dead_letter(self, payload: bytes) -> DeadLetterView | Refusal:
        question = msgspec.json.decode(payload, type=DismissDeadLetter)
        return self._decide(question.dead_letter_id, DeadLetterStatus.DISMISSED, question.decided_by)

    def _mistake(self, document: Any, require_workers: bool) -> FieldMistake | None:
        if not isinstance(document, dict) or "name" not in document:
            return FieldMistake(field="name", message="is missing", mend="give the pipeline a name")
        offered = {worker.worker_name for worker in self.workers}
        for at, stage in enumerate(document["stages"]):
            if require_workers and stage["worker"] not in offered:
                message = f"no live worker is named {stage['worker']!r}"
                return FieldMistake(
                    field=f"stages[{at}].worker", message=message, mend="start it, or save without require_workers"
                )
        return None

    def _store(self, saved: PipelineSaved, document: dict[str, Any]) -> None:
        stages = tuple(stage["id"] for stage in document["stages"])
        view = PipelineView(
            name=saved.name,
            version=saved.version,
            owner=saved.owner,
            title=saved.name,
            description="",
            digest=saved.digest,
            created_at=NOW,
            offered=True,
            stages=stages,
        )
        self.pipelines.append(PipelineDocument(pipeline=view, document=document))
        template = TemplateView(
            name=saved.name,
            version=saved.version,
            title=saved.name,
            description="",
            structure_type=None,
            parameters={"type": "object", "additionalProperties": False, "properties": {"topic": {"type": "string"}}},
            stages=stages,
            owner=saved.owner,
        )
        self.templates.append(template)

    def _decide(self, dead_letter_id: str, status: DeadLetterStatus, decided_by: str) -> DeadLetterView | Refusal:
        content = self.dead_letters.get(dead_letter_id)
        if content is None:
            return _no_letter(dead_letter_id)
        if content.dead_letter.status is not DeadLetterStatus.WAITING:
            return Refusal(code="already_decided", message=f"it was {content.dead_letter.status} already")
        decided = msgspec.structs.replace(content.dead_letter, status=status, decided_at=NOW, decided_by=decided_by)
        self.dead_letters[dead_letter_id] = msgspec.structs.replace(content, dead_letter=decided)
        return decided


def _sees(client_id: str | None, owner: str | None) -> bool:
    """As the contract says: the operator sees all, a client its own and the factory's."""
    return client_id is None or owner in (None, client_id)


def _no_letter(dead_letter_id: str) -> Refusal:
    return Refusal(code="unknown_dead_letter", message=f"there is no dead letter {dead_letter_id}")
