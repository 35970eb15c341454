"""Which price holds for a model on a day.

Lists ship as JSON in `data/`, one for each provider, each naming its source and the day it was read; an operator's own prices
stand before them. A model that is in neither has no price, and its calls cost `None`: unknown, never nothing.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from urllib.parse import urlsplit

from msgspec import Struct

from aif_prices.listing import PricedModel, PriceFile, PriceVersion, check_price_file, shipped_prices
from aif_prices.overrides import PER_TOKENS, PriceOverrides, check_overrides, version_of
from aif_prices.rates import FREE, FREE_VERSION, LongInputRates, Price, Rates

__all__ = [
    "FREE",
    "FREE_VERSION",
    "OPERATOR",
    "EffectivePrice",
    "LongInputRates",
    "Price",
    "PriceBook",
    "PriceFile",
    "PriceVersion",
    "PricedModel",
    "Rates",
    "shipped_prices",
]

_DATED_NAME = re.compile(r"^(?P<name>.+?)-(?:\d{4}-\d{2}-\d{2}|\d{8}|latest)$")
OPERATOR = "operator"
"""Source of the prices that an operator has set."""


class EffectivePrice(Struct, frozen=True, kw_only=True):
    """The price of one listed model on one day."""

    provider: str
    model: str
    price: Price
    since: date | None
    """None for the first price known."""
    source: str
    """Where it was read; `operator` for one that the operator has set."""


class _Listed(Struct, frozen=True, kw_only=True):
    model: str
    versions: tuple[PriceVersion, ...]
    per_tokens: int
    source: str
    unknown_start: str
    """Stands in a price version for the day that a price without `valid_from` has."""


class PriceBook:
    """Finds the price of a model. `free_models` are those that the operator declares to cost nothing, wherever they run."""

    def __init__(
        self,
        price_files: Iterable[PriceFile],
        *,
        free_models: Iterable[str] = (),
        overrides: PriceOverrides | None = None,
    ) -> None:
        """Raises PriceBookInvalid, OverridesInvalid."""
        self._free = frozenset(free_models)
        self._listed: dict[tuple[str, str], _Listed] = {}
        self._set_by_operator: dict[tuple[str, str], _Listed] = {}
        self._hosts: dict[str, str] = {}
        for price_file in price_files:
            check_price_file(price_file)
            self._take(price_file)
        if overrides is not None:
            check_overrides(overrides)
            self._set_by_operator = dict(_operators(overrides))

    def price(self, provider: str, model: str, on: date) -> Price | None:
        """None when the price is unknown. A dated model name has the price of its family unless it is listed itself."""
        if model in self._free:
            return FREE
        for name in _names(model):
            found = self._effective(provider, name, on)
            if found is not None:
                return found.price
        return None

    def provider_at(self, base_url: str) -> str | None:
        """The provider whose OpenAI-compatible API has this address; None when no list knows the host."""
        host = urlsplit(base_url).hostname
        return None if host is None else self._hosts.get(host.lower())

    def effective(self, on: date) -> tuple[EffectivePrice, ...]:
        """Every listed model that has a price on that day, by provider and name, without aliases."""
        keys = {(key[0], listed.model) for key, listed in (*self._listed.items(), *self._set_by_operator.items())}
        found = (self._effective(provider, model, on) for provider, model in sorted(keys))
        return tuple(each for each in found if each is not None)

    def _take(self, price_file: PriceFile) -> None:
        if price_file.api_host is not None:
            self._hosts[price_file.api_host] = price_file.provider
        for model in price_file.models:
            listed = _Listed(
                model=model.model,
                versions=model.versions,
                per_tokens=price_file.per_tokens,
                source=f"{price_file.source}, read on {price_file.read_on}",
                unknown_start=f"read-{price_file.read_on}",
            )
            for name in (model.model, *model.aliases):
                self._listed[price_file.provider, name] = listed

    def _effective(self, provider: str, name: str, on: date) -> EffectivePrice | None:
        shipped = self._listed.get((provider, name))
        # An operator names a model as the list does, or by an alias of it.
        names = (name,) if shipped is None else (name, shipped.model)
        for listed in (*(self._set_by_operator.get((provider, each)) for each in names), shipped):
            version = None if listed is None else _version_on(listed.versions, on)
            if listed is not None and version is not None:
                return EffectivePrice(
                    provider=provider,
                    model=listed.model,
                    price=_price(provider, listed, version),
                    since=version.valid_from,
                    source=listed.source,
                )
        return None


def _operators(overrides: PriceOverrides) -> Iterator[tuple[tuple[str, str], _Listed]]:
    versions: dict[tuple[str, str], list[PriceVersion]] = {}
    for price in overrides.prices:
        versions.setdefault((price.provider, price.model), []).append(version_of(price))
    for (provider, model), found in versions.items():
        yield (
            (provider, model),
            _Listed(model=model, versions=tuple(found), per_tokens=PER_TOKENS, source=OPERATOR, unknown_start=f"by-{OPERATOR}"),
        )


def _names(model: str) -> Sequence[str]:
    dated = _DATED_NAME.match(model)
    return (model,) if dated is None else (model, dated["name"])


def _version_on(versions: Iterable[PriceVersion], on: date) -> PriceVersion | None:
    begun = [version for version in versions if version.valid_from is None or version.valid_from <= on]
    return max(begun, key=lambda version: version.valid_from or date.min, default=None)


def _price(provider: str, listed: _Listed, version: PriceVersion) -> Price:
    if version.free:
        return FREE
    since = listed.unknown_start if version.valid_from is None else f"{version.valid_from}"
    whose = "-operator" if listed.source == OPERATOR and version.valid_from is not None else ""
    return Price(
        version=f"{provider}/{listed.model}@{since}{whose}",
        rates=Rates(**{kind: getattr(version, kind) for kind in Rates.__struct_fields__}),
        per_tokens=listed.per_tokens,
        long_input=version.long_input,
    )
