"""`/api/admin/clients`: who may use the factory, for the operator."""

from typing import Annotated

from litestar import Response, Router, get, post, put
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from aif_kam import problems
from aif_kam.accounts.payloads import ClientName, ClientPage, ClientView, NewClient, client_view
from aif_kam.idempotency import OPERATOR
from aif_kam.parts import Parts
from aif_kam.routes.calling import (
    CallerRequest,
    IdempotencyHeader,
    PageCursor,
    StrictJson,
    client_cursor,
    keyed,
    require_admin,
)

Limit = Annotated[int, QueryParameter(ge=1, le=100, description="Clients on a page")]
Disabled = Annotated[bool | None, QueryParameter(description="Only those that are, or are not")]
_CHANGED = problems.documented(*problems.OPERATOR, *problems.ABSENT)


def client_routes(parts: Parts) -> Router:
    book = parts.clients

    @post(
        "/",
        dto=StrictJson[NewClient],
        return_dto=None,
        responses=problems.documented(*problems.BODY) | problems.described_as(ClientView, HTTP_201_CREATED),
        summary="Make a client; what it calls with is made by `POST /api/kam/keys`",
    )
    async def create(
        request: CallerRequest, data: JSONBody[NewClient], idempotency_key: IdempotencyHeader = None
    ) -> Response[bytes]:
        call = keyed(request, OPERATOR, idempotency_key, await request.body())
        return problems.response_of(await book.create(data, request.auth.actor, call))

    @get("/", responses=problems.documented(*problems.OPERATOR), summary="List clients, by their ids")
    async def list_clients(
        request: CallerRequest, disabled: Disabled = None, cursor: PageCursor = None, limit: Limit = 50
    ) -> ClientPage:
        found = await book.list_page(after=client_cursor(cursor), is_disabled=disabled, limit=limit + 1)
        page = tuple(client_view(client) for client in found[:limit])
        return ClientPage(clients=page, next_cursor=page[-1].client_id if len(found) > limit else None)

    @get(
        "/{client_id:str}",
        responses=problems.documented(*problems.OPERATOR, *problems.ABSENT),
        summary="A client, and where its account, budget, keys and requests are",
    )
    async def read(request: CallerRequest, client_id: FromPath[str]) -> ClientView:
        return client_view(await book.find(await _known(client_id)))

    @put(
        "/{client_id:str}",
        dto=StrictJson[ClientName],
        return_dto=None,
        responses=problems.documented(*problems.BODY, *problems.ABSENT),
        summary="Give it another name, in its profile",
    )
    async def give_name(request: CallerRequest, client_id: FromPath[str], data: JSONBody[ClientName]) -> ClientView:
        return client_view(await book.give_name(await _known(client_id), data.display_name, request.auth.actor))

    @post(
        "/{client_id:str}/disable",
        status_code=HTTP_200_OK,
        responses=_CHANGED,
        summary="Shut it out with all its keys; what it had ordered goes on",
    )
    async def disable(request: CallerRequest, client_id: FromPath[str]) -> ClientView:
        return client_view(await book.disable(await _known(client_id), request.auth.actor))

    @post(
        "/{client_id:str}/enable",
        status_code=HTTP_200_OK,
        responses=_CHANGED,
        summary="Let it in again with those of its keys that were not revoked",
    )
    async def enable(request: CallerRequest, client_id: FromPath[str]) -> ClientView:
        return client_view(await book.enable(await _known(client_id), request.auth.actor))

    async def _known(client_id: str) -> str:
        return (await parts.identity.client_at(client_id)).client_id

    return Router(
        "/api/admin/clients",
        route_handlers=[create, list_clients, read, give_name, disable, enable],
        guards=[require_admin],
        tags=["clients and keys"],
    )
