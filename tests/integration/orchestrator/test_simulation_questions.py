"""Simulations asked of a running orchestrator: they learn from what the client's own executions cost, and start nothing."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from aif_contracts import subjects
from aif_contracts.budgets import SetBudget
from aif_contracts.configuration import SYSTEM, SystemValues
from aif_contracts.metering import CallOutcome, Saving
from aif_contracts.orders import Refusal
from aif_contracts.simulation import Grounds, SimulateExecution, Simulation
from aif_contracts.workers import ActionDescription, WorkerDescription
from aif_orchestrator.simulation.past import PastExecution
from aif_orchestrator.simulation.store import PastStore
from aif_runtime.memory_blobs import MemoryBlobStore
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.postgres import Database
from aif_runtime.sql_files import load_queries
from support.execution_story import call, pipeline, schema_of, stage
from support.orchestrator_line import Client, HandWorker, orchestrator_database, running_orchestrator
from support.orchestrator_questions import Questions
from support.waiting import eventually

LINE = pipeline(stage("one"), stage("two", depends_on=("one",)), name="line", parameters=schema_of("topic"))
MODELS = ("gpt-4o-mini", "claude-sonnet-5-5")


class Rig:
    def __init__(self, bus: MemoryBus, database: Database) -> None:
        self.bus = bus
        self.database = database
        self.worker = HandWorker(bus)

    async def runs(self, execution_id: str, costs: tuple[str, str], *, client_id: str = "acme") -> None:
        client = Client(self.bus, client_id)
        await client.execute(execution_id, "line", topic="bees")
        for cost in costs:
            await self.worker.does_next({"made": True}, cost_usd=cost)
        await eventually(lambda: client.has_ended(execution_id))

    async def runs_from_the_cache(self, execution_id: str, *, saved_usd: str) -> None:
        client = Client(self.bus)
        await client.execute(execution_id, "line", topic="bees")
        delivery, packet = await self.worker.take()
        attempt = await self.worker.granted(packet)
        named = {"execution_id": execution_id, "call_key": f"{execution_id}.one.{attempt}.1"}
        cached = {"outcome": CallOutcome.CACHED, "saving": Saving.CACHE, "saved_usd": saved_usd}
        await self.worker.books(call("one", attempt, 1, "0", **named, **cached))
        await self.worker.completes(packet, attempt, {"made": True}, cost_usd="0")
        await delivery.ack()
        await self.worker.does_next({"made": True}, cost_usd="0.002")
        await eventually(lambda: client.has_ended(execution_id))

    async def simulation(self, **changes: Any) -> Simulation:
        payload = await self._ask(**changes)
        assert b'"reply":"refusal"' not in payload, payload
        return msgspec.json.decode(payload, type=Simulation)

    async def refusal(self, **changes: Any) -> Refusal:
        return msgspec.json.decode(await self._ask(**changes), type=Refusal)

    async def set_energy(self, units: int) -> None:
        change = SetBudget(client_id="acme", decided_by="ada", energy_limit=units)
        await self.bus.ask(subjects.SET_BUDGET, msgspec.json.encode(change), wait_seconds=5)

    async def past(self) -> PastExecution:
        store = PastStore(load_queries("aif_orchestrator.simulation"))
        async with self.database.transaction() as connection:
            [found] = await store.list_past(connection, client_id="acme", owner="", template="line", quality=None)
        return found

    async def _ask(self, **changes: Any) -> bytes:
        given = {"client_id": "acme", "template_name": "line", "parameters": {"topic": "bees"}}
        question = SimulateExecution(**{**given, **changes})
        return await self.bus.ask(subjects.SIMULATE, msgspec.json.encode(question), wait_seconds=5)


@pytest.fixture
async def rig(fresh_orchestrator_database: str) -> AsyncIterator[Rig]:
    async with orchestrator_database(fresh_orchestrator_database) as database:
        bus = MemoryBus(MemoryBroker())
        description = WorkerDescription(
            worker_name="maker",
            instance_id="worker_a",
            version="test",
            actions=(ActionDescription(name="make", paid=True),),
            models=MODELS,
        )
        await bus.put_entry(subjects.BUCKET_REGISTRY, "maker.worker_a", msgspec.json.encode(description), ttl_seconds=60)
        # Long patience: nothing here is late.
        settings: dict[str, Any] = {"orchestrator_unclaimed_seconds": 60.0, "orchestrator_lease_seconds": 60.0}
        async with running_orchestrator(bus, MemoryBlobStore(), database, (LINE,), **settings):
            yield Rig(bus, database)
        await bus.close()


async def test_eight_executions_are_a_history_and_others_clients_are_none_of_it(rig: Rig) -> None:
    for number in range(1, 9):
        await rig.runs(f"exec_{number}", ("0.001", f"0.01{number}"))
    for number in range(1, 3):
        await rig.runs(f"exec_other_{number}", ("0.9", "0.9"), client_id="other")

    own = await rig.simulation()
    others = await rig.simulation(client_id="other")

    assert own.samples == 8
    assert [each.grounds for each in own.stages] == [Grounds.HISTORY, Grounds.HISTORY]
    assert (own.cost_usd.p10, own.cost_usd.p50, own.cost_usd.p90) == ("0.012", "0.0155", "0.019")
    assert own.stages[1].time_ms.p90 >= own.stages[1].time_ms.p10
    assert others.samples == 2
    assert others.stages[0].grounds is Grounds.TOKEN_MODEL


async def test_what_calls_have_cost_counts_where_a_report_tells_less(rig: Rig) -> None:
    client = Client(rig.bus)
    await client.execute("exec_1", "line", topic="bees")
    delivery, packet = await rig.worker.take()
    attempt = await rig.worker.granted(packet)
    await rig.worker.books(call("one", attempt, 1, "0.25"))
    await rig.worker.books(call("one", attempt, 2, None, upper_bound_usd="0.5", outcome=CallOutcome.IN_DOUBT))
    await rig.worker.completes(packet, attempt, {"made": True}, cost_usd="0.001")
    await delivery.ack()
    await rig.worker.does_next({"made": True}, cost_usd="0.002")
    await eventually(lambda: client.has_ended("exec_1"))

    past = await rig.past()

    assert {name: share.cost_usd for name, share in past.stages.items()} == {"one": Decimal("0.75"), "two": Decimal("0.002")}


async def test_a_history_in_which_the_response_cache_answered_says_so_and_how_much_that_saved(rig: Rig) -> None:
    for number in range(1, 3):
        await rig.runs(f"exec_{number}", ("0.25", "0.002"))
    for number in range(3, 9):
        await rig.runs_from_the_cache(f"exec_{number}", saved_usd="0.25")

    said = (await rig.simulation()).assumptions

    assert any(words.startswith("In 6 of them the response cache answered and saved 1.5 USD in all") for words in said)


async def test_a_cancelled_execution_teaches_nothing(rig: Rig) -> None:
    client = Client(rig.bus)
    await client.execute("exec_1", "line", topic="bees")
    await client.cancel("exec_1")
    await eventually(lambda: client.has_ended("exec_1"))

    assert (await rig.simulation()).samples == 0


@pytest.mark.parametrize("code", ["grant_exceeded", "budget_exceeded"])
async def test_an_execution_that_a_limit_has_stopped_teaches_nothing(rig: Rig, code: str) -> None:
    client = Client(rig.bus)
    await client.execute("exec_1", "line", topic="bees")
    await rig.worker.fails_next(code)
    await eventually(lambda: client.has_ended("exec_1"))
    await client.execute("exec_2", "line", topic="bees")
    await rig.worker.fails_next("refused")
    await eventually(lambda: client.has_ended("exec_2"))

    assert (await rig.simulation()).samples == 1


async def test_without_history_the_workers_first_model_is_reckoned_with_at_the_operators_own_price(rig: Rig) -> None:
    shipped = await rig.simulation()
    prices = {"prices": [{"provider": "openai", "model": "gpt-4o-mini", "rates": {"input": "1.5", "output": "6"}}]}
    await rig.bus.put_entry(subjects.BUCKET_CONFIG, SYSTEM, msgspec.json.encode(SystemValues(values={"prices": prices})))

    tenfold = await rig.simulation()

    assert shipped.stages[0].model == "gpt-4o-mini"
    assert float(tenfold.cost_usd.p50) == pytest.approx(10 * float(shipped.cost_usd.p50), rel=1e-6)


async def test_the_model_that_the_operator_names_is_reckoned_with(rig: Rig) -> None:
    values = {"orchestrator_primary_model": MODELS[1]}
    await rig.bus.put_entry(subjects.BUCKET_CONFIG, SYSTEM, msgspec.json.encode(SystemValues(values=values)))
    general = await rig.simulation()
    values["agent.make.primary_model"] = MODELS[0]
    await rig.bus.put_entry(subjects.BUCKET_CONFIG, SYSTEM, msgspec.json.encode(SystemValues(values=values)))

    of_the_action = await rig.simulation()

    assert [each.model for each in general.stages] == [MODELS[1]] * 2
    assert [each.model for each in of_the_action.stages] == [MODELS[0]] * 2


async def test_a_client_of_the_free_tier_is_reckoned_with_the_cheapest_model_and_it_says_so(rig: Rig) -> None:
    values = {"orchestrator_primary_model": MODELS[1]}
    await rig.bus.put_entry(subjects.BUCKET_CONFIG, SYSTEM, msgspec.json.encode(SystemValues(values=values)))

    usual, free = await rig.simulation(), await rig.simulation(tier="free")

    assert [each.model for each in free.stages] == ["gpt-4o-mini"] * 2
    assert Decimal(free.cost_usd.p50) < Decimal(usual.cost_usd.p50)
    assert free.assumptions[0].startswith("The client's tier allows cheap models only")


async def test_low_energy_makes_the_terms_cheaper_as_it_does_for_an_order_and_none_is_told(rig: Rig) -> None:
    values = {"orchestrator_primary_model": MODELS[1]}
    await rig.bus.put_entry(subjects.BUCKET_CONFIG, SYSTEM, msgspec.json.encode(SystemValues(values=values)))
    await rig.runs("exec_1", ("0.2", "0.2"))
    taken = 20

    await rig.set_energy(taken + 20)
    enough = await rig.simulation()
    await rig.set_energy(taken + 19)
    low = await rig.simulation()
    await rig.set_energy(taken + 1)
    none = await rig.simulation()

    assert ([each.model for each in enough.stages], enough.samples) == ([MODELS[1]] * 2, 1)
    assert ([each.model for each in low.stages], low.samples) == ([MODELS[0]] * 2, 0)
    assert low.assumptions[0].startswith("The client's energy suffices for cheap models only")
    assert not any("would be refused" in words for words in low.assumptions)
    assert any("would be refused" in words for words in none.assumptions)


async def test_the_bound_is_what_would_be_reserved(rig: Rig) -> None:
    assert (await rig.simulation()).bound_usd == "4"
    assert (await rig.simulation(max_cost_usd="0.5")).bound_usd == "0.5"


async def test_nothing_is_started(rig: Rig) -> None:
    await rig.simulation()

    page = await Questions(rig.bus).executions()
    assert page.executions == ()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"template_name": "lime"}, "unknown_template"),
        ({"template_version": "9.9.9"}, "unknown_template"),
        ({"parameters": {"topic": 7}}, "invalid_parameters"),
        ({"max_cost_usd": "1000"}, "limit_not_allowed"),
    ],
)
async def test_what_could_not_be_ordered_is_refused_with_the_same_words(rig: Rig, changes: dict[str, Any], code: str) -> None:
    refusal = await rig.refusal(**changes)

    assert refusal.code == code
    assert refusal.mistakes
