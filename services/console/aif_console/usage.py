"""`aif usage`: what was used and what it cost."""

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from aif_console.exit_codes import DONE
from aif_console.gateway.gateway import Gateway
from aif_console.gateway.reach import Reach
from aif_console.gateway.spending import UsageWish, monthly_usage, usage_report
from aif_console.reading.columns import Columns
from aif_console.reading.hanging import rows
from aif_console.reading.json_output import print_json
from aif_console.reading.plain_text import counted, dollars, milliseconds, percent
from aif_contracts.money import ZERO, usd
from aif_contracts.usage import MonthlyUsage, UsageFigures, UsageReport

FIGURES = ("CALLS", "TOKENS", "COST", "IN DOUBT", "SAVED", "ERRORS", "FALLBACKS", "LATENCY")


async def run_month(month: str | None, client_id: str | None, reach: Reach, console: Console, *, as_json: bool) -> int:
    """A month as a whole."""
    async with Gateway(reach.url, reach.key) as gateway:
        usage = await monthly_usage(gateway, month=month, client_id=client_id)
    if as_json:
        print_json(console, usage)
    else:
        console.print(rows(_month(usage)), soft_wrap=True)
    return DONE


async def run_report(wish: UsageWish, reach: Reach, console: Console, *, as_operator: bool, as_json: bool) -> int:
    """Put together by what was named."""
    async with Gateway(reach.url, reach.key) as gateway:
        report = await usage_report(gateway, wish, as_operator=as_operator)
    if as_json:
        print_json(console, report)
        return DONE
    if not report.rows:
        console.print("no provider was called in that time")
        return DONE
    headings = (*(dimension.value.upper() for dimension in report.group_by), *FIGURES)
    console.print(Columns(headings, _lines(report)), soft_wrap=True)
    if report.next_cursor is not None:
        console.print(Text(f"there are more: --cursor {report.next_cursor}", style="dim"), soft_wrap=True)
    return DONE


def _lines(report: UsageReport) -> Iterator[tuple[str, ...]]:
    for row in report.rows:
        yield (*(key if key is not None else "-" for key in row.keys), *_cells(row.figures))
    blanks = ("",) * (len(report.group_by) - 1)
    yield ("all", *blanks, *_cells(report.totals))


def _cells(figures: UsageFigures) -> tuple[str, ...]:
    saved = usd(figures.saved_by_cache_usd) + usd(figures.saved_by_downgrade_usd)
    return (
        f"{figures.calls:,}",
        f"{figures.tokens.total_tokens:,}",
        dollars(figures.cost_usd, is_complete=not _unknown(figures)),
        dollars(figures.in_doubt_usd) if _unknown(figures) else "-",
        dollars(f"{saved:f}") if saved else "-",
        percent(figures.error_rate),
        percent(figures.fallback_rate),
        "-" if figures.average_latency_ms is None else milliseconds(figures.average_latency_ms),
    )


def _month(usage: MonthlyUsage) -> list[tuple[str, str]]:
    calls, lines, average = usage.calls, usage.cost_lines, usage.efficiency
    statuses = ", ".join(f"{count} {status}" for status, count in sorted(usage.by_status.items()))
    unknown = _unknown(calls)
    in_doubt = f"; {counted(unknown, 'call')} of unknown cost, up to {dollars(calls.in_doubt_usd)}" if unknown else ""
    return [
        ("Month", usage.month),
        ("Client", usage.client_id or "everybody"),
        ("Orders", f"{usage.requests:,}" + (f": {statuses}" if statuses else "")),
        ("Delivered", f"{usage.deliverables:,}"),
        ("Cost", dollars(usage.cost_usd, is_complete=not unknown) + in_doubt),
        ("  AI", dollars(lines.ai_generation_usd)),
        ("  API calls", dollars(lines.api_calls_usd)),
        ("  Storage", dollars(lines.storage_usd)),
        ("  Compute", dollars(lines.compute_usd)),
        ("Wasted", f"{dollars(calls.cost_wasted_usd)}, {calls.tokens_wasted:,} tokens"),
        (
            "Saved",
            f"{dollars(calls.saved_by_cache_usd)} by the cache, {dollars(calls.saved_by_downgrade_usd)} by cheaper models",
        ),
        ("Tokens", f"{usage.monthly_tokens:,}"),
        ("Calls", f"{calls.calls:,}, errors {percent(calls.error_rate)}, fallbacks {percent(calls.fallback_rate)}"),
        ("Attempts", _attempts(usage)),
        ("Time", f"{milliseconds(usage.wall_time_ms)} on the wall, {milliseconds(usage.busy_time_ms)} at work"),
        ("Per order", _per_order(average.avg_tokens_per_request, average.avg_time_per_request_ms)),
        ("Per delivery", "" if average.cost_per_deliverable_usd is None else dollars(average.cost_per_deliverable_usd)),
        ("Providers", _shares(usage.provider_distribution)),
        ("Models", _shares(usage.model_distribution)),
    ]


def _per_order(tokens: int | None, time_ms: int | None) -> str:
    told = [] if tokens is None else [f"{tokens:,} tokens"]
    return ", ".join(told if time_ms is None else [*told, milliseconds(time_ms)])


def _shares(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _attempts(usage: MonthlyUsage) -> str:
    failed = f"{usage.attempts:,}, {usage.attempts_failed:,} failed"
    if not usage.attempts_failed_tokens and usd(usage.attempts_failed_cost_usd) == ZERO:
        return failed
    return f"{failed}: {dollars(usage.attempts_failed_cost_usd)}, {usage.attempts_failed_tokens:,} tokens"


def _unknown(figures: UsageFigures) -> int:
    """Calls whose cost nobody knows: without an answer, or with one that does not tell its usage."""
    return figures.in_doubt + figures.unpriced
