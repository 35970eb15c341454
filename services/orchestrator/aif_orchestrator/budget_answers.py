"""The questions about budgets that any orchestrator replica answers over the bus."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from aif_contracts import subjects
from aif_contracts.audit import BUDGET_CHANGED
from aif_contracts.budgets import BudgetPage, BudgetView, GetBudget, ListBudgets, SetBudget
from aif_contracts.orders import FieldMistake, Refusal
from aif_orchestrator.alerts.store import AlertStore
from aif_orchestrator.answering import answer_questions
from aif_orchestrator.audit.log import AuditLog
from aif_orchestrator.engine.blocked_clients import BlockedClients
from aif_orchestrator.pages import fitting
from aif_orchestrator.store.budgets import BudgetStore
from aif_runtime.bus import Bus, Question
from aif_runtime.postgres import Connection, Database


class BudgetAnswers:
    def __init__(
        self,
        *,
        bus: Bus,
        database: Database,
        budgets: BudgetStore,
        blocked: BlockedClients,
        audit: AuditLog,
        alerts: AlertStore,
    ) -> None:
        self._bus = bus
        self._database = database
        self._budgets = budgets
        self._blocked = blocked
        self._audit = audit
        self._alerts = alerts

    async def open(self) -> None:
        """Begin to answer; ends when the bus closes."""
        await answer_questions(self._bus, subjects.GET_BUDGET, GetBudget, self._get, reads=True)
        await answer_questions(self._bus, subjects.SET_BUDGET, SetBudget, self._set)
        await answer_questions(self._bus, subjects.LIST_BUDGETS, ListBudgets, self._list, reads=True)

    async def _get(self, request: GetBudget, question: Question) -> BudgetView:
        async with self._database.connection() as connection:
            view = await self._budgets.find(connection, request.client_id)
            (told,) = await self._with_alerts(connection, [view])
        return told

    async def _set(self, request: SetBudget, question: Question) -> BudgetView | Refusal:
        if request.limit_usd is None and request.policy is None and request.energy_limit is UNSET:
            message = "nothing is said of the budget"
            mistake = FieldMistake(field="limit_usd", message=message, mend="Give limit_usd, policy or energy_limit.")
            return Refusal(code="nothing_to_change", message=message, mistakes=(mistake,))
        async with self._database.transaction() as connection:
            before = await self._budgets.find(connection, request.client_id)
            await self._budgets.save(connection, request)
            view = await self._budgets.find(connection, request.client_id)
            await self._audit.tell(
                connection,
                BUDGET_CHANGED,
                request.decided_by,
                {"before": _terms_of(before), "after": _terms_of(view)},
                client_id=request.client_id,
            )
            (told,) = await self._with_alerts(connection, [view])
        await self._blocked.refresh()
        return told

    async def _list(self, request: ListBudgets, question: Question) -> BudgetPage:
        async with self._database.connection() as connection:
            found = await self._budgets.list_page(connection, request.cursor or "", request.limit + 1)
            page = fitting(await self._with_alerts(connection, found[: request.limit]))
        return BudgetPage(budgets=page, next_cursor=page[-1].client_id if len(found) > len(page) else None)

    async def _with_alerts(self, connection: Connection, views: Sequence[BudgetView]) -> list[BudgetView]:
        if not views:
            return []
        found = await self._alerts.alerts_of(connection, [view.client_id for view in views], views[0].window)
        return [msgspec.structs.replace(view, alerts=tuple(found.get(view.client_id, ()))) for view in views]


def _terms_of(view: BudgetView) -> dict[str, Any]:
    return {"limit_usd": view.limit_usd, "policy": str(view.policy), "energy_limit": view.energy_limit}
