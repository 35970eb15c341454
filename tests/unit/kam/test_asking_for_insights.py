import asyncio

import msgspec
import pytest

from aif_contracts import subjects
from aif_contracts.performance import InsightsQuery, WorkerInsights
from aif_kam.failures import Unavailable
from aif_kam.orchestrator_client import OrchestratorClient
from aif_runtime.bus import Question
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.telemetry import TracingOff


async def test_insights_are_waited_for_longer_than_other_answers() -> None:
    added_up = asyncio.Event()

    async def adds_up(_: Question) -> bytes:
        await added_up.wait()
        return msgspec.json.encode(
            WorkerInsights(
                worker_name=None,
                analysis_period="7d",
                performance_score=None,
                figures=(),
                ai_recommendations=(),
                analysis_timestamp="2026-05-01T09:30:00.000Z",
            )
        )

    async with MemoryBus(MemoryBroker()) as bus:
        await bus.answer(subjects.INSIGHTS, subjects.CLASSIFIER_GROUP, adds_up)
        await bus.answer(subjects.GET_BUDGET, subjects.ORCHESTRATOR_GROUP, adds_up)
        client = OrchestratorClient(bus=bus, tracing=TracingOff(), answer_seconds=0.05)
        insights = asyncio.create_task(client.insights(InsightsQuery()))
        with pytest.raises(Unavailable):
            await client.get_budget("acme")

        added_up.set()

        assert (await insights).analysis_period == "7d"
