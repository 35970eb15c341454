"""Signs of life that are due at the same beat are one question, and each attempt heeds its own answer."""

import asyncio

import msgspec
import pytest

from aif_contracts import reports
from aif_contracts.metering import CallOutcome
from aif_contracts.packets import NotNoted, Proceed, ProgressAnswer, Superseded
from aif_contracts.reports import Completed, Failed, Progress
from aif_runtime.assignment import Assignment, Outcome
from support.waiting import eventually
from support.worker_rig import WorkerRig, provider_call


class Gates:
    """An action that ends when the test opens the gate of its execution."""

    def __init__(self) -> None:
        self.begun: set[str] = set()
        self._gates: dict[str, asyncio.Event] = {}

    async def __call__(self, assignment: Assignment) -> Outcome:
        self.begun.add(assignment.execution_id)
        await self._gates.setdefault(assignment.execution_id, asyncio.Event()).wait()
        return Outcome(output={})

    def open(self, *execution_ids: str) -> None:
        for execution_id in execution_ids or self.begun:
            self._gates[execution_id].set()


async def begin(rig: WorkerRig, gates: Gates, *numbers: int) -> None:
    for number in numbers:
        await rig.offer(await rig.packet(number))
    await eventually(lambda: {f"exec_{number}" for number in numbers} <= gates.begun, what="all have begun")


def together(rig: WorkerRig) -> list[list[str]]:
    return [sorted(told.execution_id for told in question) for question in rig.told_together]


async def test_all_that_is_due_at_the_same_beat_is_one_question() -> None:
    rig = WorkerRig(gates := Gates())

    async with rig.running():
        await begin(rig, gates, 1, 2, 3)
        await rig.passes(0.2)
        await eventually(lambda: len(rig.told) == 3)
        gates.open()
        await rig.reports(3)

    assert together(rig) == [["exec_1", "exec_2", "exec_3"]]


async def test_a_question_holds_no_more_attempts_than_allowed() -> None:
    count = reports.MOST_TOGETHER + 1
    rig = WorkerRig(gates := Gates(), slots=count)

    async with rig.running():
        await begin(rig, gates, *range(count))
        await rig.passes(0.2)
        await eventually(lambda: len(rig.told) == count)
        gates.open()
        await rig.reports(count)

    assert [len(question) for question in rig.told_together] == [64, 1]


async def test_a_question_holds_no_more_bytes_than_allowed() -> None:
    rig = WorkerRig(gates := Gates())

    async with rig.running():
        for number in (1, 2, 3):
            await rig.offer(await rig.packet(number, stage_id="s" * (reports.MOST_BYTES_TOGETHER // 2)))
        await eventually(lambda: len(gates.begun) == 3)
        await rig.passes(0.2)
        await eventually(lambda: len(rig.told) == 3)
        gates.open()
        await rig.reports(3)

    assert [len(question) for question in rig.told_together] == [1, 1, 1]


async def test_each_attempt_heeds_its_own_answer() -> None:
    rig = WorkerRig(gates := Gates())
    rig.answer_progress = lambda told: Superseded() if told.execution_id == "exec_2" else Proceed()

    async with rig.running():
        await begin(rig, gates, 1, 2, 3)
        await rig.passes(0.2)
        [stopped] = await rig.reports()
        gates.open()
        finished = await rig.reports(2)

    assert isinstance(stopped, Failed)
    assert (stopped.execution_id, stopped.code) == ("exec_2", "superseded")
    assert sorted(report.execution_id for report in finished if isinstance(report, Completed)) == ["exec_1", "exec_3"]


async def test_what_is_due_while_a_question_is_under_way_does_not_wait_for_its_answer() -> None:
    rig = WorkerRig(gates := Gates())
    may_answer = asyncio.Event()
    rig.before_progress_answers = may_answer.wait

    async with rig.running():
        await begin(rig, gates, 1)
        await rig.passes(0.2)
        await eventually(lambda: together(rig) == [["exec_1"]])
        await begin(rig, gates, 2)
        await rig.passes(0.2)
        await eventually(lambda: together(rig) == [["exec_1"], ["exec_2"]])
        may_answer.set()
        gates.open()
        await rig.reports(2)


async def test_an_attempt_is_in_one_question_at_a_time_and_in_the_next_after_its_answer() -> None:
    rig = WorkerRig(gates := Gates())
    may_answer = asyncio.Event()
    rig.before_progress_answers = may_answer.wait

    async with rig.running():
        await begin(rig, gates, 1)
        await rig.passes(0.2)
        await eventually(lambda: len(rig.told) == 1)
        await rig.passes(10.0)
        await begin(rig, gates, 2)
        await rig.passes(0.2)
        await eventually(lambda: len(rig.told) == 2, what="the beat goes on")
        told_meanwhile = together(rig)
        may_answer.set()
        await eventually(lambda: len(rig.told) == 3)
        gates.open()
        await rig.reports(2)

    assert told_meanwhile == [["exec_1"], ["exec_2"]]
    assert together(rig)[2] == ["exec_1"]


async def test_the_answer_for_an_attempt_that_has_ended_meanwhile_is_passed_over() -> None:
    rig = WorkerRig(gates := Gates())
    may_answer = asyncio.Event()
    rig.before_progress_answers = may_answer.wait
    rig.answer_progress = lambda told: Superseded() if told.execution_id == "exec_1" else Proceed()

    async with rig.running():
        await begin(rig, gates, 1, 2)
        await rig.passes(0.2)
        await eventually(lambda: together(rig) == [["exec_1", "exec_2"]])
        gates.open("exec_1")
        [ended] = await rig.reports()
        may_answer.set()
        await rig.settles()
        await rig.passes(10.0)
        await eventually(lambda: len(rig.told) == 3, what="the other one is told of again")
        gates.open("exec_2")
        [other] = await rig.reports()

    assert isinstance(ended, Completed)
    assert isinstance(other, Completed)
    assert together(rig)[1] == ["exec_2"]


def not_the_first_time(rig: WorkerRig) -> ProgressAnswer:
    return NotNoted() if len(rig.told_together) == 1 else Proceed()


def cut_the_first(rig: WorkerRig, answers: bytes) -> bytes:
    return b"[]" if len(rig.told_together) == 1 else answers


@pytest.mark.parametrize("trouble", ["not noted", "an answer too few"])
async def test_a_sign_of_life_that_was_not_noted_lets_the_work_go_on_and_is_told_again(trouble: str) -> None:
    rig = WorkerRig(gates := Gates())
    if trouble == "not noted":
        rig.answer_progress = lambda _: not_the_first_time(rig)
    else:
        rig.spoil_progress_answers = lambda answers: cut_the_first(rig, answers)

    async with rig.running():
        await begin(rig, gates, 1)
        await rig.passes(0.2)
        await eventually(lambda: len(rig.told) == 1)
        await rig.settles()
        await rig.passes(10.0)
        await eventually(lambda: len(rig.told) == 2)
        gates.open()
        [report] = await rig.reports()

    assert isinstance(report, Completed)


async def test_a_sign_of_life_that_was_not_noted_lets_nothing_be_paid() -> None:
    begun, may_pay = asyncio.Event(), asyncio.Event()
    paid = False

    async def pay(assignment: Assignment) -> Outcome:
        nonlocal paid
        begun.set()
        await may_pay.wait()
        call = provider_call(assignment)
        started = msgspec.structs.replace(call, outcome=CallOutcome.STARTED, cost_usd=None, upper_bound_usd="0.01")
        await assignment.announce_call(started)
        paid = True
        await assignment.record_call(call)
        return Outcome(output={})

    rig = WorkerRig(pay, paid=True)
    paid_when_told: list[bool] = []

    def note_the_second(_: Progress) -> ProgressAnswer:
        paid_when_told.append(paid)
        return not_the_first_time(rig)

    rig.answer_progress = note_the_second

    async with rig.running():
        await rig.offer(await rig.packet())
        await begun.wait()
        # Of the worker alone: for the broker no time passes, which would deliver the packet again.
        rig.clock.advance(31.0)
        may_pay.set()
        await eventually(lambda: len(rig.told) == 1)
        await rig.settles()
        rig.clock.advance(10.0)
        await rig.reports()

    assert paid_when_told == [False, False]
    assert paid
