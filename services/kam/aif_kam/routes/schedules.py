"""`/api/kam/schedules`: orders that repeat."""

from typing import Annotated

from litestar import Response, Router, delete, get, post, put
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from aif_kam import problems
from aif_kam.parts import Parts
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
from aif_kam.schedules.payloads import SchedulePage, ScheduleView, ScheduleWish, schedule_view

Limit = Annotated[int, QueryParameter(ge=1, le=100, description="Schedules on a page")]
Cursor = Annotated[str | None, QueryParameter(description="`next_cursor` of the page before", max_length=80)]


def schedule_routes(parts: Parts) -> Router:
    book = parts.schedules

    @post(
        "/",
        dto=StrictJson[ScheduleWish],
        return_dto=None,
        responses=problems.documented(*problems.BODY) | problems.described_as(ScheduleView, HTTP_201_CREATED),
        summary="Order something again and again",
    )
    async def create(
        request: CallerRequest, data: JSONBody[ScheduleWish], idempotency_key: IdempotencyHeader = None
    ) -> Response[bytes]:
        client_id = await parts.identity.ordering_for(request.auth, data.client_id)
        call = keyed(request, client_id, idempotency_key, await request.body())
        return problems.response_of(await book.create(client_id, data, call))

    @get("/", responses=problems.documented(*problems.OF_CLIENT), summary="List schedules, newest first")
    async def list_schedules(
        request: CallerRequest, client_id: ListOfClient = None, cursor: Cursor = None, limit: Limit = 20
    ) -> SchedulePage:
        owner = await parts.identity.owner(request.auth, named_client(client_id))
        found = await book.list_page(owner, id_cursor(cursor, "sched"), limit + 1)
        page = tuple(schedule_view(item) for item in found[:limit])
        return SchedulePage(schedules=page, next_cursor=page[-1].schedule_id if len(found) > limit else None)

    @get("/{schedule_id:str}", responses=problems.documented(*problems.ABSENT), summary="A schedule and how it goes")
    async def read(request: CallerRequest, schedule_id: FromPath[str]) -> ScheduleView:
        return schedule_view(await book.find(known_id(schedule_id), request.auth.sees))

    @put(
        "/{schedule_id:str}",
        dto=StrictJson[ScheduleWish],
        return_dto=None,
        responses=problems.documented(*problems.BODY, *problems.FOREIGN),
        summary="Put another order or rhythm in place",
    )
    async def replace(request: CallerRequest, schedule_id: FromPath[str], data: JSONBody[ScheduleWish]) -> ScheduleView:
        return schedule_view(await book.replace(known_id(schedule_id), request.auth.sees, data))

    @delete(
        "/{schedule_id:str}",
        status_code=HTTP_200_OK,
        responses=problems.documented(*problems.ABSENT),
        summary="Remove a schedule; its requests stay",
    )
    async def remove(request: CallerRequest, schedule_id: FromPath[str]) -> ScheduleView:
        return schedule_view(await book.remove(known_id(schedule_id), request.auth.sees))

    @post(
        "/{schedule_id:str}/pause",
        status_code=HTTP_200_OK,
        responses=problems.documented(*problems.ABSENT),
        summary="Order nothing until it is resumed",
    )
    async def pause(request: CallerRequest, schedule_id: FromPath[str]) -> ScheduleView:
        return schedule_view(await book.pause(known_id(schedule_id), request.auth.sees))

    @post(
        "/{schedule_id:str}/resume",
        status_code=HTTP_200_OK,
        responses=problems.documented(*problems.ABSENT),
        summary="Go on from now; what was due meanwhile is not made up for",
    )
    async def resume(request: CallerRequest, schedule_id: FromPath[str]) -> ScheduleView:
        return schedule_view(await book.resume(known_id(schedule_id), request.auth.sees))

    handlers = [create, list_schedules, read, replace, remove, pause, resume]
    return Router("/api/kam/schedules", route_handlers=handlers, tags=["schedules"])
