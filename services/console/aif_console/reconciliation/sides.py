"""The two sides: calls of the ledger, and a provider's statement."""

import re
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal

from msgspec import Struct

from aif_console.reconciliation.usage import Usage
from aif_contracts.metering import Basis, CallOutcome
from aif_contracts.money import usd
from aif_contracts.reconciliation import BookedCall

_DATED = re.compile(r"^(?P<name>.+?)-(?:\d{4}-\d{2}-\d{2}|\d{8}|latest)$")
NOT_AT_THE_PROVIDER = frozenset({CallOutcome.CACHED, CallOutcome.FAILED})
"""Nobody was called, or the provider refused: neither stands on a bill."""


class Period(Struct, frozen=True, kw_only=True):
    """Whole days in UTC, both included."""

    first: date
    last: date

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last

    def days(self) -> list[date]:
        return [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]


class LedgerCall(Struct, frozen=True, kw_only=True):
    call_key: str
    model: str
    """Without the date of its version."""
    at: datetime
    usage: Usage
    cost_usd: Decimal | None
    """None when nobody knows."""
    response_id: str | None = None
    is_estimate: bool = False

    @property
    def day(self) -> date:
        return self.at.date()

    @property
    def is_in_doubt(self) -> bool:
        """Whether a statement may say what it has cost."""
        return self.cost_usd is None or self.is_estimate


class StatementDay(Struct, frozen=True, kw_only=True):
    """What a provider says of one model on one day."""

    day: date
    model: str
    usage: Usage
    requests: int | None = None
    """None when it does not say."""
    cost_usd: Decimal | None = None


class StatementEntry(Struct, frozen=True, kw_only=True):
    """What a provider says of one call."""

    model: str
    at: datetime
    usage: Usage
    response_id: str | None = None
    call_key: str | None = None
    """The client's own name of the request, as it was sent along."""
    cost_usd: Decimal | None = None

    @property
    def name(self) -> str:
        return self.response_id or self.call_key or "an entry without an id"


def family(model: str) -> str:
    """A bill names the version that has answered, the ledger what was asked for."""
    dated = _DATED.match(model)
    return model if dated is None else dated["name"]


def ledger_calls(booked: Iterable[BookedCall]) -> list[LedgerCall]:
    """Those that a provider may have billed."""
    return [_ledger_call(each) for each in booked if each.call.outcome not in NOT_AT_THE_PROVIDER]


def _ledger_call(booked: BookedCall) -> LedgerCall:
    call = booked.call
    return LedgerCall(
        call_key=call.call_key,
        model=family(call.model),
        at=datetime.fromisoformat(booked.booked_at),
        usage=Usage.of_tokens(call.tokens),
        cost_usd=None if call.cost_usd is None else usd(call.cost_usd),
        response_id=call.response_id,
        is_estimate=call.basis is Basis.ESTIMATE,
    )
