"""`aif reprice --dry-run`: what other prices would have made of calls that are booked. It reads, and changes nothing."""

from collections.abc import AsyncIterator, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from msgspec import Struct
from rich.console import Console
from rich.text import Text

from aif_console.exit_codes import DONE
from aif_console.failures import BadInput
from aif_console.gateway.gateway import Gateway, without_none
from aif_console.gateway.reach import Reach
from aif_console.prices_lists import effective_at, with_file
from aif_console.reading.columns import Columns
from aif_console.reading.json_output import print_json
from aif_console.reading.plain_text import dollars
from aif_contracts.metering import ProviderCall
from aif_contracts.money import ZERO, SignedUsdText, UsdText, usd_text
from aif_contracts.reconciliation import BookedCallPage
from aif_prices.book import Price, PriceBook
from aif_prices.comparison import Repriced, by_one_model, reprice

HEADINGS = ("PROVIDER", "MODEL", "CALLS", "BOOKED", "WOULD BE", "CHANGE", "")
PAGE_SIZE = 500
_PERCENT_DIGITS = Decimal("0.1")


class Period(Struct, frozen=True, kw_only=True):
    """RFC 3339; None for open."""

    since: str | None
    until: str | None


class Other(Struct, frozen=True, kw_only=True):
    """What is held against what is booked."""

    file: Path | None
    """Other prices; None for those that the factory has."""
    only_model: str | None
    """As provider/model: one for everything; None for each call's own."""
    on: date


class RepricedLine(Struct, frozen=True, kw_only=True):
    provider: str
    model: str
    calls: int
    booked_usd: UsdText
    repriced_usd: UsdText
    change_usd: SignedUsdText
    without_price: int
    without_price_usd: UsdText
    unknown: int


class RepricedReport(Struct, frozen=True, kw_only=True):
    prices_of: date
    models: tuple[RepricedLine, ...]
    booked_usd: UsdText
    repriced_usd: UsdText
    change_usd: SignedUsdText


async def run_reprice(period: Period, other: Other, reach: Reach, console: Console, *, as_json: bool) -> int:
    """Ask for the calls, and tell. Raises BadInput for a model without a price."""
    async with Gateway(reach.url, reach.key) as gateway:
        lists = await effective_at(gateway)
        if other.file is not None:
            lists = with_file(lists, other.file, "--list")
        book = lists.book()
        only = None if other.only_model is None else _price_of(other.only_model, book, other.on)
        calls = [call async for call in _booked(gateway, period)]
    models = reprice(calls, book, other.on) if only is None else by_one_model(calls, only)
    if as_json:
        print_json(console, _report(models, other.on))
    elif not models:
        console.print("no call in that time has cost anything")
    else:
        console.print(Columns(HEADINGS, (_cells(each) for each in (*models, _sum(models)))), soft_wrap=True)
        console.print(Text(_words(other), style="dim"))
    return DONE


def _price_of(only_model: str, book: PriceBook, on: date) -> Price:
    provider, _, model = only_model.partition("/")
    price = book.price(provider, model, on)
    if price is None:
        raise BadInput("--as", f"nobody knows a price of {only_model!r}", "write provider/model as `aif prices` lists them")
    return price


def _words(other: Other) -> str:
    basis = f"By the prices of {other.on}"
    if other.only_model is not None:
        basis += f", had {other.only_model} alone answered what was answered, with the same tokens, and never failed"
    return f"{basis}. Nothing was changed: what is booked stays booked."


async def _booked(gateway: Gateway, period: Period) -> AsyncIterator[ProviderCall]:
    """Page by page, of all clients."""
    cursor: str | None = None
    while True:
        query = without_none(cursor=cursor, limit=PAGE_SIZE) | without_none(**{"from": period.since, "to": period.until})
        page = await gateway.ask("GET", "/api/admin/calls", BookedCallPage, params=query)
        for booked in page.calls:
            yield booked.call
        cursor = page.next_cursor
        if cursor is None:
            return


def _sum(models: Sequence[Repriced]) -> Repriced:
    return Repriced(
        provider="all",
        model="",
        calls=sum(each.calls for each in models),
        booked_usd=sum((each.booked_usd for each in models), ZERO),
        repriced_usd=sum((each.repriced_usd for each in models), ZERO),
        without_price=sum(each.without_price for each in models),
        without_price_usd=sum((each.without_price_usd for each in models), ZERO),
        unknown=sum(each.unknown for each in models),
    )


def _cells(each: Repriced) -> tuple[str, ...]:
    left_out = []
    if each.without_price:
        left_out.append(f"{each.without_price:,} without a price, {dollars(usd_text(each.without_price_usd))}")
    if each.unknown:
        left_out.append(f"{each.unknown:,} of unknown cost or use")
    return (
        each.provider,
        each.model,
        f"{each.calls:,}",
        dollars(usd_text(each.booked_usd)),
        dollars(usd_text(each.repriced_usd)),
        f"{_signed_dollars(each.change_usd)}{_percent(each)}",
        "; ".join(left_out),
    )


def _percent(each: Repriced) -> str:
    if each.booked_usd == ZERO:
        return ""
    percent = (each.change_usd * 100 / each.booked_usd).quantize(_PERCENT_DIGITS, ROUND_HALF_UP)
    return f" ({percent:+f} %)"


def _signed_dollars(amount: Decimal) -> str:
    return dollars(usd_text(amount)) if amount <= ZERO else f"+{dollars(usd_text(amount))}"


def _report(models: Sequence[Repriced], on: date) -> RepricedReport:
    whole = _sum(models)
    return RepricedReport(
        prices_of=on,
        models=tuple(
            RepricedLine(
                provider=each.provider,
                model=each.model,
                calls=each.calls,
                booked_usd=usd_text(each.booked_usd),
                repriced_usd=usd_text(each.repriced_usd),
                change_usd=usd_text(each.change_usd),
                without_price=each.without_price,
                without_price_usd=usd_text(each.without_price_usd),
                unknown=each.unknown,
            )
            for each in models
        ),
        booked_usd=usd_text(whole.booked_usd),
        repriced_usd=usd_text(whole.repriced_usd),
        change_usd=usd_text(whole.change_usd),
    )
