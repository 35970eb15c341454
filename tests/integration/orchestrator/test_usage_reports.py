"""Usage, summed by a real database and asked for over the bus."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
import pytest

from aif_contracts import subjects
from aif_contracts.orders import Refusal
from aif_contracts.usage import (
    MonthlyUsage,
    MonthlyUsageQuery,
    UsageDimension,
    UsageFilter,
    UsageOrder,
    UsageQuery,
    UsageReport,
)
from aif_orchestrator.usage.answers import REPORTS_AT_ONCE, UsageAnswers
from aif_orchestrator.usage.rolling import Pace, UsageRolling
from aif_orchestrator.usage.store import UsageStore
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.postgres import Database, reading
from aif_runtime.sql_files import load_queries
from support.orchestrator_line import orchestrator_database
from support.waiting import eventually

Answer = TypeVar("Answer", bound=msgspec.Struct)

D = UsageDimension
NOVEMBER = {"since": "2026-11-01T00:00:00Z", "until": "2026-12-01T00:00:00Z"}


class Books:
    """Fills the tables and asks about them. When it rolls, what is asked about is among the totals by then."""

    def __init__(self, database: Database, bus: MemoryBus, rolling: UsageRolling | None) -> None:
        self.database = database
        self._bus = bus
        self._rolling = rolling
        self._written = 0

    async def call(self, **told: Any) -> None:
        """An answered call of acme to gpt-5-mini on 21 November, but for what is told."""
        self._written += 1
        row = {
            "call_key": f"exec_1.outline.1.{self._written}",
            "execution_id": "exec_1",
            "client_id": "acme",
            "stage_id": "outline",
            "attempt": 1,
            "worker_name": "content_granulator",
            "action": "granulate",
            "capability": "generate",
            "provider": "openai",
            "model": "gpt-5-mini",
            "purpose": "first_try",
            "reason": "",
            "outcome": "answered",
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "cache_read_tokens": 0,
            "cache_write_tokens": 0,
            "reasoning_tokens": 0,
            "audio_ms": 0,
            "characters": 0,
            "cost_usd": "0.01",
            "basis": "usage",
            "latency_ms": 500,
            "booked_at": "2026-11-21T12:00:00Z",
            **told,
        }
        await self._insert("provider_calls", row)

    async def execution(self, execution_id: str, **told: Any) -> None:
        row = {
            "execution_id": execution_id,
            "client_id": "acme",
            "template": "course",
            "template_version": "1.0.0",
            "status": "completed",
            "created_at": "2026-11-20T12:00:00Z",
            "ended_at": "2026-11-20T12:00:04Z",
            "searched": "",
            **told,
        }
        if row["ended_at"] is None:
            row["wake_at"] = row["created_at"]
        await self._insert("executions", row)

    async def ends(self, execution_id: str, deliverables: int, *, leg: int = 1, **lines: str) -> None:
        """The last event of a leg."""
        data = {
            "event_type": "WORKFLOW_COMPLETED",
            "totals": {"wall_time_ms": 4000, "cost_lines": lines},
            "deliverables": [{"title": "A \\u0000 title"}] * deliverables,
        }
        events = [{"data": {"event_type": "STEP_COMPLETED"}}, {"data": data}]
        async with self.database.connection() as connection:
            await connection.execute(
                "INSERT INTO execution_journal"
                " (execution_id, version, leg, is_final, first_sequence, last_sequence, events, is_whole)"
                " VALUES ($1, $2, $2, true, $2, $2, $3, false)",
                execution_id,
                leg,
                msgspec.json.encode(events).replace(b"\\\\u0000", b"\\u0000"),
            )

    async def attempt(self, execution_id: str, **told: Any) -> None:
        row = {
            "execution_id": execution_id,
            "stage_id": "outline",
            "attempt": 1,
            "worker_name": "content_granulator",
            "action": "granulate",
            "success": True,
            "tokens_used": 120,
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "cost_usd": "0.01",
            "execution_time_ms": 3000,
            "queue_time_ms": 1,
            "ended_at": "2026-11-20T12:00:04Z",
            "account": "",
            **told,
        }
        await self._insert("stage_attempts", row)

    async def report(self, *group_by: UsageDimension, client_id: str | None = "acme", **how: Any) -> UsageReport:
        await self._roll()
        query = UsageQuery(client_id=client_id, group_by=group_by, **{**NOVEMBER, **how})
        return await self._answer(subjects.REPORT_USAGE, query, UsageReport)

    async def refused(self, *group_by: UsageDimension, **how: Any) -> Refusal:
        query = UsageQuery(client_id="acme", group_by=group_by, **{**NOVEMBER, **how})
        return await self._answer(subjects.REPORT_USAGE, query, Refusal)

    async def month(self, month: str, client_id: str | None = "acme") -> MonthlyUsage:
        await self._roll()
        return await self._answer(subjects.REPORT_MONTH, MonthlyUsageQuery(client_id=client_id, month=month), MonthlyUsage)

    async def rows(self, view: str, columns: str = "*") -> list[dict[str, Any]]:
        async with self.database.connection() as connection:
            return [dict(row) for row in await connection.fetch(f"SELECT {columns} FROM {view}")]  # noqa: S608 names of ours

    async def are_locked_out(self) -> bool:
        """As many as may report at once."""
        waiting = await self.rows("pg_locks", "count(*) FILTER (WHERE NOT granted) AS waiting")
        return waiting == [{"waiting": REPORTS_AT_ONCE}]

    async def _roll(self) -> None:
        if self._rolling:
            await self._rolling.roll()

    async def _answer(self, subject: str, query: msgspec.Struct, kind: type[Answer]) -> Answer:
        payload = await self._bus.ask(subject, msgspec.json.encode(query), wait_seconds=5)
        if kind is not Refusal and b'"reply":"refusal"' in payload:
            raise AssertionError(payload.decode())
        return msgspec.json.decode(payload, type=kind)

    async def _insert(self, table: str, row: dict[str, Any]) -> None:
        names = ", ".join(row)
        async with self.database.connection() as connection:
            await connection.execute(
                f"INSERT INTO {table} ({names}) SELECT {names} FROM jsonb_populate_record(NULL::{table}, $1::jsonb)",  # noqa: S608 names of ours
                msgspec.json.encode(row),
            )


@pytest.fixture(params=[False, True], ids=["as it stands", "rolled up"])
async def books(fresh_orchestrator_database: str, request: pytest.FixtureRequest) -> AsyncIterator[Books]:
    async with orchestrator_database(fresh_orchestrator_database) as database:
        bus = MemoryBus(MemoryBroker())
        usage = UsageStore(load_queries("aif_orchestrator.usage"))
        pace = Pace(least_age_seconds=0)
        rolling = UsageRolling(database=database, usage=usage, pace=pace) if request.param else None
        await UsageAnswers(bus=bus, database=database, usage=usage, place_seconds=0.3).open()
        yield Books(database, bus, rolling)
        await bus.close()


def by_key(report: UsageReport) -> dict[tuple[str | None, ...], tuple[int, str]]:
    return {row.keys: (row.figures.calls, row.figures.cost_usd) for row in report.rows}


async def test_long_reports_leave_connections_to_other_readers(books: Books) -> None:
    async with books.database.transaction() as connection:
        await connection.execute("LOCK TABLE provider_calls IN ACCESS EXCLUSIVE MODE")
        async with asyncio.TaskGroup() as group:
            for _ in range(REPORTS_AT_ONCE):
                group.create_task(books.refused(D.CLIENT))
            await eventually(books.are_locked_out)
            refusal = await books.refused(D.CLIENT)
            with reading():
                seen = await books.rows("budgets")

    assert (refusal.code, refusal.retry_after_ms) == ("too_many_readers", 1000)
    assert "being summed up" in refusal.message
    assert seen == []
    assert (await books.report(D.CLIENT)).rows == ()


async def test_each_end_of_a_call_is_told_apart(books: Books) -> None:
    await books.call(cache_read_tokens=60, reasoning_tokens=5)
    await books.call(purpose="retry", outcome="failed", cost_usd=None, prompt_tokens=0, completion_tokens=0, latency_ms=100)
    await books.call(purpose="correction", outcome="rejected", cost_usd="0.02")
    await books.call(purpose="continuation", outcome="truncated", cost_usd="0.03")
    await books.call(purpose="fallback", outcome="in_doubt", cost_usd=None, upper_bound_usd="0.5", prompt_tokens=0)
    await books.call(outcome="started", cost_usd=None, upper_bound_usd="0.25", prompt_tokens=0, completion_tokens=0)
    await books.call(outcome="in_doubt", cost_usd="0.1", upper_bound_usd="0.2", basis="estimate", prompt_tokens=0)
    await books.call(outcome="cached", cost_usd="0", saved_usd="0.01", saving="cache", prompt_tokens=0, completion_tokens=0)
    await books.call(cost_usd="0.000000000001", saved_usd="0.004", saving="downgrade", latency_ms=700)
    await books.call(cost_usd=None, upper_bound_usd="0.125")

    totals = (await books.report(D.CLIENT)).totals

    assert (totals.calls, totals.cached) == (9, 1)
    assert (totals.answered, totals.failed, totals.unusable, totals.in_doubt, totals.unanswered) == (3, 1, 2, 2, 1)
    assert (totals.retries, totals.corrections, totals.continuations, totals.fallbacks) == (1, 1, 1, 1)
    assert totals.cost_usd == "0.160000000001"
    assert totals.cost_wasted_usd == "0.15"
    assert (totals.in_doubt_usd, totals.unpriced) == ("0.875", 1)
    assert (totals.saved_by_cache_usd, totals.saved_by_downgrade_usd) == ("0.01", "0.004")
    assert (totals.tokens.prompt_tokens, totals.tokens.completion_tokens, totals.tokens.total_tokens) == (500, 140, 640)
    assert (totals.tokens.cache_read_tokens, totals.tokens.reasoning_tokens) == (60, 5)
    assert totals.tokens_wasted == 280
    assert totals.average_latency_ms == 467
    assert (totals.error_rate, totals.fallback_rate, totals.cache_hit_rate) == (0.571429, 0.111111, 0.1)


@pytest.mark.parametrize(
    ("dimension", "key"),
    [
        (D.CLIENT, "acme"),
        (D.WORKSPACE, "marketing"),
        (D.WORKER, "content_granulator"),
        (D.ACTION, "granulate"),
        (D.MODEL, "gpt-5-mini"),
        (D.PROVIDER, "openai"),
        (D.STAGE, "outline"),
        (D.TEMPLATE, "course"),
        (D.PURPOSE, "first_try"),
        (D.OUTCOME, "answered"),
        (D.EXECUTION, "exec_1"),
        (D.DAY, "2026-11-21"),
        (D.WEEK, "2026-W47"),
        (D.MONTH, "2026-11"),
    ],
)
async def test_calls_are_put_together_by_every_dimension(books: Books, dimension: UsageDimension, key: str) -> None:
    await books.execution("exec_1")
    await books.call(workspace_id="marketing")
    await books.call(workspace_id="marketing")

    assert by_key(await books.report(dimension)) == {(key,): (2, "0.02")}


async def test_three_dimensions_make_one_row_for_each_combination(books: Books) -> None:
    await books.call(model="a", action="x", booked_at="2026-11-02T00:00:00Z")
    await books.call(model="a", action="y", booked_at="2026-11-02T23:59:59Z")
    await books.call(model="b", action="x", booked_at="2026-11-03T00:00:00Z")
    await books.call(model="b", action="x", booked_at="2026-11-03T00:00:01Z")

    report = await books.report(D.DAY, D.MODEL, D.ACTION)

    assert by_key(report) == {
        ("2026-11-02", "a", "x"): (1, "0.01"),
        ("2026-11-02", "a", "y"): (1, "0.01"),
        ("2026-11-03", "b", "x"): (2, "0.02"),
    }


async def test_a_client_sees_its_own_calls_and_the_operator_everybodys(books: Books) -> None:
    await books.call()
    await books.call(client_id="beta")

    assert by_key(await books.report(D.CLIENT)) == {("acme",): (1, "0.01")}
    assert by_key(await books.report(D.CLIENT, client_id=None)) == {("acme",): (1, "0.01"), ("beta",): (1, "0.01")}


async def test_the_end_of_the_time_is_not_part_of_it(books: Books) -> None:
    await books.call(model="before", booked_at="2026-10-31T23:59:59.999Z")
    await books.call(model="first", booked_at="2026-11-01T00:00:00Z")
    await books.call(model="last", booked_at="2026-11-30T23:59:59.999Z")
    await books.call(model="after", booked_at="2026-12-01T00:00:00Z")

    assert set(by_key(await books.report(D.MODEL))) == {("first",), ("last",)}


async def test_filters_hold_together(books: Books) -> None:
    await books.execution("exec_1")
    await books.execution("exec_2", template="quiz")
    await books.call(model="a")
    await books.call(model="b", purpose="fallback")
    await books.call(model="b", purpose="fallback", execution_id="exec_2")

    filtered = await books.report(D.MODEL, where=UsageFilter(purpose="fallback", template="quiz"))

    assert by_key(filtered) == {("b",): (1, "0.01")}


async def test_pages_go_from_the_dearest_on_and_tell_the_sum_of_all(books: Books) -> None:
    for model, cost in (("a", "0.1"), ("b", "0.3"), ("c", "0.2")):
        await books.call(model=model, cost_usd=cost)

    first = await books.report(D.MODEL, order=UsageOrder.COST, limit=2)
    second = await books.report(D.MODEL, order=UsageOrder.COST, limit=2, cursor=first.next_cursor)

    assert [row.keys for row in first.rows] == [("b",), ("c",)]
    assert [row.keys for row in second.rows] == [("a",)]
    assert second.next_cursor is None
    assert first.totals.cost_usd == second.totals.cost_usd == "0.6"


async def test_a_time_without_calls_has_totals_of_nothing(books: Books) -> None:
    report = await books.report(D.MODEL)

    assert report.rows == ()
    assert (report.totals.calls, report.totals.cost_usd, report.totals.error_rate) == (0, "0", None)


async def test_hours_of_the_calendars_last_day_are_a_time_without_calls(books: Books) -> None:
    report = await books.report(D.MODEL, since="9999-12-31T01:00:00Z", until="9999-12-31T02:00:00Z")

    assert (report.rows, report.totals.calls) == ((), 0)


@pytest.mark.parametrize(
    ("how", "field"),
    [
        ({"since": "yesterday"}, "from"),
        ({"until": "2026-12-01T00:00:00"}, "to"),
        ({"until": "2026-11-01T00:00:00Z"}, "to"),
        ({"since": "2025-01-01T00:00:00Z"}, "from"),
        ({"cursor": "row/x"}, "cursor"),
    ],
)
async def test_a_wrong_question_is_refused_by_its_field(books: Books, how: dict[str, Any], field: str) -> None:
    refusal = await books.refused(D.MODEL, **how)

    assert [mistake.field for mistake in refusal.mistakes] == [field]


async def test_a_dimension_named_twice_is_refused(books: Books) -> None:
    assert (await books.refused(D.MODEL, D.MODEL)).mistakes[0].field == "group_by"


async def test_a_month_tells_what_was_ordered_what_it_took_and_what_it_cost(books: Books) -> None:
    await books.execution("exec_1")
    await books.ends("exec_1", 2, api_calls_usd="0.001", storage_usd="0.0002", compute_usd="0.00003")
    await books.attempt("exec_1")
    await books.attempt("exec_1", stage_id="quiz", worker_name="content_optimizer", success=False, failure_code="timeout")
    await books.execution("exec_2", status="failed", ended_at="2026-11-20T12:00:10Z")
    await books.ends("exec_2", 0)
    await books.execution("exec_3", status="running", ended_at=None)
    await books.execution("exec_4", created_at="2026-10-31T23:00:00Z")
    await books.ends("exec_4", 5)
    await books.call(execution_id="exec_1")
    await books.call(execution_id="exec_2", provider="anthropic", model="claude-haiku-4-5", cost_usd="0.05")

    usage = await books.month("2026-11")

    assert usage.requests == 3
    assert usage.by_status == {"completed": 1, "failed": 1, "running": 1}
    assert usage.deliverables == 2
    assert usage.monthly_tokens == 240
    assert usage.cost_usd == "0.06123"
    lines = usage.cost_lines
    assert (lines.ai_generation_usd, lines.api_calls_usd, lines.storage_usd, lines.compute_usd) == (
        "0.06",
        "0.001",
        "0.0002",
        "0.00003",
    )
    assert (usage.wall_time_ms, usage.busy_time_ms) == (14_000, 6_000)
    assert usage.efficiency.avg_tokens_per_request == 80
    assert usage.efficiency.avg_time_per_request_ms == 7000
    assert usage.efficiency.cost_per_deliverable_usd == "0.030615"
    assert (usage.attempts, usage.attempts_failed) == (2, 1)
    assert (usage.attempts_failed_tokens, usage.attempts_failed_cost_usd) == (120, "0.01")
    assert usage.provider_distribution == {"anthropic": 1, "openai": 1}
    assert usage.model_distribution == {"claude-haiku-4-5": 1, "gpt-5-mini": 1}
    assert {name: share.busy_time_ms for name, share in usage.by_worker.items()} == {
        "content_granulator": 3000,
        "content_optimizer": 3000,
    }


async def test_a_workers_month_holds_what_calls_cost_whose_attempt_could_not_say_it(books: Books) -> None:
    await books.execution("exec_1")
    await books.attempt("exec_1", cost_usd=None)
    await books.call(cost_usd="0.5")
    await books.call(outcome="in_doubt", cost_usd=None, upper_bound_usd="3", prompt_tokens=0, completion_tokens=0)
    lost = {"stage_id": "quiz", "success": False, "failure_code": "worker_lost"}
    await books.attempt("exec_1", cost_usd="0", tokens_used=0, prompt_tokens=0, completion_tokens=0, **lost)
    await books.call(stage_id="quiz", cost_usd="0.25")
    await books.call(stage_id="cut_off_by_a_cancel", cost_usd="0.125")
    await books.attempt("exec_1", stage_id="calls_not_told", cost_usd="0.0625")
    await books.call(call_key="exec_1.outline.1.1~1763726400000000", cost_usd="8", booked_at="2026-11-03T12:00:00Z")

    usage = await books.month("2026-11")

    share = usage.by_worker["content_granulator"]
    assert (share.cost_usd, share.attempts) == ("0.9375", 3)
    assert (share.tokens_used.prompt_tokens, share.tokens_used.total_tokens) == (400, 480)
    assert (usage.attempts, usage.attempts_failed) == (3, 1)
    assert (usage.attempts_failed_tokens, usage.attempts_failed_cost_usd) == (120, "0.25")


async def test_a_clients_month_holds_nothing_of_another_client(books: Books) -> None:
    await books.execution("exec_1", client_id="beta")
    await books.ends("exec_1", 2, compute_usd="0.5")
    await books.attempt("exec_1")
    await books.call(client_id="beta")

    own, everybodys = await books.month("2026-11"), await books.month("2026-11", client_id=None)

    assert (own.requests, own.attempts, own.deliverables, own.cost_usd, own.by_worker) == (0, 0, 0, "0", {})
    assert (everybodys.requests, everybodys.attempts, everybodys.deliverables, everybodys.cost_usd) == (1, 1, 2, "0.51")


async def test_a_month_in_which_nothing_happened_divides_by_nothing(books: Books) -> None:
    usage = await books.month("2026-12")

    assert (usage.requests, usage.cost_usd, usage.deliverables) == (0, "0", 0)
    assert usage.efficiency.avg_tokens_per_request is None
    assert usage.efficiency.avg_time_per_request_ms is None
    assert usage.efficiency.cost_per_deliverable_usd is None


async def test_a_resumed_execution_delivers_what_its_last_leg_says(books: Books) -> None:
    await books.execution("exec_1")
    await books.ends("exec_1", 0, leg=1)
    await books.ends("exec_1", 3, leg=2)

    assert (await books.month("2026-11")).deliverables == 3


async def test_the_log_of_usage_and_the_weekly_costs_are_views(books: Books) -> None:
    await books.call(workspace_id="marketing", cost_usd="0.000000150000")
    await books.call(booked_at="2026-11-16T00:00:00Z", outcome="in_doubt", cost_usd=None, upper_bound_usd="0.4")
    await books.call(booked_at="2026-11-16T00:00:00Z", outcome="answered", cost_usd=None, upper_bound_usd="0.2")
    await books.call(booked_at="2026-11-15T23:59:59Z")

    logged = await books.rows(
        "ai_usage_logs",
        "user_id, workspace_id, action, provider, model, tokens_prompt, tokens_completion, tokens_total, cost_usd, created_at",
    )
    weekly = await books.rows("weekly_ai_costs ORDER BY week", "week::text, calls, cost_usd, in_doubt_usd")

    assert logged[0]["cost_usd"] == Decimal("0.000000150000")
    assert (logged[0]["user_id"], logged[0]["tokens_total"]) == ("acme", 120)
    assert weekly == [
        {"week": "2026-11-09", "calls": 1, "cost_usd": Decimal("0.01"), "in_doubt_usd": Decimal(0)},
        {"week": "2026-11-16", "calls": 3, "cost_usd": Decimal("0.00000015"), "in_doubt_usd": Decimal("0.6")},
    ]


async def test_what_a_failed_attempt_has_spent_is_wasted_also_where_a_model_had_answered_well(books: Books) -> None:
    await books.attempt("exec_1", success=False, failure_code="output_invalid")
    await books.attempt("exec_1", attempt=2)
    await books.call(execution_id="exec_1", stage_id="outline", attempt=1, cost_usd="0.5")
    await books.call(execution_id="exec_1", stage_id="outline", attempt=1, outcome="cached", cost_usd="0", prompt_tokens=7)
    await books.call(execution_id="exec_1", stage_id="outline", attempt=2, cost_usd="0.25", outcome="rejected")
    await books.call(execution_id="exec_1", stage_id="outline", attempt=2, cost_usd="0.125")
    await books.call(execution_id="exec_1", stage_id="other", attempt=1, cost_usd="0.0625")

    by_stage = {row.keys[0]: row.figures for row in (await books.report(D.STAGE)).rows}
    (generator,) = await books.rows("ai_costs_by_generator", "tokens_wasted, cost_wasted_usd")
    month = (await books.month("2026-11")).calls

    assert (by_stage["outline"].cost_wasted_usd, by_stage["outline"].tokens_wasted) == ("0.75", 240)
    assert (by_stage["other"].cost_wasted_usd, by_stage["other"].tokens_wasted) == ("0", 0)
    assert generator == {"tokens_wasted": 240, "cost_wasted_usd": Decimal("0.75")}
    assert (month.cost_wasted_usd, month.tokens_wasted) == ("0.75", 240)


async def test_a_fallback_that_failed_too_counts_in_the_fallback_rate(books: Books) -> None:
    now = "now"
    await books.call(outcome="failed", cost_usd=None, booked_at=now)
    await books.call(purpose="fallback", outcome="failed", cost_usd=None, booked_at=now)
    await books.call(booked_at=now)
    await books.call(booked_at=now)
    await books.call(outcome="cached", booked_at=now)

    (row,) = await books.rows("ai_fallback_rate")

    assert (row["calls"], row["fallbacks"], row["failures"], row["fallback_rate"]) == (4, 1, 2, Decimal("0.25"))


async def test_the_other_views_answer_who_what_and_which_generator(books: Books) -> None:
    await books.call(booked_at="now", cost_usd="0.5")
    await books.call(booked_at="now", client_id="beta", action="plan", model="gpt-5", cost_usd="0.7", outcome="rejected")

    days = await books.rows("daily_ai_costs", "calls, cost_usd")
    users = await books.rows("top_ai_users", "user_id")
    actions = await books.rows("ai_costs_by_action", "action, tokens_total")
    generators = await books.rows("ai_costs_by_generator ORDER BY model", "model, answered, tokens_wasted, cost_wasted_usd")

    assert days == [{"calls": 2, "cost_usd": Decimal("1.2")}]
    assert users == [{"user_id": "beta"}, {"user_id": "acme"}]
    assert actions == [{"action": "plan", "tokens_total": 120}, {"action": "granulate", "tokens_total": 120}]
    assert generators == [
        {"model": "gpt-5", "answered": 0, "tokens_wasted": 120, "cost_wasted_usd": Decimal("0.7")},
        {"model": "gpt-5-mini", "answered": 1, "tokens_wasted": 0, "cost_wasted_usd": Decimal(0)},
    ]


async def test_the_views_of_the_last_days_leave_out_what_is_older_and_count_no_hits_of_the_cache_as_calls(books: Books) -> None:
    async def days_ago(days: int, **told: Any) -> None:
        await books.call(booked_at=(datetime.now(UTC) - timedelta(days=days)).isoformat(), **told)

    await days_ago(6, cost_usd="0.5", purpose="correction")
    await days_ago(8, cost_usd="0.25")
    await days_ago(29, cost_usd=None, client_id="beta", outcome="in_doubt")
    await days_ago(31, cost_usd="4", client_id="beta")
    await days_ago(6, cost_usd="0", outcome="cached", saved_usd="0.125", saving="cache")
    await days_ago(31, cost_usd="0.0625", saved_usd="2", saving="downgrade")

    daily = await books.rows("daily_ai_costs ORDER BY day", "calls, tokens_total, cost_usd")
    users = await books.rows("top_ai_users", "user_id, calls, tokens_total, cost_usd")
    actions = await books.rows("ai_costs_by_action", "calls, tokens_prompt, tokens_completion, cost_usd, average_cost_usd")
    rates = await books.rows("ai_fallback_rate", "calls, corrections, correction_rate, failures")
    generators = await books.rows(
        "ai_costs_by_generator",
        "calls, answered, tokens_wasted, cost_usd, cost_wasted_usd, saved_by_cache_usd, saved_by_downgrade_usd",
    )

    assert [tuple(row.values()) for row in daily] == [(1, 120, 0), (1, 120, Decimal("0.25")), (1, 240, Decimal("0.5"))]
    assert [tuple(row.values()) for row in users] == [("acme", 2, 360, Decimal("0.75")), ("beta", 1, 120, 0)]
    assert [tuple(row.values()) for row in actions] == [(3, 400, 80, Decimal("0.75"), Decimal("0.375"))]
    assert [tuple(row.values()) for row in rates] == [(1, 1, 1, 0)]
    assert [tuple(row.values()) for row in generators] == [
        (5, 4, 120, Decimal("4.8125"), 0, Decimal("0.125"), Decimal(2)),
    ]
