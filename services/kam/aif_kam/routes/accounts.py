"""`/api/admin/clients/{client_id}/account`: tier and coins of a client, which it can only read."""

from litestar import Router, get, put
from litestar.params import FromPath, JSONBody

from aif_kam import problems
from aif_kam.configuration.payloads import AccountView, AccountWish
from aif_kam.failures import invalid
from aif_kam.parts import Parts
from aif_kam.routes.calling import CallerRequest, StrictJson, require_admin


def account_routes(parts: Parts) -> Router:
    desk = parts.client_configuration

    @get(
        "/",
        responses=problems.documented(*problems.OPERATOR, *problems.ABSENT),
        summary="A client's tier and coins",
    )
    async def read(request: CallerRequest, client_id: FromPath[str]) -> AccountView:
        return await desk.account((await parts.identity.client_at(client_id)).client_id)

    @put(
        "/",
        dto=StrictJson[AccountWish],
        return_dto=None,
        responses=problems.documented(*problems.BODY, *problems.ABSENT),
        summary="Change a client's tier or coins; its next orders go by it",
    )
    async def change(request: CallerRequest, client_id: FromPath[str], data: JSONBody[AccountWish]) -> AccountView:
        if data.tier is None and data.coins is None:
            raise invalid("tier", "nothing is said of the account", "give tier, coins or both")
        return await desk.change_account((await parts.identity.client_at(client_id)).client_id, data, request.auth.actor)

    return Router(
        "/api/admin/clients/{client_id:str}/account",
        route_handlers=[read, change],
        guards=[require_admin],
        tags=["configuration"],
    )
