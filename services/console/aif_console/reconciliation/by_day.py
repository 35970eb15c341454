"""Compares day by day and model by model, where a statement tells no more than that.

A difference has to be explained by what the ledger knows. In this order: a call near midnight that stands on the other day;
the one call without an answer; a call that was billed twice or not at all, if its tokens are exactly those that are too many or
too few. What remains is tokens that nobody can explain.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from aif_console.reconciliation.by_request import signed_usd
from aif_console.reconciliation.differences import Comparison, Difference, DifferenceKind, Resolution
from aif_console.reconciliation.midnight import NEAR, calls_on_the_other_day
from aif_console.reconciliation.sides import LedgerCall, Period, StatementDay, family
from aif_console.reconciliation.usage import NOTHING, Usage

PRICE_TOLERANCE_USD = Decimal("0.000001")
"""Providers tell money as numbers that are not exact."""


class _Day(Struct, kw_only=True):
    """One model on one day, on both sides. What has been explained is taken out of it."""

    day: date
    model: str
    calls: list[LedgerCall]
    """With a known cost."""
    doubtful: list[LedgerCall]
    provider: Usage = NOTHING
    requests: int | None = None
    cost_usd: Decimal | None = None

    @property
    def ledger(self) -> Usage:
        return sum((call.usage for call in self.calls), NOTHING)

    @property
    def surplus(self) -> Usage:
        """What the provider says beyond the ledger."""
        return self.provider - self.ledger


def compare_days(calls: Sequence[LedgerCall], statement: Sequence[StatementDay], period: Period) -> Comparison:
    """`calls` may lie a little around the period, so that those near its edges can be found on the other day."""
    days = _days(calls, statement)
    differences = _moved_over_midnight(days, period)
    resolutions: list[Resolution] = []
    for (day, _), each in sorted(days.items()):
        if day in period:
            found, resolved = _explained(each, _open_calls(each, days, period))
            differences += found
            resolutions += resolved
    inside = [call for call in calls if call.day in period]
    return Comparison(
        calls=len(inside),
        ledger=sum((call.usage for call in inside), NOTHING),
        provider=sum((line.usage for line in statement if line.day in period), NOTHING),
        differences=sorted(differences, key=lambda each: (each.day, each.model, each.kind, each.call_keys)),
        resolutions=resolutions,
    )


def _days(calls: Iterable[LedgerCall], statement: Iterable[StatementDay]) -> dict[tuple[date, str], _Day]:
    days: dict[tuple[date, str], _Day] = {}

    def of(day: date, model: str) -> _Day:
        return days.setdefault((day, model), _Day(day=day, model=model, calls=[], doubtful=[]))

    for call in calls:
        each = of(call.day, call.model)
        (each.doubtful if call.is_in_doubt else each.calls).append(call)
    for line in statement:
        each = of(line.day, family(line.model))
        each.provider += line.usage
        if line.requests is not None:
            each.requests = (each.requests or 0) + line.requests
        if line.cost_usd is not None:
            each.cost_usd = (each.cost_usd or Decimal(0)) + line.cost_usd
    return days


def _moved_over_midnight(days: dict[tuple[date, str], _Day], period: Period) -> list[Difference]:
    """Put calls on the day on which the provider has them, and tell of it."""
    differences: list[Difference] = []
    for before, after in _neighbours(days, period):
        for here, there in ((before, after), (after, before)):
            # Only the sides inside of the period are known.
            wanted = here.surplus if here.day in period else NOTHING - there.surplus
            moved = calls_on_the_other_day(there.calls, wanted, here.day)
            there_after = there.surplus + sum((call.usage for call in moved), NOTHING)
            if there.day in period and there_after.magnitude >= there.surplus.magnitude:
                # They are not too many there, so it is chance that they fit here.
                continue
            for call in moved:
                there.calls.remove(call)
                here.calls.append(call)
                differences.append(
                    Difference(
                        kind=DifferenceKind.TIME_BUCKET,
                        day=here.day,
                        model=call.model,
                        message=f"booked on {there.day}, billed on {here.day}",
                        call_keys=(call.call_key,),
                        response_id=call.response_id,
                    )
                )
    return differences


def _neighbours(days: dict[tuple[date, str], _Day], period: Period) -> list[tuple[_Day, _Day]]:
    found: list[tuple[_Day, _Day]] = []
    for day, model in sorted(days):
        following = date.fromordinal(day.toordinal() + 1)
        for first, second in ((day, following), (date.fromordinal(day.toordinal() - 1), day)):
            if (first in period or second in period) and ((first, model) not in days or (second, model) not in days):
                missing = first if (first, model) not in days else second
                days[missing, model] = _Day(day=missing, model=model, calls=[], doubtful=[])
        if (following, model) in days and (day in period or following in period):
            found.append((days[day, model], days[following, model]))
    return found


def _open_calls(each: _Day, days: dict[tuple[date, str], _Day], period: Period) -> set[str]:
    """Calls without an answer that may stand on a day of which nothing is known, or on which something else is wrong, too."""
    found: set[str] = set()
    for call in each.doubtful:
        for other in {(call.at - NEAR).date(), (call.at + NEAR).date()} - {each.day}:
            neighbour = days.get((other, each.model))
            is_clean = other in period and (neighbour is None or neighbour.surplus.is_nothing)
            if not is_clean:
                found.add(call.call_key)
    return found


def _explained(day: _Day, open_calls: set[str]) -> tuple[list[Difference], list[Resolution]]:
    surplus = day.surplus
    if day.doubtful:
        return _with_doubt(day, surplus, open_calls)
    if surplus.is_nothing:
        return _by_price(day), []
    return [_unexplained(day, surplus)], []


def _with_doubt(day: _Day, surplus: Usage, open_calls: set[str]) -> tuple[list[Difference], list[Resolution]]:
    if surplus.is_nothing:
        return _not_billed(day, open_calls)
    keys = tuple(call.call_key for call in day.doubtful)
    more = 1 if day.requests is None else day.requests - len(day.calls)
    if not surplus.is_some:
        message = "without an answer; and the provider says less than what was answered"
        return [_told(day, DifferenceKind.IN_DOUBT, message, keys), _unexplained(day, surplus)], []
    if len(keys) == 1 and more == 1 and not open_calls:
        message = f"it was billed, with {surplus.total} tokens"
        resolved = [_resolution(day.doubtful[0], surplus, _rest_of_cost(day))]
        return [_told(day, DifferenceKind.IN_DOUBT_RESOLVED, message, keys, surplus)], resolved
    message = f"calls without an answer, and {surplus.total} tokens that the ledger does not have; who used them is not said"
    return [_told(day, DifferenceKind.IN_DOUBT, message, keys, surplus)], []


def _not_billed(day: _Day, open_calls: set[str]) -> tuple[list[Difference], list[Resolution]]:
    """All that was billed is known. A call near midnight may still stand on the other day."""
    differences: list[Difference] = []
    resolutions: list[Resolution] = []
    for call in day.doubtful:
        if call.call_key in open_calls:
            message = "without an answer; it may stand on the day beside, of which not everything is known"
            differences.append(_told(day, DifferenceKind.IN_DOUBT, message, (call.call_key,)))
        else:
            differences.append(_told(day, DifferenceKind.IN_DOUBT_RESOLVED, "it was not billed", (call.call_key,)))
            resolutions.append(_resolution(call, NOTHING, Decimal(0)))
    return differences, resolutions


def _unexplained(day: _Day, surplus: Usage) -> Difference:
    more = None if day.requests is None else day.requests - len(day.calls)
    twice = next((call for call in day.calls if call.usage == surplus), None)
    gone = next((call for call in day.calls if call.usage == NOTHING - surplus), None)
    if not day.calls:
        message = f"the provider has billed {surplus.total} tokens, the ledger has no call"
        return _told(day, DifferenceKind.MISSING_IN_LEDGER, message, (), surplus)
    if day.provider.is_nothing and day.requests in (None, 0):
        keys = tuple(call.call_key for call in day.calls)
        message = f"the ledger has {len(keys)} calls with {day.ledger.total} tokens, the provider none"
        return _told(day, DifferenceKind.MISSING_AT_PROVIDER, message, keys, surplus)
    if twice is not None and more in (None, 1):
        message = "the provider has billed as many tokens more as this call has used: it may have been billed twice"
        return _told(day, DifferenceKind.DUPLICATE, message, (twice.call_key,), surplus)
    if gone is not None and more in (None, -1):
        message = "the provider has billed as many tokens less as this call has used: it may be missing there"
        return _told(day, DifferenceKind.MISSING_AT_PROVIDER, message, (gone.call_key,), surplus)
    if more:
        kind = DifferenceKind.MISSING_IN_LEDGER if more > 0 else DifferenceKind.MISSING_AT_PROVIDER
        message = f"the provider has {day.requests} requests, the ledger {len(day.calls)} calls; {surplus.total:+} tokens"
        return _told(day, kind, message, (), surplus)
    message = f"the provider says {day.provider.total} tokens, the ledger {day.ledger.total}"
    return _told(day, DifferenceKind.TOKENS, message, (), surplus)


def _by_price(day: _Day) -> list[Difference]:
    if day.cost_usd is None:
        return []
    ledger = _cost_of(day.calls)
    if abs(day.cost_usd - ledger) <= PRICE_TOLERANCE_USD:
        return []
    message = f"the same tokens, for which the provider charges {day.cost_usd:f} USD, and the ledger has {ledger:f}"
    told = _told(day, DifferenceKind.PRICE, message, ())
    return [replace(told, cost_usd=signed_usd(_rounded(day.cost_usd - ledger)))]


def _rest_of_cost(day: _Day) -> Decimal | None:
    """What the provider charges beyond what the ledger knows; None when it does not say, or says too little."""
    if day.cost_usd is None:
        return None
    rest = _rounded(day.cost_usd - _cost_of(day.calls))
    return rest if rest > 0 else None


def _cost_of(calls: Iterable[LedgerCall]) -> Decimal:
    return sum((call.cost_usd for call in calls if call.cost_usd is not None), Decimal(0))


def _rounded(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.000000000001"))


def _resolution(call: LedgerCall, usage: Usage, cost_usd: Decimal | None) -> Resolution:
    return Resolution(
        call_key=call.call_key,
        day=call.day,
        model=call.model,
        billed=not usage.is_nothing,
        usage=usage,
        cost_usd=cost_usd,
    )


def _told(day: _Day, kind: DifferenceKind, message: str, call_keys: tuple[str, ...], usage: Usage = NOTHING) -> Difference:
    return Difference(kind=kind, day=day.day, model=day.model, message=message, call_keys=call_keys, usage=usage)
