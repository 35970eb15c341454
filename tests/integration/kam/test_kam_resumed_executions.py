"""A resumed execution has legs: its log goes on after a final event, and its request runs and ends again."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import httpx
import pytest
import websockets

from aif_contracts.events import ExecutionEvent
from integration.kam.delivered_events import Delivered
from integration.kam.gateway_under_test import GatewayUnderTest, open_gateway
from support.waiting import eventually

ORDER = {"selected_template": "content_granulation_course", "parameters": {"topic": "bees"}}
FIRST_LEG = [(1, "WORKFLOW_STARTED"), (2, "WORKFLOW_FAILED")]


async def started(client: httpx.AsyncClient) -> tuple[str, str]:
    """The request's and the execution's id."""
    order = (await client.post("/api/kam/orders", json=ORDER)).json()
    return order["request_id"], order["execution_id"]


async def resume(client: httpx.AsyncClient, execution_id: str) -> None:
    assert (await client.post(f"/api/v1/ai/pipelines/{execution_id}/resume")).status_code == 200


Tell = Callable[..., Awaitable[None]]


async def told(kam: GatewayUnderTest, *events: ExecutionEvent) -> None:
    """Let the gateway take events, in this order and in one batch."""
    await kam.gateway.parts.tracker.apply_events([Delivered(event) for event in events])


async def told_in_one_message(kam: GatewayUnderTest, *events: ExecutionEvent) -> None:
    await kam.gateway.parts.tracker.apply_events([Delivered(*events)])


async def row(kam: GatewayUnderTest) -> tuple[object, ...]:
    rows = await kam.rows("SELECT status, execution_status, last_sequence, total_tokens_used FROM client_requests")
    return tuple(rows[0])


async def test_a_reader_who_comes_after_a_resume_gets_all_legs(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    _, execution_id = await started(alice)
    await kam.orchestrator.fail(execution_id, "output_invalid", "no modules")
    await resume(alice, execution_id)
    await kam.orchestrator.complete(execution_id, await kam.store_structure())

    answer = await asyncio.wait_for(alice.get(f"/api/v1/ai/pipelines/{execution_id}/events"), 30)

    assert ids_and_names(answer.text) == [*FIRST_LEG, (3, "WORKFLOW_RESUMED"), (4, "WORKFLOW_COMPLETED")]


async def test_a_reader_of_a_running_second_leg_is_not_sent_away_by_the_first_ending(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    _, execution_id = await started(alice)
    await kam.orchestrator.fail(execution_id, "output_invalid", "no modules")
    await resume(alice, execution_id)

    lines: list[str] = []
    async with alice.stream("GET", f"/api/v1/ai/pipelines/{execution_id}/events") as response:
        async for line in response.aiter_lines():
            lines.append(line)
            if line == ": heartbeat":
                await kam.orchestrator.complete(execution_id, await kam.store_structure())

    assert ids_and_names("\n".join(lines)) == [*FIRST_LEG, (3, "WORKFLOW_RESUMED"), (4, "WORKFLOW_COMPLETED")]


async def test_a_live_final_event_ends_a_stream_only_when_nothing_follows(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    _, execution_id = await started(alice)
    url = kam.url.replace("http", "ws") + f"/api/v1/ai/pipelines/{execution_id}/events?after=1"

    async with websockets.connect(url, additional_headers={"X-API-Key": kam.keys["alice"]}) as socket:
        await kam.orchestrator.progress(execution_id, 30)
        assert json.loads(await asyncio.wait_for(socket.recv(), 30))["sequence"] == 2
        kam.orchestrator.loses_events = True
        await kam.orchestrator.fail(execution_id, "output_invalid", "no modules")
        await resume(alice, execution_id)
        kam.orchestrator.loses_events = False
        await kam.orchestrator.publish(kam.orchestrator.events[execution_id][2])
        seen = [json.loads(await asyncio.wait_for(socket.recv(), 30))["sequence"] for _ in range(2)]
        await kam.orchestrator.complete(execution_id, await kam.store_structure())
        seen.append(json.loads(await asyncio.wait_for(socket.recv(), 30))["sequence"])

    assert seen == [3, 4, 5]


async def test_a_reader_who_has_seen_the_end_is_sent_away_at_once(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    _, execution_id = await started(alice)
    await kam.orchestrator.fail(execution_id, "output_invalid", "no modules")

    answer = await asyncio.wait_for(alice.get(f"/api/v1/ai/pipelines/{execution_id}/events?after=2"), 30)

    assert ids_and_names(answer.text) == []


async def test_a_final_event_ends_the_stream_when_nobody_can_say_whether_more_follows(fresh_kam_database: str) -> None:
    async with open_gateway(fresh_kam_database, silence_seconds=60) as kam, kam.client() as alice:
        _, execution_id = await started(alice)
        names = []
        path = f"/api/v1/ai/pipelines/{execution_id}/events"
        async with asyncio.timeout(30), alice.stream("GET", path) as response:
            async for line in response.aiter_lines():
                if line == ": heartbeat":
                    kam.orchestrator.is_away = True
                    await kam.orchestrator.fail(execution_id, "output_invalid", "no modules")
                names += [line] if line.startswith("event: ") else []

    assert names == ["event: WORKFLOW_STARTED", "event: WORKFLOW_FAILED"]


async def test_a_resumed_request_runs_again_and_takes_its_result_from_the_next_ending(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    request_id, execution_id = await started(alice)
    await kam.orchestrator.fail(execution_id, "output_invalid", "no modules")
    await resume(alice, execution_id)
    early = await alice.get(f"/api/kam/requests/{request_id}/result")
    await kam.orchestrator.complete(execution_id, await kam.store_structure())

    async def has_completed() -> bool:
        return (await row(kam)) == ("completed", "completed", 4, 1000)

    await eventually(has_completed)
    request = (await alice.get(f"/api/kam/requests/{request_id}")).json()

    assert (early.status_code, early.json()["type"]) == (409, "urn:aif:problem:not_ended")
    assert (request["status"], request["problem"], request["execution"]["last_sequence"]) == ("completed", None, 4)
    assert len(request["deliverables"]) == 1
    assert (await alice.get(f"/api/kam/requests/{request_id}/result")).json()["structure"]["title"] == "Bees"


async def test_late_events_of_the_leg_before_change_nothing(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    _, execution_id = await started(alice)
    await kam.orchestrator.progress(execution_id, 40)
    await kam.orchestrator.fail(execution_id, "output_invalid", "no modules")
    await resume(alice, execution_id)
    _, progress, ending, resumed = kam.orchestrator.events[execution_id]
    assert await row(kam) == ("running", "running", 4, 1000)

    for late in (progress, ending, resumed):
        await told(kam, late)
    await told(kam, ending, progress)

    assert await row(kam) == ("running", "running", 4, 1000)


@pytest.mark.parametrize("tell", [told, told_in_one_message])
async def test_one_batch_with_an_ending_and_the_resume_after_it_leaves_the_request_running(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, tell: Tell
) -> None:
    _, execution_id = await started(alice)
    kam.orchestrator.loses_events = True
    await kam.orchestrator.fail(execution_id, "output_invalid", "no modules")
    await kam.orchestrator.resumed(execution_id)
    _, ending, resumed = kam.orchestrator.events[execution_id]

    await tell(kam, resumed, ending)

    assert await row(kam) == ("running", "running", 3, 1000)


async def test_any_event_after_an_ending_tells_of_the_resume_that_the_broker_lost(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    _, execution_id = await started(alice)
    await kam.orchestrator.fail(execution_id, "output_invalid", "no modules")
    kam.orchestrator.loses_events = True
    await kam.orchestrator.resumed(execution_id)
    await kam.orchestrator.progress(execution_id, 70)
    _, ending, _, progress = kam.orchestrator.events[execution_id]

    await told(kam, ending)
    await told(kam, progress)

    rows = await kam.rows("SELECT problem, completed_at, detailed_metrics, progress_percent FROM client_requests")
    assert await row(kam) == ("running", "running", 4, 1000)
    assert tuple(rows[0]) == (None, None, None, 70)


async def test_an_old_view_does_not_turn_back_what_events_have_told(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    _, execution_id = await started(alice)
    running = kam.orchestrator.views[execution_id]
    await kam.orchestrator.complete(execution_id, await kam.store_structure())

    async def has_completed() -> bool:
        return (await row(kam))[0] == "completed"

    await eventually(has_completed)
    seen = await kam.gateway.parts.tracker.observe(running)

    assert seen is not None
    assert seen.status == "completed"
    assert await row(kam) == ("completed", "completed", 2, 1000)


async def test_what_pauses_is_told_by_its_event_and_not_undone_by_a_late_start(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    _, execution_id = await started(alice)
    await alice.post(f"/api/v1/ai/pipelines/{execution_id}/pause")
    await kam.orchestrator.progress(execution_id, 20)
    start, _, progress = kam.orchestrator.events[execution_id]

    await told(kam, progress, start)

    assert (await row(kam))[:3] == ("running", "paused", 3)


def ids_and_names(text: str) -> list[tuple[int, str]]:
    lines = text.split("\n")
    ids = [int(line.removeprefix("id: ")) for line in lines if line.startswith("id: ")]
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    return list(zip(ids, names, strict=True))
