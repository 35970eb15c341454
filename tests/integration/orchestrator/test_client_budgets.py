"""Budgets with real Postgres: who is admitted, what is reserved, and that nothing is ever spent beyond the limit."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from aif_contracts import subjects
from aif_contracts.budgets import (
    BUDGET_EXCEEDED,
    BUDGET_RESERVED,
    ENERGY_EXCEEDED,
    BudgetPolicy,
    BudgetView,
    GetBudget,
    SetBudget,
)
from aif_contracts.metering import CallOutcome, CostLines, Metrics, Tokens
from aif_contracts.money import ZERO, usd, usd_text
from aif_contracts.orders import Accepted, Execute, Refusal
from aif_contracts.packets import Granted, QualityTier, Superseded, WorkPacket
from aif_contracts.reports import Completed
from aif_runtime.bus import ConsumerSpec, Delivery
from aif_runtime.memory_blobs import MemoryBlobStore
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.postgres import Database
from support.execution_story import call, pipeline, stage
from support.orchestrator_line import Client, HandWorker, inline_ref, orchestrator_database, running_orchestrator
from support.waiting import eventually

CENT = pipeline(stage("only", max_cost_usd="0.01"), name="cent")
PAIR = pipeline(stage("first", max_cost_usd="0.4"), stage("second", depends_on=("first",), max_cost_usd="0.6"), name="pair")
PIPELINES = (CENT, PAIR)


class Rig:
    def __init__(self, broker: MemoryBroker, database: Database) -> None:
        self.broker = broker
        self.bus = MemoryBus(broker)
        self.database = database
        self.client = Client(self.bus)
        self.worker = HandWorker(self.bus)

    @asynccontextmanager
    async def orchestrators(self, replicas: int = 1, **settings: Any) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            over = asyncio.Event()
            up = [asyncio.Event() for _ in range(replicas)]
            for each in up:
                group.create_task(self._replica(each, over, settings))
            for each in up:
                await each.wait()
            try:
                yield
            finally:
                over.set()

    async def _replica(self, up: asyncio.Event, over: asyncio.Event, settings: dict[str, Any]) -> None:
        bus = MemoryBus(self.broker)
        async with running_orchestrator(bus, MemoryBlobStore(), self.database, PIPELINES, **settings):
            up.set()
            await over.wait()
        await bus.close()

    async def budget(self, client_id: str = "acme") -> BudgetView:
        reply = await self.bus.ask(subjects.GET_BUDGET, msgspec.json.encode(GetBudget(client_id=client_id)), wait_seconds=5)
        return msgspec.json.decode(reply, type=BudgetView)

    async def set_budget(self, **said: Any) -> BudgetView:
        change = SetBudget(client_id="acme", decided_by="ada", **said)
        reply = await self.bus.ask(subjects.SET_BUDGET, msgspec.json.encode(change), wait_seconds=5)
        return msgspec.json.decode(reply, type=BudgetView)

    async def pays(self, packet: WorkPacket, attempt: int, cost_usd: str) -> None:
        """One announced and answered call, and the report."""
        answered = _call(packet, attempt, cost_usd)
        await self.worker.books(replace(answered, outcome=CallOutcome.STARTED, cost_usd=None, tokens=Tokens()))
        await self.worker.books(answered)
        metrics = Metrics(cost_usd=cost_usd, cost_lines=CostLines(ai_generation_usd=cost_usd), tokens_used=answered.tokens)
        await self.worker.report(_completed(packet, attempt, metrics))


@pytest.fixture
async def rig(fresh_orchestrator_database: str) -> AsyncIterator[Rig]:
    async with orchestrator_database(fresh_orchestrator_database) as database:
        yield Rig(MemoryBroker(), database)


def _call(packet: WorkPacket, attempt: int, cost_usd: str) -> Any:
    told = call(packet.stage_id, attempt, 1, cost_usd)
    return replace(
        told,
        call_key=f"{packet.execution_id}.{packet.stage_id}.{attempt}.1",
        execution_id=packet.execution_id,
        tokens=Tokens(prompt_tokens=10, completion_tokens=5, total_tokens=15),
        upper_bound_usd="0.01",
    )


def _completed(packet: WorkPacket, attempt: int, metrics: Metrics) -> Completed:
    return Completed(
        packet_id=packet.packet_id,
        execution_id=packet.execution_id,
        stage_id=packet.stage_id,
        attempt=attempt,
        worker_name="maker",
        instance_id="worker_a",
        output=inline_ref({"made": True}),
        metrics=metrics,
    )


async def test_an_execution_reserves_what_it_may_cost_and_gives_back_what_it_did_not(rig: Rig) -> None:
    await rig.worker.register()
    async with rig.orchestrators():
        await rig.client.execute("exec_1", "pair")
        begun = await rig.budget()

        _, packet = await rig.worker.take()
        await rig.pays(packet, await rig.worker.granted(packet), "0.25")
        _, packet = await rig.worker.take()
        halfway = await _budget_when_spent(rig, "0.25")
        await rig.pays(packet, await rig.worker.granted(packet), "0.125")
        await eventually(lambda: rig.client.has_ended("exec_1"))
        ended = await rig.budget()

    assert (begun.spent_usd, begun.reserved_usd, begun.remaining_usd) == ("0", "1", "99")
    assert (halfway.spent_usd, halfway.reserved_usd) == ("0.25", "0.75")
    assert (ended.spent_usd, ended.reserved_usd, ended.remaining_usd) == ("0.375", "0", "99.625")
    assert ended.is_default
    await _books_balance(rig)


async def _budget_when_spent(rig: Rig, amount: str) -> BudgetView:
    async def spent() -> bool:
        return (await rig.budget()).spent_usd == amount

    await eventually(spent)
    return await rig.budget()


async def test_what_could_pass_the_limit_is_refused_and_says_whether_waiting_helps(rig: Rig) -> None:
    await rig.worker.register()
    async with rig.orchestrators():
        await rig.set_budget(limit_usd="1.5")
        first = await rig.client.execute("exec_1", "pair")
        second = await rig.client.execute("exec_2", "pair")
        smaller = await rig.client.order(
            Execute(execution_id="exec_3", client_id="acme", template_name="pair", max_cost_usd="0.5")
        )
        await rig.set_budget(limit_usd="0.9")
        third = await rig.client.execute("exec_4", "pair")

    assert isinstance(first, Accepted)
    assert isinstance(second, Refusal)
    assert (second.code, second.retry_after_ms) == (BUDGET_RESERVED, 5_000)
    assert re.fullmatch(
        r"this execution can cost up to 1 USD, and of the client's 1\.5 USD for \d{4}-\d\d 0 USD are spent and 1 USD "
        r"reserved by executions under way and by calls whose answer never came; it fits when enough .*",
        second.message,
    )
    assert isinstance(smaller, Accepted)
    assert isinstance(third, Refusal)
    assert (third.code, third.retry_after_ms) == (BUDGET_EXCEEDED, None)
    assert await _count(rig, "SELECT count(*) FROM executions") == 2


async def test_a_policy_of_warning_lets_everything_through(rig: Rig) -> None:
    await rig.worker.register()
    async with rig.orchestrators():
        await rig.set_budget(limit_usd="0.5", policy=BudgetPolicy.WARN)
        answer = await rig.client.execute("exec_1", "pair")
        budget = await rig.budget()

    assert isinstance(answer, Accepted)
    assert (budget.excess_usd, budget.allowed) == ("0.5", True)


@pytest.mark.parametrize(("policy", "goes_on"), [(BudgetPolicy.SOFT_BLOCK, True), (BudgetPolicy.HARD_BLOCK, False)])
async def test_only_a_hard_block_reaches_into_a_running_execution_when_the_limit_is_lowered(
    rig: Rig, policy: BudgetPolicy, goes_on: bool
) -> None:
    await rig.worker.register()
    async with rig.orchestrators():
        await rig.client.execute("exec_1", "pair")
        _, packet = await rig.worker.take()

        lowered = await rig.set_budget(limit_usd="0.25", policy=policy)
        answer = await rig.worker.claim(packet)

    assert (lowered.excess_usd, lowered.allowed) == ("0.75", False)
    assert isinstance(answer, Granted if goes_on else Superseded)


async def test_an_operators_new_defaults_hold_for_the_running_month_of_those_who_have_no_budget_of_their_own(rig: Rig) -> None:
    await rig.worker.register()
    async with rig.orchestrators(orchestrator_default_budget_usd="2"):
        await rig.set_budget(limit_usd="3")
        await rig.client.execute("exec_1", "pair")
        await Client(rig.bus, "beta").execute("exec_2", "pair")
        before = await rig.budget("beta")
    defaults: dict[str, Any] = {"orchestrator_budget_policy": BudgetPolicy.HARD_BLOCK, "orchestrator_default_energy": 7}
    async with rig.orchestrators(orchestrator_default_budget_usd="0.75", **defaults):
        own, default = await rig.budget(), await rig.budget("beta")

    assert (before.limit_usd, before.policy, before.energy_limit) == ("2", BudgetPolicy.SOFT_BLOCK, None)
    assert (default.limit_usd, default.policy, default.energy_limit) == ("0.75", BudgetPolicy.HARD_BLOCK, 7)
    assert (default.reserved_usd, default.excess_usd) == ("1", "0.25")
    assert (own.limit_usd, own.policy, own.energy_limit) == ("3", BudgetPolicy.HARD_BLOCK, None)


async def test_work_that_costs_nothing_needs_no_budget(rig: Rig) -> None:
    await HandWorker(rig.bus, paid=False).register()
    async with rig.orchestrators():
        await rig.set_budget(limit_usd="0")
        answer = await rig.client.execute("exec_1", "pair")

    assert isinstance(answer, Accepted)
    assert await _count(rig, "SELECT count(*) FROM ledger_entries") == 0


async def test_a_client_with_little_energy_gets_cheap_models_and_one_with_none_is_refused(rig: Rig) -> None:
    await rig.worker.register()
    async with rig.orchestrators():
        await rig.set_budget(energy_limit=13)
        answers = [await rig.client.execute(f"exec_{number}", "cent") for number in range(5)]
        _, packet = await rig.worker.take()
        await rig.pays(packet, await rig.worker.granted(packet), "0.001")
        await eventually(lambda: rig.client.has_ended(packet.execution_id))
        views = [await rig.client.get(f"exec_{number}") for number in range(4)]
        budget = await rig.budget()

    assert [type(answer) for answer in answers] == [Accepted] * 4 + [Refusal]
    assert isinstance(answers[4], Refusal)
    assert answers[4].code == ENERGY_EXCEEDED
    assert re.search(r"can take 1 of energy, even with cheap models, and of the client's 13 for", answers[4].message)
    assert [view.quality_ceiling for view in views] == [None] + [QualityTier.ECONOMY] * 3
    assert [view.quality_reason for view in views] == [None, "energy", "energy", "energy"]
    assert budget.energy_spent + budget.energy_reserved == 13
    assert budget.energy_spent in (1, 10)


async def test_a_free_tier_client_is_granted_cheap_models_only(rig: Rig) -> None:
    await rig.worker.register()
    async with rig.orchestrators():
        await rig.client.order(Execute(execution_id="exec_1", client_id="acme", template_name="cent", tier="free"))
        _, packet = await rig.worker.take()
        answer = await rig.worker.claim(packet)

    assert isinstance(answer, Granted)
    assert (answer.grant.quality, answer.grant.quality_reason, answer.grant.energy) == (QualityTier.ECONOMY, "tier", 1)


async def test_a_call_that_its_lost_worker_announced_stays_reserved_when_all_is_over(rig: Rig) -> None:
    await rig.worker.register()
    async with rig.orchestrators(orchestrator_lease_seconds=0.5):
        await rig.client.execute("exec_1", "cent")
        _, packet = await rig.worker.take()
        attempt = await rig.worker.granted(packet)
        announced = replace(_call(packet, attempt, "0.01"), outcome=CallOutcome.STARTED, cost_usd=None, upper_bound_usd="0.004")
        await rig.worker.books(announced)

        _, packet = await rig.worker.take()
        await rig.pays(packet, await rig.worker.granted(packet), "0.002")
        await eventually(lambda: rig.client.has_ended("exec_1"))
        budget = await _budget_when_spent(rig, "0.002")
        view = await rig.client.get("exec_1")

    assert (budget.spent_usd, budget.reserved_usd) == ("0.002", "0.004")
    assert (view.totals.cost_usd, view.totals.in_doubt_usd, view.totals.cost_is_complete) == ("0.002", "0.004", False)
    assert await _count(rig, "SELECT count(*) FROM provider_calls WHERE outcome = 'started'") == 1
    await _books_balance(rig)


async def test_a_thousand_orders_at_once_spend_no_more_than_there_is_and_nearly_all_of_it(rig: Rig) -> None:
    """Each may cost a cent and costs half of it or more; there are 3 USD. Refused ones come again while waiting helps."""
    await rig.worker.register()
    chance = random.Random(7)
    bill = Bill(limit=Decimal(3))
    async with rig.orchestrators(2), asyncio.TaskGroup() as group:
        await rig.set_budget(limit_usd="3")
        workers = [group.create_task(_work(rig, bill, chance)) for _ in range(4)]
        turns = asyncio.Semaphore(20)
        outcomes = await asyncio.gather(*(_order_patiently(rig, f"exec_{number}", turns) for number in range(1_000)))
        await eventually(lambda: _nothing_runs(rig), within_seconds=60)
        for worker in workers:
            worker.cancel()
        budget = await rig.budget()

    assert outcomes.count("accepted") >= 300
    assert outcomes.count("accepted") + outcomes.count(BUDGET_EXCEEDED) == 1_000
    assert usd(budget.spent_usd) == bill.total
    assert bill.total <= bill.limit
    assert bill.total >= bill.limit * Decimal("0.9")
    assert (budget.reserved_usd, budget.excess_usd) == ("0", "0")
    await _books_balance(rig)


class Bill:
    """What the provider has charged so far; it never becomes less."""

    def __init__(self, limit: Decimal) -> None:
        self.limit = limit
        self.total = ZERO


async def _order_patiently(rig: Rig, execution_id: str, turns: asyncio.Semaphore) -> str:
    """At once; and in turn with the others, who would else leave the line no time for its work, as long as it is refused."""

    async def decided() -> str:
        """Empty while it is not."""
        answer = await rig.client.execute(execution_id, "cent")
        if isinstance(answer, Accepted):
            return "accepted"
        return "" if answer.code == BUDGET_RESERVED else answer.code

    if at_once := await decided():
        return at_once
    async with turns:
        return await eventually(decided, within_seconds=60)


async def _work(rig: Rig, bill: Bill, chance: random.Random) -> None:
    spec = ConsumerSpec(
        stream=subjects.STREAM_WORK,
        durable=subjects.work_consumer("maker", "normal"),
        filter_subject=subjects.work("maker", "normal"),
        ack_wait_seconds=30,
    )
    deliveries = await rig.bus.open_consumer(spec)
    while True:
        batch = await deliveries.fetch(20, 1.0)
        await asyncio.gather(*(_do(rig, delivery, bill, chance) for delivery in batch))


async def _do(rig: Rig, delivery: Delivery, bill: Bill, chance: random.Random) -> None:
    packet = msgspec.json.decode(delivery.payload, type=WorkPacket)
    answer = await rig.worker.claim(packet)
    if isinstance(answer, Granted):
        # A worker that was slow has been taken for lost; the next attempt may cost what the lost one leaves.
        cost = min(Decimal(chance.randint(5_000, 10_000)) / 1_000_000, usd(answer.grant.max_cost_usd))
        bill.total += cost
        await rig.pays(packet, answer.attempt, usd_text(cost))
    await delivery.ack()


async def _nothing_runs(rig: Rig) -> bool:
    return await _count(rig, "SELECT count(*) FROM executions WHERE ended_at IS NULL") == 0


async def _books_balance(rig: Rig) -> None:
    """The window is the sum of the entries, and the entries are the calls."""
    unequal = """
        SELECT count(*) FROM budget_windows AS account
        LEFT JOIN (
            SELECT client_id, budget_window, sum(spent_usd) AS spent, sum(reserved_usd) AS reserved
            FROM ledger_entries GROUP BY 1, 2
        ) AS entered USING (client_id, budget_window)
        WHERE account.spent_usd <> coalesce(entered.spent, 0) OR account.reserved_usd <> coalesce(entered.reserved, 0)
    """
    assert await _count(rig, unequal) == 0
    difference = "SELECT (SELECT sum(cost_usd) FROM provider_calls) - (SELECT sum(spent_usd) FROM ledger_entries)"
    async with rig.database.connection() as connection:
        assert await connection.fetchval(difference) == 0


async def _count(rig: Rig, query: str) -> int:
    async with rig.database.connection() as connection:
        return int(await connection.fetchval(query))


async def test_the_ledger_cannot_be_changed_afterwards(rig: Rig) -> None:
    await rig.worker.register()
    async with rig.orchestrators():
        await rig.client.execute("exec_1", "cent")

    async with rig.database.connection() as connection:
        with pytest.raises(Exception, match="append-only"):
            await connection.execute("UPDATE ledger_entries SET spent_usd = 0")


async def test_the_ledger_costs_an_execution_nothing_for_searches_that_no_program_makes(rig: Rig) -> None:
    indexes = "SELECT count(*) FROM pg_indexes WHERE schemaname = 'orchestrator' AND tablename = 'ledger_entries'"

    assert await _count(rig, indexes) == 1
