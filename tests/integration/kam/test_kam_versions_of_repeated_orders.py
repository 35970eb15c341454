"""Batches and schedules of a version of their template: checked as it says, ordered in it, shown with it."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from integration.kam.gateway_under_test import GatewayUnderTest

BATCHES = "/api/kam/batches"
SCHEDULES = "/api/kam/schedules"
OF_BEES = {"selected_template": "bee_course"}
YEARLY = {**OF_BEES, "name": "Bees", "cron": "0 0 1 1 *"}
OLDER: dict[str, Any] = {"hives": 3}
NEWEST: dict[str, Any] = {"topic": "bees"}


async def save(client: httpx.AsyncClient, version: str, **parameters: str) -> None:
    properties = {name: {"type": kind} for name, kind in parameters.items()}
    stage = {"id": "structure", "worker": "content_granulator", "action": "structure_course"}
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    document = {"name": "bee_course", "version": version, "stages": [stage], "parameters": schema}
    assert (await client.post("/api/kam/pipelines", json=document)).status_code == 201


@pytest.fixture(autouse=True)
async def two_versions(alice: httpx.AsyncClient) -> None:
    await save(alice, "1.0.0", hives="integer")
    await save(alice, "2.0.0", topic="string")


async def dispatch_all(kam: GatewayUnderTest) -> None:
    while await kam.gateway.dispatch.submit_some():
        pass


async def fire(kam: GatewayUnderTest) -> None:
    this_year = datetime(datetime.now(UTC).year, 1, 1, tzinfo=UTC)
    await kam.rows("UPDATE schedules SET next_at = $1, look_at = $1 RETURNING 1", this_year)
    for firing in await kam.gateway.firings.take():
        await kam.gateway.firings.fire(firing)


def asked_for(kam: GatewayUnderTest) -> list[str | None]:
    return [order.template_version for order in kam.orchestrator.orders.values()]


async def test_a_batch_is_checked_and_ordered_in_the_version_that_it_names(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    body = {**OF_BEES, "inputs": [OLDER, {"hives": 4}], "template_version": "1.0.0"}

    batch = (await alice.post(BATCHES, json=body)).json()
    items = (await alice.get(batch["links"]["items"])).json()["items"]
    await dispatch_all(kam)

    assert batch["template_version"] == "1.0.0"
    assert [item["request"]["template_version"] for item in items] == ["1.0.0", "1.0.0"]
    assert asked_for(kam) == ["1.0.0", "1.0.0"]


async def test_a_batch_without_a_version_is_of_the_newest(kam: GatewayUnderTest, alice: httpx.AsyncClient) -> None:
    batch = (await alice.post(BATCHES, json={**OF_BEES, "inputs": [NEWEST]})).json()
    await dispatch_all(kam)

    assert batch["template_version"] is None
    assert asked_for(kam) == [None]


async def test_inputs_of_a_batch_that_do_not_fit_the_version_are_told(alice: httpx.AsyncClient) -> None:
    answer = await alice.post(BATCHES, json={**OF_BEES, "inputs": [OLDER, NEWEST], "template_version": "1.0.0"})

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["inputs[1].topic"]


async def test_a_schedule_is_checked_and_ordered_in_the_version_that_it_names(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    wish = {**YEARLY, "parameters": OLDER, "template_version": "1.0.0"}

    schedule = (await alice.post(SCHEDULES, json=wish)).json()
    await fire(kam)

    assert schedule["template_version"] == "1.0.0"
    assert asked_for(kam) == ["1.0.0"]


async def test_a_schedule_without_a_version_is_of_the_newest_at_each_due_time(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    schedule = (await alice.post(SCHEDULES, json={**YEARLY, "parameters": NEWEST})).json()
    await fire(kam)

    assert schedule["template_version"] is None
    assert asked_for(kam) == [None]


async def test_another_version_is_put_in_place_of_a_schedules_and_taken_away_again(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    path = (await alice.post(SCHEDULES, json={**YEARLY, "parameters": NEWEST})).json()["links"]["self"]

    older = (await alice.put(path, json={**YEARLY, "parameters": OLDER, "template_version": "1.0.0"})).json()
    newest = (await alice.put(path, json={**YEARLY, "parameters": NEWEST})).json()
    await fire(kam)

    assert (older["template_version"], newest["template_version"]) == ("1.0.0", None)
    assert asked_for(kam) == [None]


@pytest.mark.parametrize(
    ("path", "body"), [(BATCHES, {**OF_BEES, "inputs": [NEWEST]}), (SCHEDULES, {**YEARLY, "parameters": NEWEST})]
)
async def test_a_version_that_is_not_stored_is_refused_by_its_field(
    alice: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    answer = await alice.post(path, json={**body, "template_version": "3.0.0"})

    assert answer.status_code == 422
    assert [(error["field"], error["message"]) for error in answer.json()["errors"]] == [
        ("template_version", "there is no version '3.0.0' of bee_course")
    ]


async def test_one_key_for_two_versions_of_a_batch_is_told(alice: httpx.AsyncClient) -> None:
    keyed = {"Idempotency-Key": "bees-1"}
    await alice.post(BATCHES, json={**OF_BEES, "inputs": [{}], "template_version": "1.0.0"}, headers=keyed)

    again = await alice.post(BATCHES, json={**OF_BEES, "inputs": [{}], "template_version": "2.0.0"}, headers=keyed)

    assert again.json()["type"] == "urn:aif:problem:idempotency_key_reused"
