"""The bill in the shapes of the providers' usage and cost APIs: time buckets, groups, pages.

Bucket by bucket the bill is added up and nothing is rounded. OpenAI tells money in dollars as a number, Anthropic in cents
as text. Requests need an administrator's key, as the real ones do.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from msgspec import Struct

from support.provider_double.bill import BillEntry
from support.provider_double.http_server import HttpRequest

_WIDTHS = {"1m": timedelta(minutes=1), "1h": timedelta(hours=1), "1d": timedelta(days=1)}
_BUCKETS = {"1m": (60, 1_440), "1h": (24, 168), "1d": (7, 31)}
"""Buckets in a page: without a `limit`, and at most."""
_OPENAI_ITEMS = {
    "input": "input_tokens",
    "cache_read": "cached_input_tokens",
    "cache_write": "cache_write_input_tokens",
    "output": "output_tokens",
}
_ANTHROPIC_TOKENS = {
    "input": ("uncached_input_tokens", "Input Tokens"),
    "cache_read": ("cache_read_input_tokens", "Input Tokens, Cache Hit"),
    "cache_write": ("cache_creation.ephemeral_5m_input_tokens", "Input Tokens, Cache Write"),
    "output": ("output_tokens", "Output Tokens"),
}


class Refusal(Exception):
    """A request that the API does not accept: status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class _Bucket(Struct, frozen=True, kw_only=True):
    start: datetime
    end: datetime
    entries: Sequence[BillEntry]


class _Page(Struct, frozen=True, kw_only=True):
    buckets: Sequence[_Bucket]
    next_page: str | None


def openai_usage(request: HttpRequest, bill: Iterable[BillEntry], now: datetime) -> dict[str, Any]:
    """`GET /v1/organization/usage/completions`."""
    _admin(request.headers.get("authorization", "").startswith("Bearer sk-admin"))
    models = _many(request, "models")
    entries = [entry for entry in bill if entry.provider == "openai" and (not models or entry.model in models)]
    page = _openai_page(request, entries, now, _width(request))
    by_model = _openai_groups(request, "model", {"model", "project_id", "user_id", "api_key_id", "batch", "service_tier"})
    return _openai_shape(page, lambda bucket: [_openai_usage_row(*group) for group in _grouped(bucket, by_model)])


def openai_costs(request: HttpRequest, bill: Iterable[BillEntry], now: datetime) -> dict[str, Any]:
    """`GET /v1/organization/costs`."""
    _admin(request.headers.get("authorization", "").startswith("Bearer sk-admin"))
    if _one(request, "bucket_width", "1d") != "1d":
        raise Refusal(400, "bucket_width: only 1d is supported")
    page = _openai_page(request, [entry for entry in bill if entry.provider == "openai"], now, "1d", most=180)
    by_item = _openai_groups(request, "line_item", {"line_item", "project_id", "api_key_id"})
    return _openai_shape(page, lambda bucket: _openai_cost_rows(bucket, by_item=by_item))


def anthropic_usage(request: HttpRequest, bill: Iterable[BillEntry], now: datetime) -> dict[str, Any]:
    """`GET /v1/organizations/usage_report/messages`."""
    _admin(_anthropic_key(request).startswith("sk-ant-admin"))
    models = _many(request, "models")
    entries = [entry for entry in bill if entry.provider == "anthropic" and (not models or entry.model in models)]
    page = _anthropic_page(request, entries, now, _width(request))
    by_model = "model" in _many(request, "group_by")
    return _anthropic_shape(page, lambda bucket: [_anthropic_usage_row(*group) for group in _grouped(bucket, by_model)])


def anthropic_costs(request: HttpRequest, bill: Iterable[BillEntry], now: datetime) -> dict[str, Any]:
    """`GET /v1/organizations/cost_report`."""
    _admin(_anthropic_key(request).startswith("sk-ant-admin"))
    page = _anthropic_page(request, [entry for entry in bill if entry.provider == "anthropic"], now, "1d")
    described = "description" in _many(request, "group_by")
    return _anthropic_shape(page, lambda bucket: _anthropic_cost_rows(bucket, described=described))


def _admin(is_admin: bool) -> None:
    if not is_admin:
        raise Refusal(401, "an admin key is needed")


def _anthropic_key(request: HttpRequest) -> str:
    return request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")


def _many(request: HttpRequest, name: str) -> list[str]:
    return [*request.query.get(name, []), *request.query.get(f"{name}[]", [])]


def _one(request: HttpRequest, name: str, default: str) -> str:
    return request.query.get(name, [default])[0]


def _width(request: HttpRequest) -> str:
    width = _one(request, "bucket_width", "1d")
    if width not in _WIDTHS:
        raise Refusal(400, "bucket_width: 1m, 1h or 1d")
    return width


def _openai_groups(request: HttpRequest, wanted: str, known: set[str]) -> bool:
    groups = set(_many(request, "group_by"))
    if groups - known:
        raise Refusal(400, f"group_by: {sorted(groups - known)} is not supported")
    return wanted in groups


def _openai_page(
    request: HttpRequest, entries: Sequence[BillEntry], now: datetime, width: str, *, most: int | None = None
) -> _Page:
    if "start_time" not in request.query:
        raise Refusal(400, "Missing required parameter: 'start_time'.")
    start = datetime.fromtimestamp(int(_one(request, "start_time", "")), UTC)
    end = datetime.fromtimestamp(int(_one(request, "end_time", "")), UTC) if "end_time" in request.query else now
    return _page(request, entries, start, end, width, most)


def _anthropic_page(request: HttpRequest, entries: Sequence[BillEntry], now: datetime, width: str) -> _Page:
    if "starting_at" not in request.query:
        raise Refusal(400, "starting_at: Field required")
    start = datetime.fromisoformat(_one(request, "starting_at", ""))
    end = datetime.fromisoformat(_one(request, "ending_at", "")) if "ending_at" in request.query else now
    return _page(request, entries, start, end, width, None)


def _page(
    request: HttpRequest, entries: Sequence[BillEntry], start: datetime, end: datetime, width: str, most: int | None
) -> _Page:
    step = _WIDTHS[width]
    usual, at_most = _BUCKETS[width]
    limit = int(_one(request, "limit", str(usual)))
    if not 1 <= limit <= (most or at_most):
        raise Refusal(400, f"limit: between 1 and {most or at_most}")
    cursor = _one(request, "page", "")
    bucket_start = _snapped(_position(cursor) if cursor else start, step)
    buckets: list[_Bucket] = []
    while bucket_start < end and len(buckets) < limit:
        bucket_end = bucket_start + step
        buckets.append(
            _Bucket(
                start=bucket_start,
                end=bucket_end,
                entries=[entry for entry in entries if bucket_start <= entry.at < bucket_end],
            )
        )
        bucket_start = bucket_end
    return _Page(buckets=buckets, next_page=_cursor(bucket_start) if bucket_start < end else None)


def _snapped(moment: datetime, step: timedelta) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (moment - epoch) // step * step


def _cursor(moment: datetime) -> str:
    return "page_" + base64.urlsafe_b64encode(moment.isoformat().encode()).decode()


def _position(cursor: str) -> datetime:
    try:
        return datetime.fromisoformat(base64.urlsafe_b64decode(cursor.removeprefix("page_")).decode())
    except (ValueError, binascii.Error) as wrong:
        raise Refusal(400, "page: not a cursor of this API") from wrong


def _grouped(bucket: _Bucket, by_model: bool) -> list[tuple[str | None, list[BillEntry]]]:
    """No group at all for an empty bucket."""
    groups: dict[str | None, list[BillEntry]] = {}
    for entry in bucket.entries:
        groups.setdefault(entry.model if by_model else None, []).append(entry)
    return sorted(groups.items(), key=lambda group: group[0] or "")


def _sum(entries: Iterable[BillEntry], line: str) -> Decimal:
    return sum((entry.cost_lines.get(line, Decimal(0)) for entry in entries), Decimal(0))


def _openai_usage_row(model: str | None, entries: list[BillEntry]) -> dict[str, Any]:
    return {
        "object": "organization.usage.completions.result",
        "input_tokens": sum(entry.prompt_tokens for entry in entries),
        "input_cached_tokens": sum(entry.cache_read_tokens for entry in entries),
        "input_cache_write_tokens": sum(entry.cache_write_tokens for entry in entries),
        "input_uncached_tokens": sum(entry.input_tokens for entry in entries),
        "output_tokens": sum(entry.output_tokens for entry in entries),
        "input_audio_tokens": 0,
        "output_audio_tokens": 0,
        "num_model_requests": len(entries),
        "project_id": None,
        "user_id": None,
        "api_key_id": None,
        "model": model,
        "batch": None,
        "service_tier": None,
    }


def _openai_cost_rows(bucket: _Bucket, *, by_item: bool) -> list[dict[str, Any]]:
    if not by_item:
        total = sum((entry.cost_usd for entry in bucket.entries), Decimal(0))
        return [_openai_cost_row(None, total)] if bucket.entries else []
    return [
        _openai_cost_row(f"{model}, {item}", amount)
        for model, entries in _grouped(bucket, by_model=True)
        for line, item in _OPENAI_ITEMS.items()
        if (amount := _sum(entries, line))
    ]


def _openai_cost_row(item: str | None, amount: Decimal) -> dict[str, Any]:
    return {
        "object": "organization.costs.result",
        "amount": {"value": amount, "currency": "usd"},
        "line_item": item,
        "project_id": None,
    }


def _openai_shape(page: _Page, rows: Callable[[_Bucket], list[dict[str, Any]]]) -> dict[str, Any]:
    return {
        "object": "page",
        "data": [
            {
                "object": "bucket",
                "start_time": int(bucket.start.timestamp()),
                "end_time": int(bucket.end.timestamp()),
                "results": rows(bucket),
            }
            for bucket in page.buckets
        ],
        "has_more": page.next_page is not None,
        "next_page": page.next_page,
    }


def _anthropic_usage_row(model: str | None, entries: list[BillEntry]) -> dict[str, Any]:
    return {
        "uncached_input_tokens": sum(entry.input_tokens for entry in entries),
        "cache_creation": {
            "ephemeral_1h_input_tokens": 0,
            "ephemeral_5m_input_tokens": sum(entry.cache_write_tokens for entry in entries),
        },
        "cache_read_input_tokens": sum(entry.cache_read_tokens for entry in entries),
        "output_tokens": sum(entry.output_tokens for entry in entries),
        "server_tool_use": {"web_search_requests": 0},
        "api_key_id": None,
        "workspace_id": None,
        "model": model,
        "service_tier": None,
        "context_window": None,
    }


def _anthropic_cost_rows(bucket: _Bucket, *, described: bool) -> list[dict[str, Any]]:
    if not described:
        total = sum((entry.cost_usd for entry in bucket.entries), Decimal(0))
        return [_anthropic_cost_row(total)] if bucket.entries else []
    return [
        _anthropic_cost_row(amount, model=model, token_type=token_type, description=f"{model} Usage - {words}")
        for model, entries in _grouped(bucket, by_model=True)
        for line, (token_type, words) in _ANTHROPIC_TOKENS.items()
        if (amount := _sum(entries, line))
    ]


def _anthropic_cost_row(
    amount: Decimal, *, model: str | None = None, token_type: str | None = None, description: str | None = None
) -> dict[str, Any]:
    described = description is not None
    return {
        "currency": "USD",
        "amount": format(amount * 100, "f"),
        "workspace_id": None,
        "description": description,
        "cost_type": "tokens" if described else None,
        "context_window": "0-200k" if described else None,
        "model": model,
        "service_tier": "standard" if described else None,
        "token_type": token_type,
    }


def _anthropic_shape(page: _Page, rows: Callable[[_Bucket], list[dict[str, Any]]]) -> dict[str, Any]:
    return {
        "data": [
            {"starting_at": _rfc3339(bucket.start), "ending_at": _rfc3339(bucket.end), "results": rows(bucket)}
            for bucket in page.buckets
        ],
        "has_more": page.next_page is not None,
        "next_page": page.next_page,
    }


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
