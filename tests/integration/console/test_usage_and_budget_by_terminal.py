"""`aif usage` and `aif budget` against a stand-in of the gateway."""

import json
from collections.abc import Iterator

import msgspec
import pytest

from aif_contracts.budgets import AlertKind, BudgetAlert, BudgetPage, BudgetPolicy, BudgetView
from aif_contracts.metering import CostLines, Tokens
from aif_contracts.usage import Efficiency, MonthlyUsage, UsageDimension, UsageFigures, UsageReport, UsageRow
from support.gateway_stand_in import Terminal, gateway_stand_in

SPEND = "GET /api/v1/ai/pipelines/budget/spend"
FIGURES = UsageFigures(
    calls=1200,
    answered=1100,
    failed=60,
    unusable=30,
    in_doubt=2,
    unanswered=8,
    cached=40,
    retries=50,
    corrections=20,
    continuations=10,
    fallbacks=12,
    tokens=Tokens(prompt_tokens=90_000, completion_tokens=10_000, total_tokens=100_000),
    tokens_wasted=3000,
    audio_ms=0,
    characters=0,
    cost_usd="1.234567891",
    cost_wasted_usd="0.05",
    unpriced=1,
    in_doubt_usd="0.4",
    saved_by_cache_usd="0.2",
    saved_by_downgrade_usd="0.1",
    average_latency_ms=850,
    error_rate=0.0818,
    fallback_rate=0.01,
    cache_hit_rate=0.0323,
)
MONTH = MonthlyUsage(
    month="2026-11",
    client_id="acme",
    requests=40,
    by_status={"completed": 38, "failed": 2},
    deliverables=38,
    monthly_tokens=100_000,
    cost_usd="1.244567891",
    cost_lines=CostLines(ai_generation_usd="1.234567891", compute_usd="0.01"),
    wall_time_ms=80_000,
    busy_time_ms=120_000,
    efficiency=Efficiency(avg_tokens_per_request=2500, avg_time_per_request_ms=2000, cost_per_deliverable_usd="0.032752"),
    calls=FIGURES,
    attempts=90,
    attempts_failed=5,
    attempts_failed_tokens=2400,
    attempts_failed_cost_usd="0.04",
    provider_distribution={"openai": 1000, "anthropic": 200},
    model_distribution={"gpt-5-mini": 1000, "claude-haiku-4-5": 200},
    by_worker={},
)
ALERT = BudgetAlert(
    alert_id="alert_acme_2026-11_spent_80",
    client_id="acme",
    kind=AlertKind.SPENT,
    window="2026-11",
    threshold_percent=80,
    spent_usd="81",
    limit_usd="100",
    message="81.00 USD of 100.00 USD are spent in 2026-11: 80 % are reached",
    raised_at="2026-11-20T10:00:00.000Z",
)
BUDGET = BudgetView(
    client_id="acme",
    window="2026-11",
    policy=BudgetPolicy.SOFT_BLOCK,
    limit_usd="100",
    spent_usd="81",
    reserved_usd="3",
    remaining_usd="16",
    excess_usd="0",
    energy_limit=None,
    energy_spent=7,
    energy_reserved=1,
    allowed=True,
    message="16 of 100 USD are left",
    is_default=True,
    forecast_usd="120.25",
    alerts=(ALERT,),
)


@pytest.fixture
def aif(capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with gateway_stand_in() as gateway:
        yield Terminal(gateway, capsys)


def test_a_month_is_told_as_a_whole(aif: Terminal) -> None:
    aif.gateway.answers_with("GET /api/kam/usage", MONTH)

    said = aif("usage", "--month", "2026-11")

    assert (said.code, said.err) == (0, "")
    assert aif.gateway.last("GET /api/kam/usage").query == {"month": "2026-11"}
    for line in (
        "Orders        40: 38 completed, 2 failed",
        "Cost          at least $1.244568; 3 calls of unknown cost, up to $0.40",
        "Attempts      90, 5 failed: $0.04, 2,400 tokens",
        "  AI          $1.234568",
        "Time          80.0 s on the wall, 120.0 s at work",
        "Per order     2,500 tokens, 2000 ms",
        "Per delivery  $0.032752",
        "Models        gpt-5-mini 1,000, claude-haiku-4-5 200",
    ):
        assert line in said.out


def test_usage_is_put_together_and_summed(aif: Terminal) -> None:
    row = UsageRow(keys=("gpt-5-mini", None), figures=FIGURES)
    report = UsageReport(
        since="2026-11-01T00:00:00.000Z",
        until="2026-11-21T00:00:00.000Z",
        group_by=(UsageDimension.MODEL, UsageDimension.WORKSPACE),
        rows=(row,),
        totals=FIGURES,
        next_cursor="row/1",
    )
    aif.gateway.answers_with(SPEND, report)

    said = aif("usage", "--by", "model,workspace", "--from", "2026-11-01", "--order", "cost", "--limit", "1")

    assert aif.gateway.last(SPEND).query == {
        "from": "2026-11-01",
        "group_by": "model,workspace",
        "order": "cost",
        "limit": "1",
    }
    head, first, totals, more = said.out.splitlines()
    assert head.split() == [
        "MODEL",
        "WORKSPACE",
        "CALLS",
        "TOKENS",
        "COST",
        "IN",
        "DOUBT",
        "SAVED",
        "ERRORS",
        "FALLBACKS",
        "LATENCY",
    ]
    assert first.split() == [
        "gpt-5-mini",
        "-",
        "1,200",
        "100,000",
        "at",
        "least",
        "$1.234568",
        "$0.40",
        "$0.30",
        "8.2",
        "%",
        "1.0",
        "%",
        "850",
        "ms",
    ]
    assert totals.split()[:2] == ["all", "1,200"]
    assert more == "there are more: --cursor row/1"


def test_everybodys_usage_is_asked_for_with_the_operators_key(aif: Terminal) -> None:
    report = UsageReport(since="a", until="b", group_by=(UsageDimension.CLIENT,), rows=(), totals=FIGURES, next_cursor=None)
    aif.gateway.answers_with("GET /api/admin/usage", report)

    said = aif("usage", "--operator", "--by", "client", "--client", "acme", "--json")

    asked = aif.gateway.last("GET /api/admin/usage")
    assert (asked.headers["X-API-Key"], asked.query["client_id"]) == ("operator-key", "acme")
    assert msgspec.json.decode(said.out, type=UsageReport) == report


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("usage", "--client", "acme"), "--client"),
        (("usage", "--from", "2026-11-01"), "--from"),
        (("usage", "--by", "day", "--month", "2026-11"), "--month"),
        (("budget", "set", "acme"), "--limit"),
        (("budget", "set", "acme", "--limit", "lots"), "--limit"),
        (("budget", "set", "acme", "--energy", "much"), "--energy"),
        (("budget", "set", "../acme", "--limit", "5"), "CLIENT"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anybody_is_asked(aif: Terminal, words: tuple[str, ...], field: str) -> None:
    said = aif(*words)

    assert (said.code, aif.gateway.asked) == (2, [])
    assert field in said.err


def test_a_budget_is_shown_with_its_alerts(aif: Terminal) -> None:
    aif.gateway.answers_with("GET /api/v1/ai/pipelines/budget/status", BUDGET)

    said = aif("budget")

    for line in (
        "Says      16 of 100 USD are left",
        "Limit     $100.00, soft_block, the operator's default",
        "Spent     $81.00",
        "Forecast  $120.25 by the month's end",
        "Energy    7 used and 1 reserved of no limit",
        "Alert     2026-11-20 10:00:00: 81.00 USD of 100.00 USD are spent in 2026-11: 80 % are reached",
    ):
        assert line in said.out
    assert "Above it" not in said.out


def test_a_client_that_may_begin_nothing_is_told_so(aif: Terminal) -> None:
    empty = msgspec.structs.replace(BUDGET, allowed=False, message="nothing is left of 100 USD")
    aif.gateway.answers_with("GET /api/admin/clients/acme/budget", empty)

    said = aif("budget", "show", "--client", "acme")

    assert "nothing is left of 100 USD: nothing that costs money is begun" in said.out


def test_a_budget_is_set_with_what_is_named_alone(aif: Terminal) -> None:
    aif.gateway.answers_with("PUT /api/admin/clients/acme/budget", BUDGET)

    aif("budget", "set", "acme", "--limit", "$250.50", "--energy", "none")
    limited = aif.gateway.last("PUT /api/admin/clients/acme/budget")
    aif("budget", "set", "acme", "--policy", "hard_block")
    blocked = aif.gateway.last("PUT /api/admin/clients/acme/budget")

    assert limited.json == {"limit_usd": "250.5", "energy_limit": None}
    assert blocked.json == {"policy": "hard_block"}
    assert limited.headers["X-API-Key"] == "operator-key"


def test_budgets_are_listed_by_client(aif: Terminal) -> None:
    aif.gateway.answers_with("GET /api/admin/budgets", BudgetPage(budgets=(BUDGET,), next_cursor="acme"))

    said = aif("budget", "list")
    as_json = aif("budget", "list", "--json")

    assert said.out.splitlines()[1].split()[:4] == ["acme", "soft_block", "$100.00", "$81.00"]
    assert said.out.splitlines()[2] == "there are more: --cursor acme"
    assert json.loads(as_json.out)["budgets"][0]["client_id"] == "acme"
