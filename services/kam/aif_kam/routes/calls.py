"""`/api/admin/calls`: what was paid to whom, and what calls without an answer have cost."""

import re
from typing import Annotated

from litestar import Router, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK
from msgspec import Meta, Struct

from aif_contracts.metering import Basis, CallOutcome, Tokens
from aif_contracts.money import UsdText
from aif_contracts.reconciliation import BookedCall, BookedCallPage, SearchCalls, SettleCall
from aif_kam import problems
from aif_kam.failures import NotFound
from aif_kam.parts import Parts
from aif_kam.routes.calling import (
    CallerRequest,
    ListOfClient,
    PageCursor,
    StrictJson,
    named_client,
    page_cursor,
    query_moment,
    require_admin,
    without_nul,
)

_LONGEST = 200
_CALL_KEY = re.compile(r"[A-Za-z0-9_.:-]{1,400}")


class Settlement(Struct, frozen=True, kw_only=True):
    """What the provider's bill says of a call without an answer."""

    billed: bool
    """False when the provider has not charged for it."""
    note: Annotated[str, Meta(min_length=1, max_length=500)]
    """By what it is known."""
    tokens: Tokens | None = None
    cost_usd: UsdText | None = None
    """Needed when it was billed."""


def call_routes(parts: Parts) -> Router:
    @get(
        "/",
        responses=problems.documented(*problems.OPERATOR),
        summary="Provider calls of all clients by the time at which they were booked, oldest first",
    )
    async def search(
        request: CallerRequest,
        provider: Annotated[str | None, QueryParameter(max_length=_LONGEST)] = None,
        model: Annotated[str | None, QueryParameter(max_length=_LONGEST)] = None,
        client_id: ListOfClient = None,
        execution_id: Annotated[str | None, QueryParameter(max_length=_LONGEST)] = None,
        outcome: FromQuery[CallOutcome | None] = None,
        basis: FromQuery[Basis | None] = None,
        in_doubt: Annotated[bool, QueryParameter(description="Only those whose cost nobody knows")] = False,
        booked_from: Annotated[
            str | None, QueryParameter(name="from", max_length=40, description="RFC 3339; this time and later")
        ] = None,
        booked_to: Annotated[
            str | None, QueryParameter(name="to", max_length=40, description="RFC 3339; before this time")
        ] = None,
        cursor: PageCursor = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 100,
    ) -> BookedCallPage:
        query = SearchCalls(
            provider=without_nul(provider, field="provider"),
            model=without_nul(model, field="model"),
            client_id=await parts.identity.owner(request.auth, named_client(client_id)),
            execution_id=without_nul(execution_id, field="execution_id"),
            outcome=outcome,
            basis=basis,
            in_doubt=in_doubt,
            booked_from=query_moment(booked_from, field="from"),
            booked_to=query_moment(booked_to, field="to"),
            cursor=page_cursor(cursor),
            limit=limit,
        )
        return await parts.orchestrator.search_calls(query)

    @post(
        "/{call_key:str}/settle",
        status_code=HTTP_200_OK,
        dto=StrictJson[Settlement],
        return_dto=None,
        responses=problems.documented(*problems.BODY, *problems.ABSENT),
        summary="Say what a call without an answer has cost, by the provider's bill",
    )
    async def settle(request: CallerRequest, call_key: FromPath[str], data: JSONBody[Settlement]) -> BookedCall:
        if _CALL_KEY.fullmatch(call_key) is None:
            raise NotFound(f"{call_key[:80]!r} is no key of a provider call")
        question = SettleCall(
            call_key=call_key,
            billed=data.billed,
            decided_by=request.auth.signature,
            note=data.note,
            tokens=data.tokens,
            cost_usd=data.cost_usd,
        )
        settled = await parts.orchestrator.settle_call(question)
        await parts.tracker.expect_correction(settled.call.execution_id)
        return settled

    return Router("/api/admin/calls", route_handlers=[search, settle], guards=[require_admin], tags=["operations"])
