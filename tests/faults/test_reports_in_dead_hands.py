"""A report that a killed orchestrator had in hand is applied by the next one while its attempt still counts as alive."""

from aif_contracts import subjects
from aif_contracts.events import StepStarted
from faults.invariants import count_in_hand
from faults.trial import Allowed, Trial, TrialPlan, trial
from support.waiting import eventually

LEASE_SECONDS = 12.0
SLOW_CALLS = {"AIF_ORCHESTRATOR_LEASE_SECONDS": str(LEASE_SECONDS), "AIF_BILLED_CALL_MS": "1500"}
PLAN = TrialPlan(seed=1, executions=1, load_seconds=1.0)


async def test_a_report_in_the_hands_of_a_killed_orchestrator_is_not_paid_for_again() -> None:
    async with trial(PLAN, orchestrators=1, workers=1, settings=SLOW_CALLS) as running:
        await running.orders.place()
        await eventually(lambda: _has_begun(running), 20, what="the first attempt has begun")
        orchestrator, *_ = running.factory.of_kind("orchestrator")
        async with running.database.transaction() as writer:
            # It gets the report, and cannot commit what follows from it.
            await writer.execute("LOCK TABLE executions IN SHARE ROW EXCLUSIVE MODE")
            await eventually(lambda: _reports_in_hand(running), 20, what="the orchestrator holds the report")
            running.factory.kill(orchestrator)

        outcome = await running.verdict(Allowed(calls_may_repeat=False))

    assert not outcome.violations
    assert outcome.completed == 1
    assert outcome.lost_attempts == 0


async def _has_begun(running: Trial) -> bool:
    (events,) = (await running.books()).events.values()
    return any(isinstance(event.data, StepStarted) for event in events)


async def _reports_in_hand(running: Trial) -> int:
    return await count_in_hand(running.bus, subjects.STREAM_REPORTS, subjects.CONSUMER_REPORTS)
