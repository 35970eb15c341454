"""What is kept of an execution: its attempts, its provider calls, everything in one answer; and who could work on the next."""

import httpx
import pytest
from msgspec.structs import replace

from aif_contracts.events import ProgressUpdate
from aif_contracts.history import AttemptOutcome, AttemptView
from aif_contracts.metering import CallOutcome, Metrics, ProviderCall, Purpose, Tokens
from aif_contracts.packets import Grant, QualityTier
from aif_contracts.workers import (
    ActionDescription,
    CircuitState,
    ModelDescription,
    ProviderDescription,
    ProviderRefusal,
    RefusalKind,
    WorkerDescription,
)
from aif_kam import execution_history
from integration.kam.gateway_under_test import GatewayUnderTest

ORDER = {"selected_template": "content_granulation_course", "parameters": {"topic": "bees"}}
PIPELINES = "/api/v1/ai/pipelines"


async def started(client: httpx.AsyncClient) -> str:
    return str((await client.post("/api/kam/orders", json=ORDER)).json()["execution_id"])


def attempt(number: int) -> AttemptView:
    return AttemptView(
        stage_id="structure",
        attempt=number,
        worker_name="content_granulator",
        action="structure_course",
        outcome=AttemptOutcome.FAILED,
        queue_time_ms=12,
        execution_time_ms=340,
        metrics=Metrics(tokens_used=Tokens(prompt_tokens=9, completion_tokens=1, total_tokens=10), cost_usd="0.000015"),
        packet_id=f"pkt_{number}",
        grant=Grant(max_cost_usd="0.25"),
        failure_code="output_invalid",
    )


def call(execution_id: str, number: int) -> ProviderCall:
    return ProviderCall(
        call_key=f"{execution_id}.structure.1.{number}",
        execution_id=execution_id,
        client_id="alice",
        stage_id="structure",
        attempt=1,
        worker_name="content_granulator",
        provider="openai",
        model="small",
        purpose=Purpose.FIRST_TRY,
        outcome=CallOutcome.ANSWERED,
        cost_usd="0.000000150",
    )


async def test_attempts_come_with_grant_and_metrics_page_by_page(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    execution_id = await started(alice)
    kam.orchestrator.attempts[execution_id] = [attempt(1), attempt(2), attempt(3)]

    first = (await alice.get(f"{PIPELINES}/{execution_id}/attempts?limit=2")).json()
    second = (await alice.get(f"{PIPELINES}/{execution_id}/attempts?limit=2&cursor={first['next_cursor']}")).json()

    assert [each["attempt"] for each in (*first["attempts"], *second["attempts"])] == [1, 2, 3]
    assert second["next_cursor"] is None
    assert first["attempts"][0]["grant"]["max_cost_usd"] == "0.25"
    assert first["attempts"][0]["metrics"]["cost_usd"] == "0.000015"


async def test_provider_calls_come_page_by_page_and_their_cost_exactly(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    execution_id = await started(alice)
    kam.orchestrator.calls[execution_id] = [call(execution_id, 1), call(execution_id, 2)]

    first = (await alice.get(f"{PIPELINES}/{execution_id}/calls?limit=1")).json()
    second = (await alice.get(f"{PIPELINES}/{execution_id}/calls?limit=1&cursor={first['next_cursor']}")).json()

    assert [each["calls"][0]["call_key"] for each in (first, second)] == [
        f"{execution_id}.structure.1.1",
        f"{execution_id}.structure.1.2",
    ]
    assert first["calls"][0]["cost_usd"] == "0.000000150"


async def test_the_history_is_everything_in_one_answer(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    execution_id = await started(alice)
    await kam.orchestrator.fail(execution_id, "output_invalid", "no modules")
    await alice.post(f"{PIPELINES}/{execution_id}/resume")
    await kam.orchestrator.complete(execution_id, await kam.store_structure())
    kam.orchestrator.attempts[execution_id] = [attempt(1), attempt(2)]
    kam.orchestrator.calls[execution_id] = [call(execution_id, 1)]

    history = (await alice.get(f"{PIPELINES}/{execution_id}/history")).json()

    assert history["execution"]["status"] == "completed"
    assert [event["data"]["event_type"] for event in history["events"]] == [
        "WORKFLOW_STARTED",
        "WORKFLOW_FAILED",
        "WORKFLOW_RESUMED",
        "WORKFLOW_COMPLETED",
    ]
    assert [each["attempt"] for each in history["attempts"]] == [1, 2]
    assert [each["call_key"] for each in history["calls"]] == [f"{execution_id}.structure.1.1"]
    assert history["truncated"] is False


async def test_a_long_history_is_read_over_many_pages(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    execution_id = await started(alice)
    for percent in range(600):
        data = ProgressUpdate(progress_percent=percent // 6, message="working")
        await kam.orchestrator.emit(execution_id, data, stored_only=True)
    kam.orchestrator.attempts[execution_id] = [attempt(number) for number in range(1, 251)]
    kam.orchestrator.calls[execution_id] = [call(execution_id, number) for number in range(450)]

    history = (await alice.get(f"{PIPELINES}/{execution_id}/history")).json()

    assert [event["sequence"] for event in history["events"]] == list(range(1, 602))
    assert (len(history["attempts"]), len(history["calls"]), history["truncated"]) == (250, 450, False)


@pytest.mark.parametrize("kind", ["events", "attempts", "calls"])
async def test_a_history_tells_as_many_of_each_kind_as_it_may_and_says_when_there_are_more(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution_history, f"{kind.upper()}_TOLD", 3)
    execution_id = await started(alice)

    async def told_of(count: int) -> tuple[int, bool]:
        if kind == "events":
            while len(kam.orchestrator.events[execution_id]) < count:
                await kam.orchestrator.progress(execution_id, 50)
        else:
            kam.orchestrator.attempts[execution_id] = [attempt(number) for number in range(1, count + 1)]
            kam.orchestrator.calls[execution_id] = [call(execution_id, number) for number in range(count)]
        history = (await alice.get(f"{PIPELINES}/{execution_id}/history")).json()
        return len(history[kind]), history["truncated"]

    assert [await told_of(count) for count in (2, 3, 4)] == [(2, False), (3, False), (3, True)]


@pytest.mark.parametrize("part", ["attempts", "calls", "history"])
async def test_the_history_of_anothers_execution_is_unknown(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, bob: httpx.AsyncClient, part: str
) -> None:
    execution_id = await started(alice)

    foreign = await bob.get(f"{PIPELINES}/{execution_id}/{part}")

    assert (foreign.status_code, foreign.json()["type"]) == (404, "urn:aif:problem:unknown_execution")


@pytest.mark.parametrize(
    ("part", "query", "field"),
    [("attempts", "limit=0", "limit"), ("calls", "limit=1000", "limit"), ("calls", "cursor=%00", "cursor")],
)
async def test_a_wrong_page_of_the_history_is_named(alice: httpx.AsyncClient, part: str, query: str, field: str) -> None:
    execution_id = await started(alice)

    refused = await alice.get(f"{PIPELINES}/{execution_id}/{part}?{query}")

    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)


async def test_live_workers_and_what_they_offer_together(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    kam.orchestrator.library.workers += [
        WorkerDescription(
            worker_name="content_granulator",
            instance_id="granulator-2",
            version="1.1.0",
            actions=(
                ActionDescription(name="structure_course", paid=True),
                ActionDescription(name="structure_quiz", paid=False),
            ),
            capabilities=("llm_generation",),
            models=("small",),
            slots=2,
        )
    ]

    workers = (await alice.get("/api/kam/workers")).json()["workers"]
    offered = (await alice.get(f"{PIPELINES}/capabilities")).json()

    assert [worker["instance_id"] for worker in workers] == ["granulator-1", "granulator-2"]
    assert offered == {
        "capabilities": [
            {"name": "llm_generation", "workers": ["content_granulator"]},
            {"name": "structuring", "workers": ["content_granulator"]},
        ],
        "workers": [
            {
                "worker_name": "content_granulator",
                "instances": 2,
                "slots": 6,
                "actions": [
                    {"name": "structure_course", "paid": True, "instances": 2},
                    {"name": "structure_quiz", "paid": False, "instances": 1},
                ],
                "capabilities": ["llm_generation", "structuring"],
                "models": ["extractive", "small"],
            }
        ],
    }


async def test_the_providers_of_all_live_workers_are_told_with_their_state_models_and_tiers(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    def worker(name: str, *providers: ProviderDescription) -> WorkerDescription:
        return WorkerDescription(worker_name=name, instance_id=f"{name}-1", version="1.0.0", actions=(), providers=providers)

    openai = ProviderDescription(
        name="openai",
        is_local=False,
        capabilities=("llm_generation",),
        models=(ModelDescription(name="gpt-4o-mini", quality=QualityTier.ECONOMY),),
        circuit=CircuitState.OPEN,
    )
    rules = ProviderDescription(name="extractive", is_local=True, capabilities=("structuring",), models=())
    deepgram = replace(openai, name="deepgram", capabilities=("transcription",), models=())
    kam.orchestrator.library.workers = [
        worker("writer", rules, openai),
        worker("researcher", replace(openai, circuit=CircuitState.CLOSED)),
        worker("analyst", deepgram),
    ]

    told = (await alice.get(f"{PIPELINES}/providers")).json()["providers"]

    assert [(each["name"], each["state"], each["is_local"], each["workers"]) for each in told] == [
        ("deepgram", "left_alone", False, ["analyst"]),
        ("openai", "partly_available", False, ["researcher", "writer"]),
        ("extractive", "available", True, ["writer"]),
    ]
    assert told[1]["capabilities"] == ["llm_generation"]
    assert told[1]["models"] == [{"name": "gpt-4o-mini", "quality": "economy"}]


async def test_a_provider_that_refuses_us_is_told_with_what_the_operator_has_to_mend(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    def worker(name: str, *refusals: ProviderRefusal) -> WorkerDescription:
        openai = ProviderDescription(name="openai", is_local=False, capabilities=(), models=(), refusals=refusals)
        return WorkerDescription(worker_name=name, instance_id=f"{name}-1", version="1.0.0", actions=(), providers=(openai,))

    def refused(kind: RefusalKind, since: str, last_at: str) -> ProviderRefusal:
        return ProviderRefusal(kind=kind, model="gpt-4o-mini", since=f"2026-11-21T{since}:00.000Z", last_at=last_at)

    kam.orchestrator.library.workers = [
        worker("analyst"),
        worker("researcher", refused(RefusalKind.KEY, "07:00", "2026-11-21T07:30:00.000Z")),
        worker(
            "writer",
            refused(RefusalKind.UNKNOWN_MODEL, "06:00", "2026-11-21T06:00:00.000Z"),
            refused(RefusalKind.KEY, "06:30", "2026-11-21T07:10:00.000Z"),
        ),
    ]

    (told,) = (await alice.get(f"{PIPELINES}/providers")).json()["providers"]

    assert told["state"] == "refuses"
    assert [(each["kind"], each["since"], each["last_at"]) for each in told["refusals"]] == [
        ("key", "2026-11-21T06:30:00.000Z", "2026-11-21T07:30:00.000Z"),
        ("unknown_model", "2026-11-21T06:00:00.000Z", "2026-11-21T06:00:00.000Z"),
    ]


async def test_the_new_addresses_describe_their_answers(kam: GatewayUnderTest) -> None:
    async with httpx.AsyncClient(base_url=kam.url) as stranger:
        paths = (await stranger.get("/schema")).json()["paths"]

    # The framework itself adds 400 wherever an address has parameters.
    answers = {
        (method, path): set(described["responses"]) - {"400"}
        for path, operations in paths.items()
        for method, described in operations.items()
    }
    everywhere = {"401", "422", "500", "503"}
    body = {"403", "404", "409", "413", "415"}
    assert answers["post", PIPELINES + "/{execution_id}/pause"] == {"200", "410"} | body | everywhere
    assert answers["post", PIPELINES + "/{execution_id}/resume"] == {"200", "410"} | body | everywhere
    assert answers["get", PIPELINES + "/{execution_id}/history"] == {"200", "404", "410"} | everywhere
    assert answers["post", "/api/kam/pipelines"] == {"200", "201"} | (body - {"404"}) | everywhere
    assert answers["post", "/api/admin/dead-letters/{dead_letter_id}/replay"] == {"200", "403", "404", "409"} | everywhere
    upload = paths["/api/kam/pipelines"]["post"]["requestBody"]["content"]
    assert set(upload) == {"application/json", "application/yaml", "text/yaml"}
    resumed = paths[PIPELINES + "/{execution_id}/resume"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert resumed["$ref"].endswith("/ResumedExecution")
    pause = paths[PIPELINES + "/{execution_id}/pause"]["post"]["requestBody"]
    assert pause["required"] is False
    assert pause["content"]["application/json"]["schema"]["$ref"].endswith("/Pause")
