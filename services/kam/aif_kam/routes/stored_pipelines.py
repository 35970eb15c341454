"""`/api/kam/pipelines`: pipelines as documents, checked, stored under name and version, read back."""

import re
from dataclasses import dataclass
from typing import Annotated

from litestar import Response, Router, get, post
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import FromPath, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from aif_contracts.pipelines import GetPipeline, ListPipelines, PipelineDocument, PipelinePage, PipelineSaved, SavePipeline
from aif_kam import problems
from aif_kam.failures import NotFound, Unavailable
from aif_kam.parts import Parts
from aif_kam.pipeline_documents import JSON_TYPES, YAML_TYPES, document_text
from aif_kam.routes.calling import (
    FORM_OF_A_NAME,
    NAME_PATTERN,
    CallerRequest,
    OfClient,
    PageCursor,
    named_client,
    page_cursor,
    plain_body,
    without_nul,
)

DryRun = Annotated[bool, QueryParameter(description="Check only")]
RequireWorkers = Annotated[
    bool, QueryParameter(description="Refuse what no live worker offers; false for workers that will be started later")
]
_BY_NAME = f"Name of the pipeline: {FORM_OF_A_NAME}"
Version = Annotated[str | None, QueryParameter(max_length=64, description="The newest when left out")]


@dataclass
class DocumentUpload(Operation):
    """An operation whose body is a document, which the framework does not read."""

    def __post_init__(self) -> None:
        as_json = {kind: OpenAPIMediaType(schema=Schema(type=OpenAPIType.OBJECT)) for kind in JSON_TYPES}
        as_text = {kind: OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING)) for kind in YAML_TYPES}
        self.request_body = RequestBody(content={**as_json, **as_text}, required=True, description="The pipeline")


def stored_pipeline_routes(parts: Parts) -> Router:
    @post(
        "/",
        operation_class=DocumentUpload,
        responses=problems.documented(*problems.BODY) | problems.described_as(PipelineSaved, HTTP_201_CREATED, HTTP_200_OK),
        summary="Check a pipeline and store it; the same one again is harmless, and a stored version never changes",
    )
    async def save(
        request: CallerRequest,
        dry_run: DryRun = False,
        require_workers: RequireWorkers = True,
        client_id: OfClient = None,
    ) -> Response[bytes]:
        owner = await parts.identity.owner(request.auth, named_client(client_id))
        plain_body(request)
        document = document_text(await request.body(), request.headers.get("content-type", ""))
        question = SavePipeline(client_id=owner, document=document, dry_run=dry_run, require_workers=require_workers)
        try:
            saved = await parts.orchestrator.save_pipeline(question)
        except Unavailable:
            # It may have been stored all the same.
            parts.catalogue.forget(owner)
            raise
        parts.catalogue.forget(owner)
        is_created = saved.is_new and not dry_run
        return problems.response_of(problems.created(saved) if is_created else problems.done(saved))

    @get(
        "/",
        responses=problems.documented(*problems.OF_CLIENT),
        summary="Every stored version, by name, newest first: the factory's and own",
    )
    async def list_pipelines(
        request: CallerRequest,
        name: Annotated[str | None, QueryParameter(pattern=NAME_PATTERN, description=_BY_NAME)] = None,
        client_id: OfClient = None,
        cursor: PageCursor = None,
        limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
    ) -> PipelinePage:
        owner = await parts.identity.owner(request.auth, named_client(client_id))
        query = ListPipelines(client_id=owner, name=name, cursor=page_cursor(cursor), limit=limit)
        return await parts.orchestrator.list_pipelines(query)

    @get(
        "/{name:str}",
        responses=problems.documented(*problems.ABSENT, *problems.OF_CLIENT),
        summary="A pipeline's document, complete with every default",
    )
    async def read(
        request: CallerRequest, name: FromPath[str], version: Version = None, client_id: OfClient = None
    ) -> PipelineDocument:
        if re.fullmatch(NAME_PATTERN, name) is None:
            raise NotFound(f"no pipeline is named {name[:80]!r}", code="unknown_pipeline")
        owner = await parts.identity.owner(request.auth, named_client(client_id))
        query = GetPipeline(client_id=owner, name=name, version=without_nul(version, field="version"))
        return await parts.orchestrator.get_pipeline(query)

    return Router("/api/kam/pipelines", route_handlers=[save, list_pipelines, read], tags=["pipelines"])
