"""Live events: complete, in order, from any point on, over a broker that forgets."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
import websockets

from aif_contracts import subjects
from aif_contracts.orders import Refusal
from aif_runtime.bus import Outgoing
from integration.kam.delivered_events import Delivered
from integration.kam.gateway_under_test import GatewayUnderTest, open_gateway
from support.waiting import eventually

ORDER = {"selected_template": "content_granulation_course", "parameters": {"topic": "bees"}}


async def events_of(response: httpx.Response) -> AsyncIterator[tuple[int, str, dict[str, object]]]:
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif not line and "data" in fields:
            yield int(fields["id"]), fields["event"], json.loads(fields["data"])
            fields = {}


async def started(client: httpx.AsyncClient) -> dict[str, str]:
    return dict((await client.post("/api/kam/orders", json=ORDER)).json())


async def test_a_reader_sees_stored_and_live_events_to_the_end(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    order = await started(alice)
    await kam.orchestrator.progress(order["execution_id"], 10)

    seen = []
    async with alice.stream("GET", order["links"]["events"]) as response:  # type: ignore[index]
        assert response.headers["content-type"].startswith("text/event-stream")
        async for number, name, _ in events_of(response):
            seen.append((number, name))
            if number == 2:
                await kam.orchestrator.progress(order["execution_id"], 60)
                await kam.orchestrator.complete(order["execution_id"], await kam.store_structure())

    assert seen == [
        (1, "WORKFLOW_STARTED"),
        (2, "PROGRESS_UPDATE"),
        (3, "PROGRESS_UPDATE"),
        (4, "WORKFLOW_COMPLETED"),
    ]


async def test_a_reader_gets_every_event_of_a_message_and_none_twice(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    order = await started(alice)
    kam.orchestrator.loses_events = True

    seen = []
    async with alice.stream("GET", order["links"]["events"]) as response:  # type: ignore[index]
        async for number, name, _ in events_of(response):
            seen.append((number, name))
            if number == 1:
                await kam.orchestrator.progress(order["execution_id"], 60)
                await kam.orchestrator.progress(order["execution_id"], 80)
                _, *together = kam.orchestrator.events[order["execution_id"]]
                await kam.orchestrator.publish(*together)
                await kam.orchestrator.complete(order["execution_id"], await kam.store_structure())
                await kam.orchestrator.publish(*together, kam.orchestrator.events[order["execution_id"]][-1])

    assert seen == [
        (1, "WORKFLOW_STARTED"),
        (2, "PROGRESS_UPDATE"),
        (3, "PROGRESS_UPDATE"),
        (4, "WORKFLOW_COMPLETED"),
    ]


@pytest.mark.parametrize("by", ["header", "query"])
async def test_a_reader_that_was_cut_off_gets_what_follows(kam: GatewayUnderTest, alice: httpx.AsyncClient, by: str) -> None:
    order = await started(alice)
    await kam.orchestrator.progress(order["execution_id"], 10)
    await kam.orchestrator.complete(order["execution_id"], await kam.store_structure())

    path = f"/api/v1/ai/pipelines/{order['execution_id']}/events"
    headers = {"Last-Event-ID": "2"} if by == "header" else {}
    async with alice.stream("GET", path + ("?after=2" if by == "query" else ""), headers=headers) as response:
        seen = [(number, name) async for number, name, _ in events_of(response)]

    assert seen == [(3, "WORKFLOW_COMPLETED")]


async def test_events_that_the_broker_lost_are_fetched_at_the_next_gap(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    order = await started(alice)

    seen = []
    async with alice.stream("GET", f"/api/kam/requests/{order['request_id']}/events") as response:
        async for number, _, data in events_of(response):
            seen.append(number)
            assert data["subject"] == order["execution_id"]
            if number == 1:
                event = kam.orchestrator.events[order["execution_id"]][0].data
                await kam.orchestrator.emit(order["execution_id"], event, stored_only=True)
                await kam.orchestrator.emit(order["execution_id"], event, stored_only=True)
                await kam.orchestrator.progress(order["execution_id"], 50)
            if number == 4:
                await kam.orchestrator.complete(order["execution_id"], await kam.store_structure())

    assert seen == [1, 2, 3, 4, 5]


async def test_an_event_that_is_published_again_is_told_once_and_turns_nothing_back(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    order = await started(alice)
    execution_id = order["execution_id"]

    seen = []
    async with alice.stream("GET", f"/api/kam/requests/{order['request_id']}/events") as response:
        async for number, _, _ in events_of(response):
            seen.append(number)
            if number == 1:
                await kam.orchestrator.progress(execution_id, 50)
                await kam.orchestrator.publish(kam.orchestrator.events[execution_id][0])
                await kam.orchestrator.progress(execution_id, 70)
            if number == 3:

                async def has_moved() -> bool:
                    rows = await kam.rows("SELECT last_sequence, progress_percent FROM client_requests")
                    return tuple(rows[0]) == (3, 70)

                await eventually(has_moved)
                await kam.gateway.parts.tracker.apply_events([Delivered(kam.orchestrator.events[execution_id][1])])
                assert await has_moved()
                await kam.orchestrator.complete(execution_id, await kam.store_structure())

    assert seen == [1, 2, 3, 4]


async def test_after_a_silence_lost_events_are_fetched_and_a_heartbeat_is_sent(fresh_kam_database: str) -> None:
    async with open_gateway(fresh_kam_database, silence_seconds=0.05) as kam, kam.client() as alice:
        order = await started(alice)
        lines = []
        async with alice.stream("GET", f"/api/kam/requests/{order['request_id']}/events") as response:
            async for line in response.aiter_lines():
                lines.append(line)
                if lines.count(": heartbeat") == 2 and "id: 2" not in lines:
                    blob = await kam.store_structure()
                    if not kam.orchestrator.views[order["execution_id"]].status.is_final:
                        await kam.orchestrator.complete(order["execution_id"], blob, stored_only=True)

        assert [line for line in lines if line.startswith("id: ")] == ["id: 1", "id: 2"]


async def test_a_question_for_events_that_came_to_nothing_is_asked_again_before_a_silence_is_over(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    order = await started(alice)
    await kam.orchestrator.complete(order["execution_id"], await kam.store_structure(), stored_only=True)
    kam.orchestrator.never_answers.add(order["execution_id"])

    seen = []
    async with asyncio.timeout(30), alice.stream("GET", order["links"]["events"]) as response:  # type: ignore[index]
        async for line in response.aiter_lines():
            if line == ": heartbeat":
                kam.orchestrator.never_answers.clear()
            seen += [line] if line.startswith("event: ") else []

    assert seen == ["event: WORKFLOW_STARTED", "event: WORKFLOW_COMPLETED"]


async def test_a_stream_ends_when_the_process_drains(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    order = await started(alice)

    lines = []
    async with alice.stream("GET", f"/api/kam/requests/{order['request_id']}/events") as response:
        async for line in response.aiter_lines():
            lines.append(line)
            if line == "id: 1":
                kam.stop.set()

    assert ": draining, connect again" in lines


async def test_a_request_that_was_not_executed_has_no_events(alice: httpx.AsyncClient) -> None:
    request_id = (await alice.post("/api/kam/requests", json={})).json()["request_id"]

    refused = await alice.get(f"/api/kam/requests/{request_id}/events")

    assert (refused.status_code, refused.json()["type"]) == (409, "urn:aif:problem:not_executed")


async def test_a_refused_order_has_no_events_to_wait_for(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    kam.orchestrator.refusal = Refusal(code="order_refused", message="no")
    await alice.post("/api/kam/orders", json=ORDER)
    request = (await alice.get("/api/kam/requests?status=refused")).json()["requests"][0]

    refused = await alice.get(f"/api/kam/requests/{request['request_id']}/events")

    assert (refused.status_code, refused.json()["type"]) == (409, "urn:aif:problem:not_executed")


async def test_the_events_of_a_deleted_execution_are_gone_and_not_waited_for(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    order = await started(alice)
    await kam.orchestrator.complete(order["execution_id"], await kam.store_structure())

    async def has_ended() -> bool:
        return bool((await alice.get(f"/api/kam/requests/{order['request_id']}")).json()["status"] == "completed")

    await eventually(has_ended)
    del kam.orchestrator.views[order["execution_id"]]
    addresses = (f"/api/kam/requests/{order['request_id']}/events", f"/api/v1/ai/pipelines/{order['execution_id']}/events")
    for address in addresses:
        async with alice.stream("GET", address) as response:
            assert response.status_code == 410
            assert json.loads(await response.aread())["type"] == "urn:aif:problem:result_deleted"
    url = kam.url.replace("http", "ws") + addresses[1]
    async with websockets.connect(url, additional_headers={"X-API-Key": kam.keys["alice"]}) as socket:
        with pytest.raises(websockets.ConnectionClosedError) as closed:
            await asyncio.wait_for(socket.recv(), 30)

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4410, "result_deleted")


@pytest.mark.parametrize("how", ["UPDATE api_keys SET revoked_at = now()", "UPDATE clients SET disabled_at = now()"])
async def test_who_is_shut_out_reads_no_more_events_on_a_stream_that_is_open(fresh_kam_database: str, how: str) -> None:
    async with open_gateway(fresh_kam_database, silence_seconds=0.05) as kam, kam.client() as alice:
        execution_id = (await started(alice))["execution_id"]
        path = f"/api/v1/ai/pipelines/{execution_id}/events"
        url = kam.url.replace("http", "ws") + path
        async with (
            asyncio.timeout(30),
            websockets.connect(url, additional_headers={"X-API-Key": kam.keys["alice"]}) as socket,
            alice.stream("GET", path) as response,
        ):
            lines = response.aiter_lines()
            while await anext(lines) != ": heartbeat":
                pass
            async with kam.database.connection() as connection:
                await connection.execute(how)
            told = [line async for line in lines if line]
            await kam.orchestrator.progress(execution_id, 50)
            with pytest.raises(websockets.ConnectionClosedError) as closed:
                [_ async for _ in socket]

    assert told[-1] == ": not_authenticated"
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4401, "not_authenticated")


async def test_a_bad_last_event_id_is_refused(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    order = await started(alice)

    for value in ("x", "-1", "9" * 30):
        path = f"/api/kam/requests/{order['request_id']}/events"
        refused = await alice.get(path, headers={"Last-Event-ID": value})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "Last-Event-ID")


async def test_a_web_socket_gets_the_same_events(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    order = await started(alice)
    url = kam.url.replace("http", "ws") + f"/api/v1/ai/pipelines/{order['execution_id']}/events?after=1"

    async with websockets.connect(url, additional_headers={"X-API-Key": kam.keys["alice"]}) as socket:
        await kam.orchestrator.progress(order["execution_id"], 30)
        first = json.loads(await asyncio.wait_for(socket.recv(), 30))
        await kam.orchestrator.complete(order["execution_id"], await kam.store_structure())
        last = json.loads(await asyncio.wait_for(socket.recv(), 30))
        with pytest.raises(websockets.ConnectionClosedOK):
            await asyncio.wait_for(socket.recv(), 30)

    assert (first["sequence"], first["data"]["event_type"]) == (2, "PROGRESS_UPDATE")
    assert (last["sequence"], last["data"]["event_type"]) == (3, "WORKFLOW_COMPLETED")
    assert [message["event_type"] for message in (first, last)] == ["PROGRESS_UPDATE", "WORKFLOW_COMPLETED"]


async def test_a_web_socket_with_a_parameter_that_there_is_not_is_closed(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    order = await started(alice)
    url = kam.url.replace("http", "ws") + f"/api/v1/ai/pipelines/{order['execution_id']}/events?afer=1"

    async with websockets.connect(url, additional_headers={"X-API-Key": kam.keys["alice"]}) as socket:
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 30)

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4422, "invalid_input")


async def test_a_web_socket_whose_reader_has_left_is_not_followed_on(fresh_kam_database: str) -> None:
    async with open_gateway(fresh_kam_database, silence_seconds=0.05) as kam, kam.client() as alice:
        left, other = (await started(alice))["execution_id"], (await started(alice))["execution_id"]
        url = kam.url.replace("http", "ws") + f"/api/v1/ai/pipelines/{left}/events"
        async with websockets.connect(url, additional_headers={"X-API-Key": kam.keys["alice"]}) as socket:
            assert json.loads(await asyncio.wait_for(socket.recv(), 30))["sequence"] == 1
            await socket.send("are you there?")
            await eventually(lambda: kam.orchestrator.asked_for_events[left] > 3)

        async with alice.stream("GET", f"/api/v1/ai/pipelines/{other}/events") as response:
            silences, asked = 0, 0
            async for line in response.aiter_lines():
                silences += line == ": heartbeat"
                if silences == 3:
                    asked = asked or kam.orchestrator.asked_for_events[left]
                if silences == 8:
                    break

        assert kam.orchestrator.asked_for_events[left] == asked


@pytest.mark.parametrize("path", ["/api/kam/requests/req_1/events", "/api/v1/ai/pipelines", "/nothing/here"])
async def test_a_websocket_where_there_is_none_is_closed_with_the_status_of_an_unknown_address(
    kam: GatewayUnderTest, path: str
) -> None:
    url = f"{kam.url.replace('http', 'ws')}{path}"

    async with websockets.connect(url, additional_headers={"X-API-Key": kam.keys["alice"]}) as socket:
        with pytest.raises(websockets.ConnectionClosedError) as closed:
            await asyncio.wait_for(socket.recv(), 30)

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4404, "no_such_address")


@pytest.mark.parametrize(("who", "code"), [("bob", 4404), (None, 4401)])
async def test_a_web_socket_to_another_clients_execution_is_closed(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, who: str | None, code: int
) -> None:
    order = await started(alice)
    url = kam.url.replace("http", "ws") + f"/api/v1/ai/pipelines/{order['execution_id']}/events"
    headers = {} if who is None else {"X-API-Key": kam.keys[who]}

    async with websockets.connect(url, additional_headers=headers) as socket:
        with pytest.raises(websockets.ConnectionClosedError) as closed:
            await asyncio.wait_for(socket.recv(), 30)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code


async def test_events_bring_progress_to_the_request_and_poison_is_buried(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    order = await started(alice)
    poison = subjects.event("alice", order["execution_id"], "NONSENSE")
    async with kam.bus.listen(subjects.dead("events")) as dead:
        await kam.bus.publish([Outgoing(subject=poison, payload=b"{nonsense")])
        await kam.orchestrator.progress(order["execution_id"], 40)

        async def has_moved() -> bool:
            return bool((await kam.rows("SELECT progress_percent FROM client_requests"))[0]["progress_percent"] == 40)

        await eventually(has_moved)
        assert await dead.next(5) is not None
