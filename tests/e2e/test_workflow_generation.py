"""A task in words becomes a workflow over all services, and the audit log and the books answer who made it, at what cost."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from aif_console.factory.factory import Factory
from aif_contracts.workflows import GeneratedWorkflow
from support.factory import running_factory
from support.factory_settings import model_settings
from support.http_client import FactoryClient, client_of, decoded
from support.provider_double.faults import FaultKind
from support.provider_double.server import provider_double
from support.waiting import eventually

TASK = "Fetch the new orders, classify them by urgency. If any is late, notify the manager. Summarize the day."
SMALL, LARGE = "claude-haiku-5-5", "claude-sonnet-5-5"
"""Of the provider whose prices hold for the double, too."""

FALLBACK_RATE = """
    SELECT count(*) FILTER (WHERE details->>'fallback_reason' IS NOT NULL) * 100.0 / count(*) AS fallback_rate
    FROM audit_logs
    WHERE action = 'WORKFLOW_GENERATED' AND timestamp > now() - interval '7 days'
"""
BY_GENERATOR = """
    SELECT details->>'generator_used' AS generator, count(*) AS workflows, sum((details->>'cost_usd')::decimal) AS cost_usd
    FROM audit_logs
    WHERE action = 'WORKFLOW_GENERATED'
    GROUP BY generator
    ORDER BY generator
"""


async def test_without_a_key_the_descriptions_own_instructions_become_the_steps(factory: Factory, tmp_path: Path) -> None:
    document = tmp_path / "task.md"
    document.write_text("# Returns\n\n1. Fetch the returns of the week.\n2. Decide which to refund.\n", encoding="utf-8")
    async with client_of(factory) as client:
        worded = await _made(client, {"description": TASK, "connectedServices": ["slack"], "maxSteps": 10})
        written = await _made(client, {"source": await client.upload(document)})
        refused = await client.http.post(
            "/api/kam/orders", json={"selected_template": "workflow_generation", "parameters": {"maxSteps": 3}}
        )

    assert [(step.step_type, step.operation, step.depends_on) for step in worded.pilot_steps] == [
        ("api_call", "Fetch the new orders", ()),
        ("llm_decision", "Classify them by urgency", ("step_1",)),
        ("conditional", "If any is late", ("step_2",)),
        ("api_call", "Notify the manager", ("step_3",)),
        ("llm_decision", "Summarize the day", ("step_2",)),
    ]
    assert (worded.generator_used, worded.cost_usd, worded.tokens_used.total) == ("local-rules-1", "0", 0)
    assert [step.operation for step in written.pilot_steps] == ["Fetch the returns of the week", "Decide which to refund"]
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "parameters.description"


async def test_a_model_makes_one_the_other_one_takes_over_and_the_queries_of_the_books_agree_with_the_bill(
    factory_dir: Path,
) -> None:
    async with provider_double() as provider:
        settings = {**model_settings(provider), "AIF_ANTHROPIC_MODELS": f"{SMALL},{LARGE}"}
        async with running_factory(factory_dir, settings) as factory, client_of(factory) as client:
            by_small = await _made(client, {"description": TASK})
            provider.plan(*[FaultKind.BREAKS_SCHEMA] * 3)
            by_large = await _made(client, {"description": f"{TASK} Then archive them."})

            told = await eventually(lambda: _audited(factory, 3), what="the audit log has all three entries")
            rate = (await _rows(factory, FALLBACK_RATE))[0]["fallback_rate"]
            generators = await _rows(factory, BY_GENERATOR)
            tried = await _rows(factory, "SELECT * FROM ai_fallback_rate WHERE action = 'generate_workflow'")
            costs = await _rows(
                factory, "SELECT model, answered, tokens_wasted, cost_usd FROM ai_costs_by_generator ORDER BY model"
            )
            actions = await _rows(factory, "SELECT worker_name, action, cost_usd FROM ai_costs_by_action")

    first, second = provider.bill[:1], provider.bill[1:]
    assert (by_small.generator_used, by_small.fallback_reason) == (SMALL, None)
    assert (by_large.generator_used, by_large.fallback_reason) == (LARGE, "malformed_output")
    assert [Decimal(each.cost_usd or "-1") for each in (by_small, by_large)] == [_cost(first), _cost(second)]
    fallback = next(each for each in told if each["action"] == "WORKFLOW_GENERATION_FALLBACK")
    assert (fallback["severity"], fallback["compliance"]) == ("warning", ["SOC2"])
    assert fallback["details"]["tokens_wasted"] == _tokens(second[:3]) > 0
    assert rate == 50
    assert generators == [
        {"generator": SMALL, "workflows": 1, "cost_usd": _cost(first)},
        {"generator": LARGE, "workflows": 1, "cost_usd": _cost(second)},
    ]
    assert [(row["calls"], row["fallbacks"], row["corrections"], row["failures"]) for row in tried] == [(5, 1, 2, 3)]
    assert costs == [
        {"model": SMALL, "answered": 1, "tokens_wasted": _tokens(second[:3]), "cost_usd": _cost(provider.bill[:4])},
        {"model": LARGE, "answered": 1, "tokens_wasted": 0, "cost_usd": _cost(second[3:])},
    ]
    assert actions == [{"worker_name": "workflow_generator", "action": "generate_workflow", "cost_usd": _cost(provider.bill)}]


async def _made(client: FactoryClient, parameters: dict[str, Any]) -> GeneratedWorkflow:
    accepted = await client.order("workflow_generation", parameters)
    request = await client.ended(accepted["request_id"])
    assert request["status"] == "completed", request["problem"]
    [deliverable] = request["deliverables"]
    workflow: GeneratedWorkflow = decoded((await client.http.get(deliverable["href"])).content, GeneratedWorkflow)
    return workflow


async def _audited(factory: Factory, count: int) -> list[dict[str, Any]] | None:
    """What the operator reads about workflows, once there is so much of it."""
    entries: list[dict[str, Any]] = []
    async with httpx.AsyncClient(base_url=factory.kam_url, headers={"X-API-Key": factory.keys.admin_key}) as operator:
        for action in ("WORKFLOW_GENERATED", "WORKFLOW_GENERATION_FALLBACK"):
            log = (await operator.get("/api/admin/audit", params={"action": action})).json()
            entries += [each["entry"] for each in log["rows"]]
    return entries if len(entries) >= count else None


async def _rows(factory: Factory, query: str) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(factory.database_urls["orchestrator"])
    try:
        return [dict(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


def _cost(bill: Any) -> Decimal:
    return sum((entry.cost_usd for entry in bill), Decimal(0))


def _tokens(bill: Any) -> int:
    return sum(entry.prompt_tokens + entry.output_tokens for entry in bill)
