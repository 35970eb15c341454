"""`/api/kam/{profile,company,ai-settings,products,workspaces}`: what a client says of itself."""

from typing import Any

from litestar import Response, Router, delete, get, post, put
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from aif_kam import problems
from aif_kam.configuration.payloads import (
    AiSettingsView,
    AiSettingsWish,
    CompanyView,
    CompanyWish,
    NewWorkspace,
    ProductList,
    ProductView,
    ProductWish,
    ProfileView,
    ProfileWish,
    WorkspaceList,
    WorkspaceView,
    WorkspaceWish,
)
from aif_kam.parts import Parts
from aif_kam.routes.calling import (
    CallerRequest,
    IdempotencyHeader,
    OfClient,
    StrictJson,
    keyed,
    known_id,
    named_client,
    named_workspace,
)
from aif_kam.routes.configuration import OfVersion

_READ = problems.documented(*problems.OF_CLIENT)
_READ_ONE = problems.documented(*problems.OF_CLIENT, *problems.ABSENT)
_WRITE = problems.documented(*problems.BODY)
_WRITE_ONE = problems.documented(*problems.BODY, *problems.ABSENT)
_REMOVE_ONE = problems.documented(*problems.OF_CLIENT, *problems.ABSENT, *problems.NOT_NOW)


def client_configuration_routes(parts: Parts) -> Router:
    handlers = [*_alone_routes(parts), *_product_routes(parts), *_workspace_routes(parts)]
    return Router("/api/kam", route_handlers=handlers, tags=["configuration"])


def _alone_routes(parts: Parts) -> list[Any]:
    desk = parts.client_configuration

    @get("/profile", responses=_READ, summary="The client's account")
    async def read_profile(request: CallerRequest, client_id: OfClient = None) -> ProfileView:
        return await desk.profile(await _owner(parts, request, client_id))

    @put(
        "/profile", dto=StrictJson[ProfileWish], return_dto=None, responses=_WRITE, summary="Change what the client may change"
    )
    async def put_profile(request: CallerRequest, data: JSONBody[ProfileWish], client_id: OfClient = None) -> ProfileView:
        return await desk.put_profile(await _owner(parts, request, client_id), data, request.auth.actor)

    @get("/company", responses=_READ, summary="The client's company and its voice")
    async def read_company(request: CallerRequest, client_id: OfClient = None) -> CompanyView:
        return await desk.company(await _owner(parts, request, client_id))

    @put("/company", dto=StrictJson[CompanyWish], return_dto=None, responses=_WRITE, summary="Put another company in place")
    async def put_company(request: CallerRequest, data: JSONBody[CompanyWish], client_id: OfClient = None) -> CompanyView:
        return await desk.put_company(await _owner(parts, request, client_id), data, request.auth.actor)

    @get("/ai-settings", responses=_READ, summary="How the client wants its results to be made")
    async def read_ai_settings(request: CallerRequest, client_id: OfClient = None) -> AiSettingsView:
        return await desk.ai_settings(await _owner(parts, request, client_id))

    @put("/ai-settings", dto=StrictJson[AiSettingsWish], return_dto=None, responses=_WRITE, summary="Put others in place")
    async def put_ai_settings(
        request: CallerRequest, data: JSONBody[AiSettingsWish], client_id: OfClient = None
    ) -> AiSettingsView:
        return await desk.put_ai_settings(await _owner(parts, request, client_id), data, request.auth.actor)

    return [read_profile, put_profile, read_company, put_company, read_ai_settings, put_ai_settings]


def _product_routes(parts: Parts) -> list[Any]:
    desk = parts.client_configuration

    @get("/products", responses=_READ, summary="The client's products, oldest first")
    async def list_products(request: CallerRequest, client_id: OfClient = None) -> ProductList:
        return await desk.products(await _owner(parts, request, client_id))

    @post(
        "/products",
        dto=StrictJson[ProductWish],
        return_dto=None,
        responses=_WRITE | problems.described_as(ProductView, HTTP_201_CREATED),
        summary="Add a product",
    )
    async def add_product(
        request: CallerRequest,
        data: JSONBody[ProductWish],
        client_id: OfClient = None,
        idempotency_key: IdempotencyHeader = None,
    ) -> Response[bytes]:
        owner = await _owner(parts, request, client_id)
        call = keyed(request, owner, idempotency_key, await request.body())
        return problems.response_of(await desk.add_product(owner, data, request.auth.actor, call))

    @get("/products/{product_id:str}", responses=_READ_ONE, summary="A product")
    async def read_product(request: CallerRequest, product_id: FromPath[str], client_id: OfClient = None) -> ProductView:
        return await desk.product(await _owner(parts, request, client_id), known_id(product_id))

    @put(
        "/products/{product_id:str}",
        dto=StrictJson[ProductWish],
        return_dto=None,
        responses=_WRITE_ONE,
        summary="Put another product in its place",
    )
    async def put_product(
        request: CallerRequest, product_id: FromPath[str], data: JSONBody[ProductWish], client_id: OfClient = None
    ) -> ProductView:
        owner = await _owner(parts, request, client_id)
        return await desk.put_product(owner, known_id(product_id), data, request.auth.actor)

    @delete("/products/{product_id:str}", status_code=HTTP_200_OK, responses=_REMOVE_ONE, summary="Remove a product")
    async def remove_product(
        request: CallerRequest, product_id: FromPath[str], client_id: OfClient = None, version: OfVersion = None
    ) -> ProductView:
        owner = await _owner(parts, request, client_id)
        return await desk.remove_product(owner, known_id(product_id), version, request.auth.actor)

    return [list_products, add_product, read_product, put_product, remove_product]


def _workspace_routes(parts: Parts) -> list[Any]:
    desk = parts.client_configuration

    @get("/workspaces", responses=_READ, summary="The client's workspaces, oldest first")
    async def list_workspaces(request: CallerRequest, client_id: OfClient = None) -> WorkspaceList:
        return await desk.workspaces(await _owner(parts, request, client_id))

    @post(
        "/workspaces",
        dto=StrictJson[NewWorkspace],
        return_dto=None,
        responses=_WRITE | problems.described_as(WorkspaceView, HTTP_201_CREATED),
        summary="Add a workspace under the name that orders use",
    )
    async def add_workspace(
        request: CallerRequest,
        data: JSONBody[NewWorkspace],
        client_id: OfClient = None,
        idempotency_key: IdempotencyHeader = None,
    ) -> Response[bytes]:
        owner = await _owner(parts, request, client_id)
        call = keyed(request, owner, idempotency_key, await request.body())
        return problems.response_of(await desk.add_workspace(owner, data, request.auth.actor, call))

    @get("/workspaces/{workspace_id:str}", responses=_READ_ONE, summary="A workspace")
    async def read_workspace(request: CallerRequest, workspace_id: FromPath[str], client_id: OfClient = None) -> WorkspaceView:
        return await desk.workspace(await _owner(parts, request, client_id), named_workspace(workspace_id))

    @put(
        "/workspaces/{workspace_id:str}",
        dto=StrictJson[WorkspaceWish],
        return_dto=None,
        responses=_WRITE_ONE,
        summary="Put another content in place",
    )
    async def put_workspace(
        request: CallerRequest, workspace_id: FromPath[str], data: JSONBody[WorkspaceWish], client_id: OfClient = None
    ) -> WorkspaceView:
        owner = await _owner(parts, request, client_id)
        return await desk.put_workspace(owner, named_workspace(workspace_id), data, request.auth.actor)

    @delete("/workspaces/{workspace_id:str}", status_code=HTTP_200_OK, responses=_REMOVE_ONE, summary="Remove a workspace")
    async def remove_workspace(
        request: CallerRequest, workspace_id: FromPath[str], client_id: OfClient = None, version: OfVersion = None
    ) -> WorkspaceView:
        owner = await _owner(parts, request, client_id)
        return await desk.remove_workspace(owner, named_workspace(workspace_id), version, request.auth.actor)

    return [list_workspaces, add_workspace, read_workspace, put_workspace, remove_workspace]


async def _owner(parts: Parts, request: CallerRequest, named: str | None) -> str:
    """Whose configuration it is: the key's own client, or the one that the operator names, which has to be there."""
    return await parts.identity.acting_for(request.auth, named_client(named))
