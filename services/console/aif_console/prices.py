"""`aif prices`: what models cost, since when, by whose list; and how another list differs."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

from msgspec import Struct
from rich.console import Console
from rich.text import Text

from aif_console.exit_codes import DONE, REFUSED
from aif_console.failures import BadInput
from aif_console.gateway.reach import Reach
from aif_console.prices_lists import PriceLists, effective, shipped, with_file
from aif_console.reading.columns import Columns
from aif_console.reading.hanging import rows
from aif_console.reading.json_output import print_json
from aif_console.reading.plain_text import counted, plain
from aif_pipelines.mistakes import did_you_mean
from aif_prices.book import OPERATOR, EffectivePrice
from aif_prices.comparison import Difference, PriceDifference, RateChange, compare
from aif_prices.listing import rates_of
from aif_prices.rates import Rates

HEADINGS = ("PROVIDER", "MODEL", "INPUT", "CACHE READ", "OUTPUT", "OTHERWISE")
UNITS = "US dollars for a million tokens; otherwise for the unit that is named."
_MINUTES = 60


class PriceLine(Struct, frozen=True, kw_only=True):
    provider: str
    model: str
    version: str
    since: date | None
    source: str
    free: bool
    rates: dict[str, str]
    """US dollars: for a million tokens, an hour of audio, a character, a call."""
    long_input: dict[str, str]
    long_input_above_tokens: int | None


class PriceLines(Struct, frozen=True, kw_only=True):
    on: date
    prices: tuple[PriceLine, ...]


class RateLine(Struct, frozen=True, kw_only=True):
    rate: str
    old: str | None
    new: str | None
    percent: str | None


class DifferenceLine(Struct, frozen=True, kw_only=True):
    provider: str
    model: str
    difference: Difference
    rates: tuple[RateLine, ...]


class DifferenceLines(Struct, frozen=True, kw_only=True):
    on: date
    differences: tuple[DifferenceLine, ...]


async def lists_for(reach: Reach | None) -> PriceLists:
    """The shipped prices, with the factory's own before them when one is to be asked."""
    return shipped() if reach is None else await effective(reach)


async def run_prices(reach: Reach | None, console: Console, *, provider: str | None, on: date, as_json: bool) -> int:
    """Every model that has a price on the day."""
    found = (await lists_for(reach)).book().effective(on)
    providers = sorted({each.provider for each in found})
    if provider is not None and provider not in providers:
        raise BadInput("--provider", f"no list is {provider}'s", f"there are {', '.join(providers)}")
    shown = [each for each in found if provider in (None, each.provider)]
    if as_json:
        print_json(console, PriceLines(on=on, prices=tuple(map(_line, shown))))
        return DONE
    console.print(Columns(HEADINGS, (_cells(each) for each in shown)), soft_wrap=True)
    console.print(Text(UNITS, style="dim"))
    return DONE


async def run_show_price(model: str, reach: Reach | None, console: Console, *, on: date, as_json: bool) -> int:
    """A model by name, at every provider that lists it; aliases and dated names find their family."""
    book = (await lists_for(reach)).book()
    listed = book.effective(on)
    providers = dict.fromkeys(each.provider for each in listed)
    versions = {price.version for name in providers if (price := book.price(name, model, on)) is not None}
    found = [each for each in listed if each.price.version in versions and (each.price.rates != Rates() or each.model == model)]
    if not found:
        mend = did_you_mean(model, {each.model for each in listed}, "`aif prices` shows all.")
        raise BadInput("MODEL", f"{model} has no price on {on}: calls to it are refused unless it is marked free", mend)
    if as_json:
        print_json(console, PriceLines(on=on, prices=tuple(map(_line, found))))
        return DONE
    for each in found:
        console.print(rows(_told(each)))
        console.print()
    return DONE


async def run_diff(file: Path, reach: Reach | None, console: Console, *, on: date, as_json: bool) -> int:
    """What the file would change. The exit code tells whether there is anything, as `diff` does."""
    lists = await lists_for(reach)
    differences = compare(lists.book(), with_file(lists, file, "FILE").book(), on)
    if as_json:
        print_json(console, DifferenceLines(on=on, differences=tuple(_difference_line(each) for each in differences)))
    elif not differences:
        console.print(f"nothing differs on {on}")
    else:
        for each in differences:
            console.print(Text(plain(_difference_words(each))), soft_wrap=True)
        console.print(Text(f"{_counts(differences)}; {UNITS}", style="dim"), soft_wrap=True)
    return REFUSED if differences else DONE


def _line(each: EffectivePrice) -> PriceLine:
    longer = each.price.long_input
    return PriceLine(
        provider=each.provider,
        model=each.model,
        version=each.price.version,
        since=each.since,
        source=each.source,
        free=not rates_of(each.price.rates),
        rates=_amounts(each.price.rates),
        long_input={} if longer is None else _amounts(longer),
        long_input_above_tokens=None if longer is None else longer.above_tokens,
    )


def _cells(each: EffectivePrice) -> tuple[str, ...]:
    rates = each.price.rates
    by_tokens = (_amount(rates.input), _amount(rates.cache_read), _amount(rates.output))
    return (each.provider, each.model, *by_tokens, ", ".join(_otherwise(each)))


def _otherwise(each: EffectivePrice) -> list[str]:
    rates, longer = each.price.rates, each.price.long_input
    if not rates_of(rates):
        return ["free"]
    said = [f"{_amount(rates.cache_write)} written to cache"] if rates.cache_write is not None else []
    said += [f"{_amount(rates.reasoning)} reasoning"] if rates.reasoning is not None else []
    said += [f"{_amount(rates.audio_hour / _MINUTES)} a minute of audio"] if rates.audio_hour is not None else []
    said += [f"{_amount(rates.character)} a character"] if rates.character is not None else []
    said += [f"{_amount(rates.call)} a call"] if rates.call is not None else []
    if longer is not None:
        said.append(f"{_amount(longer.input)} and {_amount(longer.output)} above {longer.above_tokens:,} tokens of input")
    return said


def _told(each: EffectivePrice) -> list[tuple[str, str]]:
    rates = each.price.rates
    return [
        ("Model", f"{each.provider} {each.model}"),
        ("Input", _of_a_million(rates.input)),
        ("Cache read", _of_a_million(rates.cache_read)),
        ("Output", _of_a_million(rates.output)),
        ("Otherwise", ", ".join(_otherwise(each))),
        ("Since", _since(each)),
        ("Source", each.source),
        ("Version", each.price.version),
    ]


def _difference_line(each: PriceDifference) -> DifferenceLine:
    return DifferenceLine(
        provider=each.provider,
        model=each.model,
        difference=each.difference,
        rates=tuple(
            RateLine(
                rate=change.kind,
                old=_amount(change.old) or None,
                new=_amount(change.new) or None,
                percent=None if change.percent is None else f"{change.percent:f}",
            )
            for change in each.rates
        ),
    )


def _amounts(rates: Rates) -> dict[str, str]:
    return {kind: _amount(rate) for kind, rate in rates_of(rates).items()}


def _difference_words(each: PriceDifference) -> str:
    changes = "; ".join(_change_words(each.difference, change) for change in each.rates) or "free"
    return f"{each.difference:<8} {each.provider} {each.model}: {changes}"


def _change_words(difference: Difference, change: RateChange) -> str:
    if difference is Difference.ADDED:
        return f"{change.kind} {_amount(change.new)}"
    if difference is Difference.REMOVED:
        return f"{change.kind} {_amount(change.old)}"
    percent = "" if change.percent is None else f" ({change.percent:+f} %)"
    return f"{change.kind} {_amount(change.old) or 'none'} -> {_amount(change.new) or 'none'}{percent}"


def _counts(differences: Sequence[PriceDifference]) -> str:
    counts = {kind: sum(each.difference is kind for each in differences) for kind in Difference}
    return f"{counted(len(differences), 'model')}: " + ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)


def _since(each: EffectivePrice) -> str:
    if each.since is not None:
        return f"{each.since}"
    return "always" if each.source == OPERATOR else "the first price known"


def _of_a_million(amount: Decimal | None) -> str:
    return "" if amount is None else f"{_amount(amount)} for a million tokens"


def _amount(amount: Decimal | None) -> str:
    """In full: a price that is rounded is another price. Only minutes of audio may have no end."""
    if amount is None:
        return ""
    text = f"{amount.quantize(Decimal('0.000000000001')):f}"
    return text.rstrip("0").rstrip(".") or "0"
