"""How long the gateway waits for what it asks the orchestrator, and what it says of questions without an answer."""

import asyncio

import msgspec
import pytest
from structlog.testing import capture_logs

from aif_contracts import subjects
from aif_contracts.orders import Refusal
from aif_contracts.pipelines import GetPipeline, SavePipeline
from aif_kam.failures import Refused, Unavailable
from aif_kam.orchestrator_client import OrchestratorClient
from aif_runtime.bus import Question
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.telemetry import TracingOff


async def test_a_document_that_takes_long_to_check_is_waited_for_as_nothing_else_is() -> None:
    bus = MemoryBus(MemoryBroker())
    has_checked = asyncio.Event()

    async def checks(question: Question) -> bytes:
        await has_checked.wait()
        return msgspec.json.encode(Refusal(code="invalid_pipeline", message="no"))

    for subject in (subjects.SAVE_PIPELINE, subjects.GET_PIPELINE):
        await bus.answer(subject, subjects.ORCHESTRATOR_GROUP, checks)
    client = OrchestratorClient(bus=bus, tracing=TracingOff(), answer_seconds=0.01)
    saving = asyncio.ensure_future(client.save_pipeline(SavePipeline(client_id="acme", document="{}")))

    with pytest.raises(Unavailable):
        await client.get_pipeline(GetPipeline(client_id="acme", name="tea"))
    has_checked.set()

    with pytest.raises(Refused):
        await saving


async def test_the_log_says_why_a_question_has_no_answer_and_does_not_repeat_it_at_each() -> None:
    bus = MemoryBus(MemoryBroker())

    async def has_no_database(question: Question) -> bytes:
        return msgspec.json.encode(
            Refusal(code="database_unavailable", message="Postgres cannot be reached: no answer in time")
        )

    await bus.answer(subjects.SAVE_PIPELINE, subjects.ORCHESTRATOR_GROUP, has_no_database)
    client = OrchestratorClient(bus=bus, tracing=TracingOff())

    with capture_logs() as lines:
        for _ in range(2):
            with pytest.raises(Unavailable):
                await client.get_pipeline(GetPipeline(client_id="acme", name="tea"))
            with pytest.raises(Unavailable):
                await client.save_pipeline(SavePipeline(client_id="acme", document="{}"))

    assert [(line["event"], line["log_level"], line["subject"], line["reason"]) for line in lines] == [
        ("question_unanswered", "warning", "aif.orchestrator.get_pipeline", "nobody listens on aif.orchestrator.get_pipeline"),
        (
            "question_unanswered",
            "warning",
            "aif.orchestrator.save_pipeline",
            "Postgres cannot be reached: no answer in time",
        ),
    ]
