"""The figures that dashboards read, under exactly the names that they know; and the alerts that a line raises by itself."""

import asyncio
from typing import Any

import msgspec
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from aif_contracts import subjects
from aif_contracts.budgets import BudgetAlert, BudgetView, GetBudget
from aif_contracts.orders import Accepted, Execute, Refusal
from aif_runtime.memory_blobs import MemoryBlobStore
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.metrics import metrics_page, new_registry
from aif_runtime.otel_spans import OtelTracing
from support.execution_story import call, pipeline, stage
from support.orchestrator_line import Client, HandWorker, orchestrator_database, running_orchestrator
from support.waiting import eventually

LINE = pipeline(stage("only"), name="tea_line")
TWO = pipeline(stage("first"), stage("second", input={"from": "{{first.text}}"}), name="two_pots")


async def budget(bus: MemoryBus) -> BudgetView:
    question = msgspec.json.encode(GetBudget(client_id="acme"))
    return msgspec.json.decode(await bus.ask(subjects.GET_BUDGET, question, wait_seconds=5), type=BudgetView)


async def test_executions_attempts_costs_and_refusals_are_exposed_under_their_names(fresh_orchestrator_database: str) -> None:
    registry = new_registry(service="orchestrator", version="test")
    settings: dict[str, Any] = {
        "orchestrator_default_budget_usd": "1",
        "orchestrator_alert_seconds": 0.05,
        "orchestrator_unclaimed_seconds": 60.0,
        "orchestrator_lease_seconds": 60.0,
    }
    async with orchestrator_database(fresh_orchestrator_database) as database:
        bus = MemoryBus(MemoryBroker())
        worker = HandWorker(bus)
        await worker.register()
        async with running_orchestrator(bus, MemoryBlobStore(), database, (LINE,), registry=registry, **settings):
            client = Client(bus)
            order = Execute(execution_id="exec_1", client_id="acme", template_name="tea_line", max_cost_usd="0.9")
            accepted = await client.order(order)
            delivery, packet = await worker.take()
            attempt = await worker.granted(packet)
            await worker.books(call(packet.stage_id, attempt, 1, "0.85"))

            async def is_booked() -> bool:
                return (await client.get("exec_1")).totals.cost_usd == "0.85"

            await eventually(is_booked)
            await worker.completes(packet, attempt, {"text": "tea"}, cost_usd="0.5")
            await delivery.ack()
            await eventually(lambda: client.has_ended("exec_1"))
            refused = await client.order(Execute(execution_id="exec_2", client_id="acme", template_name="tea_line"))

            async def spent_alerts() -> list[BudgetAlert]:
                return [alert for alert in (await budget(bus)).alerts if alert.kind == "spent"]

            alerts = await eventually(spent_alerts, what="the alert")
            await eventually(
                lambda: b"ai_pipeline_executions_total{" in metrics_page(registry), what="the execution is counted"
            )
        page = metrics_page(registry).decode()
        await bus.close()

    assert isinstance(accepted, Accepted)
    assert isinstance(refused, Refusal)
    assert refused.code == "budget_exceeded"
    assert [alert.threshold_percent for alert in alerts] == [80]
    for line in (
        'ai_pipeline_executions_total{pipeline="tea_line",status="completed"} 1.0',
        'ai_pipeline_duration_seconds_count{pipeline="tea_line"} 1.0',
        'ai_pipeline_cost_usd_sum{pipeline="tea_line"} 0.85',
        'ai_step_executions_total{action="make",status="success",worker="maker"} 1.0',
        'ai_budget_exceeded_total{code="budget_exceeded"} 1.0',
        'ai_budget_exceeded_total{code="insufficient_energy"} 0.0',
        'aif_budget_alerts_total{kind="spent",threshold_percent="80"} 1.0',
        # Its report says less than its call.
        'aif_contradicting_costs_total{worker="maker"} 1.0',
        'aif_costs_beyond_grant_total{worker="maker"} 0.0',
    ):
        assert line in page


async def test_what_a_resumed_execution_took_before_is_neither_counted_nor_drawn_again(
    fresh_orchestrator_database: str,
) -> None:
    registry = new_registry(service="orchestrator", version="test")
    exporter = InMemorySpanExporter()
    tracing = OtelTracing(service="orchestrator", version="test", endpoint="", redact=str, exporter=exporter)
    async with orchestrator_database(fresh_orchestrator_database) as database:
        bus = MemoryBus(MemoryBroker())
        worker = HandWorker(bus)
        await worker.register()
        async with running_orchestrator(bus, MemoryBlobStore(), database, (TWO,), registry=registry, tracing=tracing):
            client = Client(bus)
            await client.execute("exec_1", "two_pots")
            await worker.does_next({"text": "tea"}, cost_usd="0.25")
            await worker.fails_next("broken")
            await eventually(lambda: client.has_ended("exec_1"))
            await client.resume("exec_1")
            await worker.does_next({"text": "more tea"}, cost_usd="0.125")
            await eventually(lambda: client.has_ended("exec_1"))
            total = (await client.get("exec_1")).totals
            completed = b'ai_pipeline_executions_total{pipeline="two_pots",status="completed"} 1.0'
            await eventually(lambda: completed in metrics_page(registry), what="the second end is counted")
        page = metrics_page(registry).decode()
        await bus.close()
    await asyncio.to_thread(tracing.close, 5)

    first, second = sorted(_ends(exporter), key=lambda span: span.end_time or 0)
    assert total.cost_usd == "0.375"
    assert 'aif_contradicting_costs_total{worker="maker"} 0.0' in page
    assert 'ai_pipeline_cost_usd_count{pipeline="two_pots"} 2.0' in page
    assert 'ai_pipeline_cost_usd_sum{pipeline="two_pots"} 0.375' in page
    [seconds] = [float(line.split()[1]) for line in page.splitlines() if line.startswith("ai_pipeline_duration_seconds_sum")]
    assert seconds <= total.wall_time_ms / 1000
    assert first.end_time is not None
    assert second.start_time is not None
    assert first.end_time <= second.start_time


def _ends(exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == "execution"]


async def test_attempts_that_are_handed_out_anew_after_a_silent_worker_are_counted(fresh_orchestrator_database: str) -> None:
    registry = new_registry(service="orchestrator", version="test")
    settings: dict[str, Any] = {"orchestrator_unclaimed_seconds": 60.0, "orchestrator_lease_seconds": 1.0}
    async with orchestrator_database(fresh_orchestrator_database) as database:
        bus = MemoryBus(MemoryBroker())
        worker = HandWorker(bus)
        await worker.register()
        async with running_orchestrator(bus, MemoryBlobStore(), database, (LINE,), registry=registry, **settings):
            client = Client(bus)
            await client.order(Execute(execution_id="exec_1", client_id="acme", template_name="tea_line"))
            delivery, packet = await worker.take()
            await worker.granted(packet)
            await delivery.ack()
            await worker.does_next({"text": "tea"})
            await eventually(lambda: client.has_ended("exec_1"))
            counted = 'aif_attempts_handed_out_anew_total{silence="worker_lost",worker="maker"} 1.0'
            await eventually(lambda: counted in metrics_page(registry).decode(), what="it is counted")
        await bus.close()
