"""Usage and budgets."""

import msgspec
from msgspec import UNSET, Struct, UnsetType

from aif_console.gateway.gateway import Gateway, without_none
from aif_contracts.budgets import BudgetPage, BudgetPolicy, BudgetView
from aif_contracts.money import UsdText
from aif_contracts.usage import MonthlyUsage, UsageReport


class UsageWish(Struct, frozen=True, kw_only=True):
    """What is not said is left to the factory."""

    group_by: str
    since: str | None = None
    until: str | None = None
    client_id: str | None = None
    order: str | None = None
    limit: int = 100
    cursor: str | None = None


class BudgetChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    limit_usd: UsdText | None = None
    policy: BudgetPolicy | None = None
    energy_limit: int | UnsetType | None = UNSET


async def monthly_usage(gateway: Gateway, *, month: str | None, client_id: str | None) -> MonthlyUsage:
    """This month when none is named; the operator sees everybody's when no client is."""
    return await gateway.ask("GET", "/api/kam/usage", MonthlyUsage, params=without_none(month=month, client_id=client_id))


async def usage_report(gateway: Gateway, wish: UsageWish, *, as_operator: bool) -> UsageReport:
    path = "/api/admin/usage" if as_operator else "/api/v1/ai/pipelines/budget/spend"
    query = without_none(
        **{"from": wish.since, "to": wish.until},
        group_by=wish.group_by,
        client_id=wish.client_id,
        order=wish.order,
        limit=wish.limit,
        cursor=wish.cursor,
    )
    return await gateway.ask("GET", path, UsageReport, params=query)


async def own_budget(gateway: Gateway) -> BudgetView:
    return await gateway.ask("GET", "/api/v1/ai/pipelines/budget/status", BudgetView)


async def budget_of(gateway: Gateway, client_id: str) -> BudgetView:
    return await gateway.ask("GET", f"/api/admin/clients/{client_id}/budget", BudgetView)


async def list_budgets(gateway: Gateway, *, cursor: str | None, limit: int) -> BudgetPage:
    return await gateway.ask("GET", "/api/admin/budgets", BudgetPage, params=without_none(cursor=cursor, limit=limit))


async def set_budget(gateway: Gateway, client_id: str, change: BudgetChange) -> BudgetView:
    return await gateway.ask("PUT", f"/api/admin/clients/{client_id}/budget", BudgetView, json=msgspec.to_builtins(change))
