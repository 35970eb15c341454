import asyncio

import pytest

from aif_contracts.packets import Priority, Superseded
from aif_contracts.reports import Completed, Declined, Failed
from aif_runtime.assignment import Assignment, Outcome
from aif_runtime.lease import Lease
from support.manual_clock import ManualClock
from support.waiting import eventually
from support.worker_rig import WorkerRig, provider_call


class Gated:
    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun: list[str] = []

    async def __call__(self, assignment: Assignment) -> Outcome:
        self.begun.append(assignment.execution_id)
        await self.gate.wait()
        return Outcome(output={})


async def test_long_work_keeps_its_packet_from_being_delivered_again() -> None:
    action = Gated()
    rig = WorkerRig(action)

    async with rig.running():
        await rig.offer(await rig.packet())
        await eventually(lambda: action.begun == ["exec_1"])
        for _ in range(9):
            await rig.passes(10.5)
            await eventually(lambda: rig.seconds_to_redelivery() == 30.0, what="the lease is refreshed")
        action.gate.set()
        await rig.reports()
        await rig.nothing_is_left()

    assert action.begun == ["exec_1"]


async def test_a_packet_that_waits_for_a_slot_is_kept_too() -> None:
    action = Gated()
    rig = WorkerRig(action, slots=1)

    async with rig.running():
        await rig.offer(await rig.packet(1))
        await rig.offer(await rig.packet(2))
        await eventually(lambda: rig.delivered() == 2)
        for _ in range(4):
            await rig.passes(10.5)
            await eventually(lambda: rig.seconds_to_redelivery() == 30.0, what="both leases are refreshed")
        action.gate.set()
        await rig.reports(2)
        await rig.nothing_is_left()

    assert action.begun == ["exec_1", "exec_2"]
    assert rig.claims == []


async def test_a_worker_that_was_frozen_past_its_time_does_not_acknowledge() -> None:
    action = Gated()
    rig = WorkerRig(action)

    async with rig.running():
        await rig.offer(await rig.packet())
        await eventually(lambda: action.begun == ["exec_1"])
        await rig.passes(31.0)
        await eventually(lambda: rig.set_aside("put_off") == 1, what="the packet is delivered again")
        action.gate.set()
        [report] = await rig.reports()
        await rig.settles()
        left = rig.packets_left()

    assert isinstance(report, Completed)
    assert left == 1


async def test_a_worker_that_was_frozen_does_not_claim_again_what_it_still_works_on() -> None:
    action = Gated()
    rig = WorkerRig(action)
    rig.answer_claim = lambda _: Superseded()

    async with rig.running():
        await rig.offer(await rig.packet())
        await eventually(lambda: action.begun == ["exec_1"])
        await rig.passes(31.0)
        await eventually(lambda: rig.set_aside("put_off") == 1, what="the packet is delivered again")
        claimed_meanwhile = len(rig.claims)
        action.gate.set()
        [report] = await rig.reports()
        await rig.passes(1.0)
        await rig.nothing_is_left()

    assert (claimed_meanwhile, len(rig.claims)) == (0, 1)
    assert (report.attempt, action.begun) == (1, ["exec_1"])


async def test_a_packet_that_waited_in_a_frozen_worker_is_not_begun() -> None:
    action = Gated()
    rig = WorkerRig(action, slots=1)
    rig.answer_claim = lambda _: Superseded()

    async with rig.running():
        await rig.offer(await rig.packet(1))
        await rig.offer(await rig.packet(2))
        await eventually(lambda: rig.delivered() == 2)
        rig.clock.advance(31.0)
        action.gate.set()
        await rig.reports()
        await rig.passes(0)
        await rig.nothing_is_left()

    assert action.begun == ["exec_1"]


async def test_draining_finishes_what_is_begun_and_takes_nothing_new() -> None:
    action = Gated()
    rig = WorkerRig(action, drain_seconds=5)

    async with rig.running() as worker:
        await rig.offer(await rig.packet(1))
        await eventually(lambda: action.begun == ["exec_1"])
        rig.stop.set()
        await rig.fetches_ended()
        await rig.offer(await rig.packet(2))
        action.gate.set()
        await worker
        [report] = await rig.reports()

    assert report.execution_id == "exec_1"
    assert action.begun == ["exec_1"]
    assert rig.packets_left() == 1


async def test_work_that_outlasts_the_drain_is_handed_back() -> None:
    action = Gated()
    rig = WorkerRig(action, drain_seconds=0.02)

    async with rig.running() as worker:
        await rig.offer(await rig.packet())
        await eventually(lambda: action.begun == ["exec_1"])
        rig.stop.set()
        await worker
        [report] = await rig.reports()

    assert isinstance(report, Failed)
    assert report.code == "handed_back"
    assert rig.packets_left() == 0


async def test_what_handed_back_work_has_spent_is_told_all_the_same() -> None:
    paid = asyncio.Event()

    async def pay_and_wait(assignment: Assignment) -> Outcome:
        rig.broker.stop_confirming()
        await assignment.record_call(provider_call(assignment, call_key="exec_1.stage_1.1.1"))
        rig.broker.come_back()
        paid.set()
        await asyncio.Event().wait()
        raise AssertionError

    rig = WorkerRig(pay_and_wait, drain_seconds=0.02)

    async with rig.running() as worker:
        await rig.offer(await rig.packet())
        await paid.wait()
        rig.stop.set()
        await worker
        [call] = await rig.calls()
        [report] = await rig.reports()

    assert call.call_key == "exec_1.stage_1.1.1"
    assert isinstance(report, Failed)
    assert report.code == "handed_back"


@pytest.mark.parametrize("waiting", ["to_be_claimed", "delivered_before", "malformed"])
async def test_packets_that_wait_for_a_slot_are_handed_back_at_once(waiting: str) -> None:
    action = Gated()
    rig = WorkerRig(action, slots=1, drain_seconds=5)
    if waiting == "delivered_before":
        await rig.offer(await rig.packet(2))
        await rig.deliver_in_vain(times=1)

    async with rig.running() as worker:
        await rig.offer(await rig.packet(1), priority=Priority.HIGH)
        if waiting == "to_be_claimed":
            await rig.offer(await rig.packet(2, attempt=0, grant=None))
        elif waiting == "malformed":
            await rig.offer_bytes(b"no packet")
        await eventually(lambda: action.begun == ["exec_1"] and rig.delivered() == 2)
        rig.stop.set()
        await eventually(lambda: rig.seconds_to_redelivery() == 0, what="the waiting packet is handed back")
        action.gate.set()
        await worker

    assert action.begun == ["exec_1"]
    assert rig.packets_left() == 1


async def test_a_waiting_packet_that_has_opened_its_attempt_is_declined_lest_it_pass_for_one_that_took_a_worker_down() -> None:
    action = Gated()
    rig = WorkerRig(action, slots=1, drain_seconds=5)

    async with rig.running() as worker:
        await rig.offer(await rig.packet(1))
        await rig.offer(await rig.packet(2))
        await eventually(lambda: rig.delivered() == 2)
        rig.stop.set()
        [declined] = await rig.reports()
        action.gate.set()
        await worker

    assert isinstance(declined, Declined)
    assert (declined.packet_id, declined.attempt, declined.code) == ("pkt_2", 1, "no_room")
    assert action.begun == ["exec_1"]
    assert rig.packets_left() == 0


async def test_a_second_copy_of_what_is_worked_on_is_dropped_when_the_worker_ends() -> None:
    action = Gated()
    rig = WorkerRig(action, slots=1, drain_seconds=5)

    async with rig.running() as worker:
        for _ in range(2):
            await rig.offer(await rig.packet(1))
        await eventually(lambda: rig.delivered() == 2)
        rig.stop.set()
        await eventually(lambda: rig.packets_left() == 1, what="the copy is acknowledged")
        action.gate.set()
        await worker
        [report] = await rig.reports()

    assert isinstance(report, Completed)
    assert (rig.packets_left(), rig.reports_stored()) == (0, 0)


async def test_a_worker_outlives_a_broker_that_goes_and_comes_back() -> None:
    rig = WorkerRig()

    async with rig.running():
        await rig.settles()
        rig.broker.go_down()
        await rig.settles()
        rig.broker.come_back()
        await rig.offer(await rig.packet())
        [report] = await rig.reports()

    assert isinstance(report, Completed)


class RecordingDelivery:
    subject = "aif.work.echo.normal"
    payload = b""
    num_delivered = 1
    stream_sequence = 1

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.headers: dict[str, str] = {}

    async def ack(self) -> None:
        self.heard.append("ack")

    async def retry_later(self, delay_seconds: float) -> None:
        self.heard.append(f"retry_later {delay_seconds:g}")

    async def discard(self) -> None:
        self.heard.append("discard")

    async def still_working(self) -> None:
        self.heard.append("still_working")


@pytest.mark.parametrize(
    ("age_seconds", "heard"),
    [(9.9, []), (10.0, ["still_working"]), (30.0, ["still_working"]), (30.1, [])],
)
async def test_a_lease_is_refreshed_from_a_third_of_its_time_until_it_is_lost(age_seconds: float, heard: list[str]) -> None:
    clock, delivery = ManualClock(), RecordingDelivery()
    lease = Lease(delivery, ack_wait_seconds=30.0, monotonic=clock.monotonic)

    clock.advance(age_seconds)
    await lease.keep()

    assert delivery.heard == heard


async def test_a_lost_lease_settles_nothing() -> None:
    clock, delivery = ManualClock(), RecordingDelivery()
    lease = Lease(delivery, ack_wait_seconds=30.0, monotonic=clock.monotonic)

    clock.advance(30.1)
    await lease.ack()
    await lease.put_off(0)

    assert delivery.heard == []


async def test_a_lease_is_settled_once() -> None:
    clock, delivery = ManualClock(), RecordingDelivery()
    lease = Lease(delivery, ack_wait_seconds=30.0, monotonic=clock.monotonic)

    await lease.ack()
    await lease.put_off(0)
    clock.advance(15)
    await lease.keep()

    assert delivery.heard == ["ack"]


async def test_a_packet_that_comes_to_a_worker_told_to_stop_goes_to_others_at_once() -> None:
    rig = WorkerRig(Gated())

    async with rig.running():
        packet = await rig.packet(attempt=0, grant=None)
        await rig.settles()
        rig.stop.set()
        await rig.offer(packet)
        await eventually(lambda: rig.delivered() == 1)
        await rig.fetches_ended()
        comes_again_in = rig.seconds_to_redelivery()

    assert comes_again_in == 0
