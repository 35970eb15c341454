import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from aif_contracts import subjects
from aif_contracts.packets import Cancelled, ControlAction, ControlMessage, Proceed, ProgressAnswer, Superseded
from aif_contracts.reports import MOST_POINTS, Completed, Failed, Progress
from aif_runtime.assignment import Assignment, Outcome, WorkFailure
from aif_runtime.failures import BusUnavailable
from aif_runtime.memory_bus import MemoryBroadcasts, MemoryBus
from aif_runtime.pulse import CANCELS_REMEMBERED, InHand
from aif_runtime.untold_points import UntoldPoints
from aif_runtime.worker_times import WorkerTimes
from support.manual_clock import ManualClock
from support.waiting import eventually
from support.worker_rig import WorkerRig, provider_call

TIMES = WorkerTimes(tick=0.002, lease_look=0.002, fetch=0.02)


async def wait_for_ever(assignment: Assignment) -> Outcome:
    await assignment.progress(10, "begun")
    await asyncio.Event().wait()
    raise AssertionError


class Gated:
    """An action that says how far it is, and ends when the gate opens."""

    def __init__(self, *says: tuple[Any, str]) -> None:
        self._says = says
        self._waits = asyncio.Event()
        self.gate = asyncio.Event()

    async def __call__(self, assignment: Assignment) -> Outcome:
        for percent, message in self._says:
            await assignment.progress(percent, message)
        self._waits.set()
        await self.gate.wait()
        return Outcome(output={})

    async def begin(self, rig: WorkerRig, *, attempt: int = 1) -> None:
        await rig.offer(await rig.packet(attempt=attempt))
        await self._waits.wait()
        await rig.settles()

    async def first_told(self, rig: WorkerRig, *, attempt: int = 1) -> Progress:
        """What its worker tells of it a moment after it has begun."""
        await self.begin(rig, attempt=attempt)
        await rig.passes(0.3)
        await eventually(lambda: len(rig.told) == 1)
        return rig.told[0]


async def test_work_that_is_done_at_once_tells_no_progress() -> None:
    rig = WorkerRig()

    async with rig.running():
        await rig.offer(await rig.packet())
        await rig.reports()
        await rig.settles()

    assert rig.told == []


@pytest.mark.parametrize("ends_well", [True, False])
async def test_what_work_passes_before_it_is_told_of_is_named_in_its_report(ends_well: bool) -> None:
    async def soon_done(assignment: Assignment) -> Outcome:
        for percent, message in ((10, "a"), (10, "a"), (10, "sk-REDACTED"), (50, "b")):
            await assignment.progress(percent, message)
        if not ends_well:
            raise WorkFailure("too_thin", "say more", retryable=False)
        return Outcome(output={})

    rig = WorkerRig(soon_done)

    async with rig.running():
        await rig.offer(await rig.packet())
        [report] = await rig.reports()

    assert isinstance(report, Completed if ends_well else Failed)
    assert [(point.percent, point.message) for point in report.points] == [(10, "a"), (10, "***"), (50, "b")]


async def test_the_first_sign_of_life_names_what_came_before_and_nothing_is_named_twice() -> None:
    action = Gated((10, "begun"), (20, "read"), (30, "read and understood"))
    rig = WorkerRig(action)

    async with rig.running():
        told = await action.first_told(rig)
        action.gate.set()
        [report] = await rig.reports()

    assert (told.percent, told.message) == (30, "read and understood")
    assert [(point.percent, point.message, point.ago_ms) for point in told.points] == [(10, "begun", 300), (20, "read", 300)]
    assert isinstance(report, Completed)
    assert report.points == ()


@pytest.mark.parametrize("count", [1, 16, 17, 31, 32, 33, 100, 10_000])
async def test_of_many_points_a_report_names_some_evenly(count: int) -> None:
    clock = ManualClock()
    untold = UntoldPoints(clock.monotonic)
    for number in range(count):
        clock.advance(0.001)
        untold.pass_by(number * 100 // count, f"{number}")

    points = untold.taken(str)

    numbers = [int(point.message) for point in points]
    apart = {later - earlier for earlier, later in pairwise(numbers)}
    assert numbers[0] == 0
    assert len(apart) <= 1
    assert min(count, MOST_POINTS // 2) <= len(points) <= MOST_POINTS
    assert [point.ago_ms for point in points] == [count - 1 - number for number in numbers]
    assert untold.taken(str) == ()


async def test_work_that_lasts_tells_that_it_has_begun() -> None:
    action = Gated()
    rig = WorkerRig(action)

    async with rig.running():
        told = await action.first_told(rig, attempt=2)
        action.gate.set()
        await rig.reports()

    assert (told.percent, told.attempt, told.instance_id) == (0, 2, "echo_1")


async def test_progress_is_merged_and_only_the_newest_is_sent() -> None:
    action = Gated(*((percent, f"{percent} done") for percent in range(100)))
    rig = WorkerRig(action, times=TIMES)

    async with rig.running():
        await action.first_told(rig)
        await rig.passes(1.0)
        await rig.settles()
        action.gate.set()
        await rig.reports()

    assert [(progress.percent, progress.message) for progress in rig.told] == [(99, "99 done")]


async def test_progress_never_falls_and_stays_in_its_range() -> None:
    action = Gated((400, "too much"), (-5, "too little"))
    rig = WorkerRig(action)

    async with rig.running():
        told = await action.first_told(rig)
        action.gate.set()
        await rig.reports()

    assert told.percent == 100


async def test_progress_is_whole_and_its_text_fit_to_be_sent_whatever_the_action_says() -> None:
    action = Gated((100 / 3, "a\0b \ud800 sk-REDACTED"), (float("nan"), "a\0b \ud800 sk-REDACTED"))
    rig = WorkerRig(action)

    async with rig.running():
        told = await action.first_told(rig)
        action.gate.set()
        await rig.reports()

    assert (told.percent, told.message) == (33, "a\N{REPLACEMENT CHARACTER}b ? ***")


async def test_a_silent_action_is_told_to_be_alive_every_ten_seconds() -> None:
    action = Gated()
    rig = WorkerRig(action)

    async with rig.running():
        await action.begin(rig)
        for count in (1, 2, 3):
            await rig.passes(10.0)
            await eventually(lambda count=count: len(rig.told) == count)  # type: ignore[misc]
        action.gate.set()
        await rig.reports()

    assert len(rig.told) == 3


async def test_what_an_action_says_later_is_told_within_a_quarter_of_a_second() -> None:
    goes_on, ends = asyncio.Event(), asyncio.Event()

    async def in_two_parts(assignment: Assignment) -> Outcome:
        await assignment.progress(10, "begun")
        await goes_on.wait()
        await assignment.progress(50, "half")
        await ends.wait()
        return Outcome(output={})

    rig = WorkerRig(in_two_parts)

    async with rig.running():
        await rig.offer(await rig.packet())
        await rig.settles()
        await rig.passes(0.2)
        await eventually(lambda: len(rig.told) == 1)
        goes_on.set()
        await rig.settles()
        await rig.passes(0.25)
        await eventually(lambda: len(rig.told) == 2)
        ends.set()
        await rig.reports()

    assert [(progress.percent, progress.message) for progress in rig.told] == [(10, "begun"), (50, "half")]


@pytest.mark.parametrize(("answer", "code"), [(Superseded(), "superseded"), (Cancelled(), "cancelled")])
async def test_an_attempt_that_is_not_wanted_any_more_stops_and_tells_what_it_cost(answer: ProgressAnswer, code: str) -> None:
    async def pay_and_wait(assignment: Assignment) -> Outcome:
        await assignment.record_call(provider_call(assignment))
        return await wait_for_ever(assignment)

    rig = WorkerRig(pay_and_wait)
    rig.answer_progress = lambda _: answer

    async with rig.running():
        await rig.offer(await rig.packet())
        await rig.calls()
        await rig.passes(0.3)
        [report] = await rig.reports()
        await rig.nothing_is_left()

    assert isinstance(report, Failed)
    assert (report.code, report.retryable) == (code, False)
    assert report.metrics.cost_usd == "0.000027"


async def test_proceed_lets_the_attempt_go_on() -> None:
    action = Gated()
    rig = WorkerRig(action)
    rig.answer_progress = lambda _: Proceed()

    async with rig.running():
        await action.first_told(rig)
        action.gate.set()
        [report] = await rig.reports()

    assert isinstance(report, Completed)


async def test_progress_that_nobody_answers_does_not_disturb_the_work() -> None:
    action = Gated()
    rig = WorkerRig(action)

    async with rig.running(orchestrator_answers=False):
        await action.begin(rig)
        await rig.passes(0.3)
        await rig.settles()
        action.gate.set()
        [report] = await rig.reports()

    assert isinstance(report, Completed)


async def test_a_control_message_cancels_the_attempts_of_its_execution_and_no_others() -> None:
    begun: list[str] = []

    async def wait(assignment: Assignment) -> Outcome:
        begun.append(assignment.execution_id)
        return await wait_for_ever(assignment)

    rig = WorkerRig(wait, drain_seconds=0)

    async with rig.running():
        await rig.offer(await rig.packet(1))
        await rig.offer(await rig.packet(2))
        await eventually(lambda: sorted(begun) == ["exec_1", "exec_2"])
        await rig.control(ControlMessage(execution_id="exec_2", action=ControlAction.CANCEL))
        [report] = await rig.reports()
        await rig.settles()
        reports_left = rig.reports_stored()

    assert isinstance(report, Failed)
    assert (report.execution_id, report.code) == ("exec_2", "cancelled")
    assert reports_left == 0


async def test_a_packet_that_waited_in_the_queue_while_its_execution_was_cancelled_is_asked_about_and_not_begun() -> None:
    begun: list[str] = []

    async def wait(assignment: Assignment) -> Outcome:
        begun.append(assignment.execution_id)
        return await wait_for_ever(assignment)

    rig = WorkerRig(wait, drain_seconds=0)
    rig.answer_claim = lambda asked: Cancelled()

    async with rig.running():
        await rig.offer(await rig.packet(1))
        await eventually(lambda: begun == ["exec_1"])
        for execution_id in ("exec_2", "exec_1"):
            await rig.control(ControlMessage(execution_id=execution_id, action=ControlAction.CANCEL, attempt=1))
        await rig.reports()
        await rig.offer(await rig.packet(2))
        await rig.nothing_is_left()

    assert [each.execution_id for each in rig.claims] == ["exec_2"]
    assert begun == ["exec_1"]


async def test_the_attempt_after_the_one_that_was_cancelled_is_begun_without_asking() -> None:
    rig = WorkerRig()

    async with rig.running():
        await rig.control(ControlMessage(execution_id="exec_1", action=ControlAction.CANCEL, attempt=1))
        await rig.settles()
        await rig.offer(await rig.packet(1, attempt=2))
        [report] = await rig.reports()

    assert isinstance(report, Completed)
    assert rig.claims == []


async def test_of_very_many_cancels_a_worker_remembers_the_newest() -> None:
    in_hand = InHand()
    for number in range(CANCELS_REMEMBERED + 1):
        in_hand.note_cancel(ControlMessage(execution_id=f"exec_{number}", action=ControlAction.CANCEL))

    named = [in_hand.is_named_by_a_cancel(f"exec_{number}", "a", 1) for number in (0, 1, CANCELS_REMEMBERED)]

    assert named == [False, True, True]


class LateBus(MemoryBus):
    """The broker does not answer who listens for the first time."""

    has_refused = False

    @asynccontextmanager
    async def listen(self, subject: str) -> AsyncIterator[MemoryBroadcasts]:
        if not self.has_refused:
            self.has_refused = True
            raise BusUnavailable("the broker does not answer")
        async with super().listen(subject) as broadcasts:
            yield broadcasts


async def test_a_worker_that_begins_while_the_broker_stands_still_hears_control_messages_afterwards() -> None:
    rig = WorkerRig(wait_for_ever, drain_seconds=0, bus=LateBus)

    async def is_stopped() -> bool:
        await rig.control(ControlMessage(execution_id="exec_1", action=ControlAction.CANCEL))
        return rig.reports_stored() == 1

    async with rig.running():
        await rig.offer(await rig.packet(1))
        await eventually(is_stopped)
        [report] = await rig.reports()

    assert isinstance(report, Failed)
    assert report.code == "cancelled"


async def test_a_control_message_can_mean_one_stage() -> None:
    rig = WorkerRig(wait_for_ever, slots=4, drain_seconds=0)

    async with rig.running():
        await rig.offer(await rig.packet(1, stage_id="stage_1", packet_id="pkt_a"))
        await rig.offer(await rig.packet(1, stage_id="stage_2", packet_id="pkt_b"))
        await eventually(lambda: rig.delivered() == 2)
        await rig.settles()
        await rig.control(ControlMessage(execution_id="exec_1", action=ControlAction.CANCEL, stage_id="stage_2"))
        [report] = await rig.reports()
        await rig.settles()
        reports_left = rig.reports_stored()

    assert report.stage_id == "stage_2"
    assert reports_left == 0


async def test_a_control_message_for_an_earlier_attempt_leaves_the_next_one_alone() -> None:
    rig = WorkerRig(wait_for_ever, slots=4, drain_seconds=0)

    async with rig.running():
        await rig.offer(await rig.packet(1, stage_id="stage_1", packet_id="pkt_a", attempt=2))
        await rig.offer(await rig.packet(1, stage_id="stage_2", packet_id="pkt_b", attempt=1))
        await eventually(lambda: rig.delivered() == 2)
        await rig.settles()
        for stage_id in ("stage_1", "stage_2"):
            await rig.control(ControlMessage(execution_id="exec_1", action=ControlAction.CANCEL, stage_id=stage_id, attempt=1))
        [report] = await rig.reports()
        await rig.settles()
        reports_left = rig.reports_stored()

    assert (report.stage_id, report.attempt) == ("stage_2", 1)
    assert reports_left == 0


async def test_a_malformed_control_message_is_passed_over() -> None:
    rig = WorkerRig(wait_for_ever, drain_seconds=0)

    async with rig.running():
        await rig.offer(await rig.packet())
        await eventually(lambda: rig.delivered() == 1)
        await rig.orchestrator.broadcast(subjects.control("echo"), b"{")
        await rig.control(ControlMessage(execution_id="exec_1", action=ControlAction.CANCEL))
        [report] = await rig.reports()

    assert msgspec.structs.asdict(report)["code"] == "cancelled"
