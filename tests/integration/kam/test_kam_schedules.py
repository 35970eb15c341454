"""Schedules: each due time is one order, whatever dies or is away; the newest one missed is made up for; never two."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest

from aif_contracts.orders import Refusal
from aif_kam.loops import run_schedules
from aif_kam.schedules.firings import AT_ONCE, Firing
from integration.kam.gateway_under_test import BEES, GatewayUnderTest
from integration.kam.orchestrator_stand_in import COURSE
from support.waiting import eventually

SCHEDULES = "/api/kam/schedules"
NEW_YEAR = "0 0 1 1 *"
THIS_YEAR = f"{datetime.now(UTC).year}-01-01T00:00:00.000Z"
YEARLY = {
    "name": "Bees",
    "selected_template": "content_granulation_course",
    "parameters": {"topic": "bees"},
    "cron": NEW_YEAR,
}


async def made(client: httpx.AsyncClient, **changes: Any) -> str:
    answer = await client.post(SCHEDULES, json={**YEARLY, **changes})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["schedule_id"])


async def shown(client: httpx.AsyncClient, schedule_id: str) -> dict[str, Any]:
    return dict((await client.get(f"{SCHEDULES}/{schedule_id}")).json())


async def become_due(kam: GatewayUnderTest, at: str = THIS_YEAR) -> None:
    await kam.rows("UPDATE schedules SET next_at = $1, look_at = $1 RETURNING 1", datetime.fromisoformat(at))


async def be_looked_at(kam: GatewayUnderTest) -> None:
    """As when the time for it has come."""
    await kam.rows("UPDATE schedules SET look_at = now() RETURNING 1")


async def forget_keys(kam: GatewayUnderTest) -> None:
    """So that one due time can come a second time."""
    await kam.rows("DELETE FROM idempotency_keys")


async def fire(kam: GatewayUnderTest) -> list[Firing]:
    taken = await kam.gateway.firings.take()
    await asyncio.gather(*(kam.gateway.firings.fire(firing) for firing in taken))
    return taken


async def others_of(kam: GatewayUnderTest, schedule_id: str) -> list[Any]:
    return await kam.rows("SELECT * FROM schedules WHERE schedule_id <> $1 ORDER BY 1", schedule_id)


async def end_all(kam: GatewayUnderTest) -> None:
    blob = await kam.store_structure()
    for execution_id, view in list(kam.orchestrator.views.items()):
        if not view.status.is_final:
            await kam.orchestrator.complete(execution_id, blob)


async def test_a_schedule_is_shown_as_it_was_made(alice: httpx.AsyncClient) -> None:
    answer = await alice.post(
        SCHEDULES, json={**YEARLY, "cron": "0  6 * * mon-fri", "timezone": "Europe/Berlin", "urgency_level": "high"}
    )

    view = answer.json()
    assert answer.status_code == 201
    assert (view["cron"], view["timezone"], view["urgency_level"]) == ("0 6 * * mon-fri", "Europe/Berlin", "high")
    assert (view["status"], view["overlap"], view["fired_count"], view["last_outcome"]) == ("active", "skip", 0, None)
    assert datetime.fromisoformat(view["next_at"]) > datetime.now(UTC)
    assert (await alice.get(view["links"]["self"])).json() == view


async def test_what_is_due_is_ordered_once_and_the_schedule_says_so(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    schedule_id = await made(alice, message="every year")
    await become_due(kam)

    await fire(kam)
    await fire(kam)

    view = await shown(alice, schedule_id)
    request = (await alice.get(view["links"]["last_request"])).json()
    assert list(kam.orchestrator.orders) == [view["last_execution_id"]]
    assert (view["last_outcome"], view["last_fired_at"], view["fired_count"]) == ("ordered", THIS_YEAR, 1)
    assert view["next_at"] == THIS_YEAR.replace(THIS_YEAR[:4], str(int(THIS_YEAR[:4]) + 1))
    assert (request["origin"], request["schedule_id"], request["message"]) == ("schedule", schedule_id, "every year")
    key = await kam.rows("SELECT key FROM idempotency_keys")
    assert [row["key"] for row in key] == [f"schedule {schedule_id}@{THIS_YEAR}"]


async def test_an_order_of_a_schedule_has_its_urgency_and_its_workspace(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    await alice.post("/api/kam/workspaces", json={"workspace_id": "spring", "name": "Spring"})
    await made(alice, urgency_level="high", workspace_id="spring")
    await become_due(kam)

    await fire(kam)

    [order] = kam.orchestrator.orders.values()
    assert (order.priority, order.workspace_id) == ("high", "spring")


async def test_two_gateways_at_once_place_one_order_for_each_due_time(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    for number in range(10):
        await made(alice, name=f"number {number}")
    await become_due(kam)

    taken = await asyncio.gather(*(fire(kam) for _ in range(4)))

    assert sum(len(firings) for firings in taken) == 10
    assert len(kam.orchestrator.orders) == 10


async def test_a_gateway_that_wakes_up_late_finds_its_due_time_ordered(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    schedule_id = await made(alice, overlap="allow")
    await become_due(kam)
    slow = await kam.gateway.firings.take()
    assert await kam.gateway.firings.take() == []
    await be_looked_at(kam)

    again = await fire(kam)
    await kam.gateway.firings.fire(slow[0])

    assert [firing.due_at for firing in again] == [slow[0].due_at]
    assert len(kam.orchestrator.orders) == 1
    assert len(await kam.rows("SELECT 1 FROM client_requests")) == 1
    assert (await shown(alice, schedule_id))["fired_count"] == 1


async def test_two_gateways_in_the_midst_of_one_due_time_place_one_order(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    await made(alice, overlap="allow")
    await become_due(kam)
    first = await kam.gateway.firings.take()
    await be_looked_at(kam)
    second = await kam.gateway.firings.take()

    await asyncio.gather(*(kam.gateway.firings.fire(firing) for firing in (*first, *second)))

    assert len(kam.orchestrator.orders) == 1
    assert len(await kam.rows("SELECT 1 FROM client_requests")) == 1


async def test_what_another_gateway_looks_at_is_left_to_it_and_nobody_waits(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    other, mine = await made(alice), await made(alice)
    await become_due(kam)

    async with kam.database.transaction() as another, asyncio.timeout(10):
        await another.execute("SELECT FROM schedules WHERE schedule_id = $1 FOR UPDATE", other)
        await another.execute("SELECT FROM clients FOR UPDATE")
        taken = await kam.gateway.firings.take()

    assert [firing.schedule_id for firing in taken] == [mine]


async def test_a_due_time_whose_gateway_died_is_ordered_by_another_within_a_minute(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    await made(alice)
    await become_due(kam)
    await kam.gateway.firings.take()

    await kam.rows("UPDATE schedules SET look_at = look_at - interval '1 minute' RETURNING 1")

    assert len(await fire(kam)) == 1
    assert len(kam.orchestrator.orders) == 1


async def test_an_answer_that_is_lost_leaves_one_execution(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    schedule_id = await made(alice)
    await become_due(kam)
    kam.orchestrator.loses_answers_to_execute = True

    await fire(kam)
    await be_looked_at(kam)
    kam.orchestrator.loses_answers_to_execute = False

    view = await shown(alice, schedule_id)
    assert (view["last_outcome"], view["fired_count"]) == ("ordered", 1)
    assert await kam.gateway.submissions.sweep() == 1
    assert list(kam.orchestrator.orders) == [view["last_execution_id"]]


async def test_of_all_that_was_missed_only_the_newest_is_made_up_for(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    schedule_id = await made(alice)
    await become_due(kam, "2019-01-01T00:00:00Z")

    await fire(kam)
    await fire(kam)

    view = await shown(alice, schedule_id)
    assert (view["last_fired_at"], view["fired_count"], view["skipped_count"]) == (THIS_YEAR, 1, 0)
    assert len(kam.orchestrator.orders) == 1


async def test_it_is_skipped_while_the_execution_before_has_not_ended(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    schedule_id = await made(alice)
    await become_due(kam, THIS_YEAR)
    await fire(kam)
    await become_due(kam, THIS_YEAR)

    await fire(kam)

    view = await shown(alice, schedule_id)
    assert (view["last_outcome"], view["last_skipped_at"], view["skipped_count"]) == ("skipped", THIS_YEAR, 1)
    assert len(kam.orchestrator.orders) == 1
    await end_all(kam)
    await become_due(kam, "2020-01-01T00:00:00Z")
    await forget_keys(kam)
    await fire(kam)
    assert (await shown(alice, schedule_id))["fired_count"] == 2


async def test_an_execution_whose_end_the_broker_lost_holds_nothing_up(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    schedule_id = await made(alice)
    await become_due(kam)
    await fire(kam)
    ended = next(iter(kam.orchestrator.orders))
    await kam.orchestrator.complete(ended, await kam.store_structure(), stored_only=True)
    await forget_keys(kam)
    await become_due(kam)

    await fire(kam)

    assert (await shown(alice, schedule_id))["fired_count"] == 2


async def test_overlap_may_be_allowed(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    schedule_id = await made(alice, overlap="allow", cron="* * * * *")
    await become_due(kam, "2026-01-01T00:00:00Z")
    first = await fire(kam)
    await kam.rows("UPDATE schedules SET next_at = $1, look_at = now() RETURNING 1", first[0].due_at)
    await forget_keys(kam)

    await fire(kam)

    assert (await shown(alice, schedule_id))["fired_count"] == 2
    assert len(kam.orchestrator.orders) == 2


async def test_without_the_orchestrator_nothing_is_stored_and_it_is_tried_again(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    schedule_id = await made(alice)
    await become_due(kam)
    kam.orchestrator.is_away = True

    await fire(kam)

    assert await kam.rows("SELECT 1 FROM client_requests") == []
    assert await kam.gateway.firings.take() == []
    waiting = await kam.rows(
        "SELECT look_at - now() <= interval '5 seconds' AS soon, firing_at IS NOT NULL AS open FROM schedules"
    )
    assert (waiting[0]["soon"], waiting[0]["open"]) == (True, True)
    kam.orchestrator.is_away = False
    await be_looked_at(kam)
    await fire(kam)
    view = await shown(alice, schedule_id)
    assert (view["last_fired_at"], view["fired_count"], view["skipped_count"]) == (THIS_YEAR, 1, 0)


async def test_a_due_time_is_given_up_when_the_next_one_comes(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    schedule_id = await made(alice, cron="* * * * *")
    await become_due(kam, "2026-01-01T00:00:00Z")
    kam.orchestrator.is_away = True
    missed = await fire(kam)
    await kam.rows(
        "UPDATE schedules SET firing_at = firing_at - interval '2 minutes', next_at = $1, look_at = now() RETURNING 1",
        missed[0].due_at,
    )
    kam.orchestrator.is_away = False

    made_up = await fire(kam)

    view = await shown(alice, schedule_id)
    assert made_up[0].due_at >= missed[0].due_at
    assert (view["last_outcome"], view["fired_count"], view["skipped_count"]) == ("ordered", 1, 1)
    assert datetime.fromisoformat(view["last_skipped_at"]) < made_up[0].due_at
    assert len(kam.orchestrator.orders) == 1


async def test_while_the_orchestrator_is_away_the_newest_due_time_that_was_overtaken_is_told_as_missed(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    schedule_id = await made(alice, cron="* * * * *")
    await become_due(kam, "2026-01-01T00:00:00Z")
    kam.orchestrator.is_away = True
    for minutes_ago in (9, 5):
        [tried] = await fire(kam)
        overtaken = tried.due_at - timedelta(minutes=minutes_ago)
        await kam.rows(
            "UPDATE schedules SET firing_at = $1, next_at = $2, look_at = now() RETURNING 1", overtaken, tried.due_at
        )

    await fire(kam)

    view = await shown(alice, schedule_id)
    assert (view["last_outcome"], view["fired_count"], view["skipped_count"]) == ("missed", 0, 2)
    assert datetime.fromisoformat(view["last_skipped_at"]) == overtaken


async def test_an_order_that_no_longer_fits_is_told_by_its_schedule(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    schedule_id = await made(alice)
    schema = {**COURSE.parameters, "required": ["audience"], "properties": {"audience": {"type": "string"}}}
    kam.orchestrator.library.templates = [msgspec.structs.replace(COURSE, parameters=schema)]
    kam.gateway.parts.catalogue.forget(None)
    await become_due(kam)

    await fire(kam)

    view = await shown(alice, schedule_id)
    fields = [error["field"] for error in view["last_problem"]["errors"]]
    assert (view["status"], view["last_outcome"], view["last_problem"]["code"]) == ("active", "refused", "invalid_input")
    assert "parameters.topic" in fields
    assert view["next_at"] > THIS_YEAR
    assert await kam.rows("SELECT 1 FROM client_requests") == []


async def test_a_template_that_is_gone_is_told_too_and_mended_by_put(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    schedule_id = await made(alice)
    other = msgspec.structs.replace(COURSE, name="course_of_today")
    kam.orchestrator.library.templates = [other]
    kam.gateway.parts.catalogue.forget(None)
    await become_due(kam)
    await fire(kam)
    assert (await shown(alice, schedule_id))["last_problem"]["code"] == "unknown_template"

    mended = await alice.put(f"{SCHEDULES}/{schedule_id}", json={**YEARLY, "selected_template": "course_of_today"})
    await become_due(kam)
    await forget_keys(kam)
    await fire(kam)

    assert (mended.status_code, mended.json()["last_problem"]) == (200, None)
    view = await shown(alice, schedule_id)
    assert (view["last_outcome"], view["last_problem"], view["fired_count"]) == ("ordered", None, 1)


async def test_a_refusal_of_the_orchestrator_is_shown(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    schedule_id = await made(alice)
    kam.orchestrator.refusal = Refusal(code="order_refused", message="a topic alone needs a language model")
    await become_due(kam)

    await fire(kam)

    view = await shown(alice, schedule_id)
    assert (view["last_outcome"], view["last_problem"]["code"]) == ("refused", "order_refused")
    kam.orchestrator.library.templates = []
    kam.gateway.parts.catalogue.forget(None)
    await become_due(kam)
    await forget_keys(kam)
    await fire(kam)
    assert (await shown(alice, schedule_id))["last_problem"]["code"] == "unknown_template", "the newer one is told"


async def test_a_text_is_stored_as_a_source_once(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    schedule_id = await made(alice, parameters={"source_text": BEES}, overlap="allow")
    for _ in range(2):
        await become_due(kam)
        await forget_keys(kam)
        await fire(kam)

    sources = await kam.rows("SELECT source_id FROM sources")
    assert len(sources) == 1
    assert (await shown(alice, schedule_id))["parameters"] == {"source": sources[0]["source_id"]}
    blobs = [order.parameters["source"]["storage_key"] for order in kam.orchestrator.orders.values()]
    assert len(blobs) == 2
    assert blobs[0] == blobs[1]
    assert blobs[0].startswith(f"sources/alice/{sources[0]['source_id']}")


async def test_the_text_of_a_changed_schedule_is_stored_too(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    schedule_id = await made(alice)

    changed = await alice.put(f"{SCHEDULES}/{schedule_id}", json={**YEARLY, "parameters": {"source_text": BEES}})
    await become_due(kam)
    await fire(kam)

    assert (await shown(alice, schedule_id))["last_outcome"] == "ordered"
    [order] = kam.orchestrator.orders.values()
    assert order.parameters["source"]["storage_key"].startswith(f"sources/alice/{changed.json()['parameters']['source']}")


async def test_pausing_calls_off_what_is_due_and_resuming_goes_on_from_now(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    schedule_id = await made(alice)
    await become_due(kam)
    taken = await kam.gateway.firings.take()

    paused = await alice.post(f"{SCHEDULES}/{schedule_id}/pause")
    await kam.gateway.firings.fire(taken[0])

    assert (paused.status_code, paused.json()["status"], paused.json()["next_at"]) == (200, "paused", None)
    assert kam.orchestrator.orders == {}
    assert await kam.rows("SELECT 1 FROM client_requests") == []
    resumed = (await alice.post(f"{SCHEDULES}/{schedule_id}/resume")).json()
    again = (await alice.post(f"{SCHEDULES}/{schedule_id}/resume")).json()
    assert (resumed["status"], again["next_at"]) == ("active", resumed["next_at"])
    assert datetime.fromisoformat(resumed["next_at"]) > datetime.now(UTC)
    assert await kam.gateway.firings.take() == []


async def test_a_paused_schedule_that_is_changed_stays_paused(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    schedule_id = await made(alice)
    await alice.post(f"{SCHEDULES}/{schedule_id}/pause")

    changed = (await alice.put(f"{SCHEDULES}/{schedule_id}", json={**YEARLY, "name": "Later bees"})).json()
    await kam.rows("UPDATE schedules SET next_at = next_at - interval '2 years', look_at = look_at - interval '2 years'")

    assert (changed["name"], changed["status"], changed["next_at"]) == ("Later bees", "paused", None)
    assert await kam.gateway.firings.take() == []


async def test_a_change_calls_off_what_is_due_and_reckons_anew(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    schedule_id = await made(alice)
    await become_due(kam)
    taken = await kam.gateway.firings.take()

    changed = await alice.put(f"{SCHEDULES}/{schedule_id}", json={**YEARLY, "cron": "0 12 * * *", "name": "Daily bees"})
    await kam.gateway.firings.fire(taken[0])

    assert (changed.json()["name"], changed.json()["cron"]) == ("Daily bees", "0 12 * * *")
    assert datetime.fromisoformat(changed.json()["next_at"]).hour == 12
    assert kam.orchestrator.orders == {}


async def test_what_became_of_a_due_time_that_a_change_called_off_is_not_told_of_the_changed_schedule(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    schedule_id = await made(alice)
    await become_due(kam)
    await fire(kam)
    await become_due(kam)
    to_be_skipped = await kam.gateway.firings.take()
    await alice.put(f"{SCHEDULES}/{schedule_id}", json={**YEARLY, "overlap": "allow"})
    await become_due(kam)
    to_be_refused = await kam.gateway.firings.take()
    changed = (await alice.put(f"{SCHEDULES}/{schedule_id}", json=YEARLY)).json()
    await forget_keys(kam)
    kam.orchestrator.library.templates = []
    kam.gateway.parts.catalogue.forget(None)

    for firing in (*to_be_skipped, *to_be_refused):
        await kam.gateway.firings.fire(firing)

    view = await shown(alice, schedule_id)
    told = ("last_outcome", "last_problem", "skipped_count", "next_at")
    assert [view[name] for name in told] == [changed[name] for name in told]
    assert (len(to_be_skipped), len(to_be_refused)) == (1, 1)
    kam.orchestrator.is_away = True
    await kam.gateway.firings.fire(to_be_skipped[0])
    assert await kam.rows("SELECT 1 FROM schedules WHERE look_at = next_at")


async def test_what_befalls_one_schedule_leaves_the_others_as_they_are(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    active, paused, one = [await made(alice) for _ in range(3)]
    await alice.post(f"{SCHEDULES}/{paused}/pause")
    before = await others_of(kam, one)
    due = "UPDATE schedules SET next_at = $2, look_at = $2 WHERE schedule_id = $1 RETURNING 1"
    await kam.rows(due, one, datetime.fromisoformat(THIS_YEAR))

    await fire(kam)
    for step in ("pause", "resume"):
        assert (await alice.post(f"{SCHEDULES}/{one}/{step}")).status_code == 200
    assert (await alice.put(f"{SCHEDULES}/{one}", json={**YEARLY, "name": "Wasps"})).status_code == 200
    assert (await alice.delete(f"{SCHEDULES}/{one}")).status_code == 200

    assert await others_of(kam, one) == before
    assert {row["schedule_id"] for row in before} == {active, paused}


async def test_what_is_settled_is_not_looked_at_before_its_next_due_time(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    schedule_id = await made(alice)
    outcomes = []
    for template in (msgspec.structs.replace(COURSE, name="course_of_today"), COURSE, COURSE):
        kam.orchestrator.library.templates = [template]
        kam.gateway.parts.catalogue.forget(None)
        await become_due(kam)
        await forget_keys(kam)

        await fire(kam)

        await kam.rows("UPDATE schedules SET look_at = look_at - interval '1 minute' RETURNING 1")
        assert await kam.gateway.firings.take() == []
        view = await shown(alice, schedule_id)
        outcomes.append((view["last_outcome"], view["last_problem"] and view["last_problem"]["code"]))

    assert outcomes == [("refused", "unknown_template"), ("ordered", None), ("skipped", None)]


async def test_a_changed_schedule_is_due_by_its_new_rhythm_and_a_paused_one_stays_paused(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    changed, paused = await made(alice), await made(alice)
    await alice.post(f"{SCHEDULES}/{paused}/pause")

    answers = [await alice.put(f"{SCHEDULES}/{each}", json={**YEARLY, "cron": "* * * * *"}) for each in (changed, paused)]
    await kam.rows(
        "UPDATE schedules SET next_at = next_at - interval '1 minute', look_at = look_at - interval '1 minute' RETURNING 1"
    )

    assert [answer.json()["status"] for answer in answers] == ["active", "paused"]
    assert [firing.schedule_id for firing in await kam.gateway.firings.take()] == [changed]


async def test_a_removed_schedule_is_gone_and_its_requests_stay(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    schedule_id = await made(alice)
    await become_due(kam)
    await fire(kam)

    removed = await alice.delete(f"{SCHEDULES}/{schedule_id}")

    assert (removed.status_code, removed.json()["fired_count"]) == (200, 1)
    assert (await alice.get(f"{SCHEDULES}/{schedule_id}")).status_code == 404
    assert len(await kam.rows("SELECT 1 FROM client_requests")) == 1


async def test_the_gateway_sees_what_is_due_by_itself(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    await made(alice)
    running = asyncio.create_task(run_schedules(kam.stop, firings=kam.gateway.firings, due_seconds=0.01))
    await become_due(kam)

    await eventually(lambda: kam.orchestrator.orders)

    kam.stop.set()
    await running


async def test_of_many_that_are_due_the_last_ones_wait_for_no_other_look(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    for number in range(AT_ONCE + 1):
        await made(alice, name=f"number {number}")
    await become_due(kam)
    running = asyncio.create_task(run_schedules(kam.stop, firings=kam.gateway.firings, due_seconds=600))

    await eventually(lambda: len(kam.orchestrator.orders) == AT_ONCE + 1)

    kam.stop.set()
    await running


async def test_orders_of_a_disabled_client_wait(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    await made(alice)
    await become_due(kam)
    await kam.rows("UPDATE clients SET disabled_at = now() WHERE client_id = 'alice' RETURNING 1")

    assert await fire(kam) == []


async def test_a_schedule_is_its_clients_alone(kam: GatewayUnderTest, alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    schedule_id = await made(alice)
    path = f"{SCHEDULES}/{schedule_id}"

    answers = [
        await bob.get(path),
        await bob.put(path, json=YEARLY),
        await bob.delete(path),
        await bob.post(f"{path}/pause"),
        await bob.post(f"{path}/resume"),
    ]

    assert [(answer.status_code, answer.json()["type"]) for answer in answers] == [
        (404, "urn:aif:problem:unknown_schedule")
    ] * 5
    assert (await bob.get(SCHEDULES)).json()["schedules"] == []
    async with kam.client("admin") as admin:
        assert (await admin.get(path)).json()["client_id"] == "alice"
        moved = await admin.put(path, json={**YEARLY, "client_id": "bob"})
        assert (moved.status_code, moved.json()["errors"][0]["field"]) == (422, "client_id")
        nobody = await admin.post(SCHEDULES, json=YEARLY)
        assert (nobody.status_code, nobody.json()["errors"][0]["field"]) == (422, "client_id")


async def test_schedules_are_listed_newest_first_in_pages(alice: httpx.AsyncClient) -> None:
    made_ids = [await made(alice, name=f"number {number}") for number in range(3)]

    first = (await alice.get(SCHEDULES, params={"limit": 2})).json()
    second = (await alice.get(SCHEDULES, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    bad = await alice.get(SCHEDULES, params={"cursor": "x"})

    listed = [item["schedule_id"] for item in (*first["schedules"], *second["schedules"])]
    assert (sorted(listed), second["next_cursor"]) == (sorted(made_ids), None)
    assert (bad.status_code, bad.json()["errors"][0]["field"]) == (422, "cursor")


async def test_one_key_makes_one_schedule(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k1"}
    answers = await asyncio.gather(*(alice.post(SCHEDULES, json=YEARLY, headers=headers) for _ in range(20)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert len(await kam.rows("SELECT 1 FROM schedules")) == 1


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"cron": "61 * * * *"}, ["cron"]),
        ({"cron": "* * * *", "timezone": "Mars/Olympus"}, ["cron", "timezone"]),
        ({"selected_template": "nope"}, ["selected_template"]),
        ({"parameters": {"topick": "bees", "granularityLevel": 9}}, ["parameters.topick", "parameters.granularityLevel"]),
        ({"parameters": {"source": "src_foreign"}}, ["parameters.source"]),
        ({"overlap": "maybe", "name": ""}, ["name", "overlap"]),
        ({"crom": "* * * * *"}, ["crom"]),
    ],
)
async def test_a_bad_schedule_is_refused_by_name_and_nothing_is_stored(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, changes: dict[str, Any], fields: list[str]
) -> None:
    refused = await alice.post(SCHEDULES, json={**YEARLY, **changes})

    assert (refused.status_code, [error["field"] for error in refused.json()["errors"]]) == (422, fields)
    assert all(error["mend"] for error in refused.json()["errors"])
    assert await kam.rows("SELECT 1 FROM schedules") == []
