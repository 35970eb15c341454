import asyncio
import itertools

import msgspec
import pytest

from aif_contracts import subjects
from aif_contracts.packets import (
    Cancelled,
    ClaimAnswer,
    ClaimRequest,
    Control,
    ControlAction,
    Grant,
    Granted,
    Later,
    PreviousAttempt,
    Priority,
    Superseded,
)
from aif_contracts.reports import Completed, Declined
from aif_runtime import registry
from aif_runtime.assignment import Assignment, Outcome
from aif_runtime.claim_ids import ClaimIds
from support.waiting import eventually
from support.worker_rig import WorkerRig


class Watched:
    """An action that remembers what it was given."""

    def __init__(self) -> None:
        self.assignments: list[Assignment] = []

    async def __call__(self, assignment: Assignment) -> Outcome:
        self.assignments.append(assignment)
        return Outcome(output={})


async def test_a_packet_with_a_grant_begins_at_once_as_the_attempt_it_names() -> None:
    action = Watched()
    rig = WorkerRig(action)

    async with rig.running():
        await rig.offer(await rig.packet(attempt=3))
        [report] = await rig.reports()
        await rig.nothing_is_left()

    assert rig.claims == []
    assert isinstance(report, Completed)
    assert report.attempt == 3
    assert report.instance_id == "echo_1"
    assert action.assignments[0].grant.max_cost_usd == "0.05"
    assert action.assignments[0].input == {"word": "bee"}


async def test_an_action_learns_what_was_wrong_with_the_attempt_before() -> None:
    action = Watched()
    rig = WorkerRig(action)
    previous = PreviousAttempt(attempt=1, code="output_invalid", message="the output has no `title`")

    async with rig.running():
        await rig.offer(await rig.packet(1))
        await rig.offer(await rig.packet(2, attempt=2, previous=previous))
        await rig.reports(2)

    told = {assignment.execution_id: assignment.previous for assignment in action.assignments}
    assert told == {"exec_1": None, "exec_2": previous}


async def test_a_compensation_is_worked_on_like_any_action_and_knows_that_it_is_one() -> None:
    action = Watched()
    rig = WorkerRig(action)

    async with rig.running():
        await rig.offer(await rig.packet(1))
        await rig.offer(await rig.packet(2, control=Control(action=ControlAction.COMPENSATE)))
        reports = await rig.reports(2)
        await rig.nothing_is_left()

    undoes = {assignment.execution_id: assignment.is_compensation for assignment in action.assignments}
    assert undoes == {"exec_1": False, "exec_2": True}
    assert all(isinstance(report, Completed) for report in reports)


@pytest.mark.parametrize("paid", [True, False])
async def test_a_packet_without_a_grant_is_claimed_and_done_as_the_attempt_granted(paid: bool) -> None:
    action = Watched()
    rig = WorkerRig(action, paid=paid)
    rig.answer_claim = lambda _: Granted(attempt=4, grant=Grant(max_cost_usd="0.5"), timeout_ms=1000)

    async with rig.running():
        await rig.offer(await rig.packet(attempt=0, grant=None))
        [report] = await rig.reports()
        await rig.nothing_is_left()

    [claim] = rig.claims
    assert claim == ClaimRequest(
        packet_id="pkt_1",
        execution_id="exec_1",
        stage_id="stage_1",
        instance_id="echo_1",
        num_delivered=1,
        models=("small",),
        claim_id=claim.claim_id,
    )
    assert report.attempt == 4
    assert action.assignments[0].grant.max_cost_usd == "0.5"
    assert action.assignments[0].remaining_seconds() == 1.0


async def test_a_packet_delivered_again_is_claimed_although_it_carries_a_grant() -> None:
    rig = WorkerRig()
    answers: list[ClaimAnswer] = [
        Later(retry_after_ms=2000, reason="no budget"),
        Granted(attempt=2, grant=Grant(), timeout_ms=1000),
    ]
    rig.answer_claim = lambda _: answers.pop(0)

    async with rig.running():
        await rig.offer(await rig.packet(attempt=0, grant=None))
        await eventually(lambda: len(rig.claims) == 1)
        await rig.passes(2.0)
        [report] = await rig.reports()

    assert [claim.num_delivered for claim in rig.claims] == [1, 2]
    assert report.attempt == 2


async def test_later_puts_the_packet_off_for_the_time_the_orchestrator_names() -> None:
    rig = WorkerRig()
    rig.answer_claim = lambda _: Later(retry_after_ms=2000, reason="no budget")

    async with rig.running():
        await rig.offer(await rig.packet(attempt=0, grant=None))
        await eventually(lambda: len(rig.claims) == 1)
        await rig.passes(1.9)
        await rig.settles()
        claims_before_its_time = len(rig.claims)
        await rig.passes(0.2)
        await eventually(lambda: len(rig.claims) == 2)

    assert claims_before_its_time == 1


async def test_a_packet_put_off_again_and_again_is_no_poison_and_waits_on() -> None:
    rig = WorkerRig(slots=1)
    rig.answer_claim = lambda _: Later(retry_after_ms=10, reason="no budget")

    async with rig.running():
        await rig.offer(await rig.packet(1, attempt=0, grant=None))
        for count in range(1, 9):
            await eventually(lambda count=count: len(rig.claims) >= count)  # type: ignore[misc]
            await rig.passes(0.01)
        await rig.offer(await rig.packet(2))
        [overtaking] = await rig.reports()
        rig.answer_claim = lambda _: Granted(attempt=1, grant=Grant(), timeout_ms=1000)
        [report] = await rig.reports()
        await rig.nothing_is_left()

    assert overtaking.packet_id == "pkt_2"
    assert isinstance(report, Completed)
    assert report.packet_id == "pkt_1"
    assert [claim.num_delivered for claim in rig.claims[:7]] == [1, 2, 3, 4, 5, 5, 5]


async def test_a_packet_of_an_execution_that_is_paused_for_long_is_kept_and_delivered_no_more() -> None:
    rig = WorkerRig()
    rig.answer_claim = lambda _: Later(retry_after_ms=10, reason="the execution is paused")
    await rig.offer(await rig.packet(attempt=0, grant=None))
    await rig.deliver_in_vain(times=4)

    async with rig.running():
        await eventually(lambda: len(rig.claims) == 1)
        for _ in range(60):
            await rig.passes(29)
            await eventually(lambda: rig.seconds_to_redelivery() == 30.0, what="the lease is refreshed")
        rig.answer_claim = lambda _: Granted(attempt=1, grant=Grant(), timeout_ms=1000)
        [report] = await rig.reports()
        await rig.nothing_is_left()

    assert isinstance(report, Completed)
    assert {claim.num_delivered for claim in rig.claims} == {5}


@pytest.mark.parametrize("processes_before", [4, 18])
async def test_a_packet_kept_for_its_grant_is_handed_back_when_the_worker_stops(processes_before: int) -> None:
    rig = WorkerRig()
    rig.answer_claim = lambda _: Later(retry_after_ms=60_000, reason="no budget")
    await rig.offer(await rig.packet(attempt=0, grant=None))
    await rig.deliver_in_vain(times=processes_before)

    async with rig.running() as worker:
        await eventually(lambda: len(rig.claims) == 1)
        await rig.settles()
        rig.stop.set()
        await worker

    assert rig.seconds_to_redelivery() == 0
    assert rig.packets_left() == 1


@pytest.mark.parametrize("answer", [Superseded(), Cancelled()])
async def test_a_packet_that_nobody_needs_any_more_is_dropped_without_a_report(answer: ClaimAnswer) -> None:
    action = Watched()
    rig = WorkerRig(action)
    rig.answer_claim = lambda _: answer

    async with rig.running():
        await rig.offer(await rig.packet(attempt=0, grant=None))
        await eventually(lambda: len(rig.claims) == 1)
        await rig.nothing_is_left()

    assert action.assignments == []
    assert rig.reports_stored() == 0


async def test_a_claim_whose_answer_was_lost_is_repeated_at_once_under_its_id() -> None:
    rig = WorkerRig()
    rig.lose_answers(1)

    async with rig.running():
        await rig.offer(await rig.packet(attempt=0, grant=None))
        [report] = await rig.reports()
        await rig.nothing_is_left()

    assert isinstance(report, Completed)
    first, again = rig.claims
    assert first == again
    assert first.claim_id != ""


async def test_a_claim_without_an_answer_keeps_its_id_over_deliveries_and_waiting_until_it_is_granted() -> None:
    rig = WorkerRig()
    rig.lose_answers(2)
    answers: list[ClaimAnswer] = [
        Later(retry_after_ms=2000, reason="no budget"),
        Granted(attempt=2, grant=Grant(), timeout_ms=1000),
    ]
    rig.answer_claim = lambda _: answers.pop(0)

    async with rig.running():
        await rig.offer(await rig.packet(attempt=0, grant=None))
        await eventually(lambda: rig.seconds_to_redelivery() == 1.0)
        await rig.passes(1.0)
        await eventually(lambda: len(rig.claims) == 3)
        await rig.passes(2.0)
        await rig.reports()

    assert [claim.num_delivered for claim in rig.claims] == [1, 1, 2, 3]
    assert len({claim.claim_id for claim in rig.claims}) == 1


async def test_a_packet_that_comes_again_after_its_attempt_is_claimed_anew() -> None:
    rig = WorkerRig()
    rig.answer_claim = lambda _: Granted(attempt=len(rig.claims), grant=Grant(), timeout_ms=1000)

    async with rig.running():
        for _ in range(2):
            await rig.offer(await rig.packet(attempt=0, grant=None))
            await rig.reports()
            await rig.nothing_is_left()

    first, second = rig.claims
    assert (first.packet_id, second.packet_id) == ("pkt_1", "pkt_1")
    assert first.claim_id != second.claim_id


def test_of_many_packets_the_oldest_claim_ids_are_forgotten() -> None:
    numbers = itertools.count(1)
    claim_ids = ClaimIds(lambda prefix: f"{prefix}_{next(numbers)}", most_remembered=2)

    for packet_id in ("a", "b", "c"):
        claim_ids.give_back(packet_id, claim_ids.lend(packet_id))

    assert [claim_ids.lend(packet_id) for packet_id in ("c", "b", "a")] == ["claim_3", "claim_2", "claim_4"]


def test_two_deliveries_of_a_packet_in_one_process_never_have_the_same_claim_id_at_once() -> None:
    numbers = itertools.count(1)
    claim_ids = ClaimIds(lambda prefix: f"{prefix}_{next(numbers)}")

    first, second = claim_ids.lend("a"), claim_ids.lend("a")
    claim_ids.give_back("a", first)

    assert (first, second) == ("claim_1", "claim_2")
    assert claim_ids.lend("a") == "claim_1"


async def test_without_an_orchestrator_the_packet_waits_a_second_and_then_longer() -> None:
    rig = WorkerRig()
    asked = []

    async with rig.running(orchestrator_answers=False):
        await rig.offer(await rig.packet(attempt=0, grant=None))
        await eventually(lambda: rig.seconds_to_redelivery() == 1.0)
        await rig.passes(1.0)
        await eventually(lambda: rig.seconds_to_redelivery() == 2.0)
        asked = rig.claims

    assert asked == []
    assert rig.packets_left() == 1


async def test_a_cancelled_packet_is_dropped() -> None:
    action = Watched()
    rig = WorkerRig(action)

    async with rig.running():
        await rig.offer(await rig.packet(control=Control(action=ControlAction.CANCEL)))
        await rig.nothing_is_left()

    assert action.assignments == []
    assert rig.reports_stored() == 0


async def test_an_unknown_action_is_declined_with_the_actions_that_there_are() -> None:
    rig = WorkerRig()

    async with rig.running():
        await rig.offer(await rig.packet(action="sing"))
        [report] = await rig.reports()
        await rig.nothing_is_left()

    assert isinstance(report, Declined)
    assert report.code == "unknown_action"
    assert report.message == "echo has no action echo.sing; it has say"


async def test_bytes_that_are_no_packet_go_to_the_dead_letters_with_the_reason() -> None:
    rig = WorkerRig()

    async with rig.running():
        await rig.offer_bytes(b'{"packet_id": 5}')
        [letter] = await rig.dead_letters()
        await rig.nothing_is_left()

    assert letter.reason == "Expected `str`, got `int` - at `$.packet_id`"
    assert letter.payload == b'{"packet_id": 5}'
    assert letter.found_by == "echo"


async def test_a_packet_whose_workers_died_is_claimed_for_the_orchestrator_to_decide() -> None:
    rig = WorkerRig()
    rig.answer_claim = lambda _: Granted(attempt=3, grant=Grant(), timeout_ms=1000)
    await rig.offer(await rig.packet())
    await rig.deliver_in_vain(times=19)

    async with rig.running():
        [report] = await rig.reports()
        await rig.nothing_is_left()

    assert isinstance(report, Completed)
    assert (report.attempt, [claim.num_delivered for claim in rig.claims]) == (3, [20])


async def test_a_packet_that_came_more_than_twenty_times_is_buried_before_it_is_read() -> None:
    rig = WorkerRig()
    await rig.offer_bytes(b"not even read")
    await rig.deliver_in_vain(times=20)

    async with rig.running():
        [letter] = await rig.dead_letters()

    assert letter.reason == "delivered 21 times and never finished"
    assert letter.deliveries == 21
    assert rig.set_aside("buried") == 1


async def test_urgent_packets_take_free_slots_before_others() -> None:
    order: list[str] = []
    gate = asyncio.Event()

    async def slow(assignment: Assignment) -> Outcome:
        order.append(assignment.execution_id)
        await gate.wait()
        return Outcome(output={})

    rig = WorkerRig(slow, slots=1)

    async with rig.running():
        await rig.offer(await rig.packet(1), priority=Priority.LOW)
        await eventually(lambda: order == ["exec_1"])
        await rig.offer(await rig.packet(2), priority=Priority.LOW)
        await eventually(lambda: rig.delivered() == 2)
        await rig.offer(await rig.packet(3), priority=Priority.NORMAL)
        await eventually(lambda: rig.delivered() == 3)
        await rig.offer(await rig.packet(4), priority=Priority.CRITICAL)
        await eventually(lambda: rig.delivered() == 4)
        await rig.settles()
        gate.set()
        await rig.reports(4)

    assert order == ["exec_1", "exec_4", "exec_3", "exec_2"]


async def test_a_full_worker_holds_only_a_few_packets_beyond_its_slots_however_many_it_has_done() -> None:
    may_end = asyncio.Semaphore(0)

    async def slow(assignment: Assignment) -> Outcome:
        await may_end.acquire()
        return Outcome(output={})

    rig = WorkerRig(slow, slots=4)
    held: list[int] = []

    async with rig.running():
        for number in range(1, 41):
            await rig.offer(await rig.packet(number))
        for _ in range(5):
            await eventually(lambda: rig.delivered() >= 5)
            await rig.settles()
            held.append(rig.delivered())
            may_end.release()
            await rig.reports()
        for _ in range(35):
            may_end.release()
        await rig.reports(35)
        await rig.nothing_is_left()

    assert held == [5] * 5


async def test_the_worker_stands_in_the_registry_from_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "BEAT_SECONDS", 3600.0)
    rig = WorkerRig(slots=3)

    async with rig.running():
        entries = await eventually(lambda: rig.orchestrator.entries(subjects.BUCKET_REGISTRY))

    assert list(entries) == ["echo.echo_1"]
    described = msgspec.json.decode(entries["echo.echo_1"])
    assert described["actions"] == [{"name": "say", "paid": False}]
    assert described["capabilities"] == ["echoing"]
    assert described["slots"] == 3


async def test_the_worker_enters_itself_again_when_the_broker_has_lost_its_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "BEAT_SECONDS", 0.01)
    rig = WorkerRig()

    async with rig.running():
        before = await eventually(lambda: rig.orchestrator.entries(subjects.BUCKET_REGISTRY))
        rig.broker.wipe()
        after = await eventually(lambda: rig.orchestrator.entries(subjects.BUCKET_REGISTRY))

    assert after == before
