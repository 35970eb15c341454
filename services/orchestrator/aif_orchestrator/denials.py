"""What a client is told when its budget or its energy does not allow an execution."""

from aif_contracts.budgets import BUDGET_EXCEEDED, BUDGET_RESERVED, ENERGY_EXCEEDED, BudgetView
from aif_contracts.money import usd_text
from aif_contracts.orders import Refusal
from aif_orchestrator.execution.commands import MoveAccount

RESERVED_RETRY_MS = 5_000
"""Executions under way give back what they have reserved as they end."""


def denial(code: str, asked: MoveAccount, budget: BudgetView) -> Refusal:
    """`code` is one of the codes of a budget's refusals, `asked` what did not fit, `budget` the client's of now: others may
    have moved it since the refusal, so its figures explain and decide nothing."""
    message = _energy_words(asked, budget) if code == ENERGY_EXCEEDED else _money_words(code, asked, budget)
    return Refusal(code=code, message=message, retry_after_ms=RESERVED_RETRY_MS if code == BUDGET_RESERVED else None)


def _money_words(code: str, asked: MoveAccount, budget: BudgetView) -> str:
    figures = (
        f"this execution can cost up to {usd_text(asked.reserved_usd)} USD, and of the client's {budget.limit_usd} USD for "
        f"{budget.window} {budget.spent_usd} USD are spent and {budget.reserved_usd} USD reserved "
        "by executions under way and by calls whose answer never came"
    )
    if code == BUDGET_EXCEEDED:
        return f"{figures}: have the operator raise the budget, or order with a lower max_cost_usd"
    return f"{figures}; it fits when enough of that is given back: order again later, or with a lower max_cost_usd"


def _energy_words(asked: MoveAccount, budget: BudgetView) -> str:
    return (
        f"this execution can take {asked.energy_reserved} of energy, even with cheap models, and of the client's "
        f"{budget.energy_limit} for {budget.window} {budget.energy_spent} are spent and {budget.energy_reserved} reserved by "
        "executions under way: have the operator raise it, or order again when they have ended"
    )
