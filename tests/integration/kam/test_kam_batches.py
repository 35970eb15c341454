"""Batches: all inputs or none, each one execution, finished by whoever lives, cancelled as far as they have not ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest

from aif_contracts.orders import Refusal
from aif_kam.batches.dispatch import ASKED_AT_ONCE, CLAIMED_AT_ONCE
from aif_kam.failures import Unavailable
from aif_kam.loops import run_batches
from aif_runtime.failures import DatabaseUnavailable
from integration.kam.gateway_under_test import BEES, GatewayUnderTest
from integration.kam.orchestrator_stand_in import COURSE
from support.waiting import eventually

BATCHES = "/api/kam/batches"
TEMPLATE = "content_granulation_course"


def topics(count: int) -> list[dict[str, Any]]:
    return [{"topic": f"bees {number}"} for number in range(count)]


def wish(inputs: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"selected_template": TEMPLATE, "inputs": inputs, **more}


async def ordered(client: httpx.AsyncClient, inputs: list[dict[str, Any]], **more: Any) -> str:
    answer = await client.post(BATCHES, json=wish(inputs, **more))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["batch_id"])


async def shown(client: httpx.AsyncClient, batch_id: str) -> dict[str, Any]:
    return dict((await client.get(f"{BATCHES}/{batch_id}")).json())


async def dispatch_all(kam: GatewayUnderTest) -> None:
    while await kam.gateway.dispatch.submit_some():
        pass


@asynccontextmanager
async def dispatching(kam: GatewayUnderTest, *, sweep_seconds: float = 3600.0) -> AsyncIterator[None]:
    """The gateway's loop runs meanwhile. It hears of new work; it does not see in time by itself that there is some."""
    stop = asyncio.Event()
    loop = run_batches(stop, dispatch=kam.gateway.dispatch, work=kam.gateway.batch_work, sweep_seconds=sweep_seconds)
    running = asyncio.create_task(loop)
    try:
        yield
    finally:
        stop.set()
        await running


async def test_a_thousand_inputs_are_answered_at_once_and_each_is_one_execution(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    answer = await alice.post(BATCHES, json=wish(topics(1000), message="all bees", urgency_level="low"))

    view = answer.json()
    assert answer.status_code == 202
    assert (view["status"], view["total"], view["ended"], view["counts"]) == ("running", 1000, 0, {"submitting": 1000})
    assert kam.orchestrator.orders == {}
    async with dispatching(kam):
        await eventually(lambda: len(kam.orchestrator.orders) == 1000, 60)
    assert kam.orchestrator.asked_to_execute == 1000
    wanted = {order.parameters["topic"] for order in kam.orchestrator.orders.values()}
    assert wanted == {f"bees {number}" for number in range(1000)}
    assert {order.priority for order in kam.orchestrator.orders.values()} == {"low"}


async def test_what_is_ordered_and_what_is_cancelled_waits_for_no_sweep(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    async with dispatching(kam):
        await ordered(alice, topics(1))
        await eventually(lambda: len(kam.orchestrator.orders) == 1, what="the loop runs")

        batch_id = await ordered(alice, topics(2))
        await eventually(lambda: _has_counts(alice, batch_id, {"running": 2}), what="the batch is submitted")
        await alice.delete(f"{BATCHES}/{batch_id}")
        await eventually(lambda: _has_counts(alice, batch_id, {"cancelled": 2}), what="the batch is cancelled")


async def test_a_batch_tells_how_far_it_is_and_what_it_cost(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    batch_id = await ordered(alice, topics(4))
    await dispatch_all(kam)
    blob = await kam.store_structure()
    first, second, third, _ = list(kam.orchestrator.orders)
    await kam.orchestrator.complete(first, blob)
    await kam.orchestrator.fail(second, "stage_failed", "no")
    await kam.orchestrator.progress(third, 40)

    async def is_counted() -> bool:
        view = await shown(alice, batch_id)
        return bool(view["ended"] == 2 and view["progress_percent"] == 60)

    await eventually(is_counted)
    view = await shown(alice, batch_id)
    assert view["counts"] == {"completed": 1, "failed": 1, "running": 2}
    assert (view["status"], view["total_cost_usd"], view["total_tokens_used"]) == ("running", "0.003", 2000)
    assert view["completed_at"] is None
    for execution_id in list(kam.orchestrator.orders)[2:]:
        await kam.orchestrator.complete(execution_id, blob)

    async def has_ended() -> bool:
        return bool((await shown(alice, batch_id))["status"] == "ended")

    await eventually(has_ended)
    assert (await shown(alice, batch_id))["completed_at"] is not None


async def test_items_come_in_the_order_of_the_inputs_page_by_page(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    batch_id = await ordered(alice, topics(5))
    await dispatch_all(kam)
    items = f"{BATCHES}/{batch_id}/items"

    first = (await alice.get(items, params={"limit": 3})).json()
    second = (await alice.get(items, params={"limit": 3, "cursor": first["next_cursor"]})).json()

    found = [*first["items"], *second["items"]]
    assert [item["index"] for item in found] == [0, 1, 2, 3, 4]
    asked = [kam.orchestrator.orders[item["request"]["execution"]["execution_id"]].parameters["topic"] for item in found]
    assert asked == ["bees 0", "bees 1", "bees 2", "bees 3", "bees 4"]
    assert {(item["request"]["origin"], item["request"]["batch_id"]) for item in found} == {("batch", batch_id)}
    assert second["next_cursor"] is None
    assert len((await alice.get(items, params={"status": "running"})).json()["items"]) == 5
    assert (await alice.get(items, params={"status": "completed"})).json()["items"] == []
    bad = await alice.get(items, params={"cursor": "x"})
    assert (bad.status_code, bad.json()["errors"][0]["field"]) == (422, "cursor")


async def test_shared_parameters_and_time_reach_every_execution(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    inputs: list[dict[str, Any]] = [{"topic": "bees"}, {"topic": "wasps", "granularityLevel": 5}]
    await ordered(alice, inputs, parameters={"granularityLevel": 2, "topic": "insects"}, start_at=tomorrow)

    await dispatch_all(kam)

    found = {order.parameters["topic"]: order.parameters["granularityLevel"] for order in kam.orchestrator.orders.values()}
    assert found == {"bees": 2, "wasps": 5}
    assert {order.start_at for order in kam.orchestrator.orders.values()} == {tomorrow}


async def test_a_batch_and_its_executions_are_as_they_were_ordered(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    await alice.post("/api/kam/workspaces", json={"workspace_id": "spring", "name": "Spring"})
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    more = {"urgency_level": "high", "workspace_id": "spring", "start_at": tomorrow, "max_cost_usd": "0.5"}
    batch_id = await ordered(alice, topics(2), message="all bees", **more)

    await dispatch_all(kam)

    view = await shown(alice, batch_id)
    assert {name: view[name] for name in more} == more
    assert (view["selected_template"], view["message"], view["cancelled_at"]) == (TEMPLATE, "all bees", None)
    assert (view["total_cost_usd"], view["total_tokens_used"]) == ("0", 0), "nothing is known yet"
    for order in kam.orchestrator.orders.values():
        found = (str(order.priority), order.workspace_id, order.start_at, order.max_cost_usd)
        assert found == tuple(more.values())


async def test_an_inputs_own_text_takes_the_place_of_a_shared_source(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    shared = (await alice.post("/api/kam/sources?file_name=bees.md", content=BEES.encode())).json()["source_id"]
    await ordered(alice, [{}, {"source_text": "# Wasps\n\nThey sting.\n"}], parameters={"source": shared})

    await dispatch_all(kam)

    keys = [order.parameters["source"]["storage_key"] for order in kam.orchestrator.orders.values()]
    assert [shared in key for key in keys] in ([True, False], [False, True])


async def test_texts_become_sources_each_once(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    uploaded = (await alice.post("/api/kam/sources?file_name=bees.md", content=BEES.encode())).json()["source_id"]
    inputs: list[dict[str, Any]] = [{}, {"topic": "bees"}, {"source_text": "# Wasps\n\nThey sting.\n"}, {"source": uploaded}]
    await ordered(alice, inputs, parameters={"source_text": BEES})

    await dispatch_all(kam)

    titles = await kam.rows("SELECT title FROM sources WHERE source_id <> $1 ORDER BY title", uploaded)
    assert [row["title"] for row in titles] == ["Bees", "Wasps"]
    keys = [order.parameters["source"]["storage_key"] for order in kam.orchestrator.orders.values()]
    assert (len(keys), len(set(keys))) == (4, 3)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (wish([*topics(3), {"topic": 7}]), ["inputs[3].topic"]),
        (wish([{"topic": "x"}, {"topick": "x"}, {"granularityLevel": 9}]), ["inputs[1].topick", "inputs[2].granularityLevel"]),
        (wish(topics(5), parameters={"granularityLevel": 9}), ["parameters.granularityLevel"]),
        (wish(topics(2), parameters={"source": "src_foreign"}), ["parameters.source"]),
        (wish([{"source": "src_foreign"}, {"source_text": 1}]), ["inputs[1].source_text", "inputs[0].source"]),
        (wish([{"source_text": " "}, {"source_text": "x"}]), ["inputs[0].source_text"]),
        (wish([]), ["inputs"]),
        (wish(topics(1001)), ["inputs"]),
        (wish([{"topic": "x"}, 5]), ["inputs[1]"]),  # type: ignore[list-item]
        (wish([{"topic": "x", "": 1}, {"topic": "x", "[0]": 1}]), ["inputs[0].", "inputs[1].[0]"]),
        (wish(topics(1), selected_template="nope"), ["selected_template"]),
        (wish(topics(1), start_at="soon"), ["start_at"]),
        ({"selected_template": TEMPLATE}, ["inputs"]),
    ],
)
async def test_one_wrong_input_refuses_all_by_name_and_nothing_is_stored(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, body: dict[str, Any], fields: list[str]
) -> None:
    refused = await alice.post(BATCHES, json=body)

    assert (refused.status_code, [error["field"] for error in refused.json()["errors"]]) == (422, fields)
    assert all(error["mend"] for error in refused.json()["errors"])
    for table in ("batches", "client_requests", "sources"):
        assert await kam.rows(f"SELECT 1 FROM {table}") == []  # noqa: S608 names of ours


async def test_what_is_missing_and_what_is_too_large_is_told_of_the_input(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    schema = {"type": "object", "required": ["topic"], "properties": {"topic": {"type": "string"}}}
    kam.orchestrator.library.templates = [msgspec.structs.replace(COURSE, structure_type=None, parameters=schema)]

    refused = await alice.post(BATCHES, json=wish([{}, {"topic": "x" * 70_000}]))

    assert (refused.status_code, [error["field"] for error in refused.json()["errors"]]) == (
        422,
        ["inputs[0].topic", "inputs[1]"],
    )


async def test_no_more_mistakes_are_told_than_anybody_reads(alice: httpx.AsyncClient) -> None:
    refused = await alice.post(BATCHES, json=wish([{"topic": number} for number in range(1000)]))

    errors = refused.json()["errors"]
    assert len(errors) == 101
    assert (errors[100]["field"], errors[100]["message"]) == ("inputs", "and 900 more mistakes")
    just_as_many = await alice.post(BATCHES, json=wish([{"topic": number} for number in range(100)]))
    assert [error["field"] for error in just_as_many.json()["errors"]] == [f"inputs[{number}].topic" for number in range(100)]


async def test_a_batch_may_be_larger_than_other_bodies_and_has_a_limit_too(alice: httpx.AsyncClient) -> None:
    large = [{"topic": "bees", "targetAudience": "x" * 199} for _ in range(1000)]
    text = "word " * 250_000
    accepted = await alice.post(BATCHES, json=wish([*large[1:], {"source_text": text}]))
    refused = await alice.post(BATCHES, json=wish(large, parameters={"source_text": text * 4}))
    order = await alice.post("/api/kam/orders", json={"selected_template": TEMPLATE, "parameters": {"source_text": text}})

    assert accepted.status_code == 202, accepted.text
    assert (refused.status_code, refused.json()["type"]) == (413, "urn:aif:problem:body_too_large")
    assert "4 MiB for a batch" in refused.json()["detail"]
    assert order.status_code == 413


async def test_one_key_makes_one_batch(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k1"}
    answers = await asyncio.gather(*(alice.post(BATCHES, json=wish(topics(20)), headers=headers) for _ in range(10)))
    other = await alice.post(BATCHES, json=wish(topics(21)), headers=headers)

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert len(await kam.rows("SELECT 1 FROM client_requests")) == 20
    assert (other.status_code, other.json()["type"]) == (422, "urn:aif:problem:idempotency_key_reused")


async def test_several_gateways_share_a_batch_and_ask_once_for_each(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    await ordered(alice, topics(200))

    await asyncio.gather(*(dispatch_all(kam) for _ in range(3)))

    assert (len(kam.orchestrator.orders), kam.orchestrator.asked_to_execute) == (200, 200)


async def test_what_nobody_has_asked_for_yet_comes_before_what_nobody_answered_for(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    await ordered(alice, topics(CLAIMED_AT_ONCE + 2))
    await kam.rows("UPDATE client_requests SET asked_at = now() - interval '1 hour' WHERE batch_index < 2")

    assert await kam.gateway.dispatch.submit_some() == CLAIMED_AT_ONCE

    assert await _indexes(kam, "status = 'submitting'") == [0, 1]


async def test_what_another_gateway_is_at_just_now_is_left_to_it(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    batch_id = await ordered(alice, topics(3))
    async with asyncio.timeout(10), at_work_on_the_first(kam):
        assert await kam.gateway.dispatch.submit_some() == 2
    await dispatch_all(kam)
    await alice.delete(f"{BATCHES}/{batch_id}")
    async with asyncio.timeout(10), at_work_on_the_first(kam):
        assert await kam.gateway.dispatch.cancel_some() == 2

    assert await _indexes(kam, "status = 'running'") == [0]


async def test_a_batch_waits_for_the_orchestrator(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    await alice.get("/api/kam/templates")
    kam.orchestrator.is_away = True
    batch_id = await ordered(alice, topics(30))
    async with dispatching(kam, sweep_seconds=0.05):
        await eventually(lambda: "aif.orchestrator.list" in kam.orchestrator.headers)
        assert (await shown(alice, batch_id))["counts"] == {"submitting": 30}
        assert await kam.rows("SELECT 1 FROM client_requests WHERE asked_at IS NOT NULL") == []
        kam.orchestrator.is_away = False

        await eventually(lambda: len(kam.orchestrator.orders) == 30)


async def test_a_database_that_is_away_in_the_middle_of_a_batch_is_said_by_its_name(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    batch_id = await ordered(alice, topics(3))

    async with kam.database.transaction() as connection:
        # Who puts a request to the orchestrator has to know its client.
        await connection.execute("LOCK TABLE clients IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DatabaseUnavailable):
            await kam.gateway.dispatch.submit_some()
    await kam.rows("UPDATE client_requests SET asked_at = NULL")
    await dispatch_all(kam)

    assert (await shown(alice, batch_id))["counts"] == {"running": 3}


async def test_lost_answers_are_asked_for_again_under_the_same_ids(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    batch_id = await ordered(alice, topics(8))
    kam.orchestrator.loses_answers_to_execute = True
    with pytest.raises(Unavailable):
        await kam.gateway.dispatch.submit_some()
    kam.orchestrator.loses_answers_to_execute = False

    async def all_run() -> bool:
        # One that could not be put back, because the database was slow, is free again ten seconds later.
        await dispatch_all(kam)
        return await _has_counts(alice, batch_id, {"running": 8})

    await eventually(all_run)

    assert (len(kam.orchestrator.orders), kam.orchestrator.asked_to_execute) == (8, 16)


async def test_after_the_first_that_gets_no_answer_no_more_are_asked_for(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    await ordered(alice, topics(30))
    kam.orchestrator.loses_answers_to_execute = True

    with pytest.raises(Unavailable):
        await kam.gateway.dispatch.submit_some()

    assert kam.orchestrator.asked_to_execute == ASKED_AT_ONCE


async def test_the_sweeper_finishes_a_batch_without_its_part(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    batch_id = await ordered(alice, topics(20))

    assert await kam.gateway.submissions.sweep() == 20

    assert (await shown(alice, batch_id))["counts"] == {"running": 20}


async def test_an_order_is_swept_before_a_waiting_batch(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    await alice.get("/api/kam/templates")
    await ordered(alice, topics(3))
    kam.orchestrator.is_away = True
    order = {"selected_template": TEMPLATE, "parameters": {"topic": "at once"}}
    assert (await alice.post("/api/kam/orders", json=order)).status_code == 503
    kam.orchestrator.is_away = False

    await kam.gateway.submissions.sweep()

    assert next(iter(kam.orchestrator.orders.values())).parameters["topic"] == "at once"


async def test_refused_items_end_and_say_why(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    kam.orchestrator.refusal = Refusal(code="order_refused", message="a topic alone needs a language model")
    batch_id = await ordered(alice, topics(2))

    await dispatch_all(kam)

    view = await shown(alice, batch_id)
    assert (view["status"], view["counts"]) == ("ended", {"refused": 2})
    items = (await alice.get(f"{BATCHES}/{batch_id}/items")).json()["items"]
    assert items[0]["request"]["problem"]["code"] == "order_refused"


async def test_cancelling_ends_at_once_what_nobody_asked_for(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    batch_id = await ordered(alice, topics(10))

    cancelled = await alice.delete(f"{BATCHES}/{batch_id}")
    await dispatch_all(kam)

    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "ended")
    assert cancelled.json()["counts"] == {"cancelled": 10}
    assert kam.orchestrator.orders == {}
    assert (await alice.delete(f"{BATCHES}/{batch_id}")).json() == cancelled.json()


async def test_cancelling_reaches_what_runs_and_leaves_what_has_ended(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    batch_id = await ordered(alice, topics(40))
    await kam.gateway.dispatch.submit_some()
    first = next(iter(kam.orchestrator.orders))
    await kam.orchestrator.complete(first, await kam.store_structure())

    async def is_counted() -> bool:
        return bool((await shown(alice, batch_id))["counts"].get("completed") == 1)

    await eventually(is_counted)

    cancelled = (await alice.delete(f"{BATCHES}/{batch_id}")).json()

    assert (cancelled["status"], cancelled["counts"]) == ("cancelling", {"completed": 1, "running": 31, "cancelled": 8})
    async with dispatching(kam):

        async def has_ended() -> bool:
            return bool((await shown(alice, batch_id))["status"] == "ended")

        await eventually(has_ended)
    assert (await shown(alice, batch_id))["counts"] == {"completed": 1, "cancelled": 39}
    assert await kam.rows("SELECT 1 FROM client_requests WHERE cancel_at IS NOT NULL") == []


async def test_cancelling_one_batch_leaves_the_others_alone(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    await ordered(alice, topics(2))
    await dispatch_all(kam)
    await ordered(alice, topics(2))
    await ordered(bob, topics(2))
    before = await kam.rows("SELECT * FROM client_requests JOIN batches USING (batch_id) ORDER BY request_id")
    one = await ordered(alice, topics(2))

    await alice.delete(f"{BATCHES}/{one}")

    others = "SELECT * FROM client_requests JOIN batches USING (batch_id) WHERE batch_id <> $1 ORDER BY request_id"
    assert await kam.rows(others, one) == before


async def test_what_has_ended_or_is_unknown_when_its_cancellation_arrives_is_left_as_it_is(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    batch_id = await ordered(alice, topics(3))
    await dispatch_all(kam)
    await alice.delete(f"{BATCHES}/{batch_id}")
    ended, lost, _ = list(kam.orchestrator.orders)
    await kam.orchestrator.complete(ended, await kam.store_structure())
    del kam.orchestrator.views[lost]

    async def is_counted() -> bool:
        return bool((await shown(alice, batch_id))["counts"].get("completed") == 1)

    await eventually(is_counted)

    assert await kam.gateway.dispatch.cancel_some() == 3
    assert (await shown(alice, batch_id))["counts"] == {"completed": 1, "running": 1, "cancelled": 1}
    assert await kam.rows("SELECT 1 FROM client_requests WHERE cancel_at IS NOT NULL") == []


async def test_what_is_unknown_is_cancelled_as_soon_as_it_is_known(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    batch_id = await ordered(alice, topics(1))
    kam.orchestrator.loses_answers_to_execute = True
    with pytest.raises(Unavailable):
        await kam.gateway.dispatch.submit_some()
    cancelled = (await alice.delete(f"{BATCHES}/{batch_id}")).json()
    kam.orchestrator.loses_answers_to_execute = False

    await dispatch_all(kam)
    await kam.gateway.dispatch.cancel_some()

    assert cancelled["status"] == "cancelling"
    assert (await shown(alice, batch_id))["counts"] == {"cancelled": 1}


async def test_cancelling_is_not_lost_while_somebody_asks_for_what_is_cancelled(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    batch_id = await ordered(alice, topics(1))
    await kam.rows("UPDATE client_requests SET asked_at = now()")
    await alice.delete(f"{BATCHES}/{batch_id}")
    too_early = await kam.gateway.dispatch.cancel_some()

    await kam.rows("UPDATE client_requests SET asked_at = now() - interval '11 seconds'")
    await kam.gateway.dispatch.submit_some()
    in_time = await kam.gateway.dispatch.cancel_some()

    assert (too_early, in_time) == (0, 1)
    assert (await shown(alice, batch_id))["counts"] == {"cancelled": 1}


async def test_cancelling_is_not_lost_while_the_orchestrator_is_away(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    batch_id = await ordered(alice, topics(1))
    await dispatch_all(kam)
    kam.orchestrator.is_away = True
    await alice.delete(f"{BATCHES}/{batch_id}")
    with pytest.raises(Exception, match="does not answer"):
        await kam.gateway.dispatch.cancel_some()
    kam.orchestrator.is_away = False

    assert await kam.gateway.dispatch.cancel_some() == 0
    await kam.rows("UPDATE client_requests SET cancel_at = now() WHERE cancel_at > now() RETURNING 1")
    assert await kam.gateway.dispatch.cancel_some() == 1
    assert (await shown(alice, batch_id))["counts"] == {"cancelled": 1}


async def test_a_batch_is_its_clients_alone(kam: GatewayUnderTest, alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    batch_id = await ordered(alice, topics(2))
    path = f"{BATCHES}/{batch_id}"

    answers = [await bob.get(path), await bob.get(f"{path}/items"), await bob.delete(path)]

    assert [(answer.status_code, answer.json()["type"]) for answer in answers] == [(404, "urn:aif:problem:unknown_batch")] * 3
    assert (await bob.get(BATCHES)).json()["batches"] == []
    assert (await shown(alice, batch_id))["counts"] == {"submitting": 2}
    async with kam.client("admin") as admin:
        assert [each["batch_id"] for each in (await admin.get(BATCHES)).json()["batches"]] == [batch_id]


async def test_batches_are_listed_newest_first_in_pages(alice: httpx.AsyncClient) -> None:
    made = [await ordered(alice, topics(1)) for _ in range(3)]

    first = (await alice.get(BATCHES, params={"limit": 2})).json()
    second = (await alice.get(BATCHES, params={"limit": 2, "cursor": first["next_cursor"]})).json()

    assert sorted(each["batch_id"] for each in (*first["batches"], *second["batches"])) == sorted(made)
    assert second["next_cursor"] is None


@asynccontextmanager
async def at_work_on_the_first(kam: GatewayUnderTest) -> AsyncIterator[None]:
    """Another gateway that has claimed the first request and has not committed that yet."""
    async with kam.database.transaction() as connection:
        await connection.execute("SELECT 1 FROM client_requests WHERE batch_index = 0 FOR UPDATE")
        yield


async def _indexes(kam: GatewayUnderTest, condition: str) -> list[int]:
    query = f"SELECT batch_index FROM client_requests WHERE {condition} ORDER BY 1"  # noqa: S608 written above
    return [row["batch_index"] for row in await kam.rows(query)]


async def _has_counts(client: httpx.AsyncClient, batch_id: str, counts: dict[str, int]) -> bool:
    return bool((await shown(client, batch_id))["counts"] == counts)
