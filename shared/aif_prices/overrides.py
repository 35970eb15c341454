"""Prices that an operator sets beside the shipped ones: own contracts, own models, prices that have changed since.

A document in JSON, rates as text, so that no reader makes binary fractions of them:

{"prices": [{"provider": "openai", "model": "gpt-4o-mini", "valid_from": "2026-12-01",
             "rates": {"input": "0.12", "cache_read": "0.06", "output": "0.48"}},
            {"provider": "openai_compatible", "model": "llama3.2", "free": true}]}

From its first day on, an operator's price stands before every shipped one of the same provider and model.
"""

import re
from datetime import date
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from aif_prices.failures import OverridesInvalid, PriceBookInvalid, PriceMistake
from aif_prices.listing import PriceVersion, check_version

PER_TOKENS = 1_000_000
MINUTES_PER_HOUR = 60
_AT = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"unknown field `(?P<name>[^`]*)`")
_MEND = "Write a price as text, in US dollars: for a million tokens, one minute of audio, one character, or one call."

ByTokens = Annotated[str, Meta(pattern=r"^[0-9]{1,6}(\.[0-9]{1,6})?$(?!\n)", description="US dollars for a million tokens")]
ByPiece = Annotated[str, Meta(pattern=r"^[0-9]{1,6}(\.[0-9]{1,12})?$(?!\n)", description="US dollars")]
Named = Annotated[str, Meta(min_length=1, max_length=200)]


class OverrideRates(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is left out is not charged, or as much as what it is part of: see Rates."""

    input: ByTokens | None = None
    cache_read: ByTokens | None = None
    cache_write: ByTokens | None = None
    output: ByTokens | None = None
    reasoning: ByTokens | None = None
    audio_minute: ByPiece | None = None
    character: ByPiece | None = None
    call: ByPiece | None = None


class OverriddenPrice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    provider: Named
    """As it stands in the ledger."""
    model: Named
    rates: OverrideRates | None = None
    valid_from: date | None = None
    """The first day, in UTC; None for always."""
    free: bool = False
    """Costs nothing; then without rates."""


class PriceOverrides(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    prices: Annotated[tuple[OverriddenPrice, ...], Meta(max_length=5000)] = ()


_DECODER = msgspec.json.Decoder(PriceOverrides)


def read_overrides(document: bytes) -> PriceOverrides:
    """Raises OverridesInvalid, naming the field."""
    try:
        overrides = _DECODER.decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
        raise OverridesInvalid([_mistake(str(wrong))]) from wrong
    check_overrides(overrides)
    return overrides


def check_overrides(overrides: PriceOverrides) -> None:
    """Raises OverridesInvalid with every mistake."""
    mistakes: list[PriceMistake] = []
    seen: set[tuple[str, str, date | None]] = set()
    for index, price in enumerate(overrides.prices):
        field = f"prices[{index}]"
        key = (price.provider, price.model, price.valid_from)
        if key in seen:
            mend = "Give each a valid_from of its own, or remove one."
            mistakes.append(PriceMistake(field=field, message=f"{price.model} has two prices from the same day", mend=mend))
        seen.add(key)
        try:
            check_version(version_of(price), name=price.model, per_tokens=PER_TOKENS)
        except PriceBookInvalid as wrong:
            mend = 'Give rates, or "free": true for a model that costs nothing.'
            mistakes.append(PriceMistake(field=f"{field}.rates", message=str(wrong), mend=mend))
    if mistakes:
        raise OverridesInvalid(mistakes)


def version_of(price: OverriddenPrice) -> PriceVersion:
    """The operator's price as a version of a list with rates for a million tokens."""
    rates = price.rates or OverrideRates()
    return PriceVersion(
        valid_from=price.valid_from,
        free=price.free,
        input=_amount(rates.input),
        cache_read=_amount(rates.cache_read),
        cache_write=_amount(rates.cache_write),
        output=_amount(rates.output),
        reasoning=_amount(rates.reasoning),
        audio_hour=None if rates.audio_minute is None else Decimal(rates.audio_minute) * MINUTES_PER_HOUR,
        character=_amount(rates.character),
        call=_amount(rates.call),
    )


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _mistake(words: str) -> PriceMistake:
    found = _AT.match(words)
    path = found["path"] if found is not None and found["path"] else ""
    unknown = _UNKNOWN.search(words)
    if unknown is not None:
        field = f"{path}.{unknown['name']}" if path else unknown["name"]
        return PriceMistake(field=field, message="is not known here", mend=f"Leave it out; known are {_known_at(path)}.")
    return PriceMistake(field=path or "prices", message=found["what"] if found is not None else words, mend=_MEND)


def _known_at(path: str) -> str:
    kind = PriceOverrides if not path else OverrideRates if path.endswith("rates") else OverriddenPrice
    return ", ".join(info.encode_name for info in msgspec.structs.fields(kind))
