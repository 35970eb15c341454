"""A worker that is offered packets directly: it begins them at once or refuses them, and tells who has offered them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec
import pytest

from aif_contracts import subjects
from aif_contracts.packets import ClaimAnswer, ClaimRequest, Grant, Granted, Later, Superseded, WorkPacket
from aif_contracts.reports import Completed, Declined, Failed, Report
from aif_runtime.assignment import Assignment, Outcome
from aif_runtime.bus import Offer, Question
from aif_runtime.memory_bus import MemoryBus
from support.waiting import eventually
from support.worker_rig import QUICK, WORKER, WorkerRig

REPLICA = "replica_1"
TOGETHER = list[Report]


async def applied(_: list[Report]) -> bytes:
    return b"applied"


class OfferingRig(WorkerRig):
    """One replica of the orchestrator, which offers packets, hears of refusals, and is told reports."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.told_directly: list[Report] = []
        self.refused: list[str] = []
        self.apply: Callable[[list[Report]], Awaitable[bytes]] = applied

    @asynccontextmanager
    async def offering(self) -> AsyncIterator["asyncio.Task[None]"]:
        """The worker takes offers, until the block ends; then it is drained."""
        await self.orchestrator.answer(subjects.direct_reports(REPLICA), subjects.ORCHESTRATOR_GROUP, self._on_reports)
        async with self.running() as worker:
            hearing = asyncio.create_task(self._hear_refusals())
            try:
                await eventually(self.takes_offers)
                yield worker
            finally:
                hearing.cancel()

    def takes_offers(self) -> bool:
        return bool(self.broker._takers)

    async def offer_directly(self, packet: WorkPacket, *, priority: str = "normal") -> None:
        offer = Offer(
            subject=f"aif.direct.offer.{WORKER}.{priority}",
            payload=msgspec.json.encode(packet),
            refused_to=f"aif.direct.refusal.{REPLICA}.{packet.packet_id}",
        )
        await self.orchestrator.offer([offer])

    async def _on_reports(self, question: Question) -> bytes:
        assert question.subject == "aif.direct.report.replica_1.echo"
        reports = msgspec.json.decode(question.payload, type=TOGETHER)
        self.told_directly += reports
        return await self.apply(reports)

    async def _hear_refusals(self) -> None:
        async with self.orchestrator.listen("aif.direct.refusal.>") as refusals:
            while True:
                refusal = await refusals.next(5.0)
                if refusal is not None:
                    self.refused.append(subjects.refused_packet(refusal.subject))


class Gates:
    """An action that ends when the test opens the execution's gate."""

    def __init__(self, *open_from_the_start: str) -> None:
        self.begun: list[str] = []
        self._gates: dict[str, asyncio.Event] = {}
        self.open(*open_from_the_start)

    async def __call__(self, assignment: Assignment) -> Outcome:
        self.begun.append(assignment.execution_id)
        await self._gate(assignment.execution_id).wait()
        return Outcome(output={})

    def open(self, *names: str) -> None:
        for name in names:
            self._gate(name).set()

    def _gate(self, name: str) -> asyncio.Event:
        return self._gates.setdefault(name, asyncio.Event())


class HeldAnswers:
    """A replica that commits when the test says so."""

    def __init__(self) -> None:
        self.committed = asyncio.Event()

    async def __call__(self, _: list[Report]) -> bytes:
        await self.committed.wait()
        return b"applied"


async def test_an_offered_packet_is_begun_at_once_and_its_report_told_to_who_has_offered_it() -> None:
    rig = OfferingRig()

    async with rig.offering():
        await rig.offer_directly(await rig.packet(attempt=3))
        await eventually(lambda: rig.told_directly)
        await rig.settles()

    [report] = rig.told_directly
    assert isinstance(report, Completed)
    assert (report.packet_id, report.attempt, report.instance_id) == ("pkt_1", 3, "echo_1")
    assert rig.claims == []
    assert rig.refused == []
    assert (rig.packets_left(), rig.reports_stored()) == (0, 0)


async def test_an_offered_packet_without_a_grant_is_claimed_like_any_other() -> None:
    rig = OfferingRig()
    rig.answer_claim = lambda _: Granted(attempt=4, grant=Grant(max_cost_usd="0.5"), timeout_ms=1000)

    async with rig.offering():
        await rig.offer_directly(await rig.packet(attempt=0, grant=None))
        await eventually(lambda: rig.told_directly)

    [claim] = rig.claims
    assert (claim.packet_id, claim.num_delivered) == ("pkt_1", 1)
    assert [report.attempt for report in rig.told_directly] == [4]
    assert rig.refused == []


async def test_offers_of_every_priority_are_taken() -> None:
    rig = OfferingRig()

    async with rig.offering():
        for number, priority in enumerate(("critical", "high", "normal", "low"), 1):
            await rig.offer_directly(await rig.packet(number), priority=priority)
        await eventually(lambda: len(rig.told_directly) == 4)

    assert rig.refused == []


async def test_an_offer_of_a_priority_that_nobody_knows_is_refused() -> None:
    rig = OfferingRig()

    async with rig.offering():
        await rig.offer_directly(await rig.packet(), priority="urgent")
        await eventually(lambda: rig.refused == ["pkt_1"])

    assert rig.told_directly == []


async def test_an_offer_that_names_no_replica_is_refused_and_the_next_one_is_taken() -> None:
    rig = OfferingRig()

    async with rig.offering(), rig.orchestrator.listen("_INBOX.>") as inbox:
        nobodys = Offer(subject=f"aif.direct.offer.{WORKER}.normal", payload=b"{}", refused_to="_INBOX.someone.1")
        await rig.orchestrator.offer([nobodys])
        refusal = await inbox.next(5.0)
        await rig.offer_directly(await rig.packet())
        await eventually(lambda: len(rig.told_directly) == 1)

    assert refusal is not None
    assert (refusal.subject, refusal.payload) == ("_INBOX.someone.1", b"")


async def test_a_report_that_its_replica_has_not_applied_is_stored() -> None:
    rig = OfferingRig()

    async def not_now(_: list[Report]) -> bytes:
        return b"store"

    rig.apply = not_now
    async with rig.offering():
        await rig.offer_directly(await rig.packet())
        [stored] = await rig.reports()

    assert [stored] == rig.told_directly
    assert isinstance(stored, Completed)


async def test_an_offered_packet_for_an_action_that_the_worker_has_not_is_declined_to_its_replica() -> None:
    rig = OfferingRig()

    async with rig.offering():
        await rig.offer_directly(await rig.packet(action="sing"))
        await eventually(lambda: rig.told_directly)

    [report] = rig.told_directly
    assert isinstance(report, Declined)
    assert report.code == "unknown_action"
    assert rig.reports_stored() == 0


async def test_an_offered_packet_that_is_not_granted_now_is_refused_so_that_it_waits_at_the_broker() -> None:
    rig = OfferingRig()
    rig.answer_claim = lambda _: Later(retry_after_ms=2000, reason="no budget")

    async with rig.offering():
        await rig.offer_directly(await rig.packet(attempt=0, grant=None))
        await eventually(lambda: rig.refused == ["pkt_1"])

    assert rig.told_directly == []
    assert rig.set_aside("put_off") == 1


async def test_an_offered_packet_whose_claim_is_not_answered_stays_and_is_claimed_under_the_same_name_until_it_is() -> None:
    rig = OfferingRig()
    claims: list[ClaimRequest] = []

    def grant_the_fifth(claim: ClaimRequest) -> ClaimAnswer:
        claims.append(claim)
        return (
            Granted(attempt=1, grant=Grant(max_cost_usd="1"), timeout_ms=60_000) if len(claims) == 5 else cast(Any, "nonsense")
        )

    rig.answer_claim = grant_the_fifth

    async with rig.offering():
        await rig.offer_directly(await rig.packet(attempt=0, grant=None))
        await eventually(lambda: len(rig.told_directly) == 1, what="its report has come")

    assert rig.refused == []
    assert len({claim.claim_id for claim in claims}) == 1


async def test_an_offered_packet_that_is_needed_no_more_is_neither_refused_nor_reported() -> None:
    rig = OfferingRig()
    rig.answer_claim = lambda _: Superseded()

    async with rig.offering():
        await rig.offer_directly(await rig.packet(attempt=0, grant=None))
        await eventually(lambda: rig.set_aside("dropped") == 1)
        await rig.settles()

    assert rig.refused == []
    assert rig.told_directly == []


async def test_a_worker_whose_slots_are_taken_refuses_until_one_is_free() -> None:
    action = Gates("exec_3")
    rig = OfferingRig(action, slots=1)

    async with rig.offering():
        await rig.offer_directly(await rig.packet(1))
        await rig.offer_directly(await rig.packet(2))
        await eventually(lambda: rig.refused == ["pkt_2"])
        action.open("exec_1")
        await eventually(lambda: len(rig.told_directly) == 1)
        await rig.offer_directly(await rig.packet(3))
        await eventually(lambda: len(rig.told_directly) == 2)

    assert action.begun == ["exec_1", "exec_3"]
    assert rig.refused == ["pkt_2"]


async def test_a_slot_that_a_stored_packet_holds_is_taken_too() -> None:
    action = Gates()
    rig = OfferingRig(action, slots=1)

    async with rig.offering():
        await rig.offer(await rig.packet(1))
        await eventually(lambda: action.begun == ["exec_1"])
        await rig.offer_directly(await rig.packet(2))
        await eventually(lambda: rig.refused == ["pkt_2"])
        action.open("exec_1")
        await rig.reports()

    assert action.begun == ["exec_1"]


async def test_a_worker_that_is_stopping_refuses() -> None:
    action = Gates()
    rig = OfferingRig(action)

    async with rig.offering() as worker:
        await rig.offer_directly(await rig.packet(1))
        await eventually(lambda: action.begun == ["exec_1"])
        rig.stop.set()
        still_listening = rig.takes_offers()
        await rig.offer_directly(await rig.packet(2))
        await eventually(lambda: not rig.takes_offers())
        await rig.offer_directly(await rig.packet(3))
        await eventually(lambda: rig.refused == ["pkt_2", "pkt_3"])
        action.open("exec_1")
        await worker

    assert still_listening
    assert action.begun == ["exec_1"]
    assert [report.packet_id for report in rig.told_directly] == ["pkt_1"]


async def test_offered_work_that_outlasts_the_drain_is_handed_back_to_who_has_offered_it() -> None:
    action = Gates()
    rig = OfferingRig(action, drain_seconds=0.02)

    async with rig.offering() as worker:
        await rig.offer_directly(await rig.packet())
        await eventually(lambda: action.begun == ["exec_1"])
        rig.stop.set()
        await worker

    [report] = rig.told_directly
    assert isinstance(report, Failed)
    assert report.code == "handed_back"
    assert rig.reports_stored() == 0


async def test_a_worker_with_an_attempt_that_is_to_be_alone_refuses_before_it_and_beside_it() -> None:
    action = Gates("exec_5")
    rig = OfferingRig(action)
    rig.answer_claim = lambda _: Granted(attempt=2, grant=Grant(), timeout_ms=60_000, alone=True)

    async with rig.offering():
        await rig.offer_directly(await rig.packet(1))
        await eventually(lambda: action.begun == ["exec_1"])
        await rig.offer_directly(await rig.packet(2, attempt=0, grant=None))
        await eventually(lambda: rig.solitude.is_wanted)
        await rig.offer_directly(await rig.packet(3))
        await eventually(lambda: rig.refused == ["pkt_3"])
        action.open("exec_1")
        await eventually(lambda: action.begun == ["exec_1", "exec_2"])
        await rig.offer_directly(await rig.packet(4))
        await eventually(lambda: rig.refused == ["pkt_3", "pkt_4"])
        action.open("exec_2")
        await eventually(lambda: not rig.solitude.is_wanted)
        await rig.offer_directly(await rig.packet(5))
        await eventually(lambda: len(rig.told_directly) == 3)

    assert action.begun == ["exec_1", "exec_2", "exec_5"]


async def test_what_was_taken_just_before_an_attempt_learns_that_it_is_to_be_alone_ends_first() -> None:
    action = Gates("exec_1")
    rig = OfferingRig(action)
    second = await rig.packet(2)
    offering: list[asyncio.Task[None]] = []

    def grant_while_another_is_offered(_: ClaimRequest) -> ClaimAnswer:
        offering.append(asyncio.create_task(rig.offer_directly(second)))
        return Granted(attempt=2, grant=Grant(), timeout_ms=60_000, alone=True)

    rig.answer_claim = grant_while_another_is_offered
    async with rig.offering():
        await rig.offer_directly(await rig.packet(1, attempt=0, grant=None))
        await eventually(lambda: action.begun)
        await rig.settles()
        begun_together = list(action.begun)
        action.open("exec_2")
        await eventually(lambda: len(rig.told_directly) == 2)

    assert begun_together == ["exec_2"]
    assert action.begun == ["exec_2", "exec_1"]


async def test_a_packet_that_is_stored_while_it_is_worked_on_here_is_not_begun_again() -> None:
    action = Gates()
    rig = OfferingRig(action)

    async with rig.offering():
        await rig.offer_directly(await rig.packet())
        await eventually(lambda: action.begun == ["exec_1"])
        await rig.offer(await rig.packet())
        await rig.nothing_is_left()
        action.open("exec_1")
        await eventually(lambda: rig.told_directly)
        await rig.settles()

    assert action.begun == ["exec_1"]
    assert rig.claims == []
    assert rig.set_aside("dropped") == 1
    assert len(rig.told_directly) == 1


async def test_a_packet_that_is_stored_while_its_report_is_under_way_is_not_begun_again() -> None:
    action = Gates("exec_1")
    rig = OfferingRig(action)
    rig.apply = held = HeldAnswers()

    async with rig.offering():
        await rig.offer_directly(await rig.packet())
        await eventually(lambda: rig.told_directly)
        await rig.offer(await rig.packet())
        await eventually(lambda: rig.set_aside("dropped") == 1)
        held.committed.set()

    assert action.begun == ["exec_1"]
    assert rig.packets_left() == 0


async def test_a_late_offer_of_a_packet_that_came_from_the_store_is_dropped_too() -> None:
    action = Gates()
    rig = OfferingRig(action)

    async with rig.offering():
        await rig.offer(await rig.packet())
        await eventually(lambda: action.begun == ["exec_1"])
        await rig.offer_directly(await rig.packet())
        await eventually(lambda: rig.set_aside("dropped") == 1)
        action.open("exec_1")
        [report] = await rig.reports()

    assert isinstance(report, Completed)
    assert action.begun == ["exec_1"]
    assert rig.told_directly == []
    assert rig.refused == []


async def test_another_attempt_or_another_packet_is_begun_beside_the_one_in_hand() -> None:
    action = Gates()
    rig = OfferingRig(action)

    async with rig.offering():
        await rig.offer_directly(await rig.packet())
        await rig.offer(await rig.packet(attempt=2))
        await rig.offer(await rig.packet(packet_id="pkt_other"))
        await eventually(lambda: len(action.begun) == 3)
        action.open("exec_1")
        reports = await rig.reports(2)
        await eventually(lambda: rig.told_directly)

    named = [(report.packet_id, report.attempt) for report in (*rig.told_directly, *reports)]
    assert named == [("pkt_1", 1), ("pkt_1", 2), ("pkt_other", 1)]
    assert rig.set_aside("dropped") == 0


async def test_a_packet_that_comes_again_after_its_report_was_confirmed_is_begun_again() -> None:
    action = Gates("exec_1")
    rig = OfferingRig(action)

    async with rig.offering():
        await rig.offer_directly(await rig.packet())
        await eventually(lambda: rig.told_directly)
        await rig.settles()
        await rig.offer(await rig.packet())
        await eventually(lambda: rig.reports_stored() == 1)

    assert action.begun == ["exec_1", "exec_1"]


async def test_a_packet_delivered_again_is_claimed_although_its_attempt_is_in_hand() -> None:
    action = Gates()
    rig = OfferingRig(action)
    rig.answer_claim = lambda _: Superseded()
    await rig.offer(await rig.packet())
    await rig.deliver_in_vain(times=1)

    async with rig.offering():
        await eventually(lambda: len(rig.claims) == 1)
        await rig.offer_directly(await rig.packet())
        await eventually(lambda: action.begun == ["exec_1"])
        action.open("exec_1")
        await eventually(lambda: rig.told_directly)

    assert [claim.num_delivered for claim in rig.claims] == [2]


async def test_a_slot_is_free_again_while_the_report_is_not_yet_confirmed() -> None:
    action = Gates("exec_1", "exec_2")
    rig = OfferingRig(action, slots=1)
    rig.apply = held = HeldAnswers()

    async with rig.offering():
        await rig.offer_directly(await rig.packet(1))
        await eventually(lambda: len(rig.told_directly) == 1)
        await rig.offer_directly(await rig.packet(2))
        await eventually(lambda: len(rig.told_directly) == 2)
        held.committed.set()

    assert action.begun == ["exec_1", "exec_2"]
    assert rig.refused == []


async def test_a_packet_that_waits_for_the_slot_begins_while_the_report_before_it_is_not_yet_confirmed() -> None:
    action = Gates("exec_2")
    rig = OfferingRig(action, slots=1)
    rig.apply = held = HeldAnswers()

    async with rig.offering():
        await rig.offer_directly(await rig.packet(1))
        await rig.offer(await rig.packet(2))
        await eventually(lambda: rig.delivered() == 1)
        begun_early = list(action.begun)
        action.open("exec_1")
        [second] = await rig.reports()
        await eventually(lambda: [report.execution_id for report in rig.told_directly] == ["exec_1"])
        held.committed.set()
        await rig.nothing_is_left()

    assert begun_early == ["exec_1"]
    assert second.execution_id == "exec_2"


async def test_what_begins_in_the_slot_of_an_attempt_is_not_logged_under_its_name(
    log_lines: Callable[[], list[dict[str, Any]]],
) -> None:
    action = Gates()
    rig = OfferingRig(action, slots=1)
    rig.apply = held = HeldAnswers()

    async with rig.offering():
        await rig.offer_directly(await rig.packet())
        await eventually(lambda: action.begun == ["exec_1"])
        await rig.offer_bytes(b"no packet")
        await eventually(lambda: rig.delivered() == 1)
        action.open("exec_1")
        await rig.dead_letters()
        held.committed.set()

    [line] = [line for line in log_lines() if line["event"] == "packet_buried"]
    assert "execution_id" not in line


async def test_a_stored_packet_stays_until_its_report_is_confirmed_although_its_slot_is_free() -> None:
    done = asyncio.Event()

    async def finish(assignment: Assignment) -> Outcome:
        rig.broker.stop_confirming()
        done.set()
        return Outcome(output={})

    rig = OfferingRig(finish, slots=1)

    async with rig.offering():
        await rig.offer(await rig.packet())
        await done.wait()
        for _ in range(4):
            await rig.settles()
            rig.clock.advance(1.5)
        left_unconfirmed = rig.packets_left()
        rig.broker.come_back()
        await rig.nothing_is_left()

    assert left_unconfirmed == 1


async def test_work_goes_on_without_confirmed_reports_up_to_a_bound() -> None:
    async def quick(assignment: Assignment) -> Outcome:
        return Outcome(output={})

    rig = OfferingRig(quick, slots=2)
    rig.apply = held = HeldAnswers()

    async with rig.offering():
        for number in range(1, 67):
            await rig.offer_directly(await rig.packet(number))
            await eventually(lambda number=number: len(rig.told_directly) == number)  # type: ignore[misc]
        await rig.offer_directly(await rig.packet(67))
        await eventually(lambda: rig.refused == ["pkt_67"])
        held.committed.set()
        await rig.settles()
        await rig.offer_directly(await rig.packet(68))
        await eventually(lambda: len(rig.told_directly) == 67)

    assert rig.refused == ["pkt_67"]


async def test_draining_waits_for_reports_that_are_not_yet_confirmed() -> None:
    action = Gates("exec_1")
    rig = OfferingRig(action)
    rig.apply = held = HeldAnswers()

    async with rig.offering() as worker:
        await rig.offer_directly(await rig.packet())
        await eventually(lambda: rig.told_directly)
        rig.stop.set()
        await rig.fetches_ended()
        has_ended_early = worker.done()
        held.committed.set()
        await worker

    assert not has_ended_early
    assert rig.reports_stored() == 0


async def test_a_report_without_an_answer_outlasts_the_drain_and_is_stored() -> None:
    action = Gates("exec_1")
    rig = OfferingRig(action, drain_seconds=0.01, times=msgspec.structs.replace(QUICK, answer=0.3))
    rig.apply = held = HeldAnswers()

    async with rig.offering() as worker:
        await rig.offer_directly(await rig.packet())
        await eventually(lambda: rig.told_directly)
        rig.stop.set()
        await worker
        stored = rig.reports_stored()
        held.committed.set()

    assert stored == 1


class MistakenBus(MemoryBus):
    async def ask(
        self, subject: str, payload: bytes, *, wait_seconds: float, headers: Mapping[str, str] | None = None
    ) -> bytes:
        if subject == subjects.direct_report(REPLICA, WORKER):
            raise RuntimeError("a mistake of ours")
        return await super().ask(subject, payload, wait_seconds=wait_seconds, headers=headers)


async def test_a_mistake_while_a_report_is_told_ends_the_worker_and_nothing_waits_for_ever() -> None:
    rig = OfferingRig(bus=MistakenBus)

    async def work() -> None:
        async with rig.offering() as worker:
            await rig.offer_directly(await rig.packet())
            await asyncio.wait([worker], timeout=5)

    with pytest.raises(ExceptionGroup) as broken:
        await work()

    assert broken.group_contains(RuntimeError, match="a mistake of ours")
