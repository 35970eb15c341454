"""An attempt that may take its process down is worked on while nothing else is under way there, and nobody waits for ever."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aif_contracts.packets import (
    Cancelled,
    ClaimAnswer,
    ClaimRequest,
    ControlAction,
    ControlMessage,
    Grant,
    Granted,
    Later,
    Proceed,
    Superseded,
)
from aif_contracts.reports import Completed, Failed
from aif_runtime.assignment import Assignment, Outcome
from aif_runtime.attempt import Attempt, Permission, StopReason
from aif_runtime.interruption import Interruption
from support.waiting import eventually
from support.worker_rig import WorkerRig


class Gates:
    """An action that ends when the test opens the execution's gate, and notes who is under way together."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.under_way: set[str] = set()
        self.together: list[frozenset[str]] = []
        self.remaining: dict[str, float] = {}
        self._gates: dict[str, asyncio.Event] = {}

    async def __call__(self, assignment: Assignment) -> Outcome:
        name = assignment.execution_id
        self.begun.append(name)
        self.under_way.add(name)
        self.together.append(frozenset(self.under_way))
        self.remaining[name] = assignment.remaining_seconds()
        try:
            await self._gate(name).wait()
        finally:
            self.under_way.discard(name)
        return Outcome(output={})

    def open(self, *names: str) -> None:
        for name in names:
            self._gate(name).set()

    def _gate(self, name: str) -> asyncio.Event:
        return self._gates.setdefault(name, asyncio.Event())


def alone(*execution_ids: str) -> "ClaimRule":
    return ClaimRule(frozenset(execution_ids))


class ClaimRule:
    """Grants every claim, these executions' alone."""

    def __init__(self, alone: frozenset[str]) -> None:
        self._alone = alone

    def __call__(self, claim: ClaimRequest) -> ClaimAnswer:
        return Granted(attempt=2, grant=Grant(), timeout_ms=60_000, alone=claim.execution_id in self._alone)


async def test_an_attempt_that_is_to_be_alone_waits_for_the_others_and_nothing_begins_beside_it() -> None:
    gates = Gates()
    rig = WorkerRig(gates, slots=4)
    rig.answer_claim = alone("exec_2")

    async with rig.running():
        await rig.offer(await rig.packet(1))
        await eventually(lambda: gates.begun == ["exec_1"])
        await rig.offer(await rig.packet(2, attempt=0, grant=None))
        await eventually(lambda: len(rig.claims) == 1)
        await rig.settles()
        await rig.offer(await rig.packet(3, attempt=0, grant=None))
        await rig.fetches_ended()
        begun_beside_the_first = list(gates.begun)
        gates.open("exec_1")
        await eventually(lambda: gates.begun == ["exec_1", "exec_2"])
        for _ in range(5):
            await rig.passes(1.0)
            await rig.fetches_ended()
        begun_beside_the_second = list(gates.begun)
        gates.open("exec_2", "exec_3")
        await rig.passes(1.0)
        reports = await rig.reports(3)
        await rig.nothing_is_left()

    assert begun_beside_the_first == ["exec_1"]
    assert begun_beside_the_second == ["exec_1", "exec_2"]
    assert [report.execution_id for report in reports] == ["exec_1", "exec_2", "exec_3"]
    assert rig.claims[-1].num_delivered <= 2, "it was left to the broker"


async def test_one_attempt_after_the_other_may_be_alone() -> None:
    gates = Gates()
    gates.open("exec_1", "exec_2", "exec_3")
    rig = WorkerRig(gates)
    rig.answer_claim = alone("exec_1", "exec_2", "exec_3")

    async with rig.running():
        for number in (1, 2, 3):
            await rig.offer(await rig.packet(number, attempt=0, grant=None))
            await rig.reports()
            await rig.nothing_is_left()

    assert gates.begun == ["exec_1", "exec_2", "exec_3"]


async def test_a_packet_kept_for_its_grant_is_not_claimed_beside_an_attempt_that_is_alone() -> None:
    gates = Gates()
    rig = WorkerRig(gates)
    grants = alone("exec_2")
    rig.answer_claim = lambda claim: (
        Later(retry_after_ms=20, reason="paused") if claim.execution_id == "exec_1" else grants(claim)
    )
    await rig.offer(await rig.packet(1, attempt=0, grant=None))
    await rig.deliver_in_vain(times=4)

    async with rig.running():
        await eventually(lambda: len(rig.claims) == 1)
        await rig.offer(await rig.packet(2, attempt=0, grant=None))
        await eventually(lambda: gates.begun == ["exec_2"])
        claims = len(rig.claims)
        await rig.fetches_ended()
        claims_beside = len(rig.claims) - claims
        gates.open("exec_2")
        await rig.reports()
        await eventually(lambda: len(rig.claims) > claims, what="it is claimed again")

    assert claims_beside == 0


async def test_an_attempt_that_is_stopped_in_the_moment_it_may_begin_stays_stopped() -> None:
    rig = WorkerRig()
    attempt = Attempt(
        packet=await rig.packet(),
        permission=Permission(attempt=2, grant=Grant(), timeout_ms=60_000, asked_at=rig.clock.monotonic(), alone=True),
        bus=rig.orchestrator,
        blobs=rig.blobs,
        monotonic=rig.clock.monotonic,
        trace_headers={},
        lease_seconds=30.0,
    )

    async def stopped_and_then_begun() -> None:
        attempt.interruption = Interruption()
        attempt.stop(StopReason.SUPERSEDED)
        attempt.begin()
        await rig.settles()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(stopped_and_then_begun())


async def test_waiting_to_be_alone_does_not_count_against_the_time_of_the_attempt() -> None:
    gates = Gates()
    rig = WorkerRig(gates)
    rig.answer_claim = alone("exec_2")

    async with rig.running():
        await rig.offer(await rig.packet(1))
        await eventually(lambda: gates.begun == ["exec_1"])
        await rig.offer(await rig.packet(2, attempt=0, grant=None))
        await eventually(lambda: len(rig.claims) == 1)
        for _ in range(6):
            await rig.passes(20.0)
            await eventually(lambda: rig.seconds_to_redelivery() == 30.0, what="both leases are refreshed")
        gates.open("exec_1", "exec_2")
        await rig.reports(2)

    assert gates.remaining["exec_2"] == 60.0


async def test_it_is_told_that_an_attempt_waits_to_be_alone_and_when_it_has_begun() -> None:
    gates = Gates()
    rig = WorkerRig(gates)
    rig.answer_claim = alone("exec_2")

    async with rig.running():
        await rig.offer(await rig.packet(1))
        await eventually(lambda: gates.begun == ["exec_1"])
        await rig.offer(await rig.packet(2, attempt=0, grant=None))
        await eventually(lambda: len(rig.claims) == 1)
        await rig.settles()
        await rig.passes(0.2)
        waiting = await eventually(lambda: [told for told in rig.told if told.execution_id == "exec_2"])
        gates.open("exec_1")
        await eventually(lambda: "exec_2" in gates.begun)
        await rig.passes(0.25)
        begun = await eventually(lambda: [told for told in rig.told if told.execution_id == "exec_2" and not told.is_waiting])
        gates.open("exec_2")
        await rig.reports(2)

    assert (waiting[0].is_waiting, waiting[0].message) == (True, "waits until nothing else is under way in its worker")
    assert (begun[0].is_waiting, begun[0].message) == (False, "")


async def test_an_attempt_that_is_alone_begins_only_when_the_orchestrator_knows_that_it_does() -> None:
    told_before: list[tuple[str, bool]] = []

    async def look(assignment: Assignment) -> Outcome:
        told_before.extend((told.execution_id, told.is_waiting) for told in rig.told)
        return Outcome(output={})

    rig = WorkerRig(look)
    rig.answer_claim = alone("exec_1")

    async with rig.running():
        await rig.offer(await rig.packet(1, attempt=0, grant=None))
        await rig.reports()

    assert told_before == [("exec_1", False)]


async def test_an_attempt_that_is_alone_and_no_longer_wanted_never_begins() -> None:
    gates = Gates()
    rig = WorkerRig(gates)
    rig.answer_claim = alone("exec_1")
    rig.answer_progress = lambda _: Superseded()

    async with rig.running():
        await rig.offer(await rig.packet(1, attempt=0, grant=None))
        [report] = await rig.reports()

    assert isinstance(report, Failed)
    assert (report.code, gates.begun) == ("superseded", [])


async def test_packets_that_wait_for_a_slot_go_to_other_workers_when_an_attempt_is_to_be_alone() -> None:
    gates = Gates()
    rig = WorkerRig(gates, slots=2)
    rig.answer_claim = alone("exec_2")
    claimed = asyncio.Event()
    rig.before_claims = claimed.wait

    async with rig.running():
        await rig.offer(await rig.packet(1))
        await eventually(lambda: gates.begun == ["exec_1"])
        await rig.offer(await rig.packet(2, attempt=0, grant=None))
        await rig.offer(await rig.packet(3, attempt=0, grant=None))
        await eventually(lambda: rig.delivered() == 3)
        claimed.set()
        await eventually(lambda: (rig.seconds_to_redelivery() or 30.0) < 1.0, what="the waiting packet is handed back")
        gates.open("exec_1", "exec_2", "exec_3")
        await rig.passes(1.0)
        await rig.reports(3)
        await rig.nothing_is_left()

    assert gates.together[1] == {"exec_2"}


@pytest.mark.parametrize("by_control_message", [True, False])
async def test_an_attempt_that_is_cancelled_while_it_waits_to_be_alone_never_begins(by_control_message: bool) -> None:
    gates = Gates()
    rig = WorkerRig(gates)
    rig.answer_claim = alone("exec_2")
    rig.answer_progress = lambda told: Cancelled() if told.execution_id == "exec_2" and not by_control_message else Proceed()

    async with rig.running():
        await rig.offer(await rig.packet(1))
        await eventually(lambda: gates.begun == ["exec_1"])
        await rig.offer(await rig.packet(2, attempt=0, grant=None))
        await eventually(lambda: len(rig.claims) == 1)
        await rig.settles()
        if by_control_message:
            await rig.control(ControlMessage(execution_id="exec_2", action=ControlAction.CANCEL))
        else:
            await rig.passes(0.2)
        [report] = await rig.reports()
        await rig.offer(await rig.packet(3))
        await eventually(lambda: gates.begun == ["exec_1", "exec_3"], what="others begin again")
        gates.open("exec_1", "exec_3")
        await rig.reports(2)
        await rig.nothing_is_left()

    assert isinstance(report, Failed)
    assert (report.execution_id, report.code, report.metrics.processing_time_ms) == ("exec_2", "cancelled", 0)


async def test_an_attempt_that_waits_to_be_alone_is_handed_back_at_once_when_the_worker_stops() -> None:
    gates = Gates()
    rig = WorkerRig(gates, drain_seconds=5)
    rig.answer_claim = alone("exec_2", "exec_3")

    async with rig.running() as worker:
        await rig.offer(await rig.packet(1))
        await eventually(lambda: gates.begun == ["exec_1"])
        await rig.offer(await rig.packet(2, attempt=0, grant=None))
        await eventually(lambda: len(rig.claims) == 1)
        await rig.settles()
        rig.stop.set()
        [handed_back] = await rig.reports()
        gates.open("exec_1")
        [finished] = await rig.reports()
        await worker

    assert isinstance(handed_back, Failed)
    assert (handed_back.execution_id, handed_back.code) == ("exec_2", "handed_back")
    assert isinstance(finished, Completed)
    assert rig.packets_left() == 0


async def test_an_attempt_waits_for_the_other_worker_of_its_process_too() -> None:
    gates = Gates()
    rig = WorkerRig(gates)
    rig.answer_claim = alone("exec_1")

    async with rig.running():
        rig.solitude.join_company()
        await rig.offer(await rig.packet(1, attempt=0, grant=None))
        await eventually(lambda: len(rig.claims) == 1)
        await rig.fetches_ended()
        begun_beside_the_other = list(gates.begun)
        rig.solitude.leave_company()
        gates.open("exec_1")
        [report] = await rig.reports()

    assert begun_beside_the_other == []
    assert isinstance(report, Completed)


async def test_a_worker_begins_nothing_while_an_attempt_of_the_other_one_is_alone_and_goes_on_after_it() -> None:
    gates = Gates()
    rig = WorkerRig(gates)
    gates.open("exec_1")

    async with rig.running():
        rig.solitude.join_company()
        async with rig.solitude.alone():
            await rig.fetches_ended()
            await rig.offer(await rig.packet(1))
            await rig.fetches_ended()
            begun_beside_the_other = list(gates.begun)
        rig.solitude.leave_company()
        [report] = await rig.reports()

    assert begun_beside_the_other == []
    assert isinstance(report, Completed)


OPENINGS = st.permutations([f"exec_{number}" for number in range(1, 9)])
SOME = st.frozensets(st.sampled_from([f"exec_{number}" for number in range(1, 9)]))


@settings(max_examples=40, deadline=None)
@given(lonely=SOME, order=OPENINGS, cancelled=SOME, slots=st.integers(1, 6), stopped_after=st.none() | st.integers(0, 8))
def test_whatever_is_alone_ends_cancelled_or_drained_nobody_is_beside_it_and_everybody_ends(
    lonely: frozenset[str], order: list[str], cancelled: frozenset[str], slots: int, stopped_after: int | None
) -> None:
    async def play() -> None:
        gates = Gates()
        rig = WorkerRig(gates, slots=slots, drain_seconds=0.02)
        rig.answer_claim = ClaimRule(lonely)
        async with rig.running() as worker:
            for number in range(1, 9):
                await rig.offer(await rig.packet(number, attempt=0, grant=None))
            for count, name in enumerate(order):
                await rig.settles()
                if count == stopped_after:
                    rig.stop.set()
                    break
                if name in cancelled:
                    await rig.control(ControlMessage(execution_id=name, action=ControlAction.CANCEL))
                gates.open(name)
            if stopped_after is None or stopped_after >= len(order):
                for _ in range(200):
                    if rig.packets_left() == 0:
                        break
                    await rig.passes(0.5)
                    await asyncio.sleep(0.005)
                assert rig.packets_left() == 0
            rig.stop.set()
            await asyncio.wait_for(worker, 30)

        assert gates.under_way == set()
        assert [each for each in gates.together if len(each) > 1 and each & lonely] == []
        assert rig.packets_left() + rig.reports_stored() == 8

    asyncio.run(play())
