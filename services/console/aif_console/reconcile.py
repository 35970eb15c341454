"""`aif reconcile`: what the ledger says was spent at a provider, against what the provider says."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import httpx
from msgspec import Struct
from rich.console import Console
from rich.text import Text

from aif_console.exit_codes import DONE, FAILED
from aif_console.failures import BadInput, RequestRefused
from aif_console.gateway.calls import all_calls, settle_call
from aif_console.gateway.gateway import Gateway
from aif_console.gateway.reach import Reach
from aif_console.reading.columns import Columns
from aif_console.reading.json_output import print_json
from aif_console.reading.plain_text import plain
from aif_console.reconcile_files import read_statement
from aif_console.reconcile_reports import Account, read_reports
from aif_console.reconciliation.by_day import compare_days
from aif_console.reconciliation.by_request import compare_requests
from aif_console.reconciliation.differences import Comparison, Difference, DifferenceKind, Resolution
from aif_console.reconciliation.sides import LedgerCall, Period, ledger_calls
from aif_console.reconciliation.usage import Usage
from aif_contracts.money import usd_text
from aif_prices.book import PriceBook, shipped_prices
from aif_runtime.clock import rfc3339

HEADINGS = ("DAY", "MODEL", "DIFFERENCE", "TOKENS", "USD", "WHAT")
AROUND = timedelta(hours=1)
"""Calls that were booked so near to the period are read, too: the provider may have them on the other side of midnight."""
GROWS = timedelta(hours=12)
"""After the end of a day, in which a provider may still add to what it says of it."""
URLS = {"openai": "https://api.openai.com", "anthropic": "https://api.anthropic.com"}
KEYS = {"openai": "OPENAI_ADMIN_KEY", "anthropic": "ANTHROPIC_ADMIN_KEY"}


class Wishes(Struct, frozen=True, kw_only=True):
    now: datetime
    provider: str
    period: Period
    statement: Path | None
    """None for the provider's own interface."""
    provider_url: str | None
    tolerance_tokens: int
    settle: bool
    as_json: bool


class Report(Struct, frozen=True, kw_only=True):
    """The answer for programs."""

    provider: str
    first_day: date
    last_day: date
    calls: int
    ledger: Usage
    provider_side: Usage
    differences: tuple[Difference, ...]
    settled: tuple[str, ...]
    unsettled: tuple[str, ...]
    """Calls that could not be settled, with why."""
    within_tolerance: bool


async def run_reconcile(
    wishes: Wishes,
    reach: Reach,
    console: Console,
    environ: Mapping[str, str],
    *,
    transport: httpx.AsyncBaseTransport | None = None,
) -> int:
    """Exit code 1 when something differs beyond the tolerance. Another `transport` stands in for the way to the provider."""
    async with Gateway(reach.url, reach.key) as gateway:
        calls = await _ledger(gateway, wishes)
        comparison = await _compared(wishes, calls, environ, transport)
        settled, unsettled = await _settled(gateway, wishes, comparison.resolutions)
    report = _report(wishes, comparison, settled, unsettled)
    if wishes.as_json:
        print_json(console, report)
    else:
        _tell(console, wishes, report)
    return DONE if report.within_tolerance else FAILED


def period_of(first: str | None, last: str | None, today: date) -> Period:
    """Yesterday when nothing is said. Raises BadInput."""
    yesterday = today - timedelta(days=1)
    begins = _day(first, "--from") or (_day(last, "--to") or yesterday)
    ends = _day(last, "--to") or yesterday
    if ends >= today:
        raise BadInput("--to", f"{ends} is not over in UTC", f"name a day up to {yesterday}")
    if ends < begins:
        raise BadInput("--to", f"{ends} is before {begins}", "give the first day with --from, the last with --to")
    return Period(first=begins, last=ends)


def _day(text: str | None, option: str) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as wrong:
        raise BadInput(option, f"{text!r} is no day", "write a day in UTC, as 2026-11-01") from wrong


async def _ledger(gateway: Gateway, wishes: Wishes) -> list[LedgerCall]:
    begins = _midnight(wishes.period.first) - AROUND
    ends = _midnight(wishes.period.last + timedelta(days=1)) + AROUND
    wanted = {"provider": wishes.provider, "from": rfc3339(begins), "to": rfc3339(ends)}
    return ledger_calls([booked async for booked in all_calls(gateway, **wanted)])


async def _compared(
    wishes: Wishes, calls: Sequence[LedgerCall], environ: Mapping[str, str], transport: httpx.AsyncBaseTransport | None
) -> Comparison:
    if wishes.statement is None:
        return compare_days(calls, await read_reports(_account(wishes, environ), wishes.period, transport), wishes.period)
    statement = read_statement(wishes.statement)
    if statement.names_requests:
        return compare_requests(calls, statement.entries, wishes.period)
    return compare_days(calls, statement.days, wishes.period)


def _account(wishes: Wishes, environ: Mapping[str, str]) -> Account:
    name = KEYS[wishes.provider]
    key = environ.get(name, "")
    if not key:
        raise BadInput(name, "is not set", f"set it to an administrator's key of {wishes.provider}, or give --statement FILE")
    return Account(provider=wishes.provider, url=wishes.provider_url or URLS[wishes.provider], admin_key=key)


async def _settled(
    gateway: Gateway, wishes: Wishes, resolutions: Sequence[Resolution]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    settled: list[str] = []
    unsettled: list[str] = []
    if not wishes.settle:
        return (), ()
    source = wishes.provider if wishes.statement is None else wishes.statement.name
    book = PriceBook(shipped_prices())
    for each in resolutions:
        cost = each.cost_usd if each.cost_usd is not None else _priced(book, wishes.provider, each)
        if not each.billed and wishes.now < _midnight(each.day + timedelta(days=1)) + GROWS:
            unsettled.append(f"{each.call_key}: not billed so far; a statement may grow for {GROWS.seconds // 3600} hours")
            continue
        if each.billed and cost is None:
            unsettled.append(f"{each.call_key}: {each.model} has no price; settle it with `aif calls settle`")
            continue
        try:
            await settle_call(
                gateway,
                each.call_key,
                billed=each.billed,
                note=f"statement of {source}, {wishes.period.first} to {wishes.period.last}",
                cost_usd=usd_text(cost) if each.billed and cost is not None else None,
                tokens=each.usage.as_tokens() if each.billed else None,
            )
        except RequestRefused as refused:
            unsettled.append(f"{each.call_key}: {refused}")
        else:
            settled.append(each.call_key)
    return tuple(settled), tuple(unsettled)


def _priced(book: PriceBook, provider: str, resolution: Resolution) -> Decimal | None:
    """By the list that ships with this program, where the statement tells tokens only."""
    price = book.price(provider, resolution.model, resolution.day)
    return None if price is None else price.cost(resolution.usage.as_tokens())


def _report(wishes: Wishes, comparison: Comparison, settled: tuple[str, ...], unsettled: tuple[str, ...]) -> Report:
    left = [each for each in comparison.differences if not set(each.call_keys) <= set(settled) or not _is_resolved(each)]
    return Report(
        provider=wishes.provider,
        first_day=wishes.period.first,
        last_day=wishes.period.last,
        calls=comparison.calls,
        ledger=comparison.ledger,
        provider_side=comparison.provider,
        differences=tuple(comparison.differences),
        settled=settled,
        unsettled=unsettled,
        within_tolerance=_is_within(left, wishes.tolerance_tokens),
    )


def _is_resolved(difference: Difference) -> bool:
    return difference.kind is DifferenceKind.IN_DOUBT_RESOLVED


def _is_within(differences: Sequence[Difference], tolerance_tokens: int) -> bool:
    """Tokens may be off by so many, all together. Prices and doubt are not a matter of tokens."""
    off = [each for each in differences if each.is_off]
    if any(each.usage.is_nothing for each in off):
        return False
    return sum(each.usage.magnitude for each in off) <= tolerance_tokens


def _tell(console: Console, wishes: Wishes, report: Report) -> None:
    period = wishes.period
    days = f"{period.first}" if period.first == period.last else f"{period.first} to {period.last}"
    words = (
        f"{wishes.provider}, {days}: {report.calls} calls with {report.ledger.total} tokens in the ledger, "
        f"{report.provider_side.total} tokens on the statement"
    )
    console.print(Text(plain(words)), soft_wrap=True)
    if report.differences:
        console.print(Columns(HEADINGS, (_cells(each) for each in report.differences)), soft_wrap=True)
    for key in report.settled:
        console.print(Text(plain(f"settled {key}")), soft_wrap=True)
    for why in report.unsettled:
        console.print(Text(plain(f"not settled: {why}"), style="red"), soft_wrap=True)
    console.print("no difference" if not report.differences else _verdict(report, wishes), soft_wrap=True)


def _verdict(report: Report, wishes: Wishes) -> str:
    if report.within_tolerance:
        return f"within the tolerance of {wishes.tolerance_tokens} tokens"
    waiting = any(_is_resolved(each) and not set(each.call_keys) <= set(report.settled) for each in report.differences)
    return "the two sides differ" + ("; --settle takes over what the statement says of calls in doubt" if waiting else "")


def _cells(difference: Difference) -> tuple[str, ...]:
    keys = ", ".join(difference.call_keys[:3]) + (" …" if len(difference.call_keys) > 3 else "")
    what = f"{difference.message} ({keys})" if keys else difference.message
    return (
        f"{difference.day}",
        difference.model,
        difference.kind.value,
        f"{difference.usage.total:+}" if not difference.usage.is_nothing else "0",
        difference.cost_usd or "",
        what,
    )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
