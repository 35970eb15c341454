"""A call that costs money is told of before it is made, and made only by a worker that is surely the one."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import msgspec
from msgspec.structs import replace

from aif_contracts import subjects
from aif_contracts.audit import AuditEntry, Severity
from aif_contracts.metering import CallOutcome, ProviderCall
from aif_contracts.packets import ClaimAnswer, ClaimRequest, Proceed, Superseded
from aif_contracts.reports import Completed, Failed, Progress
from aif_runtime.assignment import Assignment, Outcome
from aif_runtime.bus import ConsumerSpec
from support.waiting import eventually
from support.worker_rig import WorkerRig, provider_call


class Payer:
    """An action that announces a call when it may, and makes it then."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.paid = False

    async def __call__(self, assignment: Assignment) -> Outcome:
        self.begun.set()
        await self.may_go_on.wait()
        ended = provider_call(assignment)
        await assignment.announce_call(_started(ended))
        self.paid = True
        await assignment.record_call(ended)
        return Outcome(output={})


def _started(call: ProviderCall) -> ProviderCall:
    return replace(call, outcome=CallOutcome.STARTED, cost_usd=None, upper_bound_usd="0.01")


def granted_once(rig: WorkerRig) -> Callable[[ClaimRequest], ClaimAnswer]:
    """The broker takes a worker that was away for dead and delivers again; nobody else shall get the attempt here."""
    first = rig.answer_claim
    return lambda claim: first(claim) if len(rig.claims) == 1 else Superseded()


async def test_a_call_is_told_of_twice_under_one_key_as_it_begins_and_as_it_ends() -> None:
    pay = Payer()
    pay.may_go_on.set()
    rig = WorkerRig(pay)

    async with rig.running():
        await rig.offer(await rig.packet())
        started, ended = await rig.calls(2)
        [report] = await rig.reports()

    assert started.call_key == ended.call_key
    assert (started.outcome, started.cost_usd, started.upper_bound_usd) == ("started", None, "0.01")
    assert (ended.outcome, ended.cost_usd) == ("answered", "0.000027")
    assert isinstance(report, Completed)
    assert (report.metrics.cost_usd, report.metrics.unanswered) == ("0.000027", {})


async def test_a_worker_that_was_away_for_a_lease_pays_only_after_it_was_confirmed() -> None:
    pay = Payer()
    rig = WorkerRig(pay, paid=True)
    rig.answer_claim = granted_once(rig)
    paid_when_asked: list[bool] = []

    def confirm(_: Progress) -> Proceed:
        paid_when_asked.append(pay.paid)
        return Proceed()

    rig.answer_progress = confirm

    async with rig.running():
        await rig.offer(await rig.packet(attempt=0, grant=None))
        await pay.begun.wait()
        rig.clock.advance(31.0)
        pay.may_go_on.set()
        await eventually(lambda: pay.paid)
        await rig.reports()

    assert paid_when_asked[0] is False


async def test_all_calls_that_waited_for_the_confirmation_are_made_after_it() -> None:
    begun, may_go_on = asyncio.Event(), asyncio.Event()

    async def announce_two_at_once(assignment: Assignment) -> Outcome:
        begun.set()
        await may_go_on.wait()
        call = _started(provider_call(assignment))
        await asyncio.gather(*(assignment.announce_call(replace(call, call_key=key)) for key in ("one", "two")))
        return Outcome(output={})

    rig = WorkerRig(announce_two_at_once, paid=True)
    rig.answer_claim = granted_once(rig)

    async with rig.running():
        await rig.offer(await rig.packet(attempt=0, grant=None))
        await begun.wait()
        rig.clock.advance(31.0)
        may_go_on.set()
        calls = await rig.calls(2)
        await rig.reports()

    assert {call.call_key for call in calls} == {"one", "two"}


async def test_a_worker_whose_attempt_went_to_another_one_pays_nothing() -> None:
    pay = Payer()
    rig = WorkerRig(pay, paid=True)
    rig.answer_claim = granted_once(rig)
    rig.answer_progress = lambda _: Superseded()

    async with rig.running():
        await rig.offer(await rig.packet(attempt=0, grant=None))
        await pay.begun.wait()
        await rig.passes(31.0)
        pay.may_go_on.set()
        [report] = await rig.reports()

    assert isinstance(report, Failed)
    assert not pay.paid


async def test_a_call_without_an_answer_is_in_the_report_with_its_bound() -> None:
    async def ask(assignment: Assignment) -> Outcome:
        lost = provider_call(assignment, outcome=CallOutcome.IN_DOUBT, cost_usd=None, upper_bound_usd="0.01")
        await assignment.record_call(lost)
        await assignment.record_call(provider_call(assignment))
        return Outcome(output={})

    rig = WorkerRig(ask)

    async with rig.running():
        await rig.offer(await rig.packet())
        [report] = await rig.reports()

    assert isinstance(report, Completed)
    assert report.metrics.cost_usd is None
    assert report.metrics.cost_lines.ai_generation_usd == "0.000027"
    assert report.metrics.unanswered == {"exec_1.stage_1.1.1": "0.01"}


async def test_what_has_to_be_provable_later_is_told_with_who_did_it() -> None:
    async def fall_back(assignment: Assignment) -> Outcome:
        await assignment.audit("AI_GENERATION_FALLBACK", Severity.WARNING, {"reason": "rate_limited"})
        return Outcome(output={})

    rig = WorkerRig(fall_back)

    async with rig.running():
        await rig.offer(await rig.packet())
        await rig.reports()
        spec = ConsumerSpec(stream=subjects.STREAM_AUDIT, durable="reader", filter_subject=subjects.ALL_AUDIT)
        [told] = await (await rig.orchestrator.open_consumer(spec)).fetch(1, 5.0)

    entry = msgspec.json.decode(told.payload, type=AuditEntry)
    assert told.subject == "aif.audit.echo"
    assert (entry.action, entry.severity, entry.actor) == ("AI_GENERATION_FALLBACK", "warning", "worker:echo")
    assert (entry.client_id, entry.execution_id, entry.compliance) == ("acme", "exec_1", ("SOC2",))
    assert entry.details == {"reason": "rate_limited"}
    assert entry.audit_id == f"exec_1.stage_1.1.1.{int(datetime.fromisoformat(entry.occurred_at).timestamp())}"
