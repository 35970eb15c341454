"""Looks at the accounts again and again, and says once what they have reached.

Alert and message are stored in one transaction: the alert's key decides among replicas, and a message whose replica died before
it had left is found in the outbox by another one. The message's id is the alert's, so the broker takes it once.
"""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter

from aif_contracts import subjects
from aif_contracts.budgets import BudgetAlert
from aif_orchestrator.alerts.store import AlertStore
from aif_orchestrator.alerts.thresholds import crossings
from aif_orchestrator.engine.relay import Relay
from aif_runtime.bus import Outgoing
from aif_runtime.failures import DatabaseUnavailable
from aif_runtime.postgres import Database

log = structlog.get_logger()


class Lookout:
    def __init__(
        self,
        *,
        database: Database,
        alerts: AlertStore,
        relay: Relay,
        registry: CollectorRegistry,
        weekly_mark_usd: Decimal,
        every_seconds: float,
    ) -> None:
        """`weekly_mark_usd` is what a client may spend in a week before it is said; 0 for never."""
        self._database = database
        self._alerts = alerts
        self._relay = relay
        self._weekly_mark_usd = weekly_mark_usd
        self._every_seconds = every_seconds
        self._raised = Counter(
            "aif_budget_alerts", "Alerts of budgets that were raised", ["kind", "threshold_percent"], registry=registry
        )

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except DatabaseUnavailable as failure:
                log.warning("budgets_not_looked_at", reason=str(failure))
            await asyncio.sleep(self._every_seconds)

    async def look(self) -> list[BudgetAlert]:
        """Raise what is due now. Raises DatabaseUnavailable; when the commit is in doubt, the next look finds out."""
        async with self._database.transaction() as connection:
            reached = [each for account in await self._alerts.accounts(connection) for each in crossings(account)]
            if self._weekly_mark_usd:
                reached += await self._alerts.dear_weeks(connection, self._weekly_mark_usd)
            # Replicas insert in one order, so that none waits for another that waits for it.
            reached.sort(key=lambda each: (each.client_id, each.window, each.kind, each.threshold_percent))
            said = [alert for each in reached if (alert := await self._alerts.raise_once(connection, each)) is not None]
            messages = [_message(alert) for alert in said]
            outbox_id = await self._alerts.insert_messages(connection, messages) if messages else None
        if outbox_id is not None:
            await self._relay.send(outbox_id, messages)
        self._tell(said)
        return said

    def _tell(self, said: Sequence[BudgetAlert]) -> None:
        for alert in said:
            self._raised.labels(alert.kind, str(alert.threshold_percent)).inc()
            log.warning(
                "budget_alert",
                client_id=alert.client_id,
                kind=alert.kind.value,
                window=alert.window,
                threshold_percent=alert.threshold_percent,
                spent_usd=alert.spent_usd,
                limit_usd=alert.limit_usd,
            )


def _message(alert: BudgetAlert) -> Outgoing:
    return Outgoing(subject=subjects.alert(alert.client_id), payload=msgspec.json.encode(alert), message_id=alert.alert_id)
