"""What becomes of reports, stored ones and those told directly, when some of them cannot be applied.

The test directs the engine.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import cast

import msgspec
import pytest
from msgspec.structs import replace

from aif_contracts import subjects
from aif_contracts.blobs import BlobRef, StorageType
from aif_contracts.dead_letters import DeadLetter
from aif_contracts.metering import Metrics
from aif_contracts.reports import Completed, Failed, Report
from aif_orchestrator.engine.arrivals import Applied, NotApplied, NotItsAttempt
from aif_orchestrator.engine.engine import Engine
from aif_orchestrator.engine.relay import Relay
from aif_orchestrator.execution.happenings import AttemptCompleted, AttemptFailed, Happening
from aif_orchestrator.intake import Intake
from aif_runtime.bus import ConsumerSpec, Outgoing
from aif_runtime.failures import BlobStoreUnavailable, DatabaseUnavailable, NoAnswer
from aif_runtime.memory_blobs import MemoryBlobStore
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.redaction import Redactor
from support.manual_clock import ManualClock
from support.waiting import eventually


class DirectedEngine:
    """Takes what it is given, unless the test has said what comes of an execution's."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.happenings: list[Happening] = []
        self.failures: dict[str, Exception] = {}
        self.is_committing = False
        """While it is, nothing is answered that has been taken."""
        self._uncommitted: list[asyncio.Future[Applied]] = []

    def commits(self) -> None:
        self.is_committing = False
        for applied in self._uncommitted:
            applied.set_result(Applied())

    def submit(self, execution_id: str, happening: Happening) -> "asyncio.Future[Applied]":
        self.taken.append(execution_id)
        self.happenings.append(happening)
        applied: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
        failure = self.failures.get(execution_id)
        if self.is_committing:
            self._uncommitted.append(applied)
        elif failure is None:
            applied.set_result(Applied())
        else:
            applied.set_exception(failure)
        return applied


class NotingRelay:
    """Notes of which packets reports have come."""

    def __init__(self) -> None:
        self.came: list[str] = []

    def has_come_of(self, packet_ids: Iterable[str]) -> None:
        self.came += packet_ids


class DistantBlobs(MemoryBlobStore):
    are_away = False

    async def get(self, ref: BlobRef) -> bytes:
        if self.are_away:
            raise BlobStoreUnavailable(f"{ref.storage_key} is out of reach")
        return await super().get(ref)


class LaboriousBus(MemoryBus):
    """Takes its time to store a message; meanwhile others see what is due."""

    def __init__(self, broker: MemoryBroker, clock: ManualClock) -> None:
        super().__init__(broker)
        self._clock = clock
        self.seconds_for_a_message = 0.0

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        await super().publish(messages)
        self._clock.advance(self.seconds_for_a_message)
        self._broker.wake()
        for _ in range(10):
            await asyncio.sleep(0)


class IntakeRig:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.broker = MemoryBroker(clock=self.clock.monotonic)
        self.bus = LaboriousBus(self.broker, self.clock)
        self.blobs = DistantBlobs()
        self.engine = DirectedEngine()
        self.relay = NotingRelay()
        self.intake = Intake(
            bus=self.bus,
            blobs=self.blobs,
            engine=cast(Engine, self.engine),
            relay=cast(Relay, self.relay),
            replica="replica_1",
            lease_seconds=30,
            redactor=Redactor(),
        )
        self._running: asyncio.Task[None] | None = None

    async def starts(self) -> None:
        await self.intake.open()
        self._running = asyncio.create_task(self.intake.run())
        await eventually(lambda: self.intake._is_open, what="it takes in")

    async def stops(self) -> None:
        """Its bus stays open, as that of a replica which works off what it has taken in."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def told_directly(self, *told: Report | Mapping[str, object]) -> bytes:
        """The answer."""
        return await self.asked(msgspec.json.encode(told))

    async def asked(self, payload: bytes) -> bytes:
        return await self.bus.ask("aif.direct.report.replica_1.maker", payload, wait_seconds=5)

    async def told(self, *told: Report | Mapping[str, object]) -> None:
        await self.bus.publish([Outgoing(subject=subjects.report("maker"), payload=msgspec.json.encode(told))])

    async def passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.broker.wake()

    def left(self) -> int:
        return len(self.broker._streams[subjects.STREAM_REPORTS].messages)

    def is_put_off(self) -> bool:
        """Whether the broker knows that the only message is to come again after a second."""
        [consumer] = self.broker._streams[subjects.STREAM_REPORTS]._consumers.values()
        return consumer.seconds_to_redelivery() == 1.0

    async def nothing_is_left(self) -> None:
        await eventually(lambda: self.left() == 0, what="every message is settled")

    async def taken(self, *execution_ids: str) -> None:
        await eventually(lambda: self.engine.taken == list(execution_ids), what=f"{execution_ids} were taken")

    async def letters(self) -> list[DeadLetter]:
        spec = ConsumerSpec(stream=subjects.STREAM_DEAD, durable="test_dead", filter_subject=subjects.ALL_DEAD)
        deliveries = await (await self.bus.open_consumer(spec)).fetch(10, 0.01)
        return [msgspec.json.decode(delivery.payload, type=DeadLetter) for delivery in deliveries]


@pytest.fixture
async def rig() -> AsyncIterator[IntakeRig]:
    rig = IntakeRig()
    await rig.starts()
    yield rig
    await rig.stops()
    await rig.bus.close()


def failed(number: int) -> Failed:
    return Failed(
        packet_id=f"pkt_{number}",
        execution_id=f"exec_{number}",
        stage_id="one",
        attempt=1,
        worker_name="maker",
        instance_id="maker_1",
        code="broken",
        message="no",
        retryable=False,
    )


def completed(number: int, output: BlobRef) -> Completed:
    return Completed(
        packet_id=f"pkt_{number}",
        execution_id=f"exec_{number}",
        stage_id="one",
        attempt=1,
        worker_name="maker",
        instance_id="maker_1",
        output=output,
        metrics=Metrics(),
    )


async def test_all_reports_of_a_message_are_applied_and_it_is_acknowledged(rig: IntakeRig) -> None:
    await rig.told(failed(1), failed(2), failed(3))

    await rig.nothing_is_left()

    assert rig.engine.taken == ["exec_1", "exec_2", "exec_3"]
    assert await rig.letters() == []


async def test_a_report_that_nobody_can_read_is_buried_and_its_companions_are_applied(rig: IntakeRig) -> None:
    await rig.told(failed(1), {"type": "nope"}, failed(2))

    await rig.nothing_is_left()

    assert rig.engine.taken == ["exec_1", "exec_2"]
    [letter] = await rig.letters()
    assert (letter.subject, letter.payload, letter.deliveries) == ("aif.report.maker", b'[{"type":"nope"}]', 1)


async def test_a_message_stays_in_hand_however_long_it_takes_to_bury_what_is_in_it(rig: IntakeRig) -> None:
    rig.bus.seconds_for_a_message = 6.0
    await rig.told(failed(1), {"type": "nope"}, {"type": "nay"}, {"type": "no"})

    await rig.nothing_is_left()

    assert rig.engine.taken == ["exec_1"]
    assert [letter.deliveries for letter in await rig.letters()] == [1, 1, 1]


async def test_a_report_that_nobody_can_read_ends_the_attempt_that_it_names(rig: IntakeRig) -> None:
    named = {"execution_id": "exec_1", "stage_id": "one", "attempt": 2, "worker_name": "maker", "instance_id": "maker_1"}
    await rig.told({**named, "type": "completed", "metrics": {"tokens_used": {"prompt_tokens": 1.5}}})

    await rig.nothing_is_left()

    assert rig.engine.happenings == [
        AttemptFailed(
            stage_id="one",
            attempt=2,
            worker_name="maker",
            code="report_unusable",
            message="the worker's report on attempt 2 cannot be used: "
            "Expected `int`, got `float` - at `$.metrics.tokens_used.prompt_tokens`",
            retryable=True,
            retry_after_ms=None,
            metrics=None,
            instance_id="maker_1",
        )
    ]
    assert len(await rig.letters()) == 1


async def test_a_report_on_the_attempt_of_another_worker_is_buried_at_once_and_ends_no_attempt(rig: IntakeRig) -> None:
    rig.engine.failures["exec_1"] = NotItsAttempt("one is baker's, and maker reports on it")
    await rig.told(failed(1))

    await rig.nothing_is_left()

    [letter] = await rig.letters()
    assert (letter.deliveries, letter.reason) == (1, "one is baker's, and maker reports on it")
    assert rig.engine.taken == ["exec_1"]


async def test_a_report_with_an_endless_code_ends_its_attempt_with_the_reason(rig: IntakeRig) -> None:
    await rig.told(replace(failed(1), code="c" * 500))

    await rig.nothing_is_left()

    [happening] = rig.engine.happenings
    assert isinstance(happening, AttemptFailed)
    assert (happening.code, happening.message.endswith("`$.code`")) == ("report_unusable", True)


@pytest.mark.parametrize(
    ("said", "mistake"),
    [
        ({"metrics": {"tokens_used": {"prompt_tokens": -1}}}, "Expected `int` >= 0 - at `$.metrics.tokens_used.prompt_tokens`"),
        ({"metrics": {"processing_time_ms": -1}}, "Expected `int` >= 0 - at `$.metrics.processing_time_ms`"),
        (
            {"metrics": {"resource_usage": {"cpu_time_ms": 2**63}}},
            "Expected `int` <= 1000000000000 - at `$.metrics.resource_usage.cpu_time_ms`",
        ),
        ({"metrics": {"cost_usd": "1e-5"}}, "at `$.metrics.cost_usd`"),
        ({"element_count": 2**31}, "Expected `int` <= 2147483647 - at `$.element_count`"),
    ],
    ids=["tokens", "time", "resources", "cost", "more elements than can be stored"],
)
async def test_figures_that_cannot_be_are_refused_by_their_names(rig: IntakeRig, said: dict[str, object], mistake: str) -> None:
    told = msgspec.to_builtins(completed(1, await rig.blobs.put("data/exec_1/one/output", b"{}")))
    await rig.told({**told, **said})

    await rig.nothing_is_left()

    [happening] = rig.engine.happenings
    assert isinstance(happening, AttemptFailed)
    assert mistake in happening.message


@pytest.mark.parametrize(
    "changes",
    [{"worker_name": "baker"}, {"type": "progress"}, {"execution_id": "exec_1\0"}, {"attempt": "2"}],
    ids=["of another worker", "no end", "no id", "no attempt"],
)
async def test_what_names_no_attempt_of_its_worker_that_has_ended_ends_none(
    rig: IntakeRig, changes: Mapping[str, object]
) -> None:
    named = {"execution_id": "exec_1", "stage_id": "one", "attempt": 2, "worker_name": "maker", "type": "failed"}
    await rig.told({**named, **changes})

    await rig.nothing_is_left()

    assert rig.engine.taken == []
    assert len(await rig.letters()) == 1


async def test_while_the_database_is_away_the_whole_comes_again_and_nothing_is_buried(rig: IntakeRig) -> None:
    rig.engine.failures["exec_2"] = DatabaseUnavailable("away")
    await rig.told(failed(1), failed(2), {"type": "nope"})
    await eventually(rig.is_put_off, what="it is put off")
    assert (rig.left(), await rig.letters()) == (1, [])

    rig.engine.failures.clear()
    await rig.passes(1.0)
    await rig.nothing_is_left()

    assert rig.engine.taken == ["exec_1", "exec_2", "exec_1", "exec_2"]
    assert len(await rig.letters()) == 1


async def test_a_report_that_can_never_be_applied_is_buried_alone_after_five_deliveries(rig: IntakeRig) -> None:
    rig.engine.failures["exec_2"] = NotApplied("a mistake of ours")
    await rig.told(failed(1), failed(2))
    for delivery in range(1, 5):
        await rig.taken(*["exec_1", "exec_2"] * delivery)
        await eventually(rig.is_put_off, what="it is put off")
        assert await rig.letters() == []
        await rig.passes(1.0)

    await rig.nothing_is_left()

    assert rig.engine.taken == [*["exec_1", "exec_2"] * 5, "exec_2"]
    [letter] = await rig.letters()
    assert msgspec.json.decode(letter.payload, type=list[Report]) == [failed(2)]
    assert (letter.reason, letter.deliveries) == ("a mistake of ours", 5)


async def test_poison_waits_while_a_companion_cannot_be_stored(rig: IntakeRig) -> None:
    rig.engine.failures |= {"exec_1": NotApplied("a mistake of ours"), "exec_2": DatabaseUnavailable("away")}
    await rig.told(failed(1), failed(2))
    for delivery in range(1, 7):
        await rig.taken(*["exec_1", "exec_2"] * delivery)
        await eventually(rig.is_put_off, what="it is put off")
        await rig.passes(1.0)
    assert await rig.letters() == []

    del rig.engine.failures["exec_2"]
    await rig.passes(1.0)
    await rig.nothing_is_left()

    assert [letter.reason for letter in await rig.letters()] == ["a mistake of ours"]


async def test_a_result_that_has_to_be_fetched_is_applied_with_the_others(rig: IntakeRig) -> None:
    far = await rig.blobs.put("data/exec_1/one/output", b'{"made":1}', inline_limit_bytes=0)
    near = await rig.blobs.put("data/exec_2/one/output", b'{"made":2}')
    assert (far.storage_type, near.storage_type) == (StorageType.KV, StorageType.INLINE)

    await rig.told(completed(1, far), completed(2, near), failed(3))
    await rig.nothing_is_left()

    assert sorted(rig.engine.taken) == ["exec_1", "exec_2", "exec_3"]


@pytest.mark.parametrize(
    "content",
    [b"{nope", b'{"made":"\xff"}', b"[" * 100_000 + b"]" * 100_000],
    ids=["no json", "no UTF-8", "too deep"],
)
async def test_a_result_whose_bytes_are_no_json_is_a_failed_attempt(rig: IntakeRig, content: bytes) -> None:
    await rig.told(completed(1, await rig.blobs.put("data/exec_1/one/output", content)), failed(2))

    await rig.nothing_is_left()

    assert sorted(rig.engine.taken) == ["exec_1", "exec_2"]
    codes = sorted(each.code for each in rig.engine.happenings if isinstance(each, AttemptFailed))
    assert codes == ["broken", "output_malformed"]
    assert await rig.letters() == []


@pytest.mark.parametrize(("lists", "kind"), [(100, AttemptCompleted), (101, AttemptFailed)])
async def test_a_result_is_nested_a_hundred_levels_deep_at_the_most(rig: IntakeRig, lists: int, kind: type) -> None:
    content = b'{"made":' + b"[" * (lists - 1) + b"1" + b"]" * (lists - 1) + b"}"

    await rig.told(completed(1, await rig.blobs.put("data/exec_1/one/output", content)))
    await rig.nothing_is_left()

    assert [type(each) for each in rig.engine.happenings] == [kind]


async def test_reports_told_directly_are_answered_after_their_commit_and_not_stored(rig: IntakeRig) -> None:
    rig.engine.is_committing = True
    asking = asyncio.create_task(rig.told_directly(failed(1), failed(2)))
    await rig.taken("exec_1", "exec_2")
    answered_before = asking.done()

    rig.engine.commits()
    answer = await asking

    assert (answered_before, answer) == (False, b"applied")
    assert (rig.left(), await rig.letters()) == (0, [])


async def test_the_relay_hears_what_has_come_of_its_packets_when_their_reports_are_committed(rig: IntakeRig) -> None:
    far = await rig.blobs.put("data/exec_2/one/output", b'{"made":2}', inline_limit_bytes=0)
    rig.engine.is_committing = True
    asking = asyncio.create_task(rig.told_directly(failed(1), completed(2, far)))
    await rig.taken("exec_1", "exec_2")
    came_before = list(rig.relay.came)

    rig.engine.commits()
    await asking

    assert (came_before, rig.relay.came) == ([], ["pkt_1", "pkt_2"])


async def test_stored_reports_say_nothing_of_what_this_replica_has_offered(rig: IntakeRig) -> None:
    await rig.told(failed(1))

    await rig.nothing_is_left()

    assert (rig.engine.taken, rig.relay.came) == (["exec_1"], [])


@pytest.mark.parametrize("failure", [NotApplied("a mistake of ours"), DatabaseUnavailable("away")])
async def test_directly_told_reports_that_cannot_all_be_applied_are_to_be_stored(rig: IntakeRig, failure: Exception) -> None:
    rig.engine.failures["exec_2"] = failure

    answer = await rig.told_directly(failed(1), failed(2), failed(3))

    assert answer == b"store"
    assert rig.engine.taken == ["exec_1", "exec_2", "exec_3"]
    assert rig.relay.came == ["pkt_1", "pkt_3"]
    assert await rig.letters() == []


async def test_a_directly_told_result_is_to_be_stored_while_its_bytes_cannot_be_read(rig: IntakeRig) -> None:
    far = await rig.blobs.put("data/exec_1/one/output", b'{"made":1}', inline_limit_bytes=0)
    rig.blobs.are_away = True

    answer = await rig.told_directly(completed(1, far), failed(2))

    assert (answer, rig.engine.taken) == (b"store", ["exec_2"])


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"not json", b'[{"type":"nope"}]', msgspec.json.encode([failed(1), {"type": "nope"}])],
    ids=["empty", "none", "no json", "unknown", "one of two"],
)
async def test_what_nobody_can_read_is_to_be_stored_and_is_buried_only_there(rig: IntakeRig, payload: bytes) -> None:
    answer = await rig.asked(payload)

    assert answer == b"store"
    assert await rig.letters() == []


async def test_the_readable_ones_among_directly_told_reports_are_applied_at_once(rig: IntakeRig) -> None:
    await rig.told_directly(failed(1), {"type": "nope"}, failed(2))

    assert rig.engine.taken == ["exec_1", "exec_2"]
    assert rig.relay.came == ["pkt_1", "pkt_2"]


async def test_a_worker_tells_its_own_reports_only(rig: IntakeRig) -> None:
    answer = await rig.bus.ask("aif.direct.report.replica_1.baker", msgspec.json.encode([failed(1)]), wait_seconds=5)

    assert (answer, rig.engine.taken, rig.relay.came) == (b"store", [], [])


async def test_a_replica_that_is_stopping_has_reports_stored(rig: IntakeRig) -> None:
    await rig.stops()

    answer = await rig.told_directly(failed(1))

    assert (answer, rig.engine.taken, rig.relay.came) == (b"store", [], [])


async def test_another_replica_is_not_asked(rig: IntakeRig) -> None:
    with pytest.raises(NoAnswer):
        await rig.bus.ask("aif.direct.report.replica_2.maker", msgspec.json.encode([failed(1)]), wait_seconds=5)

    assert rig.engine.taken == []
