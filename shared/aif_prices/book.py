"""What a token costs: dated price versions per model, exact decimals.

The book ships as JSON in `data/`, one file for each provider, each naming its source and the day it was read. A model
that is not in it has no price, and its calls cost `None`: unknown, never nothing.
"""

import re
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from importlib.resources import files

import msgspec
from msgspec import Struct

from aif_contracts.metering import Tokens
from aif_contracts.money import ZERO
from aif_prices.failures import PriceBookInvalid

_DATED_NAME = re.compile(r"^(?P<name>.+?)-(?:\d{4}-\d{2}-\d{2}|\d{8}|latest)$")
FREE_VERSION = "free"


class Rates(Struct, frozen=True, kw_only=True):
    """US dollars for `per_tokens` tokens."""

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    """None when reading a cache costs as much as any input."""
    cache_write: Decimal | None = None
    """None when writing a cache costs as much as any input."""


class LongInputRates(Rates, frozen=True, kw_only=True):
    """Rates for the whole call when its input is longer than `above_tokens`."""

    above_tokens: int


class PriceVersion(Rates, frozen=True, kw_only=True):
    valid_from: date | None = None
    """None for the first price known."""
    long_input: LongInputRates | None = None


class PricedModel(Struct, frozen=True, kw_only=True):
    model: str
    versions: tuple[PriceVersion, ...]
    aliases: tuple[str, ...] = ()


class PriceFile(Struct, frozen=True, kw_only=True):
    provider: str
    currency: str
    per_tokens: int
    source: str
    read_on: date
    models: tuple[PricedModel, ...]


class Price(Struct, frozen=True, kw_only=True):
    """The price of one model on one day."""

    version: str
    """Names provider, model and the first day of validity; booked with every call."""
    rates: Rates
    per_tokens: int
    long_input: LongInputRates | None = None

    def cost(self, tokens: Tokens) -> Decimal:
        """Exact US dollars for a call's usage. Cached tokens are part of the prompt tokens."""
        rates = self._rates(tokens.prompt_tokens)
        plain = tokens.prompt_tokens - tokens.cache_read_tokens - tokens.cache_write_tokens
        total = (
            plain * rates.input
            + tokens.cache_read_tokens * (rates.input if rates.cache_read is None else rates.cache_read)
            + tokens.cache_write_tokens * (rates.input if rates.cache_write is None else rates.cache_write)
            + tokens.completion_tokens * rates.output
        )
        return total / self.per_tokens

    def upper_bound(self, *, input_tokens: int, output_tokens: int) -> Decimal:
        """The most that a call can cost with at most so many tokens."""
        candidates = [self.rates] if self.long_input is None else [self.rates, self.long_input]
        return max(
            (input_tokens * max(r.input, r.cache_write or ZERO, r.cache_read or ZERO) + output_tokens * r.output)
            / self.per_tokens
            for r in candidates
        )

    def _rates(self, input_tokens: int) -> Rates:
        if self.long_input is not None and input_tokens > self.long_input.above_tokens:
            return self.long_input
        return self.rates


FREE = Price(version=FREE_VERSION, rates=Rates(input=ZERO, output=ZERO), per_tokens=1)


class PriceBook:
    """Finds the price of a model. `free_models` are those that the operator declares to cost nothing."""

    def __init__(self, price_files: Iterable[PriceFile], *, free_models: Iterable[str] = ()) -> None:
        self._free = frozenset(free_models)
        self._models: dict[tuple[str, str], tuple[PricedModel, PriceFile]] = {}
        for price_file in price_files:
            _check(price_file)
            for model in price_file.models:
                for name in (model.model, *model.aliases):
                    self._models[price_file.provider, name] = (model, price_file)

    def price(self, provider: str, model: str, on: date) -> Price | None:
        """None when the price is unknown. A dated model name has the price of its family unless it is listed itself."""
        if model in self._free:
            return FREE
        dated = _DATED_NAME.match(model)
        entry = self._models.get((provider, model)) or (self._models.get((provider, dated["name"])) if dated else None)
        if entry is None:
            return None
        priced, price_file = entry
        version = max(
            (v for v in priced.versions if v.valid_from is None or v.valid_from <= on), key=lambda v: v.valid_from or date.min
        )
        since = f"{version.valid_from}" if version.valid_from else f"read-{price_file.read_on}"
        return Price(
            version=f"{provider}/{priced.model}@{since}",
            rates=version,
            per_tokens=price_file.per_tokens,
            long_input=version.long_input,
        )


def shipped_prices() -> tuple[PriceFile, ...]:
    """The price files of this package. Raises PriceBookInvalid."""
    folder = files("aif_prices") / "data"
    found: list[PriceFile] = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".json"):
            try:
                found.append(msgspec.json.decode(entry.read_bytes(), type=PriceFile))
            except msgspec.MsgspecError as wrong:
                raise PriceBookInvalid(f"data/{entry.name}: {wrong}") from wrong
    return tuple(found)


def _check(price_file: PriceFile) -> None:
    if price_file.currency != "USD":
        raise PriceBookInvalid(f"{price_file.provider}: prices in {price_file.currency}, only USD is understood")
    for model in price_file.models:
        if sum(version.valid_from is None for version in model.versions) != 1:
            raise PriceBookInvalid(f"{model.model}: exactly one version, the first, has no valid_from")
        for rates in model.versions:
            if rates.input <= 0 or rates.output <= 0:
                raise PriceBookInvalid(
                    f"{model.model}: a price of zero; leave the model out or declare it free in the settings"
                )
