"""A client's month: what was ordered, what came out, what it took and what it cost."""

from datetime import UTC, datetime

from aif_contracts.metering import CostLines, Tokens
from aif_contracts.money import ZERO, usd_text
from aif_contracts.orders import WorkerShare
from aif_contracts.usage import Efficiency, MonthlyUsage, MonthlyUsageQuery, UsageDimension, UsageFilter, UsageOrder
from aif_orchestrator.usage.figures import figures_of, share_of
from aif_orchestrator.usage.store import Grouping, Reported, Span, UsageStore
from aif_runtime.postgres import Connection, Record

_MOST_MODELS = 500


def span_of_month(month: str) -> Span:
    """Of a month written as 2026-11."""
    year, number = int(month[:4]), int(month[5:])
    return Span(
        since=datetime(year, number, 1, tzinfo=UTC),
        until=datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC),
    )


async def monthly_usage(usage: UsageStore, connection: Connection, query: MonthlyUsageQuery) -> MonthlyUsage:
    """In a transaction that has only begun."""
    span, client_id = span_of_month(query.month), query.client_id
    by_model = Grouping(
        dimensions=(UsageDimension.PROVIDER, UsageDimension.MODEL), order=UsageOrder.CALLS, offset=0, limit=_MOST_MODELS
    )
    mark = await usage.begin_reading(connection)
    bill = await usage.report(connection, mark, span, client_id, UsageFilter(), by_model)
    statuses = await usage.month_executions(connection, mark, span, client_id)
    workers = await usage.month_attempts(connection, mark, span, client_id)
    calls = figures_of(bill.totals)
    generation = bill.totals["cost_usd"] or ZERO
    api_calls, storage, compute = (
        sum((row[line] for row in statuses), ZERO) for line in ("api_calls_usd", "storage_usd", "compute_usd")
    )
    cost = generation + api_calls + storage + compute
    deliverables = sum(row["deliverables"] for row in statuses)
    requests = sum(row["executions"] for row in statuses)
    ended = sum(row["ended"] for row in statuses)
    wall_time_ms = sum(row["wall_time_ms"] for row in statuses)
    per_deliverable = share_of(cost, deliverables)
    return MonthlyUsage(
        month=query.month,
        client_id=client_id,
        requests=requests,
        by_status={row["status"]: row["executions"] for row in statuses},
        deliverables=deliverables,
        monthly_tokens=calls.tokens.total_tokens,
        cost_usd=usd_text(cost),
        cost_lines=CostLines(
            ai_generation_usd=usd_text(generation),
            api_calls_usd=usd_text(api_calls),
            storage_usd=usd_text(storage),
            compute_usd=usd_text(compute),
        ),
        wall_time_ms=wall_time_ms,
        busy_time_ms=sum(row["busy_time_ms"] for row in workers),
        efficiency=Efficiency(
            avg_tokens_per_request=None if not requests else round(calls.tokens.total_tokens / requests),
            avg_time_per_request_ms=None if not ended else round(wall_time_ms / ended),
            cost_per_deliverable_usd=None if per_deliverable is None else usd_text(per_deliverable),
        ),
        calls=calls,
        attempts=sum(row["attempts"] for row in workers),
        attempts_failed=sum(row["failed"] for row in workers),
        attempts_failed_tokens=sum(row["tokens_of_failed"] for row in workers),
        attempts_failed_cost_usd=usd_text(sum((row["cost_of_failed"] for row in workers), ZERO)),
        provider_distribution=_counted(bill, "key_1"),
        model_distribution=_counted(bill, "key_2"),
        by_worker={row["worker_name"]: _share(row) for row in workers},
    )


def _counted(bill: Reported, key: str) -> dict[str, int]:
    counted: dict[str, int] = {}
    for row in bill.rows:
        if row["calls"]:
            counted[row[key]] = counted.get(row[key], 0) + row["calls"]
    return counted


def _share(row: Record) -> WorkerShare:
    return WorkerShare(
        attempts=row["attempts"],
        tokens_used=Tokens(
            prompt_tokens=row["prompt_tokens"],
            completion_tokens=row["completion_tokens"],
            total_tokens=row["tokens_used"],
        ),
        cost_usd=usd_text(row["cost_usd"]),
        busy_time_ms=row["busy_time_ms"],
    )
