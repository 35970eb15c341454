"""The double's bill in the providers' own shapes, read as their clients read it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest

from support.provider_double.bill import BillEntry
from support.provider_double.faults import Fault, FaultKind, FaultMix
from support.provider_double.server import ProviderDouble, provider_double

START = datetime(2026, 5, 1, tzinfo=UTC)
OPENAI_ADMIN = {"authorization": "Bearer sk-admin-1"}
ANTHROPIC_ADMIN = {"x-api-key": "sk-ant-admin-1"}
USAGE, COSTS = "/v1/organization/usage/completions", "/v1/organization/costs"
MESSAGES, COST_REPORT = "/v1/organizations/usage_report/messages", "/v1/organizations/cost_report"


def billed(model: str, *, day: int, hour: int = 12, provider: str = "openai") -> BillEntry:
    return BillEntry(
        response_id=f"{model}-{day}-{hour}",
        provider=provider,
        model=model,
        at=START + timedelta(days=day, hours=hour),
        input_tokens=1_000,
        cache_read_tokens=200,
        cache_write_tokens=0 if provider == "openai" else 100,
        output_tokens=50,
        reasoning_tokens=10,
    )


async def fetched(double: ProviderDouble, path: str, headers: dict[str, str], **query: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=double.url, headers=headers) as client:
        return await client.get(path, params=query)


async def pages(double: ProviderDouble, path: str, headers: dict[str, str], **query: Any) -> list[dict[str, Any]]:
    """All buckets of all pages."""
    buckets: list[dict[str, Any]] = []
    page: dict[str, Any] = {"has_more": True, "next_page": None}
    while page["has_more"]:
        cursor = {"page": page["next_page"]} if page["next_page"] else {}
        page = (await fetched(double, path, headers, **query, **cursor)).raise_for_status().json()
        buckets += page["data"]
    return buckets


async def test_openais_own_client_reads_the_usage_by_model_and_day(double: ProviderDouble) -> None:
    double.bill += [billed("gpt-4o", day=0), billed("gpt-4o", day=0, hour=13), billed("gpt-4o-mini", day=1)]
    client = openai.AsyncOpenAI(api_key="sk-test", admin_api_key="sk-admin-1", base_url=f"{double.url}/v1", max_retries=0)

    page = await client.admin.organization.usage.completions(
        start_time=int(START.timestamp()), end_time=int((START + timedelta(days=2)).timestamp()), group_by=["model"]
    )
    await client.close()

    told = [
        (result.model, result.input_tokens, result.input_cached_tokens, result.output_tokens, result.num_model_requests)
        for bucket in page.data
        for result in bucket.results
        if result.object == "organization.usage.completions.result"
    ]
    assert told == [("gpt-4o", 2_400, 400, 100, 2), ("gpt-4o-mini", 1_200, 200, 50, 1)]
    assert not page.has_more


async def test_openais_costs_are_told_in_dollars_by_day_and_item(double: ProviderDouble) -> None:
    double.bill += [billed("gpt-4o", day=0)]

    buckets = await pages(
        double, COSTS, OPENAI_ADMIN, start_time=int(START.timestamp()), end_time=int(START.timestamp()) + 86_400,
        **{"group_by[]": "line_item"},
    )  # fmt: skip

    [bucket] = buckets
    assert [(result["line_item"], result["amount"]) for result in bucket["results"]] == [
        ("gpt-4o, input_tokens", {"value": 0.0025, "currency": "usd"}),
        ("gpt-4o, cached_input_tokens", {"value": 0.00025, "currency": "usd"}),
        ("gpt-4o, output_tokens", {"value": 0.0005, "currency": "usd"}),
    ]


async def test_pages_follow_one_another_without_gap_or_repetition(double: ProviderDouble) -> None:
    double.bill += [billed("gpt-4o", day=day) for day in range(20)]

    buckets = await pages(
        double, USAGE, OPENAI_ADMIN, start_time=int(START.timestamp()), end_time=int(START.timestamp()) + 20 * 86_400, limit=6
    )

    assert [bucket["start_time"] for bucket in buckets] == [int(START.timestamp()) + day * 86_400 for day in range(20)]
    assert sum(result["num_model_requests"] for bucket in buckets for result in bucket["results"]) == 20


async def test_a_call_on_a_boundary_is_in_the_later_hour(double: ProviderDouble) -> None:
    double.bill += [billed("gpt-4o", day=0, hour=1)]

    buckets = await pages(
        double, USAGE, OPENAI_ADMIN, start_time=int(START.timestamp()), end_time=int(START.timestamp()) + 7_200,
        bucket_width="1h",
    )  # fmt: skip

    assert [len(bucket["results"]) for bucket in buckets] == [0, 1]


async def test_anthropics_usage_keeps_the_cache_apart(double: ProviderDouble) -> None:
    double.bill += [billed("claude-sonnet-5-5", day=0, provider="anthropic"), billed("gpt-4o", day=0)]

    [bucket] = await pages(
        double, MESSAGES, ANTHROPIC_ADMIN, starting_at="2026-05-01T00:00:00Z", ending_at="2026-05-02T00:00:00Z",
        **{"group_by[]": "model"},
    )  # fmt: skip

    assert (bucket["starting_at"], bucket["ending_at"]) == ("2026-05-01T00:00:00Z", "2026-05-02T00:00:00Z")
    [result] = bucket["results"]
    assert result["model"] == "claude-sonnet-5-5"
    assert result["uncached_input_tokens"] == 1_000
    assert result["cache_read_input_tokens"] == 200
    assert result["cache_creation"] == {"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 100}
    assert result["output_tokens"] == 50


async def test_anthropics_costs_are_told_in_cents_as_text(double: ProviderDouble) -> None:
    double.bill += [billed("claude-sonnet-5-5", day=0, provider="anthropic")]
    query = {"starting_at": "2026-05-01T00:00:00Z", "ending_at": "2026-05-02T00:00:00Z"}

    [whole] = await pages(double, COST_REPORT, ANTHROPIC_ADMIN, **query)
    [described] = await pages(double, COST_REPORT, ANTHROPIC_ADMIN, **query, **{"group_by[]": "description"})

    assert Decimal(whole["results"][0]["amount"]) == Decimal("0.277")
    assert [(result["token_type"], Decimal(result["amount"])) for result in described["results"]] == [
        ("uncached_input_tokens", Decimal("0.2")),
        ("cache_read_input_tokens", Decimal("0.002")),
        ("cache_creation.ephemeral_5m_input_tokens", Decimal("0.025")),
        ("output_tokens", Decimal("0.05")),
    ]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (USAGE, {"start_time": 1}),
        (COSTS, {"start_time": 1}),
        (MESSAGES, {"starting_at": "2026-05-01T00:00:00Z"}),
        (COST_REPORT, {"starting_at": "2026-05-01T00:00:00Z"}),
    ],
)
async def test_a_statement_needs_an_admins_key(double: ProviderDouble, path: str, query: dict[str, Any]) -> None:
    refused = await fetched(double, path, {"authorization": "Bearer sk-test", "x-api-key": "sk-ant-test"}, **query)

    assert refused.status_code == 401


async def test_a_question_that_makes_no_sense_is_refused(double: ProviderDouble) -> None:
    without_start = await fetched(double, USAGE, OPENAI_ADMIN)
    wide = await fetched(double, USAGE, OPENAI_ADMIN, start_time=1, bucket_width="1w")
    long = await fetched(double, USAGE, OPENAI_ADMIN, start_time=1, limit=1_000)
    elsewhere = await fetched(double, USAGE, OPENAI_ADMIN, start_time=1, page="page_2")

    assert {answer.status_code for answer in (without_start, wide, long, elsewhere)} == {400}


async def test_the_same_seed_plays_the_same_faults_in_any_order() -> None:
    mix = FaultMix(seed=7, shares=((Fault(kind=FaultKind.RESET), 0.5), (Fault(kind=FaultKind.CUT_OFF), 0.25)))
    names = [f"call_{number}" for number in range(400)]

    forwards = {name: mix.drawn(name) for name in names}
    backwards = {name: mix.drawn(name) for name in reversed(names)}

    assert forwards == backwards
    kinds = [fault.kind if fault else None for fault in forwards.values()]
    assert 160 < kinds.count(FaultKind.RESET) < 240
    assert 70 < kinds.count(FaultKind.CUT_OFF) < 130


async def test_the_bill_is_dated_by_the_clock_that_was_handed_in() -> None:
    async with provider_double(lambda: START) as dated, httpx.AsyncClient(base_url=dated.url) as client:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Bees?"}]}
        (await client.post("/v1/chat/completions", json=body)).raise_for_status()

    assert dated.bill[0].at == START
