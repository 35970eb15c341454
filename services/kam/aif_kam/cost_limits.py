"""What an execution may spend: the amount that an order names, checked."""

from decimal import Decimal

from aif_contracts.money import ZERO, UsdText, usd
from aif_kam.failures import invalid


def cost_limit(text: UsdText | None, *, field: str = "max_cost_usd") -> Decimal | None:
    """US dollars; None for the operator's limit. How high it may be is for the orchestrator to say.

    Raises InvalidInput naming `field`.
    """
    if text is None:
        return None
    amount = usd(text)
    if amount == ZERO:
        raise invalid(
            field,
            "an execution that may spend nothing cannot be ordered",
            "name more than 0, or leave it out for the operator's limit",
            code="limit_not_allowed",
        )
    return amount
