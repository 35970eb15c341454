"""Statements from the providers' own interfaces for usage and cost, page after page. They want an administrator's key.

OpenAI counts cached tokens as input, too, and tells money in dollars; Anthropic counts them apart, and tells money in cents.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import msgspec
from msgspec import Struct, field

from aif_console.failures import ReportUnavailable
from aif_console.reconciliation.sides import Period, StatementDay, family
from aif_console.reconciliation.usage import NOTHING, Usage

ANTHROPIC_VERSION = "2023-06-01"
DAYS_ON_A_PAGE = 31
MOST_PAGES = 1_000
CALL_SECONDS = 30.0
_WITH_DECIMALS = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


class Account(Struct, frozen=True, kw_only=True):
    """At a provider."""

    provider: str
    url: str
    """Without a path."""
    admin_key: str


class _OpenAiUsage(Struct, frozen=True, kw_only=True):
    input_tokens: int = 0
    """Cached ones, and those written to a cache, included."""
    input_cached_tokens: int | None = None
    input_cache_write_tokens: int | None = None
    output_tokens: int = 0
    num_model_requests: int = 0
    model: str | None = None


class _CacheCreation(Struct, frozen=True, kw_only=True):
    ephemeral_1h_input_tokens: int = 0
    ephemeral_5m_input_tokens: int = 0


class _AnthropicUsage(Struct, frozen=True, kw_only=True):
    uncached_input_tokens: int = 0
    cache_creation: _CacheCreation = field(default_factory=_CacheCreation)
    cache_read_input_tokens: int = 0
    output_tokens: int = 0
    model: str | None = None


async def read_reports(
    account: Account, period: Period, transport: httpx.AsyncBaseTransport | None = None
) -> Sequence[StatementDay]:
    """What the provider says of every day and model. Raises ReportUnavailable."""
    is_openai = account.provider == "openai"
    headers = (
        {"Authorization": f"Bearer {account.admin_key}"}
        if is_openai
        else {"x-api-key": account.admin_key, "anthropic-version": ANTHROPIC_VERSION}
    )
    async with httpx.AsyncClient(
        base_url=account.url, headers=headers, timeout=CALL_SECONDS, transport=transport, follow_redirects=False
    ) as http:
        reader = _Reports(http, account.provider)
        return await (_openai(reader, period) if is_openai else _anthropic(reader, period))


class _Reports:
    def __init__(self, http: httpx.AsyncClient, provider: str) -> None:
        self._http = http
        self._provider = provider

    async def buckets(self, path: str, query: Mapping[str, str | list[str]]) -> AsyncIterator[dict[str, Any]]:
        """Of all pages."""
        page: str | None = None
        for _ in range(MOST_PAGES):
            answer = await self._page(path, {**query, **({} if page is None else {"page": page})})
            for bucket in answer.get("data", ()):
                yield bucket
            page = answer.get("next_page")
            if not answer.get("has_more") or page is None:
                return
        raise ReportUnavailable(self._provider, f"{path} does not end after {MOST_PAGES} pages")

    async def _page(self, path: str, query: Mapping[str, str | list[str]]) -> dict[str, Any]:
        try:
            response = await self._http.get(path, params=dict(query))
        except httpx.HTTPError as failure:
            raise ReportUnavailable(self._provider, str(failure) or type(failure).__name__) from failure
        if response.status_code in (401, 403):
            raise ReportUnavailable(self._provider, f"it refuses the key for {path}: an administrator's key is needed")
        if response.is_error or response.is_redirect:
            raise ReportUnavailable(self._provider, f"{path} is answered with status {response.status_code}")
        try:
            return _WITH_DECIMALS.decode(response.content)
        except (msgspec.MsgspecError, UnicodeDecodeError) as strange:
            raise ReportUnavailable(self._provider, f"{path} is answered with something else: {strange}") from strange

    def understood(self, take: Callable[["_Days", dict[str, Any]], None], days: "_Days", bucket: dict[str, Any]) -> None:
        try:
            take(days, bucket)
        except (msgspec.MsgspecError, ArithmeticError, KeyError, TypeError, ValueError) as strange:
            raise ReportUnavailable(self._provider, f"a report has another shape than it should: {strange}") from strange


async def _openai(reports: _Reports, period: Period) -> Sequence[StatementDay]:
    query: dict[str, str | list[str]] = {
        "start_time": str(int(_midnight(period.first).timestamp())),
        "end_time": str(int(_midnight(period.last + timedelta(days=1)).timestamp())),
        "bucket_width": "1d",
        "limit": str(DAYS_ON_A_PAGE),
    }
    days = _Days()
    async for bucket in reports.buckets("/v1/organization/usage/completions", {**query, "group_by": ["model"]}):
        reports.understood(_take_openai_usage, days, bucket)
    async for bucket in reports.buckets("/v1/organization/costs", {**query, "group_by": ["line_item"]}):
        reports.understood(_take_openai_costs, days, bucket)
    return days.told()


def _take_openai_usage(days: "_Days", bucket: dict[str, Any]) -> None:
    day = datetime.fromtimestamp(bucket["start_time"], UTC).date()
    for row in msgspec.convert(bucket["results"], list[_OpenAiUsage]):
        read, written = row.input_cached_tokens or 0, row.input_cache_write_tokens or 0
        used = Usage(input=row.input_tokens - read - written, cache_read=read, cache_write=written, output=row.output_tokens)
        days.add(day, row.model, used, row.num_model_requests)


def _take_openai_costs(days: "_Days", bucket: dict[str, Any]) -> None:
    day = datetime.fromtimestamp(bucket["start_time"], UTC).date()
    for row in bucket["results"]:
        # A line item is written as `gpt-4o-mini-2024-07-18, cached input`.
        model = (row.get("line_item") or "").partition(",")[0].strip()
        days.charge(day, model, Decimal(str(row["amount"]["value"])))


async def _anthropic(reports: _Reports, period: Period) -> Sequence[StatementDay]:
    query: dict[str, str | list[str]] = {
        "starting_at": _midnight(period.first).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "ending_at": _midnight(period.last + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "bucket_width": "1d",
        "limit": str(DAYS_ON_A_PAGE),
    }
    days = _Days()
    async for bucket in reports.buckets("/v1/organizations/usage_report/messages", {**query, "group_by[]": ["model"]}):
        reports.understood(_take_anthropic_usage, days, bucket)
    async for bucket in reports.buckets("/v1/organizations/cost_report", {**query, "group_by[]": ["description"]}):
        reports.understood(_take_anthropic_costs, days, bucket)
    return days.told()


def _take_anthropic_usage(days: "_Days", bucket: dict[str, Any]) -> None:
    day = datetime.fromisoformat(bucket["starting_at"]).date()
    for row in msgspec.convert(bucket["results"], list[_AnthropicUsage]):
        written = row.cache_creation.ephemeral_1h_input_tokens + row.cache_creation.ephemeral_5m_input_tokens
        used = Usage(
            input=row.uncached_input_tokens,
            cache_read=row.cache_read_input_tokens,
            cache_write=written,
            output=row.output_tokens,
        )
        days.add(day, row.model, used, None)


def _take_anthropic_costs(days: "_Days", bucket: dict[str, Any]) -> None:
    day = datetime.fromisoformat(bucket["starting_at"]).date()
    for row in bucket["results"]:
        days.charge(day, row.get("model") or "", Decimal(str(row["amount"])) / 100)


class _Days:
    """Added up by day and model."""

    def __init__(self) -> None:
        self._usage: dict[tuple[date, str], Usage] = {}
        self._requests: dict[tuple[date, str], int] = {}
        self._costs: dict[tuple[date, str], Decimal] = {}

    def add(self, day: date, model: str | None, used: Usage, requests: int | None) -> None:
        key = (day, family(model or "unknown"))
        self._usage[key] = self._usage.get(key, NOTHING) + used
        if requests is not None:
            self._requests[key] = self._requests.get(key, 0) + requests

    def charge(self, day: date, model: str, amount: Decimal) -> None:
        """What belongs to no model, such as storage, is not what the ledger has."""
        if model:
            key = (day, family(model))
            self._costs[key] = self._costs.get(key, Decimal(0)) + amount

    def told(self) -> Sequence[StatementDay]:
        return [
            StatementDay(
                day=day,
                model=model,
                usage=used,
                requests=self._requests.get((day, model)),
                cost_usd=self._costs.get((day, model)),
            )
            for (day, model), used in sorted(self._usage.items())
        ]


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
