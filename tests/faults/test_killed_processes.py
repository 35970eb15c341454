"""Every process of the factory is killed in the middle of an order, which ends in exactly one terminal state all the same."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from aif_console.embedded.nats_server import EmbeddedNats
from aif_console.factory.factory import Factory
from aif_console.failures import DataFolderInUse, ServerIsRunning
from support.factory import running_factory
from support.factory_settings import model_settings
from support.http_client import FactoryClient, client_of
from support.provider_double.faults import FaultKind
from support.provider_double.server import ProviderDouble, provider_double
from support.waiting import eventually


class Story:
    """An order whose provider call is under way and waits for us."""

    def __init__(self, factory: Factory, client: FactoryClient, provider: ProviderDouble, accepted: dict[str, Any]) -> None:
        self.factory = factory
        self.client = client
        self.provider = provider
        self.request_id = str(accepted["request_id"])
        self.execution_id = str(accepted["execution_id"])

    async def back(self, name: str, old_pid: int) -> None:
        """A killed process runs again."""
        await eventually(lambda: self.factory.pids.get(name, old_pid) != old_pid, 20, what=f"{name} is started again")

    async def query(self, service: str, query: str) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.factory.database_urls[service])
        try:
            return await connection.fetch(query, self.execution_id)
        finally:
            await connection.close()


@asynccontextmanager
async def order_in_the_middle(
    factory_dir: Path, fault: FaultKind, *, first_pause_seconds: float = 0.05
) -> AsyncIterator[Story]:
    async with provider_double() as provider:
        settings = model_settings(provider)
        async with (
            running_factory(factory_dir, settings, first_pause_seconds=first_pause_seconds) as factory,
            client_of(factory) as client,
        ):
            provider.plan(fault)
            accepted = await client.order("content_granulation_course", {"topic": "Machine Learning"})
            await asyncio.wait_for(provider.holding.wait(), 120)
            yield Story(factory, client, provider, accepted)


async def ends_once(story: Story, calls: int) -> dict[str, Any]:
    """The order is completed; one final event, one winning attempt, each call booked once, events without gaps."""
    request = await story.client.ended(story.request_id)
    assert request["status"] == "completed", request["problem"]
    finals = await story.query("orchestrator", "SELECT 1 FROM execution_journal WHERE execution_id = $1 AND is_final")
    assert len(finals) == 1
    wins = await story.query("orchestrator", "SELECT 1 FROM stage_attempts WHERE execution_id = $1 AND success")
    assert len(wins) == 1
    events = await story.client.events(story.request_id)
    assert [number for number, _ in events] == list(range(1, len(events) + 1))
    assert len(story.provider.bill) == calls
    outbox = "SELECT count(*) AS rows FROM outbox WHERE $1::text IS NOT NULL"

    async def outbox_is_empty() -> bool:
        return bool((await story.query("orchestrator", outbox))[0]["rows"] == 0)

    await eventually(outbox_is_empty)
    page = (await story.client.http.get("/api/kam/requests")).json()["requests"]
    assert len(page) == 1
    return request


async def test_a_killed_granulator_is_replaced_and_its_call_stays_on_the_bill(factory_dir: Path) -> None:
    async with order_in_the_middle(factory_dir, FaultKind.HELD_STREAM) as story:
        pid = story.factory.kill("granulator")

        await story.back("granulator", pid)
        await ends_once(story, calls=2)

        attempts = await story.query(
            "orchestrator", "SELECT attempt, success, failure_code FROM stage_attempts WHERE execution_id = $1 ORDER BY attempt"
        )
        assert [(row["success"], row["failure_code"]) for row in attempts] == [(False, "worker_lost"), (True, None)]


@pytest.mark.parametrize("name", ["kam", "orchestrator", "classifier", "nats", "postgres"])
async def test_a_killed_process_comes_back_and_the_order_ends_once(factory_dir: Path, name: str) -> None:
    async with order_in_the_middle(factory_dir, FaultKind.HELD_UNTIL_RELEASED) as story:
        pid = story.factory.kill(name)
        await story.back(name, pid)

        story.provider.release.set()

        await ends_once(story, calls=1)
        insights = "SELECT 1 FROM worker_performance_log WHERE execution_id = $1"
        await eventually(lambda: _rows(story, "classifier", insights))


async def test_a_broker_that_lost_its_store_loses_no_order(factory_dir: Path) -> None:
    async with order_in_the_middle(factory_dir, FaultKind.HELD_UNTIL_RELEASED, first_pause_seconds=3.0) as story:
        pid = story.factory.kill("nats")
        await eventually(lambda: _wiped(story.factory.nats), 2.5)
        await story.back("nats", pid)

        story.provider.release.set()

        await ends_once(story, calls=1)


async def test_an_orchestrator_killed_while_the_answer_arrives_applies_it_once(factory_dir: Path) -> None:
    async with order_in_the_middle(factory_dir, FaultKind.HELD_UNTIL_RELEASED) as story:
        pid = story.factory.kill("orchestrator")
        story.provider.release.set()

        await story.back("orchestrator", pid)

        await ends_once(story, calls=1)


async def _wiped(nats: EmbeddedNats) -> bool:
    """Once it has ended, and its supervisor has noticed."""
    try:
        nats.wipe()
    except (ServerIsRunning, DataFolderInUse):
        return False
    return True


async def _rows(story: Story, service: str, query: str) -> list[asyncpg.Record]:
    return await story.query(service, query)


async def test_a_factory_stopped_in_the_middle_of_an_order_finishes_it_after_the_next_start(factory_dir: Path) -> None:
    async with provider_double() as provider:
        settings = {**model_settings(provider), "AIF_DRAIN_SECONDS": "0.5", "AIF_ORCHESTRATOR_LEASE_SECONDS": "60"}
        provider.plan(FaultKind.HELD_STREAM)
        async with running_factory(factory_dir, settings) as factory, client_of(factory) as client:
            accepted = await client.order("content_granulation_course", {"topic": "Machine Learning"})
            await asyncio.wait_for(provider.holding.wait(), 120)

        async with running_factory(factory_dir, settings) as factory, client_of(factory) as client:
            await ends_once(Story(factory, client, provider, accepted), calls=2)
