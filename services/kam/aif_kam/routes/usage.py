"""What was used and what it cost: a client's month, its spending by what it likes, and everybody's for the operator."""

from typing import Annotated

from litestar import Router, get
from litestar.params import FromQuery, QueryParameter

from aif_contracts.usage import MonthlyUsage, MonthlyUsageQuery, UsageFilter, UsageOrder, UsageReport
from aif_kam import problems
from aif_kam.parts import Parts
from aif_kam.routes.calling import CallerRequest, OfClient, PageCursor, named_client, page_cursor, require_admin, without_nul
from aif_kam.usage_queries import AskedUsage, named_month, usage_query

From = Annotated[
    str | None,
    QueryParameter(name="from", required=False, max_length=40, description="A day or a time; the month's first by default"),
]
To = Annotated[
    str | None, QueryParameter(name="to", required=False, max_length=40, description="Before this day or time; now by default")
]
GroupBy = Annotated[
    str,
    QueryParameter(
        name="group_by",
        required=False,
        max_length=80,
        description="One to three, with commas: client, workspace, worker, action, model, provider, stage, template, purpose, "
        "outcome, execution, day, week, month",
    ),
]
Limit = Annotated[int, QueryParameter(ge=1, le=500, description="Rows on a page")]
Like = Annotated[str | None, QueryParameter(required=False, min_length=1, max_length=200)]


def usage_routes(parts: Parts) -> Router:
    @get(
        "/api/kam/usage",
        responses=problems.documented(*problems.OF_CLIENT),
        summary="A month: orders, deliverables, tokens, cost by kind, efficiency",
    )
    async def monthly(
        request: CallerRequest,
        month: Annotated[str | None, QueryParameter(required=False, max_length=40, description="As 2026-11; this one")] = None,
        client_id: OfClient = None,
    ) -> MonthlyUsage:
        owner = await parts.identity.owner(request.auth, named_client(client_id))
        query = MonthlyUsageQuery(client_id=owner, month=named_month(month, now=await parts.time.now()))
        return await parts.orchestrator.monthly_usage(query)

    @get(
        "/api/v1/ai/pipelines/budget/spend",
        responses=problems.documented(*problems.OF_CLIENT),
        summary="What was spent, put together as you like, by day when nothing is said",
    )
    async def spend(
        request: CallerRequest,
        since: From = None,
        until: To = None,
        group_by: GroupBy = "day",
        client_id: OfClient = None,
        order: FromQuery[UsageOrder] = UsageOrder.KEY,
        cursor: PageCursor = None,
        limit: Limit = 100,
    ) -> UsageReport:
        asked = AskedUsage(
            client_id=await parts.identity.owner(request.auth, named_client(client_id)),
            since=since,
            until=until,
            group_by=group_by,
            order=order,
            cursor=page_cursor(cursor),
            limit=limit,
        )
        return await parts.orchestrator.usage(usage_query(asked, now=await parts.time.now()))

    return Router("/", route_handlers=[monthly, spend], tags=["usage"])


def admin_usage_routes(parts: Parts) -> Router:
    @get(
        "/",
        responses=problems.documented(*problems.OPERATOR),
        summary="What everybody used, put together and filtered as you like, by client when nothing is said",
    )
    async def usage(
        request: CallerRequest,
        since: From = None,
        until: To = None,
        group_by: GroupBy = "client",
        client_id: OfClient = None,
        order: FromQuery[UsageOrder] = UsageOrder.COST,
        cursor: PageCursor = None,
        limit: Limit = 100,
        workspace_id: Like = None,
        worker_name: Like = None,
        action: Like = None,
        model: Like = None,
        provider: Like = None,
        stage_id: Like = None,
        template: Like = None,
        purpose: Like = None,
        outcome: Like = None,
        execution_id: Like = None,
    ) -> UsageReport:
        where = UsageFilter(
            workspace_id=without_nul(workspace_id, field="workspace_id"),
            worker_name=without_nul(worker_name, field="worker_name"),
            action=without_nul(action, field="action"),
            model=without_nul(model, field="model"),
            provider=without_nul(provider, field="provider"),
            stage_id=without_nul(stage_id, field="stage_id"),
            template=without_nul(template, field="template"),
            purpose=without_nul(purpose, field="purpose"),
            outcome=without_nul(outcome, field="outcome"),
            execution_id=without_nul(execution_id, field="execution_id"),
        )
        asked = AskedUsage(
            client_id=await parts.identity.owner(request.auth, named_client(client_id)),
            since=since,
            until=until,
            group_by=group_by,
            where=where,
            order=order,
            cursor=page_cursor(cursor),
            limit=limit,
        )
        return await parts.orchestrator.usage(usage_query(asked, now=await parts.time.now()))

    return Router("/api/admin/usage", route_handlers=[usage], guards=[require_admin], tags=["usage"])
