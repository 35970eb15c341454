"""Reports on what a replica has offered: told to it, and stored where it does not say that they are applied."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec
import pytest

from aif_contracts import reports
from aif_contracts.reports import Failed, Report
from aif_runtime.bus import Outgoing, Question
from aif_runtime.failures import BusUnavailable, NoAnswer
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.report_post import ReportPost
from support.waiting import eventually

TOGETHER = list[Report]


class ReplicasBus(MemoryBus):
    """Notes what is asked and what is stored. A replica answers `applied` unless it is told something else, at once unless it
    is slow."""

    def __init__(self) -> None:
        super().__init__(MemoryBroker())
        self.asked: list[tuple[str, list[str]]] = []
        self.waits: set[float] = set()
        self.stored: list[Outgoing] = []
        self.answers: dict[str, bytes | Exception] = {}
        self.slow: dict[str, asyncio.Event] = {}
        self.store_gate = asyncio.Event()
        self.store_gate.set()

    async def ask(
        self, subject: str, payload: bytes, *, wait_seconds: float, headers: Mapping[str, str] | None = None
    ) -> bytes:
        self.asked.append((subject, executions(payload)))
        self.waits.add(wait_seconds)
        if subject in self.slow:
            await self.slow[subject].wait()
        answer = self.answers.get(subject, b"applied")
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        self.stored += messages
        await self.store_gate.wait()

    def make_slow(self, subject: str) -> asyncio.Event:
        """It answers once the event is set."""
        self.slow[subject] = asyncio.Event()
        return self.slow[subject]

    def stored_together(self) -> list[list[str]]:
        return [executions(message.payload) for message in self.stored]


def executions(payload: bytes) -> list[str]:
    return [report.execution_id for report in msgspec.json.decode(payload, type=TOGETHER)]


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


FIRST = "aif.direct.report.first.echo"
SECOND = "aif.direct.report.second.echo"


@pytest.fixture
async def bus() -> ReplicasBus:
    return ReplicasBus()


@pytest.fixture
async def post(bus: ReplicasBus) -> AsyncIterator[ReportPost]:
    post = ReportPost(bus=bus, worker_name="echo", answer_seconds=2.5)
    running = asyncio.create_task(post.run())
    yield post
    still_runs = not running.done()
    running.cancel()
    assert still_runs, "the post has broken down"


async def test_a_report_is_told_to_the_replica_that_offered_its_packet_and_not_stored(
    bus: ReplicasBus, post: ReportPost
) -> None:
    await post.send(failed(1), replica="first")

    assert bus.asked == [("aif.direct.report.first.echo", ["exec_1"])]
    assert bus.waits == {2.5}
    assert bus.stored == []


async def test_reports_of_the_same_moment_are_one_question_to_each_replica(bus: ReplicasBus, post: ReportPost) -> None:
    await asyncio.gather(
        post.send(failed(1), replica="first"),
        post.send(failed(2), replica="second"),
        post.send(failed(3), replica="first"),
        post.send(failed(4)),
    )

    assert bus.asked == [(FIRST, ["exec_1", "exec_3"]), (SECOND, ["exec_2"])]
    assert bus.stored_together() == [["exec_4"]]


async def test_a_report_is_confirmed_when_the_replica_has_applied_it_and_not_before(bus: ReplicasBus, post: ReportPost) -> None:
    applied = bus.make_slow(FIRST)

    sending = asyncio.create_task(post.send(failed(1), replica="first"))
    await eventually(lambda: len(bus.asked) == 1)
    done_early = sending.done()
    applied.set()
    await sending

    assert not done_early


async def test_a_report_waits_for_none_that_is_under_way_to_the_same_replica(bus: ReplicasBus, post: ReportPost) -> None:
    applied = bus.make_slow(FIRST)

    earlier = asyncio.create_task(post.send(failed(1), replica="first"))
    await eventually(lambda: len(bus.asked) == 1)
    later = asyncio.create_task(post.send(failed(2), replica="first"))
    await eventually(lambda: len(bus.asked) == 2)
    applied.set()
    await asyncio.gather(earlier, later)

    assert bus.asked == [(FIRST, ["exec_1"]), (FIRST, ["exec_2"])]
    assert bus.stored == []


async def test_a_slow_replica_holds_up_neither_another_one_nor_what_is_stored(bus: ReplicasBus, post: ReportPost) -> None:
    applied = bus.make_slow(FIRST)
    slow = asyncio.create_task(post.send(failed(1), replica="first"))
    await eventually(lambda: len(bus.asked) == 1)

    async with asyncio.timeout(30):
        await post.send(failed(2), replica="second")
        await post.send(failed(3))
    slow_is_done = slow.done()
    applied.set()
    await slow

    assert not slow_is_done
    assert bus.stored_together() == [["exec_3"]]


async def test_a_slow_store_holds_up_nothing_that_is_told(bus: ReplicasBus, post: ReportPost) -> None:
    bus.store_gate.clear()
    storing = asyncio.create_task(post.send(failed(1)))
    await eventually(lambda: len(bus.stored) == 1)

    async with asyncio.timeout(30):
        await post.send(failed(2), replica="first")
    storing_is_done = storing.done()
    bus.store_gate.set()
    await storing

    assert not storing_is_done


@pytest.mark.parametrize(
    "answer", [b"store", b"", b"Applied", NoAnswer("nobody listens"), BusUnavailable("lost before the reply came")], ids=str
)
async def test_what_the_replica_does_not_say_to_have_applied_is_stored(
    bus: ReplicasBus, post: ReportPost, answer: bytes | Exception
) -> None:
    bus.answers[FIRST] = answer

    await asyncio.gather(*(post.send(failed(number), replica="first") for number in (1, 2)))

    [message] = bus.stored
    assert message.subject == "aif.report.echo"
    assert msgspec.json.decode(message.payload, type=TOGETHER) == [failed(1), failed(2)]
    assert bus.asked == [(FIRST, ["exec_1", "exec_2"])]


async def test_a_report_that_is_to_be_stored_is_confirmed_when_it_is(bus: ReplicasBus, post: ReportPost) -> None:
    bus.answers[FIRST] = b"store"
    bus.store_gate.clear()

    sending = asyncio.create_task(post.send(failed(1), replica="first"))
    await eventually(lambda: len(bus.stored) == 1)
    done_early = sending.done()
    bus.store_gate.set()
    await sending

    assert not done_early


async def test_what_replicas_have_not_applied_goes_out_with_the_next_that_is_stored(bus: ReplicasBus, post: ReportPost) -> None:
    bus.answers = {FIRST: b"store", SECOND: b"store"}
    bus.store_gate.clear()
    stored = asyncio.create_task(post.send(failed(1)))
    await eventually(lambda: len(bus.stored) == 1)

    told = [asyncio.create_task(post.send(failed(number), replica=name)) for number, name in ((2, "first"), (3, "second"))]
    await eventually(lambda: len(bus.asked) == 2)
    bus.store_gate.set()
    await asyncio.gather(stored, *told)

    assert bus.stored_together() == [["exec_1"], ["exec_2", "exec_3"]]


async def test_whoever_gave_up_waiting_has_nothing_told(bus: ReplicasBus, post: ReportPost) -> None:
    given_up = asyncio.create_task(post.send(failed(1), replica="first"))
    other = asyncio.create_task(post.send(failed(2), replica="first"))
    alone = asyncio.create_task(post.send(failed(3), replica="second"))

    asyncio.get_running_loop().call_soon(given_up.cancel)
    asyncio.get_running_loop().call_soon(alone.cancel)
    await other
    await asyncio.wait([given_up, alone])

    assert bus.asked == [(FIRST, ["exec_2"])]


async def test_whoever_gave_up_while_the_replica_was_asked_has_nothing_stored(bus: ReplicasBus, post: ReportPost) -> None:
    answered = bus.make_slow(FIRST)
    bus.answers[FIRST] = b"store"
    given_up, other = (asyncio.create_task(post.send(failed(number), replica="first")) for number in (1, 2))
    await eventually(lambda: len(bus.asked) == 1)

    given_up.cancel()
    await asyncio.wait([given_up])
    answered.set()
    await other

    assert bus.stored_together() == [["exec_2"]]


async def test_a_question_holds_no_more_reports_than_allowed(bus: ReplicasBus, post: ReportPost) -> None:
    await asyncio.gather(*(post.send(failed(number), replica="first") for number in range(reports.MOST_TOGETHER + 1)))

    assert [len(each) for _, each in bus.asked] == [64, 1]


async def test_a_question_holds_no_more_bytes_than_allowed_and_a_larger_report_is_told_alone(
    bus: ReplicasBus, post: ReportPost
) -> None:
    half = "x" * (reports.MOST_BYTES_TOGETHER // 2)
    whole = "x" * reports.MOST_BYTES_TOGETHER

    await asyncio.gather(
        post.send(failed(1), replica="first"),
        post.send(failed(2, half), replica="first"),
        post.send(failed(3, half), replica="first"),
        post.send(failed(4, whole), replica="first"),
        post.send(failed(5), replica="first"),
    )

    assert [each for _, each in bus.asked] == [["exec_1", "exec_2"], ["exec_3"], ["exec_4"], ["exec_5"]]


async def test_what_is_sent_before_the_post_runs_is_told_when_it_does(bus: ReplicasBus) -> None:
    post = ReportPost(bus=bus, worker_name="echo", answer_seconds=2.5)
    sending = [asyncio.create_task(post.send(failed(number), replica="first")) for number in (1, 2)]
    await asyncio.sleep(0)

    running = asyncio.create_task(post.run())
    async with asyncio.timeout(30):
        await asyncio.gather(*sending)
    running.cancel()

    assert bus.asked == [(FIRST, ["exec_1", "exec_2"])]


async def test_an_unforeseen_mistake_ends_the_post(bus: ReplicasBus) -> None:
    bus.answers[FIRST] = RuntimeError("a mistake of ours")
    bus.make_slow(SECOND)
    post = ReportPost(bus=bus, worker_name="echo", answer_seconds=2.5)
    running = asyncio.create_task(post.run())
    sending = [asyncio.create_task(post.send(failed(number), replica=name)) for number, name in ((1, "second"), (2, "first"))]

    with pytest.raises(ExceptionGroup) as broken:
        async with asyncio.timeout(30):
            await running

    assert broken.group_contains(RuntimeError, match="a mistake of ours")
    for task in sending:
        task.cancel()


async def test_the_post_stops_although_a_replica_has_not_answered(bus: ReplicasBus) -> None:
    bus.make_slow(FIRST)
    post = ReportPost(bus=bus, worker_name="echo", answer_seconds=2.5)
    running = asyncio.create_task(post.run())
    sending = asyncio.create_task(post.send(failed(1), replica="first"))
    await eventually(lambda: len(bus.asked) == 1)

    running.cancel()
    await asyncio.wait([running], timeout=5)

    assert running.cancelled()
    sending.cancel()


class TestOverABroker:
    @pytest.fixture
    def broker(self) -> MemoryBroker:
        return MemoryBroker()

    @pytest.fixture
    async def post(self, broker: MemoryBroker) -> AsyncIterator[ReportPost]:
        post = ReportPost(bus=MemoryBus(broker), worker_name="echo", answer_seconds=0.05)
        running = asyncio.create_task(post.run())
        yield post
        still_runs = not running.done()
        running.cancel()
        assert still_runs, "the post has broken down"

    async def test_the_report_on_an_offer_of_a_replica_that_is_gone_is_stored(
        self, broker: MemoryBroker, post: ReportPost
    ) -> None:
        async with MemoryBus(broker).listen("aif.report.*") as published:
            await post.send(failed(1), replica="gone")
            message = await published.next(5.0)

        assert message is not None
        assert executions(message.payload) == ["exec_1"]

    async def test_a_report_that_is_not_answered_in_time_is_stored(self, broker: MemoryBroker, post: ReportPost) -> None:
        replica = MemoryBus(broker)
        may_answer = asyncio.Event()

        async def answer(question: Question) -> bytes:
            await may_answer.wait()
            return b"applied"

        await replica.answer("aif.direct.report.frozen.*", "orchestrator", answer)
        async with replica.listen("aif.report.*") as published:
            await post.send(failed(1), replica="frozen")
            message = await published.next(5.0)
        may_answer.set()
        await replica.close()

        assert message is not None
        assert executions(message.payload) == ["exec_1"]

    async def test_a_report_that_no_broker_takes_fails_for_who_waits_for_it_and_for_nobody_else(
        self, broker: MemoryBroker, post: ReportPost
    ) -> None:
        with pytest.raises(ValueError, match="store it as a blob"):
            async with asyncio.timeout(30):
                await post.send(failed(1, "x" * 1024 * 1024), replica="first")

        async with MemoryBus(broker).listen("aif.report.*") as published:
            await post.send(failed(2), replica="first")
            message = await published.next(5.0)
        assert message is not None
        assert executions(message.payload) == ["exec_2"]
