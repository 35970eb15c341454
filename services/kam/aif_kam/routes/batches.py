"""`/api/kam/batches`: many orders in one call."""

from typing import Annotated

from litestar import Response, Router, delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from aif_kam import problems
from aif_kam.batches.payloads import (
    MAX_INPUTS,
    BatchItemPage,
    BatchPage,
    BatchView,
    BatchWish,
    batch_item,
    batch_view,
)
from aif_kam.failures import invalid
from aif_kam.parts import Parts
from aif_kam.request_store import RequestStatus
from aif_kam.routes.calling import (
    CallerRequest,
    IdempotencyHeader,
    ListOfClient,
    StrictJson,
    id_cursor,
    keyed,
    known_id,
    named_client,
)

MAX_BATCH_BYTES = 4 * 1024 * 1024
Limit = Annotated[int, QueryParameter(ge=1, le=100, description="Entries on a page")]
Cursor = Annotated[str | None, QueryParameter(description="`next_cursor` of the page before", max_length=80)]


def batch_routes(parts: Parts) -> Router:
    desk = parts.batches

    @post(
        "/",
        status_code=HTTP_202_ACCEPTED,
        request_max_body_size=MAX_BATCH_BYTES,
        dto=StrictJson[BatchWish],
        return_dto=None,
        responses=problems.documented(*problems.BODY) | problems.described_as(BatchView, HTTP_202_ACCEPTED),
        summary=f"Order up to {MAX_INPUTS} executions of one template; the body may have 4 MiB",
    )
    async def order(
        request: CallerRequest, data: JSONBody[BatchWish], idempotency_key: IdempotencyHeader = None
    ) -> Response[bytes]:
        client_id = await parts.identity.ordering_for(request.auth, data.client_id)
        call = keyed(request, client_id, idempotency_key, await request.body())
        return problems.response_of(await desk.order(client_id, data, call))

    @get("/", responses=problems.documented(*problems.OF_CLIENT), summary="List batches, newest first")
    async def list_batches(
        request: CallerRequest, client_id: ListOfClient = None, cursor: Cursor = None, limit: Limit = 20
    ) -> BatchPage:
        owner = await parts.identity.owner(request.auth, named_client(client_id))
        found = await desk.list_page(owner, id_cursor(cursor, "batch"), limit + 1)
        page = tuple(batch_view(item) for item in found[:limit])
        return BatchPage(batches=page, next_cursor=page[-1].batch_id if len(found) > limit else None)

    @get("/{batch_id:str}", responses=problems.documented(*problems.ABSENT), summary="A batch and how far it is")
    async def read(request: CallerRequest, batch_id: FromPath[str]) -> BatchView:
        return batch_view(await desk.find(known_id(batch_id), request.auth.sees))

    @get(
        "/{batch_id:str}/items",
        responses=problems.documented(*problems.ABSENT),
        summary="Its requests, in the order of the inputs",
    )
    async def items(
        request: CallerRequest,
        batch_id: FromPath[str],
        status: FromQuery[RequestStatus | None] = None,
        cursor: Cursor = None,
        limit: Limit = 20,
    ) -> BatchItemPage:
        found = await desk.list_items(
            known_id(batch_id), request.auth.sees, status=status, after=_place(cursor), limit=limit + 1
        )
        page = tuple(batch_item(item) for item in found[:limit])
        return BatchItemPage(items=page, next_cursor=str(page[-1].index) if len(found) > limit else None)

    @delete(
        "/{batch_id:str}",
        status_code=HTTP_200_OK,
        responses=problems.documented(*problems.ABSENT),
        summary="Cancel what has not ended",
    )
    async def cancel(request: CallerRequest, batch_id: FromPath[str]) -> BatchView:
        return batch_view(await desk.cancel(known_id(batch_id), request.auth.sees))

    return Router("/api/kam/batches", route_handlers=[order, list_batches, read, items, cancel], tags=["batches"])


def _place(cursor: str | None) -> int:
    """The place after which a page begins."""
    if cursor is None:
        return -1
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= 4):
        raise invalid("cursor", "is no cursor", "use next_cursor of the page before, as it is")
    return int(cursor)
