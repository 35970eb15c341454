"""Faults of messages: all of them once more, broken ones, and one that kills whoever reads it.

What is given up on has to be among the dead letters, with its bytes and the reason, and to be done once its cause is mended.
"""

import asyncio
import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from aif_contracts import subjects
from aif_contracts.dead_letters import DeadLetterView
from aif_contracts.orders import Refusal, Resumed, ResumeExecution, SubmittedOrder
from aif_contracts.packets import WorkPacket
from aif_contracts.pipelines import PipelineSaved, SavePipeline
from aif_pipelines.loading import dump_pipeline
from aif_runtime.bus import Broadcast, Outgoing
from aif_runtime.nats_bus import NatsBus
from faults.billed_worker import POISON
from faults.fuzzed_messages import Fuzzed, fuzzed_messages
from faults.invariants import WORKER_LOST, Books
from faults.kept_letters import KeptLetters
from faults.paper_factory import paper_chain
from faults.trial import Allowed, Outcome, Trial, TrialPlan, trial
from support.waiting import eventually

FUZZED_FOR_EACH_ORDER = 5
POISONED = 4
MOST_DELIVERIES = 5
DEAD_WITHIN_SECONDS = 60.0
LISTEN_SECONDS = 3600.0
ANSWER_SECONDS = 5.0
MENDED_WITHIN_SECONDS = 60.0
DELAYED_BY_AT_MOST = 1.2
BUSY_MS = 1000.0
"""For this machine, which does the reading of what is broken as well."""
LATER_TEMPLATE = "paper_later"
LATER_TEXT = "ordered before it was offered"


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
        return await running.verdict(Allowed())


async def broken_among_good(plan: TrialPlan) -> Outcome:
    """F14: for every order some messages that nobody can read, or that are about nothing there is."""
    async with trial(plan, orchestrators=1, workers=2, kam=True) as running:
        half = plan.executions // 2
        await running.orders.place_many(half, per_second=plan.per_second * 2)
        await running.comes_to_rest()
        undisturbed = set(running.orders.texts)
        fuzzed = list(fuzzed_messages(running.chance, FUZZED_FOR_EACH_ORDER * half))
        await _order_too_early(running)
        async with asyncio.TaskGroup() as group:
            group.create_task(running.orders.place_many(plan.executions - half, per_second=plan.per_second * 2))
            group.create_task(_send(running.bus, fuzzed, within_seconds=plan.load_seconds / 2))
        running.note(f"{len(fuzzed)} fuzzed messages")
        await running.comes_to_rest()
        poison = [each.payload for each in fuzzed if each.is_poison]
        before, among = _p95_ms(await running.books(), undisturbed)
        running.remarks.append(f"{len(fuzzed)} fuzzed, {len(poison)} of them poison")
        running.remarks.append(f"p95 of good ones {before:.0f} ms before, {among:.0f} ms among them")
        limit_ms = DELAYED_BY_AT_MOST * before + BUSY_MS
        running.expect(
            among <= limit_ms, f"p95 of good ones was {among:.0f} ms among broken ones, {limit_ms:.0f} ms are allowed"
        )
        letters = KeptLetters(running.bus)

        async def all_kept() -> Sequence[DeadLetterView]:
            waiting = await letters.waiting()
            assert len(waiting) == len(poison) + 1, f"{len(waiting)} dead letters of {len(poison) + 1}"
            return waiting

        with running.noted_as_violation():
            kept = await eventually(all_kept, DEAD_WITHIN_SECONDS, what="all poison is among the dead letters")
            early = [each for each in kept if each.origin == "requests"]
            damaged = [each for each in kept if each.origin != "requests"]
            contents = [await letters.content(each) for each in damaged]
            running.expect(Counter(each.payload for each in contents) == Counter(poison), "the dead letters hold other bytes")
            running.expect(all(each.reason for each in kept), "a dead letter has no reason")
            await _mend_and_replay(running, letters, early)
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
        beside = sum(
            each.status != "completed" for execution_id, each in books.executions.items() if execution_id not in poisoned
        )
        running.expect(beside == 0, f"{beside} innocent executions did not complete")
        running.remarks.append(f"workers killed by each poisoned order: {[deaths[each] for each in poisoned]}")
        with running.noted_as_violation():
            await _check_buried(running, poisoned)
            await _mend_and_resume(running, poisoned)
        return await running.verdict(Allowed())


async def _order_too_early(running: Trial) -> None:
    """Over the bus, for a template that is not there yet."""
    order = msgspec.json.encode(SubmittedOrder(template=LATER_TEMPLATE, parameters={"text": LATER_TEXT}))
    await running.bus.publish([Outgoing(subject=subjects.submit(running.factory.keys.client_id), payload=order)])


async def _mend_and_replay(running: Trial, letters: KeptLetters, early: Sequence[DeadLetterView]) -> None:
    """Offer what was ordered too early, and send the order again: it is done like any other. Raises AssertionError."""
    assert [each.subject for each in early] == [subjects.submit(running.factory.keys.client_id)], f"dead orders: {early}"
    later = msgspec.structs.replace(paper_chain(), name=LATER_TEMPLATE)
    request = msgspec.json.encode(SavePipeline(client_id=None, document=dump_pipeline(later).decode()))
    saved = await running.bus.ask(subjects.SAVE_PIPELINE, request, wait_seconds=ANSWER_SECONDS)
    assert isinstance(msgspec.json.decode(saved, type=PipelineSaved | Refusal), PipelineSaved), saved

    replayed = await letters.replay(early[0])

    assert isinstance(replayed, DeadLetterView), replayed
    execution_id = await eventually(lambda: _execution_of(running, LATER_TEMPLATE), MENDED_WITHIN_SECONDS, what="it is ordered")
    running.orders.texts[str(execution_id)] = LATER_TEXT


async def _check_buried(running: Trial, poisoned: Sequence[str]) -> None:
    """Each packet that kills is kept once, as it was, and not sent again to kill once more. Raises AssertionError."""
    letters = KeptLetters(running.bus)

    async def one_of_each() -> Sequence[DeadLetterView]:
        waiting = [each for each in await letters.waiting() if each.execution_id in poisoned]
        found = sorted(str(each.execution_id) for each in waiting)
        assert found == sorted(poisoned), f"dead letters of {found}, poisoned are {sorted(poisoned)}"
        return waiting

    for letter in await eventually(one_of_each, DEAD_WITHIN_SECONDS, what="every packet that kills is a dead letter"):
        packet = msgspec.json.decode((await letters.content(letter)).payload, type=WorkPacket)
        running.expect(packet.execution_id == letter.execution_id, f"the packet of {packet.execution_id} is named otherwise")
        running.expect("fell silent" in letter.reason, f"{letter.dead_letter_id} was given up because {letter.reason}")
        refused = await letters.replay(letter)
        code = refused.code if isinstance(refused, Refusal) else "nothing"
        running.expect(code == "execution_has_ended", f"the replay of {letter.dead_letter_id} was refused with {code}")


async def _mend_and_resume(running: Trial, poisoned: Sequence[str]) -> None:
    """Workers that bear it finish what the others died of. Raises AssertionError."""
    running.factory.mend_workers()
    for execution_id in poisoned:
        request = msgspec.json.encode(ResumeExecution(execution_id=execution_id, client_id=None))
        answer = await running.bus.ask(subjects.RESUME, request, wait_seconds=ANSWER_SECONDS)
        assert isinstance(msgspec.json.decode(answer, type=Resumed | Refusal), Resumed), answer


async def _execution_of(running: Trial, template: str) -> str | None:
    async with running.database.connection() as connection:
        found: str | None = await connection.fetchval("SELECT execution_id FROM executions WHERE template = $1", template)
    return found


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
    before, among = (
        statistics.quantiles(times[which], n=20)[-1] if len(times[which]) > 1 else math.inf for which in (True, False)
    )
    return before, among
