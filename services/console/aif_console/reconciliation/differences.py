"""How the two sides can differ, and what follows."""

import enum
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from msgspec import Struct

from aif_console.reconciliation.usage import NOTHING, Usage
from aif_contracts.money import SignedUsdText


class DifferenceKind(enum.StrEnum):
    MISSING_IN_LEDGER = "missing_in_ledger"
    """Billed, and the ledger knows nothing of it."""
    MISSING_AT_PROVIDER = "missing_at_provider"
    """In the ledger, and not billed."""
    DUPLICATE = "duplicate"
    """One call stands twice on one of the sides."""
    TOKENS = "token_difference"
    PRICE = "price_difference"
    """The same tokens at another price."""
    TIME_BUCKET = "time_bucket"
    """A call near midnight (UTC) stands on the other day. Over both days nothing is missing."""
    IN_DOUBT = "in_doubt"
    """Calls without an answer, of which the statement does not say which was billed."""
    IN_DOUBT_RESOLVED = "in_doubt_resolved"
    """A call without an answer, of which the statement says what it has cost."""


class Difference(Struct, frozen=True, kw_only=True):
    kind: DifferenceKind
    day: date
    """In UTC; of the provider's side where it is on both."""
    model: str
    message: str
    call_keys: tuple[str, ...] = ()
    response_id: str | None = None
    usage: Usage = NOTHING
    """What the provider says beyond the ledger."""
    cost_usd: SignedUsdText | None = None
    """What the provider says beyond the ledger; None where one of them says nothing."""

    @property
    def is_off(self) -> bool:
        """Whether something is wrong by it, however small. What stands on another day only is not."""
        return self.kind is not DifferenceKind.TIME_BUCKET


class Resolution(Struct, frozen=True, kw_only=True):
    """What the statement says of a call without an answer."""

    call_key: str
    day: date
    model: str
    billed: bool
    usage: Usage
    cost_usd: Decimal | None
    """None when the statement tells tokens only."""


class Comparison(Struct, frozen=True, kw_only=True):
    calls: int
    """Of the ledger, in the period."""
    ledger: Usage
    provider: Usage
    differences: Sequence[Difference]
    resolutions: Sequence[Resolution]
