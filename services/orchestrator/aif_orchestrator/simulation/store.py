"""A client's past executions of a template, as a simulation looks at them."""

from collections import defaultdict
from collections.abc import Sequence

from aif_contracts.budgets import BUDGET_EXCEEDED
from aif_contracts.money import ZERO
from aif_contracts.packets import QualityTier
from aif_orchestrator.execution.state import Execution
from aif_orchestrator.simulation.past import PastExecution, StageShare, traits_of
from aif_orchestrator.store.journal import unpacked
from aif_runtime.postgres import Connection, Record
from aif_runtime.sql_files import Queries

MOST_PAST = 300
"""The newest ones: enough for a tenth part to be sure of, and few enough to be read at once."""


_STOPPED_BY_A_LIMIT = frozenset({"grant_exceeded", BUDGET_EXCEEDED})
"""How executions fail that tell of a limit, and not of what they would have cost."""


class PastStore:
    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def list_past(
        self, connection: Connection, *, client_id: str, owner: str, template: str, quality: QualityTier | None
    ) -> list[PastExecution]:
        """Newest first, those that ended by themselves in their first leg, under the same ceiling of models and not stopped by
        a limit. Needs a transaction."""
        await connection.execute(self._queries["plan_past_by_its_values"])
        rows = await connection.fetch(self._queries["list_past_executions"], client_id, template, MOST_PAST)
        ordered = {row["execution_id"]: (row["template_version"], unpacked(row["changes"])) for row in rows}
        wanted = [
            key
            for key, (_, order) in ordered.items()
            if (order.template_owner, order.leg, order.quality) == (owner, 1, quality)
            and order.failure_code not in _STOPPED_BY_A_LIMIT
        ]
        shares = await connection.fetch(self._queries["list_stage_shares"], wanted)
        return _joined(wanted, ordered, shares)


def _joined(wanted: Sequence[str], ordered: dict[str, tuple[str, Execution]], shares: Sequence[Record]) -> list[PastExecution]:
    stages: defaultdict[str, dict[str, StageShare]] = defaultdict(dict)
    for row in shares:
        before = stages[row["execution_id"]].get(row["stage_id"])
        stages[row["execution_id"]][row["stage_id"]] = StageShare(
            worker_name=row["worker_name"],
            action=row["action"],
            cost_usd=row["cost_usd"] + (before.cost_usd if before else ZERO),
            saved_usd=row["saved_usd"] + (before.saved_usd if before else ZERO),
            time_ms=row["time_ms"] + (before.time_ms if before else 0),
        )
    return [
        PastExecution(
            execution_id=key,
            template_version=ordered[key][0],
            traits=traits_of(ordered[key][1].parameters),
            stages=stages[key],
        )
        for key in wanted
    ]
