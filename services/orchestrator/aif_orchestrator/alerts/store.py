"""Alerts as they are kept, and the accounts that may give rise to one."""

from collections.abc import Sequence
from decimal import Decimal

from aif_contracts.budgets import AlertKind, BudgetAlert
from aif_contracts.money import usd_text
from aif_orchestrator.alerts.thresholds import Account, Crossing, dear_week
from aif_orchestrator.store.outbox import packed_row
from aif_runtime.bus import Outgoing
from aif_runtime.clock import rfc3339
from aif_runtime.postgres import Connection, Record
from aif_runtime.sql_files import Queries


class AlertStore:
    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def accounts(self, connection: Connection) -> list[Account]:
        """Those that may have reached something."""
        rows = await connection.fetch(self._queries["list_accounts_to_look_at"])
        return [_account(row) for row in rows]

    async def dear_weeks(self, connection: Connection, mark_usd: Decimal) -> list[Crossing]:
        """Clients that have passed the mark this week, of whom that was not said."""
        rows = await connection.fetch(self._queries["list_dear_weeks"], mark_usd)
        return [dear_week(row["client_id"], row["budget_window"], row["spent_usd"], mark_usd) for row in rows]

    async def raise_once(self, connection: Connection, crossing: Crossing) -> BudgetAlert | None:
        """None when it was said before."""
        row = await connection.fetchrow(
            self._queries["insert_alert"],
            crossing.client_id,
            crossing.window,
            crossing.kind,
            crossing.threshold_percent,
            crossing.of_limit,
            crossing.alert_id,
            crossing.spent_usd,
            crossing.limit_usd,
            crossing.message,
        )
        if row is None:
            return None
        return BudgetAlert(
            alert_id=crossing.alert_id,
            client_id=crossing.client_id,
            kind=crossing.kind,
            window=crossing.window,
            threshold_percent=crossing.threshold_percent,
            spent_usd=usd_text(crossing.spent_usd),
            limit_usd=usd_text(crossing.limit_usd),
            message=crossing.message,
            raised_at=rfc3339(row["raised_at"]),
        )

    async def insert_messages(self, connection: Connection, messages: Sequence[Outgoing]) -> int:
        """Into the outbox. Returns the row to hand to the relay once this is committed."""
        outbox_id: int = await connection.fetchval(self._queries["insert_alert_messages"], packed_row(messages))
        return outbox_id

    async def alerts_of(self, connection: Connection, client_ids: Sequence[str], window: str) -> dict[str, list[BudgetAlert]]:
        """What was said of a month as 2026-11, by client, the oldest first."""
        found: dict[str, list[BudgetAlert]] = {}
        for row in await connection.fetch(self._queries["list_alerts"], list(client_ids), window):
            found.setdefault(row["client_id"], []).append(_alert(row))
        return found


def _account(row: Record) -> Account:
    raised = [each.split(" ") for each in row["raised"]]
    return Account(
        client_id=row["client_id"],
        window=row["budget_window"],
        limit_usd=row["limit_usd"],
        spent_usd=row["spent_usd"],
        energy_limit=row["energy_limit"],
        energy_spent=row["energy_spent"],
        elapsed_share=row["elapsed_share"],
        raised=frozenset((AlertKind(kind), int(percent), Decimal(limit)) for kind, percent, limit in raised),
    )


def _alert(row: Record) -> BudgetAlert:
    return BudgetAlert(
        alert_id=row["alert_id"],
        client_id=row["client_id"],
        kind=AlertKind(row["kind"]),
        window=row["budget_window"],
        threshold_percent=row["threshold_percent"],
        spent_usd=usd_text(row["spent_usd"]),
        limit_usd=usd_text(row["limit_usd"]),
        message=row["message"],
        raised_at=rfc3339(row["raised_at"]),
    )
