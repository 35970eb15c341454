"""What a client may spend and what is left of it: for the client to see, for the operator to set."""

from typing import Annotated

from litestar import Router, get, put
from litestar.params import FromPath, JSONBody, QueryParameter

from aif_contracts.budgets import BudgetPage, BudgetView, ListBudgets, SetBudget
from aif_kam import problems
from aif_kam.budget_payloads import BudgetWish
from aif_kam.parts import Parts
from aif_kam.routes.calling import CallerRequest, OfClient, PageCursor, StrictJson, named_client, page_cursor, require_admin


def budget_routes(parts: Parts) -> Router:
    @get(
        "/status",
        responses=problems.documented(*problems.OF_CLIENT),
        summary="This month's budget: limit, spent, reserved, left, forecast, alerts",
    )
    async def status(request: CallerRequest, client_id: OfClient = None) -> BudgetView:
        return await parts.orchestrator.get_budget(await parts.identity.acting_for(request.auth, named_client(client_id)))

    return Router("/api/v1/ai/pipelines/budget", route_handlers=[status], tags=["usage"])


def admin_budget_routes(parts: Parts) -> Router:
    @get(
        "/budgets",
        responses=problems.documented(*problems.OPERATOR),
        summary="Budgets of this month, by client",
    )
    async def list_budgets(
        request: CallerRequest, cursor: PageCursor = None, limit: Annotated[int, QueryParameter(ge=1, le=100)] = 50
    ) -> BudgetPage:
        return await parts.orchestrator.list_budgets(ListBudgets(cursor=page_cursor(cursor), limit=limit))

    @get(
        "/clients/{client_id:str}/budget",
        responses=problems.documented(*problems.OPERATOR, *problems.ABSENT),
        summary="A client's budget of this month",
    )
    async def read(request: CallerRequest, client_id: FromPath[str]) -> BudgetView:
        return await parts.orchestrator.get_budget((await parts.identity.client_at(client_id)).client_id)

    @put(
        "/clients/{client_id:str}/budget",
        dto=StrictJson[BudgetWish],
        return_dto=None,
        responses=problems.documented(*problems.BODY, *problems.ABSENT),
        summary="Set a client's budget, from this month on; what is left out stays",
    )
    async def change(request: CallerRequest, client_id: FromPath[str], data: JSONBody[BudgetWish]) -> BudgetView:
        question = SetBudget(
            client_id=(await parts.identity.client_at(client_id)).client_id,
            decided_by=request.auth.signature,
            limit_usd=data.limit_usd,
            policy=data.policy,
            energy_limit=data.energy_limit,
        )
        return await parts.orchestrator.set_budget(question)

    return Router("/api/admin", route_handlers=[list_budgets, read, change], guards=[require_admin], tags=["usage"])
