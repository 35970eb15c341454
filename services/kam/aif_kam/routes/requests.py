"""`/api/kam/requests` and `/api/kam/orders`: create, choose, execute, watch, fetch, cancel."""

from typing import Annotated, Any

from litestar import Response, Router, delete, get, post, put
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED, HTTP_202_ACCEPTED

from aif_kam import problems
from aif_kam.identity import Caller
from aif_kam.order_desk import Wish, WishedExecution
from aif_kam.parts import Parts
from aif_kam.payloads import (
    CreateRequest,
    ExecuteRequest,
    ExecutionStarted,
    PlaceOrder,
    RequestPage,
    RequestView,
    ResultView,
    SelectTemplate,
    request_view,
)
from aif_kam.request_store import Origin, RequestStatus
from aif_kam.routes.calling import (
    CallerRequest,
    IdempotencyHeader,
    ListOfClient,
    StrictJson,
    id_cursor,
    keyed,
    known_id,
    named_client,
    sent_result,
)

Limit = Annotated[int, QueryParameter(ge=1, le=100, description="Requests on a page")]
Cursor = Annotated[str | None, QueryParameter(description="`next_cursor` of the page before", max_length=80)]


def request_routes(parts: Parts) -> Router:
    @post(
        "/requests",
        dto=StrictJson[CreateRequest],
        return_dto=None,
        responses=problems.documented(*problems.BODY) | problems.described_as(RequestView, HTTP_201_CREATED),
        summary="Create a request",
    )
    async def create(
        request: CallerRequest, data: JSONBody[CreateRequest], idempotency_key: IdempotencyHeader = None
    ) -> Response[bytes]:
        wish = await _wish(parts, request.auth, data, Origin.REQUEST)
        call = keyed(request, wish.client_id, idempotency_key, await request.body())
        return problems.response_of(await parts.desk.create(wish, call))

    @put(
        "/requests/{request_id:str}",
        dto=StrictJson[SelectTemplate],
        return_dto=None,
        responses=problems.documented(*problems.BODY, *problems.FOREIGN),
        summary="Choose the template",
    )
    async def select(request: CallerRequest, request_id: FromPath[str], data: JSONBody[SelectTemplate]) -> RequestView:
        selected = await parts.desk.select_template(
            known_id(request_id), request.auth.sees, data.selected_template, data.template_confidence_score
        )
        return request_view(selected)

    @post(
        "/requests/{request_id:str}/execute",
        status_code=HTTP_202_ACCEPTED,
        dto=StrictJson[ExecuteRequest],
        return_dto=None,
        responses=problems.documented(*problems.BODY, *problems.FOREIGN, *problems.ADMISSION)
        | problems.described_as(ExecutionStarted, HTTP_202_ACCEPTED),
        summary="Begin the execution",
    )
    async def execute(
        request: CallerRequest,
        request_id: FromPath[str],
        data: JSONBody[ExecuteRequest],
        idempotency_key: IdempotencyHeader = None,
    ) -> Response[bytes]:
        found = await parts.tracker.find(known_id(request_id), request.auth.sees)
        client_id = await parts.identity.ordering_for(request.auth, found.client_id)
        call = keyed(request, client_id, idempotency_key, await request.body())
        answer = await parts.desk.execute(
            request_id,
            request.auth.sees,
            data.parameters,
            call,
            start_at=data.start_at,
            max_cost_usd=data.max_cost_usd,
            template_version=data.template_version,
        )
        return problems.response_of(answer)

    @post(
        "/orders",
        status_code=HTTP_202_ACCEPTED,
        dto=StrictJson[PlaceOrder],
        return_dto=None,
        responses=problems.documented(*problems.BODY, *problems.ADMISSION)
        | problems.described_as(ExecutionStarted, HTTP_202_ACCEPTED),
        summary="Create, choose and execute in one call",
    )
    async def order(
        request: CallerRequest, data: JSONBody[PlaceOrder], idempotency_key: IdempotencyHeader = None
    ) -> Response[bytes]:
        wish = await _wish(parts, request.auth, data, Origin.ORDER)
        execution = WishedExecution(
            template=data.selected_template,
            parameters=data.parameters,
            start_at=data.start_at,
            max_cost_usd=data.max_cost_usd,
            template_version=data.template_version,
            template_confidence_score=data.template_confidence_score,
        )
        call = keyed(request, wish.client_id, idempotency_key, await request.body())
        return problems.response_of(await parts.desk.order(wish, execution, call))

    @get("/requests", responses=problems.documented(*problems.OF_CLIENT), summary="List requests, newest first")
    async def list_requests(
        request: CallerRequest,
        status: FromQuery[RequestStatus | None] = None,
        client_id: ListOfClient = None,
        cursor: Cursor = None,
        limit: Limit = 20,
    ) -> RequestPage:
        owner = await parts.identity.owner(request.auth, named_client(client_id))
        found = await parts.tracker.list_page(owner, status, id_cursor(cursor, "req"), limit + 1)
        page = tuple(request_view(item) for item in found[:limit])
        return RequestPage(requests=page, next_cursor=page[-1].request_id if len(found) > limit else None)

    @get("/requests/{request_id:str}", responses=problems.documented(*problems.ABSENT), summary="A request as it is now")
    async def read(request: CallerRequest, request_id: FromPath[str]) -> RequestView:
        return request_view(await parts.tracker.find(known_id(request_id), request.auth.sees))

    @get(
        "/requests/{request_id:str}/result",
        responses=problems.documented(*problems.DELETED, *problems.NOT_NOW) | problems.described_as(ResultView, HTTP_200_OK),
        summary="What the execution made",
    )
    async def result(request: CallerRequest, request_id: FromPath[str]) -> Response[Any]:
        found = await parts.tracker.find(known_id(request_id), request.auth.sees)
        return sent_result(await parts.results.of(found))

    @delete(
        "/requests/{request_id:str}",
        status_code=HTTP_200_OK,
        responses=problems.documented(*problems.ABSENT, *problems.NOT_NOW),
        summary="Cancel a request and its execution",
    )
    async def cancel(request: CallerRequest, request_id: FromPath[str]) -> RequestView:
        found = await parts.tracker.find(known_id(request_id), request.auth.sees)
        return request_view(await parts.tracker.cancel(found))

    handlers = [create, select, execute, order, list_requests, read, result, cancel]
    return Router("/api/kam", route_handlers=handlers, tags=["requests"])


async def _wish(parts: Parts, caller: Caller, body: CreateRequest | PlaceOrder, origin: Origin) -> Wish:
    return Wish(
        client_id=await parts.identity.ordering_for(caller, body.client_id),
        origin=origin,
        message=body.message,
        urgency_level=body.urgency_level,
        workspace_id=body.workspace_id,
    )
