"""What an account has reached. Pure: amounts in, crossings out.

Only what is spent counts, not what is reserved: a reservation may come back. A month's pace says nothing in its first day, and
once the limit itself is reached nobody needs a forecast of it.
"""

from collections.abc import Collection, Iterator
from decimal import Decimal

from msgspec import Struct

from aif_contracts.budgets import AlertKind
from aif_contracts.money import usd_text

THRESHOLDS_PERCENT = (50, 80, 100)
WHOLE_PERCENT = 100
_CENT = Decimal("0.01")


class Account(Struct, frozen=True, kw_only=True):
    """What a client has used of one month."""

    client_id: str
    window: str
    limit_usd: Decimal
    spent_usd: Decimal
    energy_limit: int | None
    energy_spent: int
    elapsed_share: Decimal | None
    """How much of the month has passed, of 1; None in its first day, and when it is over."""
    raised: Collection[tuple[AlertKind, int, Decimal]] = ()
    """What was said already: kinds, thresholds, and the limits that they were shares of."""


class Crossing(Struct, frozen=True, kw_only=True):
    """Something to say, once for each limit."""

    client_id: str
    window: str
    kind: AlertKind
    threshold_percent: int
    of_limit: Decimal
    """What the threshold is a share of: US dollars, or units of energy."""
    spent_usd: Decimal
    limit_usd: Decimal
    message: str

    @property
    def alert_id(self) -> str:
        return f"alert_{self.client_id}_{self.window}_{self.kind}_{self.threshold_percent}_of_{usd_text(self.of_limit)}"


def crossings(account: Account) -> list[Crossing]:
    """What the account has reached and was not said. Of several thresholds of a limit the highest says the lower ones, too."""
    reached = (*_spent(account), *_forecast(account), *_energy(account))
    return [each for each in reached if not _is_said(account, each)]


def dear_week(client_id: str, week: str, spent_usd: Decimal, mark_usd: Decimal) -> Crossing:
    return Crossing(
        client_id=client_id,
        window=week,
        kind=AlertKind.WEEKLY,
        threshold_percent=WHOLE_PERCENT,
        of_limit=mark_usd,
        spent_usd=spent_usd,
        limit_usd=mark_usd,
        message=f"{_dollars(spent_usd)} were spent on AI in week {week}, above the mark of {_dollars(mark_usd)}",
    )


def _is_said(account: Account, reached: Crossing) -> bool:
    return any(
        (kind, of_limit) == (reached.kind, reached.of_limit) and percent >= reached.threshold_percent
        for kind, percent, of_limit in account.raised
    )


def _highest_reached(used: Decimal | int, limit: Decimal | int) -> int | None:
    """In percent; nothing is reached before something is used."""
    return max(
        (percent for percent in THRESHOLDS_PERCENT if used > 0 and used * WHOLE_PERCENT >= limit * percent), default=None
    )


def _spent(account: Account) -> Iterator[Crossing]:
    percent = _highest_reached(account.spent_usd, account.limit_usd)
    if percent is not None:
        words = f"{_dollars(account.spent_usd)} of {_dollars(account.limit_usd)} are spent in {account.window}"
        yield _crossing(account, AlertKind.SPENT, percent, account.limit_usd, f"{words}: {percent} % are reached")


def _forecast(account: Account) -> Iterator[Crossing]:
    if account.elapsed_share is None or account.spent_usd >= account.limit_usd:
        return
    coming = account.spent_usd / account.elapsed_share
    if coming > account.limit_usd:
        words = f"at the pace of {account.window} so far, {_dollars(coming)} will be spent by its end"
        message = f"{words}, above the limit of {_dollars(account.limit_usd)}"
        yield _crossing(account, AlertKind.FORECAST, WHOLE_PERCENT, account.limit_usd, message)


def _energy(account: Account) -> Iterator[Crossing]:
    limit = account.energy_limit
    if limit is None:
        return
    percent = _highest_reached(account.energy_spent, limit)
    if percent is not None:
        words = f"{account.energy_spent} of {limit} units of energy are used in {account.window}"
        yield _crossing(account, AlertKind.ENERGY, percent, Decimal(limit), f"{words}: {percent} % are reached")


def _crossing(account: Account, kind: AlertKind, percent: int, of_limit: Decimal, message: str) -> Crossing:
    return Crossing(
        client_id=account.client_id,
        window=account.window,
        kind=kind,
        threshold_percent=percent,
        of_limit=of_limit,
        spent_usd=account.spent_usd,
        limit_usd=account.limit_usd,
        message=message,
    )


def _dollars(amount: Decimal) -> str:
    """For people: in cents, and exactly where it is less than one."""
    return f"{amount.quantize(_CENT)} USD" if amount >= _CENT or not amount else f"{usd_text(amount)} USD"
