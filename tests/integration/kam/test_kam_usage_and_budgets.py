"""Usage and budgets over HTTP: who may ask for whom, what reaches the orchestrator, and what a refusal by a budget becomes."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from aif_contracts import subjects
from aif_contracts.budgets import BudgetPage, BudgetPolicy, BudgetView, GetBudget, ListBudgets, SetBudget
from aif_contracts.metering import CostLines, Tokens
from aif_contracts.orders import Refusal
from aif_contracts.usage import Efficiency, MonthlyUsage, MonthlyUsageQuery, UsageFigures, UsageQuery, UsageReport
from aif_runtime.bus import Question
from integration.kam.gateway_under_test import BEES, GatewayUnderTest

COURSE = "content_granulation_course"
ORDER = {"selected_template": COURSE, "parameters": {"source_text": BEES}, "message": "bees"}
NOTHING = UsageFigures(
    calls=0,
    answered=0,
    failed=0,
    unusable=0,
    in_doubt=0,
    unanswered=0,
    cached=0,
    retries=0,
    corrections=0,
    continuations=0,
    fallbacks=0,
    tokens=Tokens(),
    tokens_wasted=0,
    audio_ms=0,
    characters=0,
    cost_usd="0.0000001",
    cost_wasted_usd="0",
    unpriced=0,
    in_doubt_usd="0",
    saved_by_cache_usd="0",
    saved_by_downgrade_usd="0",
    average_latency_ms=None,
    error_rate=None,
    fallback_rate=None,
    cache_hit_rate=None,
)


class Accountant:
    """Answers in the orchestrator's place, and keeps what it was asked."""

    def __init__(self) -> None:
        self.usage: list[UsageQuery] = []
        self.months: list[MonthlyUsageQuery] = []
        self.set: list[SetBudget] = []

    async def start(self, kam: GatewayUnderTest) -> None:
        answers = {
            subjects.REPORT_USAGE: self._report,
            subjects.REPORT_MONTH: self._month,
            subjects.GET_BUDGET: self._get,
            subjects.SET_BUDGET: self._set,
            subjects.LIST_BUDGETS: self._list,
        }
        for subject, answerer in answers.items():
            await kam.bus.answer(subject, subjects.ORCHESTRATOR_GROUP, answerer)

    async def _report(self, question: Question) -> bytes:
        query = msgspec.json.decode(question.payload, type=UsageQuery)
        self.usage.append(query)
        report = UsageReport(
            since=query.since, until=query.until, group_by=query.group_by, rows=(), totals=NOTHING, next_cursor=None
        )
        return msgspec.json.encode(report)

    async def _month(self, question: Question) -> bytes:
        query = msgspec.json.decode(question.payload, type=MonthlyUsageQuery)
        self.months.append(query)
        usage = MonthlyUsage(
            month=query.month,
            client_id=query.client_id,
            requests=0,
            by_status={},
            deliverables=0,
            monthly_tokens=0,
            cost_usd="0",
            cost_lines=CostLines(),
            wall_time_ms=0,
            busy_time_ms=0,
            efficiency=Efficiency(avg_tokens_per_request=None, avg_time_per_request_ms=None, cost_per_deliverable_usd=None),
            calls=NOTHING,
            attempts=0,
            attempts_failed=0,
            provider_distribution={},
            model_distribution={},
            by_worker={},
        )
        return msgspec.json.encode(usage)

    async def _get(self, question: Question) -> bytes:
        return msgspec.json.encode(budget(msgspec.json.decode(question.payload, type=GetBudget).client_id))

    async def _set(self, question: Question) -> bytes:
        change = msgspec.json.decode(question.payload, type=SetBudget)
        self.set.append(change)
        return msgspec.json.encode(budget(change.client_id))

    async def _list(self, question: Question) -> bytes:
        query = msgspec.json.decode(question.payload, type=ListBudgets)
        return msgspec.json.encode(BudgetPage(budgets=(budget("alice"),), next_cursor=f"after {query.cursor} {query.limit}"))


def budget(client_id: str) -> BudgetView:
    return BudgetView(
        client_id=client_id,
        window="2026-11",
        policy=BudgetPolicy.SOFT_BLOCK,
        limit_usd="100",
        spent_usd="1",
        reserved_usd="0",
        remaining_usd="99",
        excess_usd="0",
        energy_limit=None,
        energy_spent=0,
        energy_reserved=0,
        allowed=True,
        message="99 of 100 USD are left",
        is_default=True,
    )


@pytest.fixture
async def admin(kam: GatewayUnderTest) -> AsyncIterator[httpx.AsyncClient]:
    async with kam.client("admin") as client:
        yield client


@pytest.fixture
async def accountant(kam: GatewayUnderTest) -> Accountant:
    answering = Accountant()
    await answering.start(kam)
    return answering


def fields(answer: httpx.Response) -> list[str]:
    return [mistake["field"] for mistake in answer.json()["errors"]]


async def test_a_client_sees_its_own_month_and_no_other(accountant: Accountant, alice: httpx.AsyncClient) -> None:
    own = await alice.get("/api/kam/usage", params={"month": "2026-10"})
    foreign = await alice.get("/api/kam/usage", params={"client_id": "bob"})

    assert own.json()["month"] == "2026-10"
    assert accountant.months == [MonthlyUsageQuery(client_id="alice", month="2026-10")]
    assert foreign.status_code == 403


async def test_the_operator_sees_one_clients_month_or_everybodys(accountant: Accountant, admin: httpx.AsyncClient) -> None:
    await admin.get("/api/kam/usage", params={"month": "2026-10", "client_id": "alice"})
    await admin.get("/api/kam/usage", params={"month": "2026-10"})

    assert [query.client_id for query in accountant.months] == ["alice", None]


async def test_spending_is_asked_for_with_days_as_times_and_money_comes_as_text(
    accountant: Accountant, alice: httpx.AsyncClient
) -> None:
    answer = await alice.get(
        "/api/v1/ai/pipelines/budget/spend",
        params={"from": "2026-11-01", "to": "2026-11-21T09:00:00+01:00", "group_by": "day,model"},
    )

    (query,) = accountant.usage
    assert (query.client_id, query.since, query.until) == ("alice", "2026-11-01T00:00:00.000Z", "2026-11-21T08:00:00.000Z")
    assert query.group_by == ("day", "model")
    assert answer.json()["totals"]["cost_usd"] == "0.0000001"
    assert answer.json()["from"] == "2026-11-01T00:00:00.000Z"


async def test_the_operator_filters_by_what_a_call_is_like(accountant: Accountant, admin: httpx.AsyncClient) -> None:
    await admin.get("/api/admin/usage", params={"model": "gpt-5", "purpose": "fallback", "order": "tokens", "limit": 7})

    (query,) = accountant.usage
    assert (query.client_id, query.group_by, query.order, query.limit) == (None, ("client",), "tokens", 7)
    assert (query.where.model, query.where.purpose, query.where.action) == ("gpt-5", "fallback", None)


async def test_everybodys_usage_and_budgets_are_the_operators(accountant: Accountant, alice: httpx.AsyncClient) -> None:
    paths = ("/api/admin/usage", "/api/admin/budgets", "/api/admin/clients/alice/budget")

    assert [(await alice.get(path)).status_code for path in paths] == [403, 403, 403]
    assert (await alice.put("/api/admin/clients/alice/budget", json={"limit_usd": "9"})).status_code == 403


@pytest.mark.parametrize(
    ("path", "wrong", "field"),
    [
        ("/api/kam/usage", {"month": "2026-13"}, "month"),
        ("/api/v1/ai/pipelines/budget/spend", {"group_by": "colour"}, "group_by"),
        ("/api/v1/ai/pipelines/budget/spend", {"group_by": "day,day"}, "group_by"),
        ("/api/v1/ai/pipelines/budget/spend", {"group_by": "day,model,action,client"}, "group_by"),
        ("/api/v1/ai/pipelines/budget/spend", {"from": "last week"}, "from"),
        ("/api/v1/ai/pipelines/budget/spend", {"to": "2026-11-31"}, "to"),
        ("/api/v1/ai/pipelines/budget/spend", {"limit": "501"}, "limit"),
    ],
)
async def test_a_wrong_question_is_refused_by_its_field(
    accountant: Accountant, alice: httpx.AsyncClient, path: str, wrong: dict[str, str], field: str
) -> None:
    answer = await alice.get(path, params=wrong)

    assert (answer.status_code, fields(answer)) == (422, [field])


async def test_a_client_sees_its_budget(accountant: Accountant, alice: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
    own = await alice.get("/api/v1/ai/pipelines/budget/status")
    unnamed = await admin.get("/api/v1/ai/pipelines/budget/status")

    assert (own.json()["client_id"], own.json()["remaining_usd"]) == ("alice", "99")
    assert (unnamed.status_code, fields(unnamed)) == (422, ["client_id"])


async def test_a_budget_is_set_by_the_operator_who_is_named(accountant: Accountant, admin: httpx.AsyncClient) -> None:
    answer = await admin.put(
        "/api/admin/clients/alice/budget", json={"limit_usd": "250.5", "policy": "hard_block", "energy_limit": None}
    )

    (change,) = accountant.set
    assert answer.status_code == 200
    assert (change.client_id, change.limit_usd, change.policy, change.energy_limit) == ("alice", "250.5", "hard_block", None)
    assert change.decided_by.endswith("of the operator")


async def test_what_is_left_out_of_a_budget_is_not_said(accountant: Accountant, admin: httpx.AsyncClient) -> None:
    await admin.put("/api/admin/clients/alice/budget", json={"limit_usd": "5"})

    assert (accountant.set[0].policy, accountant.set[0].energy_limit) == (None, msgspec.UNSET)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"limit_usd": 5}, "limit_usd"),
        ({"policy": "maybe"}, "policy"),
        ({"energy_limit": -1}, "energy_limit"),
        ({"energy_limit": 10**12 + 1}, "energy_limit"),
        ({"limit": "5"}, "limit"),
    ],
)
async def test_a_wrong_budget_is_refused_by_its_field(
    accountant: Accountant, admin: httpx.AsyncClient, wrong: dict[str, Any], field: str
) -> None:
    answer = await admin.put("/api/admin/clients/alice/budget", json=wrong)

    assert (answer.status_code, fields(answer), accountant.set) == (422, [field], [])


async def test_nobody_who_is_not_there_gets_a_budget(accountant: Accountant, admin: httpx.AsyncClient) -> None:
    answer = await admin.put("/api/admin/clients/nobody/budget", json={"limit_usd": "5"})

    assert (answer.status_code, answer.json()["type"], accountant.set) == (404, "urn:aif:problem:unknown_client", [])


async def test_budgets_are_listed_in_pages(accountant: Accountant, admin: httpx.AsyncClient) -> None:
    page = (await admin.get("/api/admin/budgets", params={"cursor": "aaa", "limit": 3})).json()

    assert [each["client_id"] for each in page["budgets"]] == ["alice"]
    assert page["next_cursor"] == "after aaa 3"


@pytest.mark.parametrize(
    ("code", "retry_after", "asked"),
    [("budget_exceeded", None, 1), ("insufficient_energy", None, 1), ("budget_reserved", "5", 2)],
)
async def test_an_order_that_a_budget_refuses_is_a_payment_that_is_required(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, code: str, retry_after: str | None, asked: int
) -> None:
    kam.orchestrator.refusal = Refusal(
        code=code, message="the budget does not allow it", retry_after_ms=5000 if code == "budget_reserved" else None
    )

    answers = [
        await alice.post("/api/kam/orders", json=ORDER, headers={"Idempotency-Key": "one"}),
        await alice.post("/api/kam/orders", json=ORDER, headers={"Idempotency-Key": "one"}),
    ]

    assert [each.status_code for each in answers] == [402, 402]
    assert [each.headers.get("Retry-After") for each in answers] == [retry_after, retry_after]
    assert answers[0].json()["type"] == f"urn:aif:problem:{code}"
    assert kam.orchestrator.asked_to_execute == asked


@pytest.mark.parametrize(("code", "wait_ms", "status"), [("budget_reserved", 5000, 402), ("rate_limited", None, 429)])
async def test_an_order_that_is_to_come_again_is_taken_under_its_key_when_it_does(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, code: str, wait_ms: int | None, status: int
) -> None:
    headers = {"Idempotency-Key": "one"}
    created = await alice.post("/api/kam/requests", json={"message": "bees"})
    request = f"/api/kam/requests/{created.json()['request_id']}"
    await alice.put(request, json={"selected_template": ORDER["selected_template"]})
    body, step = {"parameters": ORDER["parameters"]}, {"Idempotency-Key": "two"}
    kam.orchestrator.refusal = Refusal(code=code, message="not now", retry_after_ms=wait_ms)
    refused = await alice.post("/api/kam/orders", json=ORDER, headers=headers)
    refused_step = await alice.post(f"{request}/execute", json=body, headers=step)

    kam.orchestrator.refusal = None
    taken = [await alice.post("/api/kam/orders", json=ORDER, headers=headers) for _ in range(2)]
    taken_step = [await alice.post(f"{request}/execute", json=body, headers=step) for _ in range(2)]

    assert (refused.status_code, refused_step.status_code) == (status, status)
    assert [each.status_code for each in (*taken, *taken_step)] == [202, 202, 202, 202]
    assert (taken[0].content, taken_step[0].content) == (taken[1].content, taken_step[1].content)
    assert len(kam.orchestrator.orders) == 2
