"""`/api/v1/ai/pipelines`: the same orders, seen as executions."""

from typing import Annotated, Any

from litestar import Response, Router, delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from aif_contracts.orders import ExecutionStatus, ExecutionView, ListExecutions
from aif_kam import problems
from aif_kam.deleted_executions import gone_if_deleted
from aif_kam.order_desk import Wish, WishedExecution
from aif_kam.order_parameters import as_offered
from aif_kam.parts import Parts
from aif_kam.payloads import ExecutePipeline, ExecutionStarted, PipelinesAndExecutions, RequestView, ResultView, request_view
from aif_kam.request_store import Origin
from aif_kam.routes.calling import (
    FORM_OF_A_NAME,
    NAME_PATTERN,
    CallerRequest,
    IdempotencyHeader,
    OfClient,
    PageCursor,
    StrictJson,
    id_cursor,
    keyed,
    known_id,
    named_client,
    query_moment,
    sent_result,
    without_nul,
)

MAX_PIPELINES = 100
_TEXT = "Part of the id, the template's name or a text among the parameters, in any case"


def pipeline_routes(parts: Parts) -> Router:
    @post(
        "/execute",
        status_code=HTTP_202_ACCEPTED,
        dto=StrictJson[ExecutePipeline],
        return_dto=None,
        responses=problems.documented(*problems.BODY, *problems.ADMISSION)
        | problems.described_as(ExecutionStarted, HTTP_202_ACCEPTED),
        summary="Execute a pipeline",
    )
    async def execute(
        request: CallerRequest, data: JSONBody[ExecutePipeline], idempotency_key: IdempotencyHeader = None
    ) -> Response[bytes]:
        wish = Wish(
            client_id=await parts.identity.ordering_for(request.auth, data.client_id),
            origin=Origin.ORDER,
            message="",
            urgency_level=data.urgency_level,
            workspace_id=data.workspace_id,
        )
        execution = WishedExecution(
            template=data.pipeline_name,
            parameters=data.input_data,
            start_at=data.start_at,
            max_cost_usd=data.max_cost_usd,
            template_version=data.pipeline_version,
            template_field="pipeline_name",
            parameters_field="input_data",
            version_field="pipeline_version",
        )
        call = keyed(request, wish.client_id, idempotency_key, await request.body())
        return problems.response_of(await parts.desk.order(wish, execution, call))

    @get(
        "/",
        responses=problems.documented(*problems.OF_CLIENT),
        summary="What can be executed, and what was, newest first",
    )
    async def list_pipelines(
        request: CallerRequest,
        status: FromQuery[ExecutionStatus | None] = None,
        template: Annotated[
            str | None, QueryParameter(pattern=NAME_PATTERN, description=f"Name of the template: {FORM_OF_A_NAME}")
        ] = None,
        request_id: Annotated[str | None, QueryParameter(max_length=80)] = None,
        created_after: Annotated[str | None, QueryParameter(description="This time and later, RFC 3339 with an offset")] = None,
        created_before: Annotated[str | None, QueryParameter(description="Before this time, RFC 3339 with an offset")] = None,
        text: Annotated[str | None, QueryParameter(min_length=1, max_length=100, description=_TEXT)] = None,
        client_id: OfClient = None,
        cursor: PageCursor = None,
        limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
    ) -> PipelinesAndExecutions:
        owner = await parts.identity.owner(request.auth, named_client(client_id))
        query = ListExecutions(
            client_id=owner,
            status=status,
            template=template,
            request_id=without_nul(request_id, field="request_id"),
            created_after=query_moment(created_after, field="created_after"),
            created_before=query_moment(created_before, field="created_before"),
            text=without_nul(text, field="text"),
            cursor=id_cursor(cursor, "exec"),
            limit=limit,
        )
        templates = await parts.catalogue.all(owner)
        page = await parts.orchestrator.list_executions(query)
        return PipelinesAndExecutions(
            pipelines=tuple(as_offered(templates[name]) for name in sorted(templates)[:MAX_PIPELINES]),
            executions=page.executions,
            next_cursor=page.next_cursor,
        )

    @get("/{execution_id:str}", responses=problems.documented(*problems.DELETED), summary="An execution, stage by stage")
    async def read(request: CallerRequest, execution_id: FromPath[str]) -> ExecutionView:
        found = await parts.tracker.find_of_execution(known_id(execution_id), request.auth.sees)
        with gone_if_deleted(found):
            return await parts.orchestrator.get(execution_id, found.client_id)

    @get(
        "/{execution_id:str}/result",
        responses=problems.documented(*problems.DELETED, *problems.NOT_NOW) | problems.described_as(ResultView, HTTP_200_OK),
        summary="What the execution made",
    )
    async def result(request: CallerRequest, execution_id: FromPath[str]) -> Response[Any]:
        found = await parts.tracker.find_of_execution(known_id(execution_id), request.auth.sees)
        return sent_result(await parts.results.of(found))

    @delete(
        "/{execution_id:str}",
        status_code=HTTP_200_OK,
        responses=problems.documented(*problems.ABSENT, *problems.NOT_NOW),
        summary="Cancel an execution",
    )
    async def cancel(request: CallerRequest, execution_id: FromPath[str]) -> RequestView:
        found = await parts.tracker.find_of_execution(known_id(execution_id), request.auth.sees)
        return request_view(await parts.tracker.cancel(found))

    handlers = [execute, list_pipelines, read, result, cancel]
    return Router("/api/v1/ai/pipelines", route_handlers=handlers, tags=["pipelines"])
