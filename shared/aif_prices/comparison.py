"""How two price books differ on a day, and what another book would have made of calls that are booked already."""

import enum
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal

from msgspec import Struct

from aif_contracts.metering import CallOutcome, ProviderCall
from aif_contracts.money import ZERO, usd
from aif_prices.book import EffectivePrice, Price, PriceBook
from aif_prices.listing import rates_of

_PERCENT_DIGITS = Decimal("0.1")


class Difference(enum.StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class RateChange(Struct, frozen=True, kw_only=True):
    kind: str
    """Name of the rate; of a long input's with `long_input.` before it."""
    old: Decimal | None
    """None: it was not charged, or as much as what it is part of."""
    new: Decimal | None

    @property
    def percent(self) -> Decimal | None:
        """To one decimal; None when there is nothing to compare with."""
        if self.old is None or self.new is None or self.old == 0:
            return None
        return ((self.new - self.old) * 100 / self.old).quantize(_PERCENT_DIGITS)


class PriceDifference(Struct, frozen=True, kw_only=True):
    provider: str
    model: str
    difference: Difference
    rates: tuple[RateChange, ...]
    """Those that differ; all of them for a model that was added or removed, and none for one that costs nothing."""


def compare(old: PriceBook, new: PriceBook, on: date) -> tuple[PriceDifference, ...]:
    """By provider and model, as prices are on the day."""
    before = {(each.provider, each.model): each for each in old.effective(on)}
    after = {(each.provider, each.model): each for each in new.effective(on)}
    differences = (_difference(key, before.get(key), after.get(key)) for key in sorted(before.keys() | after.keys()))
    return tuple(each for each in differences if each is not None)


def _difference(key: tuple[str, str], before: EffectivePrice | None, after: EffectivePrice | None) -> PriceDifference | None:
    old, new = _rates(before), _rates(after)
    changes = tuple(
        RateChange(kind=kind, old=old.get(kind), new=new.get(kind))
        for kind in dict.fromkeys((*old, *new))
        if old.get(kind) != new.get(kind)
    )
    if before is not None and after is not None and not changes:
        return None
    kind = Difference.ADDED if before is None else Difference.REMOVED if after is None else Difference.CHANGED
    return PriceDifference(provider=key[0], model=key[1], difference=kind, rates=changes)


def _rates(effective: EffectivePrice | None) -> dict[str, Decimal]:
    """For a million tokens, whatever number of tokens the list is for."""
    if effective is None:
        return {}
    price = effective.price
    scale = Decimal(1_000_000) / price.per_tokens
    found = {kind: _by_million(kind, rate, scale) for kind, rate in rates_of(price.rates).items()}
    if price.long_input is not None:
        found["long_input.above_tokens"] = Decimal(price.long_input.above_tokens)
        found |= {f"long_input.{kind}": _by_million(kind, rate, scale) for kind, rate in rates_of(price.long_input).items()}
    return found


def _by_million(kind: str, rate: Decimal, scale: Decimal) -> Decimal:
    return rate if kind in ("audio_hour", "character", "call") else rate * scale


class Repriced(Struct, kw_only=True):
    """What another book makes of the booked calls to one model. Amounts in USD."""

    provider: str
    model: str
    calls: int = 0
    """That have usage and a cost, and a price in the other book."""
    booked_usd: Decimal = ZERO
    repriced_usd: Decimal = ZERO
    without_price: int = 0
    """Calls that the other book has no price for: they stay as they are booked."""
    without_price_usd: Decimal = ZERO
    unknown: int = 0
    """Calls whose cost or usage nobody knows."""

    @property
    def change_usd(self) -> Decimal:
        return self.repriced_usd - self.booked_usd


def reprice(calls: Iterable[ProviderCall], book: PriceBook, on: date) -> Sequence[Repriced]:
    """By provider and model, with the book's prices of that day. Changes nothing.

    Calls that cost nothing are left out where no price says otherwise: local providers, an operator's free models, the
    response cache, errors.
    """
    found: dict[tuple[str, str], Repriced] = {}
    for call in calls:
        has_usage = bool(call.tokens.prompt_tokens or call.tokens.completion_tokens or call.audio_ms or call.characters)
        cost = None if call.cost_usd is None else usd(call.cost_usd)
        price = book.price(call.provider, call.model, on)
        if cost == ZERO and (price is None or not has_usage):
            continue
        total = found.setdefault((call.provider, call.model), Repriced(provider=call.provider, model=call.model))
        if cost is None or not has_usage:
            total.unknown += 1
            continue
        if price is None:
            total.without_price += 1
            total.without_price_usd += cost
            continue
        total.calls += 1
        total.booked_usd += cost
        total.repriced_usd += price.cost(call.tokens, audio_ms=call.audio_ms, characters=call.characters)
    return [found[key] for key in sorted(found)]


def by_one_model(calls: Iterable[ProviderCall], price: Price) -> Sequence[Repriced]:
    """By provider and model, had one language model done alone what all of them did together.

    It is charged for what was answered. What came to nothing counts as paid and saves nothing: whether the one model would
    have failed as often nobody knows, so no saving is claimed for it. Sound and characters are no work of a language model.
    """
    found: dict[tuple[str, str], Repriced] = {}
    for call in calls:
        if call.audio_ms or call.characters or call.cost_usd is None or not call.tokens.total_tokens:
            if call.cost_usd is None and call.outcome is not CallOutcome.FAILED:
                found.setdefault((call.provider, call.model), Repriced(provider=call.provider, model=call.model)).unknown += 1
            continue
        total = found.setdefault((call.provider, call.model), Repriced(provider=call.provider, model=call.model))
        total.calls += 1
        total.booked_usd += usd(call.cost_usd)
        if call.outcome is CallOutcome.ANSWERED:
            total.repriced_usd += price.cost(call.tokens)
    return [found[key] for key in sorted(found)]
