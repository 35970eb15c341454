"""What a client is told when its budget or its energy does not allow an execution."""

from aif_contracts.budgets import BUDGET_EXCEEDED, BUDGET_RESERVED, ENERGY_EXCEEDED
from aif_contracts.orders import Refusal

RESERVED_RETRY_MS = 5_000
"""Executions under way give back what they have reserved as they end."""

_WORDS = {
    BUDGET_EXCEEDED: (
        "what is spent this month and the most that this execution can cost would pass the client's budget: have the operator "
        "raise the budget, or order with a lower max_cost_usd"
    ),
    BUDGET_RESERVED: (
        "executions under way have reserved what is left of the client's budget; it fits when enough of them have ended: order "
        "again later, or with a lower max_cost_usd"
    ),
    ENERGY_EXCEEDED: "the client's energy of this month does not suffice, even for cheap models: have the operator raise it",
}


def denial(code: str) -> Refusal:
    """`code` is one of the codes of a budget's refusals."""
    return Refusal(code=code, message=_WORDS[code], retry_after_ms=RESERVED_RETRY_MS if code == BUDGET_RESERVED else None)
