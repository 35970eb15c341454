"""Simulations over HTTP: checked as orders are, put to the orchestrator, and nothing is kept of them."""

import json
from typing import Any

import httpx
import msgspec
import pytest

from aif_contracts import subjects
from aif_contracts.orders import FieldMistake, Refusal
from aif_contracts.simulation import Grounds, MsRange, SimulateExecution, Simulation, StageSimulation, UsdRange
from aif_runtime.bus import Question
from integration.kam.gateway_under_test import BEES, GatewayUnderTest

BY_TEMPLATE = "/api/kam/templates/content_granulation_course/simulate"
BY_PIPELINE = "/api/v1/ai/pipelines/simulate"
COST = UsdRange(p10="0.001", p50="0.002", p90="0.004")
TIME = MsRange(p10=1_000, p50=2_000, p90=4_000)
ANSWER = Simulation(
    template="content_granulation_course",
    template_version="1.0.0",
    cost_usd=COST,
    time_ms=TIME,
    bound_usd="2",
    samples=12,
    stages=(
        StageSimulation(
            stage_id="structure",
            worker_name="content_granulator",
            action="structure_course",
            grounds=Grounds.HISTORY,
            samples=12,
            runs_percent=100,
            cost_usd=COST,
            time_ms=TIME,
        ),
    ),
    assumptions=("Prices stay.",),
)


class Oracle:
    """Answers simulations, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[SimulateExecution] = []
        self.answer: Simulation | Refusal = ANSWER

    async def __call__(self, question: Question) -> bytes:
        self.asked.append(msgspec.json.decode(question.payload, type=SimulateExecution))
        return msgspec.json.encode(self.answer)


@pytest.fixture
async def oracle(kam: GatewayUnderTest) -> Oracle:
    found = Oracle()
    await kam.bus.answer(subjects.SIMULATE, subjects.ORCHESTRATOR_GROUP, found)
    return found


async def test_both_addresses_ask_the_same_question_for_the_keys_own_client(alice: httpx.AsyncClient, oracle: Oracle) -> None:
    by_template = await alice.post(BY_TEMPLATE, json={"parameters": {"topic": "bees"}, "max_cost_usd": "0.50"})
    by_pipeline = await alice.post(
        BY_PIPELINE,
        json={"pipeline_name": "content_granulation_course", "input_data": {"topic": "bees"}, "max_cost_usd": "0.50"},
    )

    assert (by_template.status_code, by_pipeline.status_code) == (200, 200)
    assert by_template.json() == by_pipeline.json() == json.loads(msgspec.json.encode(ANSWER))
    assert oracle.asked[0] == oracle.asked[1]
    assert (oracle.asked[0].client_id, oracle.asked[0].max_cost_usd) == ("alice", "0.50")
    assert oracle.asked[0].parameters["granularityLevel"] == 3


async def test_the_clients_tier_goes_with_the_question(kam: GatewayUnderTest, alice: httpx.AsyncClient, oracle: Oracle) -> None:
    await kam.rows("UPDATE clients SET tier = 'free' WHERE client_id = 'alice'")

    await alice.post(BY_TEMPLATE, json={"parameters": {"topic": "bees"}})

    assert oracle.asked[0].tier == "free"


async def test_an_uploaded_document_is_named_by_its_reference(alice: httpx.AsyncClient, oracle: Oracle) -> None:
    source = (await alice.post("/api/kam/sources?file_name=bees.md", content=BEES)).json()

    await alice.post(BY_TEMPLATE, json={"parameters": {"source": source["source_id"]}})

    assert oracle.asked[0].parameters["source"]["size_bytes"] > len(BEES)


async def test_a_text_is_measured_and_not_stored(kam: GatewayUnderTest, alice: httpx.AsyncClient, oracle: Oracle) -> None:
    answer = await alice.post(BY_TEMPLATE, json={"parameters": {"source_text": BEES}})

    assert answer.status_code == 200
    assert oracle.asked[0].parameters["source"]["size_bytes"] == len(BEES)
    assert BEES not in str(oracle.asked[0].parameters)
    assert await kam.rows("SELECT 1 FROM sources") == []
    assert await kam.rows("SELECT 1 FROM client_requests") == []


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        (BY_TEMPLATE, {"parameters": {"granularityLevel": 9}}, 422, "parameters.granularityLevel"),
        (BY_TEMPLATE, {"parameters": {"source": "src_nobodys"}}, 422, "parameters.source"),
        (BY_TEMPLATE, {"client_id": "bob"}, 403, "client_id"),
        (BY_TEMPLATE, {"max_cost_usd": 5}, 422, "max_cost_usd"),
        (BY_PIPELINE, {"pipeline_name": "lime"}, 422, "pipeline_name"),
        (BY_PIPELINE, {"pipeline_name": "content_granulation_course", "input_data": {"x": 1}}, 422, "input_data.x"),
    ],
)
async def test_a_mistake_is_named_before_anybody_is_asked(
    alice: httpx.AsyncClient, oracle: Oracle, path: str, body: dict[str, Any], status: int, field: str
) -> None:
    refused = await alice.post(path, json=body)

    assert refused.status_code == status
    assert refused.json()["errors"][0]["field"] == field
    assert oracle.asked == []


async def test_a_template_that_nobody_offers_is_not_found(alice: httpx.AsyncClient, oracle: Oracle) -> None:
    refused = await alice.post("/api/kam/templates/lime/simulate", json={})

    assert (refused.status_code, refused.json()["type"]) == (404, "urn:aif:problem:unknown_template")


async def test_another_clients_document_is_none(alice: httpx.AsyncClient, bob: httpx.AsyncClient, oracle: Oracle) -> None:
    source = (await alice.post("/api/kam/sources?file_name=bees.md", content=BEES)).json()

    refused = await bob.post(BY_TEMPLATE, json={"parameters": {"source": source["source_id"]}})

    assert refused.status_code == 422


async def test_what_the_orchestrator_refuses_is_refused(alice: httpx.AsyncClient, oracle: Oracle) -> None:
    oracle.answer = Refusal(code="order_refused", message="a topic alone needs a language model")

    refused = await alice.post(BY_TEMPLATE, json={"parameters": {"topic": "bees"}})

    assert (refused.status_code, refused.json()["detail"]) == (422, "a topic alone needs a language model")


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        (BY_TEMPLATE, {}, ["template_version", "parameters.topic"]),
        (BY_PIPELINE, {"pipeline_name": "content_granulation_course"}, ["pipeline_version", "input_data.topic"]),
    ],
)
async def test_what_the_orchestrator_refuses_is_told_by_the_fields_of_the_caller(
    alice: httpx.AsyncClient, oracle: Oracle, path: str, body: dict[str, Any], fields: list[str]
) -> None:
    wrong = tuple(FieldMistake(field=field, message="m", mend="d") for field in ("template_version", "parameters.topic"))
    oracle.answer = Refusal(code="order_refused", message="no", mistakes=wrong)

    refused = await alice.post(path, json=body)

    assert [error["field"] for error in refused.json()["errors"]] == fields


async def test_without_an_orchestrator_it_says_so(alice: httpx.AsyncClient) -> None:
    away = await alice.post(BY_TEMPLATE, json={"parameters": {"topic": "bees"}})

    assert (away.status_code, away.json()["type"]) == (503, "urn:aif:problem:orchestrator_unavailable")


@pytest.mark.parametrize("code", ["bus_unavailable", "database_unavailable", "internal_error"])
async def test_where_an_orchestrator_lacks_what_it_stands_on_it_counts_as_away(
    alice: httpx.AsyncClient, oracle: Oracle, code: str
) -> None:
    oracle.answer = Refusal(code=code, message="of the inside", retry_after_ms=1000)

    away = await alice.post(BY_TEMPLATE, json={"parameters": {"topic": "bees"}})

    assert (away.status_code, away.json()["type"]) == (503, "urn:aif:problem:orchestrator_unavailable")
    assert away.headers["retry-after"] == "2"
    assert "inside" not in away.text
