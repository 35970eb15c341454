"""The clients' books: every move of money and energy, and the budgets that decide who is admitted."""

from collections.abc import Sequence

from msgspec import Struct

from aif_contracts.budgets import BudgetPolicy
from aif_contracts.money import UsdText, usd
from aif_orchestrator.execution.commands import MoveAccount
from aif_runtime.postgres import Connection
from aif_runtime.sql_files import Queries


class DefaultBudget(Struct, frozen=True, kw_only=True):
    """Of every client for whom nobody has said anything else."""

    limit_usd: UsdText = "100"
    policy: BudgetPolicy = BudgetPolicy.SOFT_BLOCK
    energy_limit: int | None = None


class AccountStore:
    def __init__(self, queries: Queries, default: DefaultBudget) -> None:
        self._queries = queries
        self._default = default

    async def move(self, connection: Connection, moves: Sequence[MoveAccount]) -> dict[str, str]:
        """Enter the moves. Those that do not fit come back by execution, with the code of the reason; the caller's transaction
        must then be taken back."""
        row = await connection.fetchrow(
            self._queries["move_accounts"],
            usd(self._default.limit_usd),
            str(self._default.policy),
            self._default.energy_limit,
            [move.execution_id for move in moves],
            [move.client_id for move in moves],
            [move.window for move in moves],
            [move.is_admission for move in moves],
            [move.spent_usd for move in moves],
            [move.reserved_usd for move in moves],
            [move.energy_spent for move in moves],
            [move.energy_reserved for move in moves],
        )
        assert row is not None, "the function always gives one row"
        return dict(zip(row["refused_ids"], row["refused_codes"], strict=True))

    async def blocked_clients(self, connection: Connection) -> frozenset[str]:
        """Whose budget is passed although it may not be, now that it was lowered."""
        rows = await connection.fetch(self._queries["list_blocked_clients"])
        return frozenset(row["client_id"] for row in rows)
