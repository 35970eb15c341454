"""What clients may spend, and how much of it they have spent."""

from collections.abc import Sequence
from decimal import Decimal

from msgspec import UNSET

from aif_contracts.budgets import BudgetPolicy, BudgetView, SetBudget
from aif_contracts.money import ZERO, usd, usd_text
from aif_orchestrator.store.accounts import DefaultBudget
from aif_runtime.postgres import Connection, Record
from aif_runtime.sql_files import Queries


class BudgetStore:
    def __init__(self, queries: Queries, default: DefaultBudget) -> None:
        self._queries = queries
        self._default = default

    async def find(self, connection: Connection, client_id: str) -> BudgetView:
        """Of this month; of a client that nobody has heard of the default, untouched."""
        row = await connection.fetchrow(self._queries["find_budget"], client_id, *self._defaults())
        assert row is not None, "every client has a budget, if only the default"
        return _view(row)

    async def list_page(self, connection: Connection, after: str, limit: int) -> list[BudgetView]:
        """By client, those after the client `after`; an empty one is before all."""
        rows: Sequence[Record] = await connection.fetch(self._queries["list_budgets"], after, limit, *self._defaults())
        return [_view(row) for row in rows]

    async def save(self, connection: Connection, change: SetBudget) -> None:
        """Keep what is said, and apply it to this month: whatever lies above a lower limit already is excess."""
        await connection.execute(
            self._queries["save_budget"],
            change.client_id,
            None if change.limit_usd is None else usd(change.limit_usd),
            None if change.policy is None else str(change.policy),
            change.energy_limit is not UNSET,
            None if change.energy_limit is UNSET else change.energy_limit,
            change.decided_by,
            self._default.energy_limit,
        )
        limit_usd, policy, _ = self._defaults()
        await connection.execute(self._queries["apply_budget"], change.client_id, limit_usd, policy)

    async def apply_defaults(self, connection: Connection) -> None:
        """To the month that is running: the operator may have changed them since an account was opened."""
        await connection.execute(self._queries["apply_defaults"], *self._defaults())

    def _defaults(self) -> tuple[Decimal, str, int | None]:
        return usd(self._default.limit_usd), str(self._default.policy), self._default.energy_limit


def _view(row: Record) -> BudgetView:
    policy = BudgetPolicy(row["policy"])
    limit, spent, reserved = row["limit_usd"], row["spent_usd"], row["reserved_usd"]
    left = max(ZERO, limit - spent - reserved)
    energy_left = None if row["energy_limit"] is None else row["energy_limit"] - row["energy_spent"] - row["energy_reserved"]
    is_out = policy is not BudgetPolicy.WARN and left == ZERO
    is_tired = energy_left is not None and energy_left <= 0
    if is_out:
        message = f"nothing is left of {usd_text(limit)} USD"
    elif is_tired:
        message = "no energy is left"
    elif spent + reserved > limit:
        message = f"the limit of {usd_text(limit)} USD is passed; the policy is to warn only"
    else:
        message = f"{usd_text(left)} of {usd_text(limit)} USD are left"
    elapsed = row["elapsed_share"]
    return BudgetView(
        client_id=row["client_id"],
        window=row["budget_window"],
        policy=policy,
        limit_usd=usd_text(limit),
        spent_usd=usd_text(spent),
        reserved_usd=usd_text(reserved),
        remaining_usd=usd_text(left),
        excess_usd=usd_text(max(ZERO, spent + reserved - limit)),
        energy_limit=row["energy_limit"],
        energy_spent=row["energy_spent"],
        energy_reserved=row["energy_reserved"],
        allowed=not is_out and not is_tired,
        message=message,
        is_default=row["is_default"],
        forecast_usd=None if elapsed is None else usd_text((spent / elapsed).quantize(Decimal("0.000001"))),
    )
