"""`/api/admin/audit`: who has done what, and whether the log is as it was written."""

from typing import Annotated

from litestar import Router, get, post
from litestar.params import FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from aif_contracts.audit import AuditPage, AuditVerdict, ListAudit, Severity, VerifyAudit
from aif_kam import problems
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
from aif_kam.routes.steering import OptionalBody

_LONGEST = 200


def audit_routes(parts: Parts) -> Router:
    @get("/", responses=problems.documented(*problems.OPERATOR), summary="The audit log, newest first")
    async def list_audit(
        request: CallerRequest,
        action: Annotated[
            str | None, QueryParameter(pattern=r"^[A-Z][A-Z0-9_]{0,63}$(?!\n)", description="Capital letters, digits and _")
        ] = None,
        severity: FromQuery[Severity | None] = None,
        actor: Annotated[str | None, QueryParameter(max_length=_LONGEST, description="`api_key:…`, `worker:…`")] = None,
        client_id: ListOfClient = None,
        execution_id: Annotated[str | None, QueryParameter(max_length=_LONGEST)] = None,
        recorded_after: Annotated[
            str | None, QueryParameter(name="from", max_length=40, description="RFC 3339; this time and later")
        ] = None,
        recorded_before: Annotated[
            str | None, QueryParameter(name="to", max_length=40, description="RFC 3339; before this time")
        ] = None,
        cursor: PageCursor = None,
        limit: Annotated[int, QueryParameter(ge=1, le=100)] = 50,
    ) -> AuditPage:
        query = ListAudit(
            action=action,
            severity=severity,
            actor=without_nul(actor, field="actor"),
            client_id=await parts.identity.owner(request.auth, named_client(client_id)),
            execution_id=without_nul(execution_id, field="execution_id"),
            recorded_after=query_moment(recorded_after, field="from"),
            recorded_before=query_moment(recorded_before, field="to"),
            cursor=page_cursor(cursor),
            limit=limit,
        )
        return await parts.orchestrator.list_audit(query)

    @post(
        "/verify",
        status_code=HTTP_200_OK,
        operation_class=OptionalBody,
        dto=StrictJson[VerifyAudit],
        return_dto=None,
        responses=problems.documented(*problems.BODY),
        summary="Follow the chain for a few thousand rows; go on with `after` while `is_complete` is false",
    )
    async def verify(request: CallerRequest, data: JSONBody[VerifyAudit | None] = None) -> AuditVerdict:
        return await parts.orchestrator.verify_audit(data or VerifyAudit())

    return Router("/api/admin/audit", route_handlers=[list_audit, verify], guards=[require_admin], tags=["operations"])
