"""`/api/admin/dead-letters`: messages that could not be processed, for the operator."""

from typing import Annotated

from litestar import Router, get, post
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.status_codes import HTTP_200_OK

from aif_contracts.dead_letters import (
    DeadLetterContent,
    DeadLetterPage,
    DeadLetterStatus,
    DeadLetterView,
    DismissDeadLetter,
    GetDeadLetter,
    ListDeadLetters,
    ReplayDeadLetter,
)
from aif_kam import problems
from aif_kam.parts import Parts
from aif_kam.routes.calling import NAME_PATTERN, CallerRequest, PageCursor, known_id, page_cursor, require_admin

_ORIGIN = "The stream that it came from: `requests`, `work`, `reports`, `usage`, `events`, `performance` or `audit`"


def dead_letter_routes(parts: Parts) -> Router:
    @get("/", responses=problems.documented(*problems.OPERATOR), summary="Dead letters, newest first")
    async def list_dead_letters(
        request: CallerRequest,
        status: FromQuery[DeadLetterStatus | None] = None,
        origin: Annotated[str | None, QueryParameter(pattern=NAME_PATTERN, description=_ORIGIN)] = None,
        cursor: PageCursor = None,
        limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
    ) -> DeadLetterPage:
        query = ListDeadLetters(status=status, origin=origin, cursor=page_cursor(cursor), limit=limit)
        return await parts.orchestrator.list_dead_letters(query)

    @get(
        "/{dead_letter_id:str}",
        responses=problems.documented(*problems.OPERATOR, *problems.ABSENT),
        summary="One with its headers and its bytes, in base64",
    )
    async def read(request: CallerRequest, dead_letter_id: FromPath[str]) -> DeadLetterContent:
        return await parts.orchestrator.get_dead_letter(GetDeadLetter(dead_letter_id=known_id(dead_letter_id)))

    @post(
        "/{dead_letter_id:str}/replay",
        status_code=HTTP_200_OK,
        responses=problems.documented(*problems.OPERATOR, *problems.ABSENT, *problems.NOT_NOW),
        summary="Send the message again as it was, once",
    )
    async def replay(request: CallerRequest, dead_letter_id: FromPath[str]) -> DeadLetterView:
        question = ReplayDeadLetter(dead_letter_id=known_id(dead_letter_id), decided_by=request.auth.signature)
        return await parts.orchestrator.replay_dead_letter(question)

    @post(
        "/{dead_letter_id:str}/dismiss",
        status_code=HTTP_200_OK,
        responses=problems.documented(*problems.OPERATOR, *problems.ABSENT, *problems.NOT_NOW),
        summary="Nobody needs the message any more",
    )
    async def dismiss(request: CallerRequest, dead_letter_id: FromPath[str]) -> DeadLetterView:
        question = DismissDeadLetter(dead_letter_id=known_id(dead_letter_id), decided_by=request.auth.signature)
        return await parts.orchestrator.dismiss_dead_letter(question)

    handlers = [list_dead_letters, read, replay, dismiss]
    return Router("/api/admin/dead-letters", route_handlers=handlers, guards=[require_admin], tags=["operations"])
