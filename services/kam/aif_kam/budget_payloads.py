"""Budgets as they come in over HTTP."""

from msgspec import UNSET, Struct, UnsetType

from aif_contracts.budgets import BudgetPolicy
from aif_contracts.metering import Count
from aif_contracts.money import UsdText


class BudgetWish(Struct, frozen=True, kw_only=True):
    """What is left out stays as it is."""

    limit_usd: UsdText | None = None
    """What the client may spend in a calendar month."""
    policy: BudgetPolicy | None = None
    energy_limit: Count | UnsetType | None = UNSET
    """null takes the limit away."""
