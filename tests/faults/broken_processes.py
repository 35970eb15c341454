"""Faults of processes: killed, frozen, ended in order, more and fewer of them."""

import asyncio
import signal
import time

import httpx

from aif_contracts import subjects
from aif_runtime.bus import ConsumerSpec, Outgoing
from aif_runtime.failures import BusUnavailable
from aif_runtime.nats_bus import NatsBus
from faults.invariants import WORKER_LOST, Books, CallsLost, count_messages
from faults.paper_factory import NATS, POSTGRES, TEMPLATE
from faults.trial import Allowed, Outcome, Trial, TrialPlan, trial
from faults.unsure_orchestrator import ENGINE_COMMIT, PUBLISH, STATEMENTS, doubted
from support.waiting import eventually

ACK_WAIT_SECONDS = 2.0
"""As the trial's factory has it."""
PUBLISHERS = 16
NOTICED_WITHIN_SECONDS = 16.0
"""Three unanswered pings, and a second for this machine."""
BACK_WITHIN_SECONDS = 10.0
PROBE = "probe"
SLOW_CALLS = {"AIF_BILLED_CALL_MS": "200"}
"""So that what strikes a worker finds it at work."""
DRAINED_WITHIN_SECONDS = 30.0
ANSWERED_WITHIN_SECONDS = 2.5
"""Two, and half a one for this machine."""


async def everything_killed_at_random(plan: TrialPlan) -> Outcome:
    """F01: SIGKILL of any process, every half second on average."""
    async with trial(plan, orchestrators=2, workers=2, kam=True, classifier=True, settings=SLOW_CALLS) as running:
        loading = asyncio.create_task(running.load())
        await running.kill_at_random(loading)
        await loading
        return await running.verdict(Allowed())


async def broker_killed_under_publishers(plan: TrialPlan) -> Outcome:
    """F02: the broker killed or ended, and started again, while many publish; what was confirmed is there."""
    async with trial(plan, orchestrators=1, workers=1) as running:
        confirmed: list[str] = []
        loading = asyncio.create_task(running.load())
        publishing = [asyncio.create_task(_publish(running.bus, number, confirmed)) for number in range(PUBLISHERS)]
        for _ in range(6):
            await asyncio.sleep(plan.load_seconds / 7)
            number = running.chance.choice((signal.SIGKILL, signal.SIGTERM))
            pid = running.factory.pid(NATS)
            if running.factory.signal(NATS, number):
                running.note(f"broker ended by {number.name}")
                await running.factory.replaced(NATS, pid)
        await loading
        for task in publishing:
            task.cancel()
        await asyncio.gather(*publishing, return_exceptions=True)
        lost = set(confirmed) - await _stored(running.bus)
        running.expect(not lost, f"{len(lost)} of {len(confirmed)} confirmed messages are lost")
        running.remarks.append(f"{len(confirmed)} messages confirmed to {PUBLISHERS} publishers, {len(lost)} lost")
        return await running.verdict(Allowed(recovery_seconds=BACK_WITHIN_SECONDS))


async def broker_store_deleted(plan: TrialPlan) -> Outcome:
    """F03: everything that the broker knew is gone, more than once."""
    async with trial(plan, orchestrators=1, workers=2) as running:
        loading = asyncio.create_task(running.load())
        for _ in range(3):
            await asyncio.sleep(plan.load_seconds / 4)
            running.note("broker wiped")
            await running.factory.wipe_nats()
        await loading
        return await running.verdict(Allowed(calls_lost=CallsLost.WITH_THE_STORE))


async def postgres_killed(plan: TrialPlan) -> Outcome:
    """F05: SIGKILL of the postmaster, again and again."""
    async with trial(plan, orchestrators=2, workers=2, kam=True) as running:
        loading = asyncio.create_task(running.load())
        slowest = 0.0
        for _ in range(5):
            await asyncio.sleep(plan.load_seconds / 6)
            pid = running.factory.pid(POSTGRES)
            if running.factory.kill(POSTGRES):
                running.note("Postgres killed")
                slowest = max(slowest, await _answered(running))
                await running.factory.replaced(POSTGRES, pid)
        await loading
        running.expect_within(ANSWERED_WITHIN_SECONDS, slowest, "an answer to a client")
        running.remarks.append(f"a client waited {slowest:.2f} s at most for its answer while Postgres was away")
        return await running.verdict(Allowed(recovery_seconds=BACK_WITHIN_SECONDS))


async def worker_frozen(plan: TrialPlan) -> Outcome:
    """F06: a worker stands still for longer than the broker waits for it, and thaws in a changed world."""
    async with trial(plan, orchestrators=1, workers=2, settings=SLOW_CALLS) as running:
        loading = asyncio.create_task(running.load(times_as_long=2))
        workers = running.factory.of_kind("worker")
        while not loading.done():
            await asyncio.sleep(running.chance.uniform(0.5, 1.5))
            name = running.chance.choice(workers)
            running.note(f"{name} frozen")
            with running.factory.frozen(name):
                await asyncio.sleep(ACK_WAIT_SECONDS * running.chance.uniform(2, 3))
        await loading
        outcome = await running.verdict(Allowed())
        running.expect(outcome.lost_attempts > 0, "no attempt was lost, so the fault did not bite")
        late = _told_after_all(await running.books())
        running.expect(late > 0, "no worker that thawed told of an attempt that was lost, so no report was late")
        running.remarks.append(f"{late} of {outcome.lost_attempts} lost attempts told what they had done after all")
        return outcome


async def broker_frozen(plan: TrialPlan) -> Outcome:
    """F07: the broker stands still, at last until it is noticed; what was sent meanwhile may or may not have been stored."""
    async with trial(plan, orchestrators=1, workers=2) as running:
        loading = asyncio.create_task(running.load(times_as_long=3))
        for seconds in (running.chance.uniform(1, 3), running.chance.uniform(4, 8)):
            await asyncio.sleep(plan.load_seconds / 4)
            running.note(f"broker frozen for {seconds:.1f} s")
            with running.factory.frozen(NATS):
                await asyncio.sleep(seconds)
        await asyncio.sleep(plan.load_seconds / 4)
        fault = running.note("broker frozen until that is noticed")
        with running.factory.frozen(NATS), running.noted_as_violation():
            await eventually(lambda: not running.bus.is_connected, NOTICED_WITHIN_SECONDS, what="the frozen broker is noticed")
        noticed_after = time.time() - fault.struck_at
        running.remarks.append(f"a frozen broker was noticed after {noticed_after:.1f} s")
        await loading
        return await running.verdict(Allowed(recovery_seconds=noticed_after + BACK_WITHIN_SECONDS))


async def everything_drained_in_turn(plan: TrialPlan) -> Outcome:
    """F17: each service ends in order and is started again, one after the other, in three rounds."""
    async with trial(plan, orchestrators=2, workers=2, kam=True, classifier=True) as running:
        loading = asyncio.create_task(running.load(times_as_long=3))
        slowest = 0.0
        for _ in range(3):
            for name in running.factory.services():
                slowest = max(slowest, await _drained(running, name))
        await loading
        running.expect_within(DRAINED_WITHIN_SECONDS, slowest, "the end of a service")
        running.remarks.append(f"the slowest took {slowest:.2f} s to end")
        # The other replica is there all the time.
        for words in running.orders.unanswered:
            running.expect(False, words)
        outcome = await running.verdict(Allowed(calls_may_repeat=False, stall_seconds=15.0))
        not_completed = outcome.executions - outcome.completed
        running.expect(not_completed == 0, f"{not_completed} executions did not complete")
        return outcome


async def orchestrators_more_and_fewer(plan: TrialPlan) -> Outcome:
    """F21: 1, 3, 1, 0 and again 1 replicas while orders come in."""
    async with trial(plan, orchestrators=1, workers=2) as running:
        loading = asyncio.create_task(running.load())
        step_seconds = plan.load_seconds / 6
        await asyncio.sleep(step_seconds)
        added = await asyncio.gather(running.factory.add_orchestrator(), running.factory.add_orchestrator())
        running.note("3 orchestrators")
        await asyncio.sleep(step_seconds)
        first, *_ = running.factory.of_kind("orchestrator")
        await asyncio.gather(running.factory.remove(first), running.factory.remove(added[0]))
        running.note("1 orchestrator")
        await asyncio.sleep(step_seconds)
        await running.factory.remove(added[1])
        running.note("no orchestrator")
        await asyncio.sleep(step_seconds)
        await running.factory.add_orchestrator()
        running.note("1 orchestrator")
        await loading
        return await running.verdict(Allowed(stall_seconds=15.0 + step_seconds))


async def deeds_reported_as_failed(plan: TrialPlan) -> Outcome:
    """F26: one in ten commits and publishes of the orchestrators is done and reported as failed."""
    share = 0.1
    async with trial(plan, orchestrators=2, workers=2, unsure_share=share) as running:
        running.note(f"{share:.0%} of all commits and publishes in doubt")
        await running.load()
        outcome = await running.verdict(Allowed())
        struck = doubted(running.factory.unsure_tally)
        for deed in (ENGINE_COMMIT, STATEMENTS, PUBLISH):
            running.expect(struck[deed] > 0, f"no {deed} was in doubt, so the fault did not bite")
        running.remarks.append(", ".join(f"{count} x {deed}" for deed, count in sorted(struck.items())) + " done and denied")
        return outcome


def _told_after_all(books: Books) -> int:
    """Lost attempts whose call has its end in the ledger all the same."""
    lost = {(each.execution_id, each.stage_id, each.attempt) for each in books.attempts if each.failure_code == WORKER_LOST}
    answered = (key.split(".") for key, call in books.ledger.items() if call.cost_usd is not None)
    return len(lost & {(execution_id, stage_id, int(attempt)) for execution_id, stage_id, attempt, _ in answered})


async def _drained(running: Trial, name: str) -> float:
    """Seconds until a process that was told to end had ended; returns when the next one is up."""
    pid = running.factory.pid(name)
    began = time.monotonic()
    if not running.factory.signal(name, signal.SIGTERM):
        return 0.0
    running.note(f"{name} told to end")
    await running.factory.ended(name, pid)
    seconds = time.monotonic() - began
    await running.factory.replaced(name, pid)
    return seconds


async def _answered(running: Trial) -> float:
    """Seconds that a client waits for any answer to an order, be it that the factory is away."""
    headers = {"X-API-Key": running.factory.keys.client_key, "Idempotency-Key": f"key-{len(running.faults)}"}
    began = time.monotonic()
    async with httpx.AsyncClient(base_url=running.factory.kam_url, headers=headers, timeout=15) as http:
        body = {"selected_template": TEMPLATE, "parameters": {"text": PROBE}}
        response = await http.post("/api/kam/orders", json=body)
    seconds = time.monotonic() - began
    if response.status_code == httpx.codes.ACCEPTED:
        running.orders.texts[str(response.json()["execution_id"])] = PROBE
    else:
        running.expect(response.status_code == 503, f"an order was answered by {response.status_code}: {response.text}")
        running.expect("Retry-After" in response.headers, "an answer 503 does not say when to come again")
    return seconds


async def _publish(bus: NatsBus, number: int, confirmed: list[str]) -> None:
    """Until cancelled. What fails is sent again by the next turn under another name: only what was confirmed counts."""
    turn = 0
    while True:
        turn += 1
        name = f"{number}.{turn}"
        message = Outgoing(subject=subjects.performance(PROBE), payload=name.encode(), message_id=f"{PROBE}.{name}")
        try:
            await bus.publish([message])
        except BusUnavailable:
            continue
        confirmed.append(name)
        await asyncio.sleep(0.01)


async def _stored(bus: NatsBus) -> set[str]:
    """What the publishers' subject holds."""
    consumer = ConsumerSpec(
        stream=subjects.STREAM_PERFORMANCE, durable=f"faults_{PROBE}", filter_subject=subjects.performance(PROBE)
    )
    deliveries = await bus.open_consumer(consumer)
    found: set[str] = set()
    in_all = await count_messages(bus, subjects.STREAM_PERFORMANCE)
    while len(found) < in_all:
        batch = await deliveries.fetch(500, 2.0)
        if not batch:
            break
        for delivery in batch:
            found.add(delivery.payload.decode())
            await delivery.ack()
    await deliveries.close()
    return found
