"""Compares call by call, where a statement names requests: by our call key, which we send along, or by the answer's id."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from decimal import Decimal

from msgspec import Struct

from aif_console.reconciliation.differences import Comparison, Difference, DifferenceKind, Resolution
from aif_console.reconciliation.sides import LedgerCall, Period, StatementEntry
from aif_console.reconciliation.usage import NOTHING, Usage
from aif_contracts.money import usd_text

MARGIN = timedelta(hours=1)
"""What was booked so near to the end of the period may stand on the next statement."""


class _Matched(Struct, frozen=True, kw_only=True):
    pairs: list[tuple[LedgerCall, StatementEntry]]
    calls: list[LedgerCall]
    """Without an entry."""
    entries: list[StatementEntry]
    """Without a call."""
    differences: list[Difference]


def compare_requests(calls: Sequence[LedgerCall], entries: Sequence[StatementEntry], period: Period) -> Comparison:
    """`calls` may lie a little around the period, so that those near its edges find their entries."""
    matched = _match(calls, entries)
    differences, resolutions = list(matched.differences), []
    for call, entry in matched.pairs:
        if call.is_in_doubt:
            resolutions.append(_billed(call, entry))
            differences += _resolved(call, entry)
        else:
            differences += _unlike(call, entry)
    for call in matched.calls:
        if call.day not in period:
            continue
        if not call.is_in_doubt:
            if not call.usage.is_nothing:
                differences.append(_not_billed(call))
        elif _is_covered(call, period):
            resolutions.append(_unbilled(call))
            differences.append(_resolved_as_unbilled(call))
        else:
            differences.append(_undecided(call))
    differences += [_unknown(entry) for entry in matched.entries if entry.at.date() in period]
    inside = [call for call in calls if call.day in period]
    return Comparison(
        calls=len(inside),
        ledger=_sum(call.usage for call in inside),
        provider=_sum(entry.usage for entry in entries if entry.at.date() in period),
        differences=sorted(differences, key=lambda each: (each.day, each.model, each.kind, each.call_keys)),
        resolutions=resolutions,
    )


def _match(calls: Sequence[LedgerCall], entries: Sequence[StatementEntry]) -> _Matched:
    differences = list(_twice_in_ledger(calls))
    repeated = {each.call_keys[-1] for each in differences}
    by_key: dict[str, list[StatementEntry]] = {}
    by_response: dict[str, list[StatementEntry]] = {}
    for entry in entries:
        if entry.call_key is not None:
            by_key.setdefault(entry.call_key, []).append(entry)
        if entry.response_id is not None:
            by_response.setdefault(entry.response_id, []).append(entry)
    taken: set[int] = set()
    pairs: list[tuple[LedgerCall, StatementEntry]] = []
    alone: list[LedgerCall] = []
    for call in calls:
        candidates = by_key.get(call.call_key) or by_response.get(call.response_id or "") or []
        free = [entry for entry in candidates if id(entry) not in taken]
        if not free:
            if call.call_key not in repeated:
                alone.append(call)
            continue
        # Where a call was billed twice, the answer that we have is the one that we know of.
        chosen = next((entry for entry in free if entry.response_id == call.response_id), free[0])
        taken |= {id(entry) for entry in free}
        pairs.append((call, chosen))
        differences += [_billed_twice(call, entry) for entry in free if entry is not chosen]
    left = [entry for entry in entries if id(entry) not in taken]
    return _Matched(pairs=pairs, calls=alone, entries=left, differences=differences)


def _twice_in_ledger(calls: Sequence[LedgerCall]) -> Iterator[Difference]:
    first: dict[str, LedgerCall] = {}
    for call in calls:
        if call.response_id is None:
            continue
        other = first.setdefault(call.response_id, call)
        if other is not call:
            yield Difference(
                kind=DifferenceKind.DUPLICATE,
                day=call.day,
                model=call.model,
                message=f"the ledger has the answer {call.response_id} twice",
                call_keys=(other.call_key, call.call_key),
                response_id=call.response_id,
                usage=NOTHING - call.usage,
            )


def _billed_twice(call: LedgerCall, entry: StatementEntry) -> Difference:
    return Difference(
        kind=DifferenceKind.DUPLICATE,
        day=entry.at.date(),
        model=entry.model,
        message=f"the provider has billed the call a second time, as {entry.name}",
        call_keys=(call.call_key,),
        response_id=entry.response_id,
        usage=entry.usage,
        cost_usd=None if entry.cost_usd is None else usd_text(entry.cost_usd),
    )


def _unlike(call: LedgerCall, entry: StatementEntry) -> Iterator[Difference]:
    def told(kind: DifferenceKind, message: str, usage: Usage = NOTHING) -> Difference:
        return Difference(
            kind=kind,
            day=entry.at.date(),
            model=call.model,
            message=message,
            call_keys=(call.call_key,),
            response_id=entry.response_id,
            usage=usage,
            cost_usd=_difference(entry.cost_usd, call.cost_usd),
        )

    if entry.usage != call.usage:
        words = f"the provider says {entry.usage.total} tokens, the ledger {call.usage.total}"
        yield told(DifferenceKind.TOKENS, words, entry.usage - call.usage)
    elif entry.cost_usd is not None and call.cost_usd is not None and entry.cost_usd != call.cost_usd:
        words = f"the provider says {usd_text(entry.cost_usd)} USD, the ledger {usd_text(call.cost_usd)}"
        yield told(DifferenceKind.PRICE, words)
    if entry.at.date() != call.day:
        yield told(DifferenceKind.TIME_BUCKET, f"booked on {call.day}, billed on {entry.at.date()}")


def _billed(call: LedgerCall, entry: StatementEntry) -> Resolution:
    return Resolution(
        call_key=call.call_key,
        day=entry.at.date(),
        model=call.model,
        billed=True,
        usage=entry.usage,
        cost_usd=entry.cost_usd,
    )


def _resolved(call: LedgerCall, entry: StatementEntry) -> Iterator[Difference]:
    if call.cost_usd is not None and call.cost_usd == entry.cost_usd and call.usage == entry.usage:
        return
    yield Difference(
        kind=DifferenceKind.IN_DOUBT_RESOLVED,
        day=entry.at.date(),
        model=call.model,
        message=f"it was billed, with {entry.usage.total} tokens",
        call_keys=(call.call_key,),
        response_id=entry.response_id,
        usage=entry.usage - call.usage,
        cost_usd=_difference(entry.cost_usd, call.cost_usd),
    )


def _unbilled(call: LedgerCall) -> Resolution:
    return Resolution(call_key=call.call_key, day=call.day, model=call.model, billed=False, usage=NOTHING, cost_usd=Decimal(0))


def _resolved_as_unbilled(call: LedgerCall) -> Difference:
    return Difference(
        kind=DifferenceKind.IN_DOUBT_RESOLVED,
        day=call.day,
        model=call.model,
        message="it was not billed",
        call_keys=(call.call_key,),
        usage=NOTHING - call.usage,
        cost_usd=_difference(Decimal(0), call.cost_usd),
    )


def _undecided(call: LedgerCall) -> Difference:
    return Difference(
        kind=DifferenceKind.IN_DOUBT,
        day=call.day,
        model=call.model,
        message="booked within the last hour of the period: the next statement may have it",
        call_keys=(call.call_key,),
    )


def _not_billed(call: LedgerCall) -> Difference:
    return Difference(
        kind=DifferenceKind.MISSING_AT_PROVIDER,
        day=call.day,
        model=call.model,
        message=f"the ledger has it with {call.usage.total} tokens, the provider does not",
        call_keys=(call.call_key,),
        response_id=call.response_id,
        usage=NOTHING - call.usage,
        cost_usd=_difference(Decimal(0), call.cost_usd),
    )


def _unknown(entry: StatementEntry) -> Difference:
    return Difference(
        kind=DifferenceKind.MISSING_IN_LEDGER,
        day=entry.at.date(),
        model=entry.model,
        message=f"the provider has billed {entry.name} with {entry.usage.total} tokens, the ledger does not have it",
        call_keys=() if entry.call_key is None else (entry.call_key,),
        response_id=entry.response_id,
        usage=entry.usage,
        cost_usd=None if entry.cost_usd is None else usd_text(entry.cost_usd),
    )


def _is_covered(call: LedgerCall, period: Period) -> bool:
    return (call.at + MARGIN).date() <= period.last


def _difference(provider: Decimal | None, ledger: Decimal | None) -> str | None:
    return None if provider is None or ledger is None else signed_usd(provider - ledger)


def signed_usd(amount: Decimal) -> str:
    return f"-{usd_text(-amount)}" if amount < 0 else usd_text(amount)


def _sum(usages: Iterable[Usage]) -> Usage:
    return sum(usages, NOTHING)
