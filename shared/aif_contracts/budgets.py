"""What a client may spend in a month, in money and in energy; and how much of it is spent and reserved.

A window is a calendar month in UTC, written `2026-11`. An execution is charged to the window in which it was admitted.
"""

import enum
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from aif_contracts.metering import Count
from aif_contracts.money import UsdText
from aif_contracts.orders import ClientId

BUDGET_EXCEEDED = "budget_exceeded"
"""Code of a refusal: what is spent and the most that the order can cost would pass the limit."""
BUDGET_RESERVED = "budget_reserved"
"""Code of a refusal: it would fit if what others have reserved comes back; ordered again later it may be taken."""
ENERGY_EXCEEDED = "insufficient_energy"


class BudgetPolicy(enum.StrEnum):
    WARN = "warn"
    """Allow everything, and say when the limit is passed."""
    SOFT_BLOCK = "soft_block"
    """Refuse a new execution whose cost could pass the limit; one that was admitted ends inside of its own reservation."""
    HARD_BLOCK = "hard_block"
    """As SOFT_BLOCK; and when the limit is lowered, what would pass it is refused inside of running executions too."""


class AlertKind(enum.StrEnum):
    SPENT = "spent"
    """So many percent of the month's limit are spent."""
    FORECAST = "forecast"
    """At the pace of the month so far the limit will be passed before its end."""
    WEEKLY = "weekly"
    """More than the operator's mark was spent in one calendar week."""
    ENERGY = "energy"
    """So many percent of the month's energy are used."""


class BudgetAlert(Struct, frozen=True, kw_only=True):
    """Published on the alert subject and kept; once for each client, window, kind, threshold and limit."""

    alert_id: str
    client_id: str
    kind: AlertKind
    window: str
    """A month as `2026-11`, or a week as `2026-W47`."""
    threshold_percent: int
    spent_usd: UsdText
    limit_usd: UsdText
    message: str
    raised_at: str


class BudgetView(Struct, frozen=True, kw_only=True):
    client_id: str
    window: str
    policy: BudgetPolicy
    limit_usd: UsdText
    spent_usd: UsdText
    """Charged, failed attempts included."""
    reserved_usd: UsdText
    """What running executions may still spend, and what calls without an answer can have cost."""
    remaining_usd: UsdText
    """What new executions may reserve."""
    excess_usd: UsdText
    """How far spent and reserved have passed the limit; only by WARN, by a limit that was lowered, or by a provider that
    charged more than a call could cost."""
    energy_limit: int | None
    """None when the client's energy is not limited."""
    energy_spent: int
    energy_reserved: int
    allowed: bool
    """Whether an execution that costs money would be admitted now, were its cost small."""
    message: str
    """In words."""
    is_default: bool
    """True when nobody has set a budget for the client: the operator's default holds."""
    forecast_usd: UsdText | None = None
    """Spent at the end of the month at the pace so far; None in its first day."""
    alerts: tuple[BudgetAlert, ...] = ()
    """Of this window."""


class GetBudget(Struct, frozen=True, kw_only=True):
    """Of the current month. Answered with BudgetView."""

    client_id: ClientId


class SetBudget(Struct, frozen=True, kw_only=True):
    """From now on; what is left out stays as it is. Answered with BudgetView or Refusal."""

    client_id: ClientId
    decided_by: Annotated[str, Meta(min_length=1, max_length=200)]
    limit_usd: UsdText | None = None
    policy: BudgetPolicy | None = None
    energy_limit: Count | UnsetType | None = UNSET
    """None takes the limit away."""


class ListBudgets(Struct, frozen=True, kw_only=True):
    """Of every client that has a budget or has spent something this month, by client. Answered with BudgetPage."""

    cursor: str | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 50


class BudgetPage(Struct, frozen=True, kw_only=True):
    budgets: tuple[BudgetView, ...]
    next_cursor: str | None
    """None on the last page."""
