"""Budgets as they come in over HTTP."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from aif_contracts.budgets import BudgetPolicy
from aif_contracts.money import UsdText


class BudgetWish(Struct, frozen=True, kw_only=True):
    """What is left out stays as it is."""

    limit_usd: UsdText | None = None
    """What the client may spend in a calendar month."""
    policy: BudgetPolicy | None = None
    energy_limit: Annotated[int, Meta(ge=0)] | UnsetType | None = UNSET
    """null takes the limit away."""
