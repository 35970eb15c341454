"""What an execution may spend, on the command line and for a reader."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from aif_console.failures import BadInput
from aif_console.reading.plain_text import dollars
from aif_contracts.history import AttemptOutcome, AttemptView
from aif_contracts.money import ZERO, UsdText, usd, usd_text
from aif_contracts.orders import ExecutionView

MEND = "write US dollars such as 0.50, more than 0, with 12 decimals at most"


def cost_limit(text: str | None, option: str) -> UsdText | None:
    """An amount as the wire wants it; `$0.50` is one, too. None stays None. Raises BadInput."""
    if text is None:
        return None
    try:
        amount = usd(msgspec.convert(text.strip().removeprefix("$"), UsdText))
    except msgspec.ValidationError as wrong:
        raise BadInput(option, f"{text!r} is no amount", MEND) from wrong
    if amount == ZERO:
        raise BadInput(option, "an execution that may spend nothing cannot be ordered", MEND)
    return usd_text(amount)


def limit_words(limit: UsdText, execution: ExecutionView, attempts: Iterable[AttemptView]) -> str:
    """The limit, what is left of it, and how much of that attempts under way may still take."""
    left = max(ZERO, usd(limit) - usd(execution.totals.cost_usd))
    taken = sum((_open_amount(attempt) for attempt in attempts if attempt.outcome is AttemptOutcome.RUNNING), ZERO)
    most = "" if execution.totals.cost_is_complete else "at most "
    words = f"{dollars(limit)}, {most}{dollars(usd_text(left))} left"
    if min(left, taken) == ZERO:
        return words
    return f"{words}, up to {dollars(usd_text(min(left, taken)))} of it for attempts under way"


def _open_amount(attempt: AttemptView) -> Decimal:
    granted = ZERO if attempt.grant is None else usd(attempt.grant.max_cost_usd)
    return max(ZERO, granted - usd(attempt.metrics.cost_usd or "0"))
