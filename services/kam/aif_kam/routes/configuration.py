"""`/api/admin/config`: the factory's own configuration, for the operator."""

from typing import Annotated

from litestar import Router, delete, get, put
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK
from msgspec.structs import replace

from aif_kam import problems
from aif_kam.configuration.payloads import SystemValueView, SystemView, SystemWish
from aif_kam.configuration.unknown_names import names_somebody, remark_on
from aif_kam.failures import Unavailable
from aif_kam.parts import Parts
from aif_kam.routes.calling import CallerRequest, StrictJson, require_admin

OfVersion = Annotated[
    int | None, QueryParameter(name="version", required=False, ge=0, description="Refused when it is not this version now")
]


def configuration_routes(parts: Parts) -> Router:
    desk = parts.system_configuration

    async def remark(key: str) -> str | None:
        if not names_somebody(key):
            return None
        try:
            live = (await parts.orchestrator.workers()).workers
        except Unavailable:
            # What was set is set; only the remark needs the orchestrator.
            return None
        return remark_on(key, live)

    @get("/", responses=problems.documented(*problems.OPERATOR), summary="Keys of the factory's configuration")
    async def list_keys(request: CallerRequest) -> SystemView:
        return await desk.list_all()

    @get("/{key:str}", responses=problems.documented(*problems.OPERATOR, *problems.ABSENT), summary="One key")
    async def read(request: CallerRequest, key: FromPath[str]) -> SystemValueView:
        return await desk.read(key)

    @put(
        "/{key:str}",
        dto=StrictJson[SystemWish],
        return_dto=None,
        responses=problems.documented(*problems.BODY, *problems.ABSENT),
        summary="Set a key; every process goes by it within a second",
    )
    async def change(request: CallerRequest, key: FromPath[str], data: JSONBody[SystemWish]) -> SystemValueView:
        changed = await desk.put(key, data, request.auth.actor)
        return replace(changed, remark=await remark(key))

    @delete(
        "/{key:str}",
        status_code=HTTP_200_OK,
        responses=problems.documented(*problems.OPERATOR, *problems.ABSENT, *problems.NOT_NOW),
        summary="Unset a key: each process goes by its settings again",
    )
    async def remove(request: CallerRequest, key: FromPath[str], version: OfVersion = None) -> SystemValueView:
        return await desk.remove(key, version, request.auth.actor)

    handlers = [list_keys, read, change, remove]
    return Router("/api/admin/config", route_handlers=handlers, guards=[require_admin], tags=["configuration"])
