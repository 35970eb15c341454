"""Price lists: what each provider charges for each model, since when, and where that was read."""

from datetime import date
from decimal import Decimal
from importlib.resources import files

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from aif_prices.failures import PriceBookInvalid
from aif_prices.rates import LongInputRates, Rates

MOST_DECIMALS = 12
"""Of an amount on the wire; a rate may have no finer parts once it is divided by its tokens."""


class PriceVersion(Rates, frozen=True, kw_only=True, omit_defaults=True):
    valid_from: date | None = None
    """None for the first price known."""
    free: bool = False
    """Costs nothing. Said in so many words: a price of zero is refused."""
    long_input: LongInputRates | None = None


class PricedModel(Struct, frozen=True, kw_only=True, omit_defaults=True):
    model: str
    versions: tuple[PriceVersion, ...]
    aliases: tuple[str, ...] = ()


class PriceFile(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One provider's list."""

    provider: str
    currency: str
    per_tokens: int
    source: str
    read_on: date
    models: tuple[PricedModel, ...]
    api_host: str | None = None
    """Host of its OpenAI-compatible API, for providers that are reached by an address only."""
    notes: str = ""
    """What of the provider's prices is not in it."""


_FILE = msgspec.json.Decoder(PriceFile)
_FILES = msgspec.json.Decoder(tuple[PriceFile, ...])


def shipped_prices() -> tuple[PriceFile, ...]:
    """The lists of this package, by file name. Raises PriceBookInvalid."""
    folder = files("aif_prices") / "data"
    documents = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".json")), key=lambda entry: entry.name)
    return tuple(read_price_files(entry.read_bytes(), name=f"data/{entry.name}")[0] for entry in documents)


def read_price_files(document: bytes, *, name: str) -> tuple[PriceFile, ...]:
    """One list, or a JSON array of lists. `name` is what a mistake calls the document. Raises PriceBookInvalid."""
    try:
        found = _FILES.decode(document) if document.lstrip().startswith(b"[") else (_FILE.decode(document),)
    except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
        raise PriceBookInvalid(f"{name}: {wrong}") from wrong
    for price_file in found:
        check_price_file(price_file)
    return found


def check_price_file(price_file: PriceFile) -> None:
    """Raises PriceBookInvalid for a list that contradicts itself."""
    if price_file.currency != "USD":
        raise PriceBookInvalid(f"{price_file.provider}: prices in {price_file.currency}, only USD is understood")
    if price_file.per_tokens < 1:
        raise PriceBookInvalid(
            f"{price_file.provider}: per_tokens is {price_file.per_tokens}; say for how many tokens rates are"
        )
    for model in price_file.models:
        name = f"{price_file.provider}/{model.model}"
        if sum(version.valid_from is None for version in model.versions) != 1:
            raise PriceBookInvalid(f"{name}: exactly one version, the first, has no valid_from")
        if len({version.valid_from for version in model.versions}) != len(model.versions):
            raise PriceBookInvalid(f"{name}: two versions have the same valid_from")
        for version in model.versions:
            check_version(version, name=name, per_tokens=price_file.per_tokens)


def check_version(version: PriceVersion, *, name: str, per_tokens: int) -> None:
    """Raises PriceBookInvalid for a version that prices nothing, or prices it below zero or too finely."""
    given = rates_of(version)
    if version.free:
        if given or version.long_input is not None:
            raise PriceBookInvalid(f"{name}: it is free and has a price; keep one of them")
        return
    if not given:
        raise PriceBookInvalid(f"{name}: no price; leave the model out, or mark it free")
    longer = {} if version.long_input is None else rates_of(version.long_input)
    if longer and longer.keys() != given.keys():
        raise PriceBookInvalid(f"{name}: long_input prices {_words(longer)}, the others price {_words(given)}")
    for kind, rate in (*given.items(), *longer.items()):
        if not rate.is_finite() or rate < 0 or (rate == 0 and kind in _NEVER_ZERO):
            raise PriceBookInvalid(f"{name}: {kind} is {rate}; a price of zero is said by marking the model free")
        finest = rate / per_tokens if kind in BY_TOKENS else rate
        if -int(finest.normalize().as_tuple().exponent) > MOST_DECIMALS:
            raise PriceBookInvalid(f"{name}: {kind} is {rate}, finer than {MOST_DECIMALS} decimals of a dollar")


BY_TOKENS = frozenset({"input", "cache_read", "cache_write", "output", "reasoning"})
_NEVER_ZERO = frozenset({"input", "output", "audio_hour", "character", "call"})
"""Reading a cache may cost nothing, and so may writing one."""


def rates_of(rates: Rates) -> dict[str, Decimal]:
    """The rates that are there, by kind."""
    return {kind: rate for kind, rate in asdict(rates).items() if kind in Rates.__struct_fields__ and rate is not None}


def _words(rates: dict[str, Decimal]) -> str:
    return ", ".join(sorted(rates))
