"""Faults of messages: all of them once more, broken ones, and one that kills whoever reads it."""

import asyncio
import statistics
from collections import Counter
from collections.abc import Iterator

from aif_contracts import subjects
from aif_runtime.bus import Broadcast, Outgoing
from aif_runtime.nats_bus import NatsBus
from faults.billed_worker import POISON
from faults.fuzzed_messages import Fuzzed, fuzzed_messages
from faults.invariants import WORKER_LOST, Books, CallsLost, count_messages
from faults.trial import Allowed, Outcome, TrialPlan, trial
from support.waiting import eventually

FUZZED_FOR_EACH_ORDER = 5
POISONED = 4
MOST_DELIVERIES = 5
DEAD_WITHIN_SECONDS = 60.0
LISTEN_SECONDS = 3600.0


async def everything_said_twice(plan: TrialPlan) -> Outcome:
    """F10: every packet, report and call of a trial with killed processes comes again when all is done, under other ids."""
    async with trial(plan, orchestrators=2, workers=2) as running:
        heard: list[Broadcast] = []
        async with asyncio.TaskGroup() as listening:
            tasks = [
                listening.create_task(_hear(running.bus, subject, heard))
                for subject in (subjects.ALL_WORK, subjects.ALL_REPORTS, subjects.ALL_USAGE)
            ]
            loading = asyncio.create_task(running.load())
            for name in (*running.factory.of_kind("worker"), *running.factory.of_kind("orchestrator")):
                await asyncio.sleep(plan.load_seconds / 5)
                if running.factory.kill(name):
                    running.note(f"{name} killed")
            await loading
            await running.comes_to_rest()
            for task in tasks:
                task.cancel()
        books, bill = await running.books(), running.factory.bill()
        running.note(f"{len(heard)} messages again")
        await running.bus.publish([Outgoing(subject=each.subject, payload=each.payload) for each in heard])
        await running.comes_to_rest()
        running.expect(running.factory.bill() == bill, "a replayed packet was paid for")
        for what, changed in _differences(books, await running.books()):
            running.expect(not changed, f"the replay changed {what}")
        running.remarks.append(f"{len(heard)} messages replayed")
        return await running.verdict(Allowed(calls_lost=CallsLost.WITH_THEIR_WORKER))


async def broken_among_good(plan: TrialPlan) -> Outcome:
    """F14: for every order some messages that nobody can read, or that are about nothing there is."""
    async with trial(plan, orchestrators=1, workers=2) as running:
        half = plan.executions // 2
        await running.orders.place_many(half, per_second=plan.per_second * 2)
        await running.comes_to_rest()
        undisturbed = set(running.orders.texts)
        fuzzed = list(fuzzed_messages(running.chance, FUZZED_FOR_EACH_ORDER * half))
        async with asyncio.TaskGroup() as group:
            group.create_task(running.orders.place_many(plan.executions - half, per_second=plan.per_second * 2))
            group.create_task(_send(running.bus, fuzzed, within_seconds=plan.load_seconds / 2))
        running.note(f"{len(fuzzed)} fuzzed messages")
        poison = sum(each.is_poison for each in fuzzed)

        async def all_buried() -> bool:
            dead = await count_messages(running.bus, subjects.STREAM_DEAD)
            assert dead == poison, f"{dead} dead letters of {poison}"
            return True

        with running.noted_as_violation():
            await eventually(all_buried, DEAD_WITHIN_SECONDS, what="all poison is among the dead letters")
        before, among = _p95_ms(await running.books(), undisturbed)
        running.remarks.append(
            f"{len(fuzzed)} fuzzed, {poison} of them poison; p95 of good ones {before:.0f} ms before, {among:.0f} ms among them"
        )
        return await running.verdict(Allowed(calls_may_repeat=False))


async def packets_that_kill(plan: TrialPlan) -> Outcome:
    """F15: some orders end the process of every worker that takes them. They are given up; the others are not harmed."""
    async with trial(plan, orchestrators=1, workers=2) as running:
        loading = asyncio.create_task(running.load())
        poisoned = []
        for _ in range(POISONED):
            await asyncio.sleep(plan.load_seconds / (POISONED + 1))
            running.note("a poisoned order")
            poisoned.append(await running.orders.place(POISON))
        await loading
        await running.comes_to_rest()
        books = await running.books()
        deaths = Counter(each.execution_id for each in books.attempts if each.failure_code == WORKER_LOST)
        for execution_id in poisoned:
            status = books.executions[execution_id].status
            running.expect(status == "failed", f"poisoned {execution_id} is {status}")
            running.expect(deaths[execution_id] <= MOST_DELIVERIES, f"{execution_id} killed {deaths[execution_id]} workers")
        beside = sum(each.status == "failed" for execution_id, each in books.executions.items() if execution_id not in poisoned)
        running.remarks.append(
            f"workers killed by each poisoned order: {[deaths[each] for each in poisoned]}; "
            f"{beside} innocent executions were given up with them"
        )
        return await running.verdict(Allowed(calls_lost=CallsLost.WITH_THEIR_WORKER, meant_to_end_badly=POISONED))


async def _hear(bus: NatsBus, subject: str, heard: list[Broadcast]) -> None:
    """Until cancelled."""
    async with bus.listen(subject) as broadcasts:
        while True:
            broadcast = await broadcasts.next(LISTEN_SECONDS)
            if broadcast is not None:
                heard.append(broadcast)


async def _send(bus: NatsBus, messages: list[Fuzzed], *, within_seconds: float) -> None:
    """One half stored and confirmed, the other half just sent."""
    for number, message in enumerate(messages):
        if number % 2:
            await bus.publish([Outgoing(subject=message.subject, payload=message.payload)])
        else:
            await bus.broadcast(message.subject, message.payload)
        await asyncio.sleep(within_seconds / len(messages) / 2)


def _differences(before: Books, after: Books) -> Iterator[tuple[str, bool]]:
    yield "executions", before.executions != after.executions
    yield "events", before.events != after.events
    yield "attempts", sorted(map(repr, before.attempts)) != sorted(map(repr, after.attempts))
    yield "the ledger", before.ledger != after.ledger


def _p95_ms(books: Books, undisturbed: set[str]) -> tuple[float, float]:
    """Of the undisturbed executions, and of the others."""
    times: dict[bool, list[float]] = {True: [], False: []}
    for execution_id, each in books.executions.items():
        if each.ended_at is not None:
            times[execution_id in undisturbed].append((each.ended_at - each.created_at).total_seconds() * 1000)
    before, among = (statistics.quantiles(times[which], n=20)[-1] for which in (True, False))
    return before, among
