"""Clocks that are wrong: a gateway's changes nothing, and nobody sleeps for as long as the database's was ahead."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from aif_contracts.orders import ExecutionStatus, Refusal
from aif_runtime.clock import Clock
from integration.kam.gateway_under_test import GatewayUnderTest, open_gateway
from support.skipping_clock import SkippingClock

TEMPLATE = "content_granulation_course"
ORDER = {"selected_template": TEMPLATE, "parameters": {"topic": "bees"}}
RESERVED = Refusal(code="budget_reserved", message="others have reserved it", retry_after_ms=5000)
HOURLY = {"name": "Bees", "selected_template": TEMPLATE, "parameters": {"topic": "bees"}, "cron": "0 * * * *"}
TWO_DAYS = 172_800


def clock_off_by(seconds: float) -> Clock:
    clock = SkippingClock()
    clock.skip(seconds)
    return clock


async def next_of(client: httpx.AsyncClient, schedule_id: str) -> datetime:
    view = (await client.get(f"/api/kam/schedules/{schedule_id}")).json()
    return datetime.fromisoformat(view["next_at"])


def coming_hour(after: datetime) -> datetime:
    return after.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


@pytest.mark.parametrize("seconds", [-TWO_DAYS, TWO_DAYS])
async def test_when_an_order_starts_is_no_matter_of_the_gateways_clock(fresh_kam_database: str, seconds: int) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    yesterday = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    async with open_gateway(fresh_kam_database, clock=clock_off_by(seconds)) as kam, kam.client() as alice:
        later = (await alice.post("/api/kam/orders", json={**ORDER, "start_at": tomorrow})).json()
        at_once = (await alice.post("/api/kam/orders", json={**ORDER, "start_at": yesterday})).json()
        batch = {"selected_template": TEMPLATE, "inputs": [{"topic": "bees"}], "start_at": tomorrow}
        placed = (await alice.post("/api/kam/batches", json=batch)).json()

        assert kam.orchestrator.orders[later["execution_id"]].start_at == tomorrow
        assert kam.orchestrator.orders[at_once["execution_id"]].start_at is None
        assert (await alice.get(f"/api/kam/batches/{placed['batch_id']}")).json()["start_at"] == tomorrow


async def test_an_order_that_was_being_asked_for_is_asked_for_again(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    await alice.get("/api/kam/templates")
    kam.orchestrator.is_away = True
    await alice.post("/api/kam/orders", json=ORDER)
    kam.orchestrator.is_away = False
    await kam.rows("UPDATE client_requests SET asked_at = now() + interval '1 day'")

    assert await kam.gateway.submissions.sweep() == 1
    assert len(kam.orchestrator.orders) == 1


async def test_an_order_that_waits_for_money_is_asked_for_again(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    kam.orchestrator.refusal = RESERVED
    batch = {"selected_template": TEMPLATE, "inputs": [{"topic": "bees"}, {"topic": "ants"}]}
    await alice.post("/api/kam/batches", json=batch)
    await kam.gateway.dispatch.submit_some()
    kam.orchestrator.refusal = None
    assert await kam.gateway.dispatch.submit_some() == 0

    await kam.rows("UPDATE client_requests SET wait_until = now() + interval '1 day'")

    assert await kam.gateway.dispatch.submit_some() == 2
    assert len(kam.orchestrator.orders) == 2


async def test_what_a_batch_wants_cancelled_is_cancelled(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    batch = {"selected_template": TEMPLATE, "inputs": [{"topic": "bees"}]}
    placed = (await alice.post("/api/kam/batches", json=batch)).json()
    await kam.gateway.dispatch.submit_some()
    await alice.delete(f"/api/kam/batches/{placed['batch_id']}")
    await kam.rows("UPDATE client_requests SET cancel_at = now() + interval '1 day'")

    assert await kam.gateway.dispatch.cancel_some() == 1
    assert [view.status for view in kam.orchestrator.views.values()] == ["cancelled"]


async def test_an_ending_that_was_not_heard_of_is_learned(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    placed = (await alice.post("/api/kam/orders", json=ORDER)).json()
    await kam.orchestrator.complete(placed["execution_id"], await kam.store_structure(), stored_only=True)
    await kam.takes_in_what_it_was_told()
    await kam.rows("UPDATE client_requests SET updated_at = now() + interval '1 day'")

    await kam.gateway.parts.tracker.reconcile()

    assert [row["status"] for row in await kam.rows("SELECT status FROM client_requests")] == ["completed"]


async def test_a_key_whose_caller_died_at_the_question_is_free(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    placed = (await alice.post("/api/kam/orders", json=ORDER)).json()
    pause, headers = f"/api/v1/ai/pipelines/{placed['execution_id']}/pause", {"Idempotency-Key": "pause"}
    await alice.post(pause, headers=headers)
    kam.orchestrator.set_status(placed["execution_id"], ExecutionStatus.RUNNING)
    await kam.rows("UPDATE idempotency_keys SET created_at = now() + interval '1 day', status = NULL, body = NULL")

    again = await alice.post(pause, headers=headers)

    assert (again.status_code, again.json()["status"]) == (200, "paused")


async def test_a_schedule_goes_on_from_the_time_it_is(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    schedule_id = (await alice.post("/api/kam/schedules", json=HOURLY)).json()["schedule_id"]
    await kam.rows(
        """UPDATE schedules SET next_at = next_at + interval '1 day', look_at = look_at + interval '1 day',
        reckoned_at = now() + interval '1 day', firing_at = next_at + interval '23 hours'"""
    )

    fired = await kam.gateway.firings.take()

    assert fired == []
    assert await next_of(alice, schedule_id) == coming_hour(datetime.now(UTC))
    assert await kam.rows("SELECT 1 FROM schedules WHERE look_at <> next_at OR firing_at IS NOT NULL") == []
    reckoned = await kam.rows("SELECT reckoned_at FROM schedules")
    await kam.gateway.firings.take()
    assert await kam.rows("SELECT reckoned_at FROM schedules") == reckoned


async def test_what_was_ordered_for_a_time_that_comes_again_is_not_ordered_for_twice(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    schedule_id = (await alice.post("/api/kam/schedules", json=HOURLY)).json()["schedule_id"]
    fired_for = await next_of(alice, schedule_id)
    await kam.rows(
        """UPDATE schedules SET last_fired_at = next_at, next_at = next_at + interval '1 hour',
        look_at = look_at + interval '1 hour', reckoned_at = now() + interval '1 hour'"""
    )

    await kam.gateway.firings.take()

    assert await next_of(alice, schedule_id) == fired_for + timedelta(hours=1)
