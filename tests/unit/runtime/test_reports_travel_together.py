"""What the reports of many attempts become on their way: few messages, each attempt waiting for its own."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest

from aif_contracts import reports, subjects
from aif_contracts.reports import Failed, Report
from aif_runtime.bus import Outgoing
from aif_runtime.failures import BusUnavailable
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.report_post import ReportPost
from support.waiting import eventually

TOGETHER = list[Report]


class GatedBus(MemoryBus):
    """Notes what is published; once closed, each time waits to be let go, and refuses when it is told to."""

    def __init__(self) -> None:
        super().__init__(MemoryBroker())
        self.published: list[Outgoing] = []
        self.refuses = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        self.published += messages
        await self.gate.wait()
        if self.refuses:
            raise BusUnavailable("the stream is full")

    def together(self) -> list[list[str]]:
        """The executions of each message's reports."""
        return [
            [report.execution_id for report in msgspec.json.decode(message.payload, type=TOGETHER)]
            for message in self.published
        ]


def failed(number: int, message: str = "no") -> Failed:
    return Failed(
        packet_id=f"pkt_{number}",
        execution_id=f"exec_{number}",
        stage_id="one",
        attempt=1,
        worker_name="echo",
        instance_id="echo_1",
        code="broken",
        message=message,
        retryable=False,
    )


@pytest.fixture
async def bus() -> GatedBus:
    return GatedBus()


@pytest.fixture
async def post(bus: GatedBus) -> AsyncIterator[ReportPost]:
    post = ReportPost(bus=bus, worker_name="echo", answer_seconds=5.0)
    running = asyncio.create_task(post.run())
    yield post
    running.cancel()


async def test_a_report_alone_is_an_array_of_one_under_the_name_of_its_worker(bus: GatedBus, post: ReportPost) -> None:
    await post.send(failed(1))

    [message] = bus.published
    assert message.subject == "aif.report.echo" == subjects.report("echo")
    assert msgspec.json.decode(message.payload, type=TOGETHER) == [failed(1)]


async def test_reports_of_the_same_moment_are_one_message(bus: GatedBus, post: ReportPost) -> None:
    await asyncio.gather(*(post.send(failed(number)) for number in (1, 2, 3)))

    assert bus.together() == [["exec_1", "exec_2", "exec_3"]]


async def test_what_is_ready_while_a_message_is_under_way_goes_out_together_after_it(bus: GatedBus, post: ReportPost) -> None:
    bus.gate.clear()

    first = asyncio.create_task(post.send(failed(1)))
    await eventually(lambda: len(bus.published) == 1)
    others = [asyncio.create_task(post.send(failed(number))) for number in (2, 3)]
    await asyncio.sleep(0)
    under_way = bus.together()
    bus.gate.set()
    await asyncio.gather(first, *others)

    assert under_way == [["exec_1"]]
    assert bus.together() == [["exec_1"], ["exec_2", "exec_3"]]


async def test_nobody_is_told_before_the_message_is_confirmed(bus: GatedBus, post: ReportPost) -> None:
    bus.gate.clear()

    sending = [asyncio.create_task(post.send(failed(number))) for number in (1, 2)]
    await eventually(lambda: len(bus.published) == 1)
    done_early = [task.done() for task in sending]
    bus.gate.set()
    await asyncio.gather(*sending)

    assert done_early == [False, False]


async def test_a_message_that_is_not_confirmed_fails_for_all_that_are_in_it_and_for_nobody_else(
    bus: GatedBus, post: ReportPost
) -> None:
    bus.refuses = True
    refused = await asyncio.gather(post.send(failed(1)), post.send(failed(2)), return_exceptions=True)

    bus.refuses = False
    await post.send(failed(3))

    assert [type(each) for each in refused] == [BusUnavailable, BusUnavailable]
    assert bus.together() == [["exec_1", "exec_2"], ["exec_3"]]


async def test_whoever_gave_up_waiting_has_nothing_sent(bus: GatedBus, post: ReportPost) -> None:
    bus.gate.clear()
    first = asyncio.create_task(post.send(failed(1)))
    await eventually(lambda: len(bus.published) == 1)
    given_up = asyncio.create_task(post.send(failed(2)))
    other = asyncio.create_task(post.send(failed(3)))
    await asyncio.sleep(0)

    given_up.cancel()
    await asyncio.sleep(0)
    bus.gate.set()
    await asyncio.gather(first, other)

    assert bus.together() == [["exec_1"], ["exec_3"]]


async def test_a_message_holds_no_more_reports_than_allowed(bus: GatedBus, post: ReportPost) -> None:
    await asyncio.gather(*(post.send(failed(number)) for number in range(reports.MOST_TOGETHER + 1)))

    assert [len(each) for each in bus.together()] == [64, 1]


async def test_a_message_holds_no_more_bytes_than_allowed_and_a_larger_report_travels_alone(
    bus: GatedBus, post: ReportPost
) -> None:
    half = "x" * (reports.MOST_BYTES_TOGETHER // 2)
    whole = "x" * reports.MOST_BYTES_TOGETHER

    await asyncio.gather(
        post.send(failed(1)),
        post.send(failed(2, half)),
        post.send(failed(3, half)),
        post.send(failed(4, whole)),
        post.send(failed(5)),
    )

    assert bus.together() == [["exec_1", "exec_2"], ["exec_3"], ["exec_4"], ["exec_5"]]


async def test_the_same_reports_again_are_the_same_message_and_with_others_another(bus: GatedBus, post: ReportPost) -> None:
    await post.send(failed(1))
    await post.send(failed(1))
    await asyncio.gather(post.send(failed(1)), post.send(failed(2)))

    once, again, together = [message.message_id for message in bus.published]
    assert once is not None
    assert again == once
    assert together not in (None, once)
