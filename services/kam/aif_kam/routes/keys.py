"""`/api/kam/keys`: the keys that clients and the operator call with."""

from typing import Annotated

from litestar import Response, Router, delete, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from aif_kam import problems
from aif_kam.accounts.payloads import KeyPage, KeyView, MintedKey, NewKey, Rotation, key_view
from aif_kam.failures import invalid
from aif_kam.idempotency import OPERATOR, KeyedCall
from aif_kam.identity import Caller, Scope
from aif_kam.parts import Parts
from aif_kam.routes.calling import (
    CallerRequest,
    IdempotencyHeader,
    ListOfClient,
    PageCursor,
    StrictJson,
    key_cursor,
    keyed,
    known_key_id,
    named_client,
    require_manager,
)

Limit = Annotated[int, QueryParameter(ge=1, le=100, description="Keys on a page")]
Active = Annotated[bool | None, QueryParameter(description="Only those that are good, or that have ended")]
OfScope = Annotated[Scope | None, QueryParameter(name="scope", description="Only those of this scope")]
_MINTED = problems.described_as(MintedKey, HTTP_201_CREATED)


def key_routes(parts: Parts) -> Router:
    book = parts.api_keys

    @post(
        "/",
        guards=[require_manager],
        dto=StrictJson[NewKey],
        return_dto=None,
        responses=problems.documented(*problems.BODY) | _MINTED,
        summary="Make a key, which is shown in this answer and never again",
    )
    async def mint(
        request: CallerRequest, data: JSONBody[NewKey], idempotency_key: IdempotencyHeader = None
    ) -> Response[bytes]:
        call = await _call(request, idempotency_key)
        return problems.response_of(await book.mint(request.auth, await _owner(request.auth, data), data, call))

    @get("/", responses=problems.documented(*problems.OF_CLIENT), summary="List keys, newest first; never the keys themselves")
    async def list_keys(
        request: CallerRequest,
        client_id: ListOfClient = None,
        may: OfScope = None,
        active: Active = None,
        cursor: PageCursor = None,
        limit: Limit = 20,
    ) -> KeyPage:
        owner = await parts.identity.owner(request.auth, named_client(client_id))
        found = await book.list_page(owner, scope=may, is_active=active, after=key_cursor(cursor), limit=limit + 1)
        page = tuple(key_view(key) for key in found[:limit])
        return KeyPage(keys=page, next_cursor=page[-1].key_id if len(found) > limit else None)

    @get("/{key_id:str}", responses=problems.documented(*problems.ABSENT), summary="What is known of a key")
    async def read(request: CallerRequest, key_id: FromPath[str]) -> KeyView:
        return key_view(await book.find(known_key_id(key_id), request.auth.sees))

    @post(
        "/{key_id:str}/rotate",
        guards=[require_manager],
        dto=StrictJson[Rotation],
        return_dto=None,
        responses=problems.documented(*problems.BODY, *problems.ABSENT) | _MINTED,
        summary="Make another key in its place, which is shown in this answer and never again",
    )
    async def rotate(
        request: CallerRequest, key_id: FromPath[str], data: JSONBody[Rotation], idempotency_key: IdempotencyHeader = None
    ) -> Response[bytes]:
        call = await _call(request, idempotency_key)
        return problems.response_of(await book.rotate(request.auth, known_key_id(key_id), data, call))

    @delete(
        "/{key_id:str}",
        guards=[require_manager],
        status_code=HTTP_200_OK,
        responses=problems.documented(*problems.FOREIGN, *problems.NOT_NOW),
        summary="Revoke a key, at once and for good",
    )
    async def revoke(request: CallerRequest, key_id: FromPath[str]) -> KeyView:
        return key_view(await book.revoke(request.auth, known_key_id(key_id)))

    async def _owner(caller: Caller, wish: NewKey) -> str | None:
        """Whose key it is to be. Raises InvalidInput, NotAllowed."""
        if wish.scope is not Scope.ADMIN:
            return await parts.identity.acting_for(caller, wish.client_id)
        if wish.client_id is not None:
            raise invalid("client_id", "an operator's key is no client's", "leave it out, or name another scope")
        return None

    async def _call(request: CallerRequest, idempotency_key: str | None) -> KeyedCall | None:
        """The operator's are kept apart from those of the client that they are about, to which nothing of them is shown."""
        return keyed(request, request.auth.sees or OPERATOR, idempotency_key, await request.body())

    return Router("/api/kam/keys", route_handlers=[mint, list_keys, read, rotate, revoke], tags=["clients and keys"])
