"""What an execution may spend: the amount that an order names, checked."""

from decimal import Decimal

from aif_contracts.money import ZERO, UsdText, usd, usd_text
from aif_kam.failures import invalid


def cost_limit(text: UsdText | None, *, field: str = "max_cost_usd") -> Decimal | None:
    """US dollars; None for the operator's limit. Of an order that is placed at once the orchestrator says how high it may be.

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


def require_allowed(limit: Decimal | None, *, highest: Decimal | None) -> None:
    """Raises InvalidInput for a limit of orders to come that none of them would be admitted with."""
    if limit is not None and highest is not None and limit > highest:
        raise invalid(
            "max_cost_usd",
            f"an execution may spend at most {usd_text(highest)} USD, not {usd_text(limit)}",
            "leave it out for the operator's limit, or name less",
            code="limit_not_allowed",
        )
