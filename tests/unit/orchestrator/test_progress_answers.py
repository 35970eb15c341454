"""Signs of life that are told together: applied at once, each with an answer of its own. The test directs the engine."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import cast

import msgspec
import pytest
import structlog

from aif_contracts import subjects
from aif_contracts.packets import Cancelled, NotNoted, Proceed, ProgressAnswer, Superseded
from aif_contracts.reports import Progress
from aif_orchestrator.engine.arrivals import Applied, NotApplied
from aif_orchestrator.engine.engine import Engine
from aif_orchestrator.execution.happenings import AttemptProgressed, Happening
from aif_orchestrator.progress_answers import ProgressAnswers
from aif_runtime.failures import DatabaseUnavailable, NoAnswer
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from support.waiting import eventually


class DirectedEngine:
    """Takes what it is given; what comes of each is for the test to say."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, Happening]] = []
        self._applied: dict[str, asyncio.Future[Applied]] = {}

    def submit(self, execution_id: str, happening: Happening) -> "asyncio.Future[Applied]":
        self.taken.append((execution_id, happening))
        return self._applied.setdefault(execution_id, asyncio.get_running_loop().create_future())

    def commits(self, execution_id: str, answer: ProgressAnswer | None = None) -> None:
        self._applied[execution_id].set_result(Applied(answer=answer or Proceed()))

    def fails(self, execution_id: str, failure: Exception) -> None:
        self._applied[execution_id].set_exception(failure)


class ProgressRig:
    def __init__(self) -> None:
        self.engine = DirectedEngine()
        self.bus = MemoryBus(MemoryBroker())
        self.answers = ProgressAnswers(bus=self.bus, engine=cast(Engine, self.engine))

    def tells(self, *together: Progress | Mapping[str, str]) -> "asyncio.Task[list[ProgressAnswer]]":
        return asyncio.create_task(self.asked(msgspec.json.encode(together)))

    async def asked(self, payload: bytes) -> list[ProgressAnswer]:
        reply = await self.bus.ask(subjects.PROGRESS, payload, wait_seconds=5)
        return msgspec.json.decode(reply, type=list[ProgressAnswer])

    async def taken(self, *execution_ids: str) -> None:
        await eventually(
            lambda: [each for each, _ in self.engine.taken] == list(execution_ids), what=f"{execution_ids} are taken"
        )


@pytest.fixture
async def rig() -> AsyncIterator[ProgressRig]:
    rig = ProgressRig()
    await rig.answers.open()
    yield rig
    await rig.bus.close()


def progress(number: int, message: str = "") -> Progress:
    return Progress(
        packet_id=f"pkt_{number}",
        execution_id=f"exec_{number}",
        stage_id="one",
        attempt=number,
        worker_name="maker",
        instance_id="maker_1",
        percent=10 * number,
        message=message,
        is_waiting=True,
    )


async def test_all_that_is_told_together_is_taken_before_anything_is_committed(rig: ProgressRig) -> None:
    telling = rig.tells(progress(1, "begun"), progress(2))

    await rig.taken("exec_1", "exec_2")

    assert rig.engine.taken[0] == (
        "exec_1",
        AttemptProgressed(stage_id="one", attempt=1, instance_id="maker_1", percent=10, message="begun", is_waiting=True),
    )
    rig.engine.commits("exec_1")
    rig.engine.commits("exec_2")
    await telling


async def test_it_is_answered_when_the_last_of_it_is_committed(rig: ProgressRig) -> None:
    telling = rig.tells(progress(1), progress(2))
    await rig.taken("exec_1", "exec_2")

    rig.engine.commits("exec_2")
    for _ in range(10):
        await asyncio.sleep(0)
    answered_before = telling.done()
    rig.engine.commits("exec_1")

    assert (answered_before, await telling) == (False, [Proceed(), Proceed()])


async def test_each_is_answered_in_its_place_in_whatever_order_they_are_committed(rig: ProgressRig) -> None:
    telling = rig.tells(progress(1), progress(2), progress(3))
    await rig.taken("exec_1", "exec_2", "exec_3")

    rig.engine.commits("exec_3", Cancelled())
    rig.engine.commits("exec_1", Proceed())
    rig.engine.commits("exec_2", Superseded())

    assert await telling == [Proceed(), Superseded(), Cancelled()]


@pytest.mark.parametrize("failure", [NotApplied("a mistake of ours"), DatabaseUnavailable("away")])
async def test_one_that_cannot_be_applied_is_answered_as_such_and_spoils_no_other(rig: ProgressRig, failure: Exception) -> None:
    telling = rig.tells(progress(1), progress(2), progress(3))
    await rig.taken("exec_1", "exec_2", "exec_3")

    rig.engine.fails("exec_2", failure)
    rig.engine.commits("exec_1")
    rig.engine.commits("exec_3")

    assert await telling == [Proceed(), NotNoted(), Proceed()]


@pytest.mark.parametrize("unreadable", [{"type": "nope"}, progress(2, "a\0b")], ids=["unknown", "holds NUL"])
async def test_one_that_cannot_be_read_is_answered_as_such_and_spoils_no_other(
    rig: ProgressRig, unreadable: Progress | Mapping[str, str]
) -> None:
    telling = rig.tells(progress(1), unreadable, progress(3))
    await rig.taken("exec_1", "exec_3")

    rig.engine.commits("exec_1")
    rig.engine.commits("exec_3", Cancelled())

    assert await telling == [Proceed(), NotNoted(), Cancelled()]


@pytest.mark.parametrize(
    "payload",
    [b"", b"no json", b'{"type":"progress"}', msgspec.json.encode(progress(1)), msgspec.json.encode(list(range(65)))],
    ids=["empty", "no JSON", "no progress", "no array", "too many"],
)
async def test_what_is_no_array_of_at_most_so_many_is_not_answered(rig: ProgressRig, payload: bytes) -> None:
    with pytest.raises(NoAnswer):
        await rig.asked(payload)

    assert rig.engine.taken == []


async def test_signs_of_life_that_cannot_be_read_are_told_of_once_in_a_while(rig: ProgressRig) -> None:
    with structlog.testing.capture_logs() as logged:
        for _ in range(50):
            assert await rig.asked(b"[1,2,3]") == [NotNoted(), NotNoted(), NotNoted()]

    assert [(each["event"], each["times"]) for each in logged] == [("progress_malformed", 1)]
