"""Orders through real orchestrators, brokers and workers: what is offered and told directly, and what is stored."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import msgspec
import nats
import nats.errors
import pytest
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from prometheus_client import CollectorRegistry

from aif_contracts import subjects
from aif_contracts.orders import Accepted
from aif_contracts.packets import Later, WorkPacket
from aif_runtime.assignment import ActionSpec, Assignment, Outcome, WorkerSpec
from aif_runtime.clock import SystemClock
from aif_runtime.failures import NoAnswer
from aif_runtime.memory_blobs import MemoryBlobStore
from aif_runtime.nats_bus import NatsBus
from aif_runtime.postgres import Database
from aif_runtime.telemetry import TracingOff
from aif_runtime.worker_figures import WorkerFigures
from aif_runtime.worker_loop import run_worker
from aif_runtime.worker_settings import WorkerSettings
from support.execution_story import deliverable, pipeline, stage
from support.orchestrator_line import Client, HandWorker, orchestrator_database, running_orchestrator
from support.other_nats_client import all_is_read
from support.waiting import eventually

CHAIN = pipeline(
    stage("first"),
    stage("second", input={"text": "{{first.text}}"}),
    stage("third", input={"text": "{{second.text}}"}),
    name="chain",
    outputs=(deliverable("third"),),
)


class Rig:
    def __init__(self, url: str, own: NatsClient, bus: NatsBus, database: Database) -> None:
        self.bus = bus
        self.client = Client(bus)
        self.works = asyncio.Event()
        """Without it the worker's attempts wait."""
        self.works.set()
        self.attempts = 0
        self._url = url
        self._own = own
        self._database = database
        self._blobs = MemoryBlobStore()
        self._packets: list[bytes] = []
        self._reports: list[bytes] = []

    async def make(self, assignment: Assignment) -> Outcome:
        self.attempts += 1
        await self.works.wait()
        return Outcome(output={"text": f"{assignment.input.get('text', '')}*"})

    @asynccontextmanager
    async def orchestrator(self, replica: str, *, lease_seconds: float = 60) -> AsyncIterator[NatsBus]:
        """One that has time: for half of a lease it wakes nothing that is due. It is ready when it hears refusals; its bus may
        be closed before it is gone."""
        async with (
            await NatsBus.connect(self._url, name=replica) as bus,
            running_orchestrator(
                bus,
                self._blobs,
                self._database,
                (CHAIN,),
                instance_id=replica,
                orchestrator_unclaimed_seconds=60,
                orchestrator_lease_seconds=lease_seconds,
            ),
        ):
            await eventually(lambda: self._is_heard(subjects.refusal(replica, "probe")), what=f"{replica} hears refusals")
            await eventually(lambda: self._is_heard(subjects.direct_report(replica, "probe")), what=f"{replica} takes reports")
            for _ in range(3):
                # What it had asked the broker before its answers has come to it by now.
                await self.client.get_or_refusal("exec_0")
            yield bus

    @asynccontextmanager
    async def worker(self, *, paid: bool = False, slots: int = 8) -> AsyncIterator[None]:
        spec = WorkerSpec(worker_name="maker", actions={"make": ActionSpec(run=self.make, paid=paid)}, slots=slots)
        stop = asyncio.Event()
        async with await NatsBus.connect(self._url, name="maker") as bus:
            running = asyncio.create_task(
                run_worker(
                    spec,
                    bus=bus,
                    blobs=self._blobs,
                    tracing=TracingOff(),
                    clock=SystemClock(),
                    instance_id="maker_1",
                    settings=WorkerSettings(),
                    stop_event=stop,
                    figures=WorkerFigures(CollectorRegistry()),
                )
            )
            await eventually(self._takes_offers, what="it takes offers")
            await eventually(lambda: self.bus.entries(subjects.BUCKET_REGISTRY), what="it is registered")
            try:
                yield
            finally:
                self.works.set()
                stop.set()
                await running

    @asynccontextmanager
    async def takes_offers(self) -> "AsyncIterator[asyncio.Queue[WorkPacket]]":
        """As a worker does that is not ours."""
        offers: asyncio.Queue[WorkPacket] = asyncio.Queue()

        async def take(message: Msg) -> None:
            await offers.put(msgspec.json.decode(message.data, type=WorkPacket))

        subscription = await self._own.subscribe(subjects.offers("maker"), queue="maker", cb=take)
        await all_is_read(self._own)
        yield offers
        await subscription.unsubscribe()

    async def orders(self, execution_id: str) -> None:
        assert isinstance(await self.client.execute(execution_id, "chain"), Accepted)

    async def completes(self, execution_id: str) -> None:
        await eventually(lambda: self.client.has_ended(execution_id), 20, what=f"{execution_id} ends")
        assert await self.client.status(execution_id) == "completed"

    async def last_sequences(self) -> tuple[int, int]:
        """How many messages have entered the streams of packets and of reports, their ballast among them."""
        jetstream = self._own.jetstream()
        work = await jetstream.stream_info(subjects.STREAM_WORK)
        reports = await jetstream.stream_info(subjects.STREAM_REPORTS)
        return work.state.last_seq, reports.state.last_seq

    async def watches_the_streams(self) -> None:
        """From now on what enters them is seen."""
        for subject, seen in ((subjects.ALL_WORK, self._packets), (subjects.ALL_REPORTS, self._reports)):
            await self._own.subscribe(subject, cb=partial(_note, seen))
        await all_is_read(self._own)

    async def has_stored(self, *, packets: int, reports: int) -> bool:
        await all_is_read(self._own)
        return (len(self._packets), len(self._reports)) == (packets, reports)

    async def is_a_packet_out(self) -> bool:
        """Delivered to a worker and not settled."""
        consumer = await self._own.jetstream().consumer_info(subjects.STREAM_WORK, subjects.work_consumer("maker", "normal"))
        return bool(consumer.num_ack_pending)

    async def count(self, query: str) -> int:
        async with self._database.connection() as connection:
            return int(await connection.fetchval(query))

    async def _is_heard(self, subject: str) -> bool:
        try:
            await self._own.request(subject, b"", timeout=0.02)
        except nats.errors.NoRespondersError:
            return False
        except nats.errors.TimeoutError:
            return True
        return True

    async def _takes_offers(self) -> bool:
        """A worker refuses what has a priority that it does not know."""
        try:
            return await self.bus.ask(subjects.offer(subjects.work("maker", "probe")), b"", wait_seconds=1) == b""
        except NoAnswer:
            return False


@pytest.fixture
async def rig(fresh_nats: str, fresh_orchestrator_database: str) -> AsyncIterator[Rig]:
    async with (
        await NatsBus.connect(fresh_nats, name="client") as bus,
        orchestrator_database(fresh_orchestrator_database) as database,
    ):
        await bus.declare_topology()
        own = await nats.connect(fresh_nats)
        rig = Rig(fresh_nats, own, bus, database)
        await rig.watches_the_streams()
        yield rig
        await own.close()


@pytest.mark.parametrize("paid", [False, True])
async def test_a_chain_of_stages_stores_neither_packets_nor_reports(rig: Rig, paid: bool) -> None:
    async with rig.worker(paid=paid), rig.orchestrator("one"):
        await rig.orders("exec_1")
        await rig.completes("exec_1")

        last_sequences = await rig.last_sequences()
    assert last_sequences == (0, 0)
    assert rig.attempts == 3
    assert await rig.count("SELECT count(*) FROM stage_attempts WHERE success") == 3
    assert await rig.count("SELECT count(*) FROM outbox") == 0


async def test_a_packet_for_which_no_worker_is_there_waits_at_the_broker(rig: Rig) -> None:
    async with rig.orchestrator("one"):
        await rig.orders("exec_1")
        await eventually(lambda: rig.has_stored(packets=1, reports=0), what="its packet is stored")

        async with rig.worker():
            await rig.completes("exec_1")
    assert rig.attempts == 3
    assert await rig.count("SELECT count(*) FROM outbox") == 0


async def test_what_a_busy_worker_does_not_take_waits_at_the_broker(rig: Rig) -> None:
    rig.works.clear()
    async with rig.worker(slots=1), rig.orchestrator("one"):
        await rig.orders("exec_1")
        await eventually(lambda: rig.attempts == 1, what="the worker is busy")
        last_sequences = await rig.last_sequences()

        await rig.orders("exec_2")
        await eventually(lambda: rig.has_stored(packets=1, reports=0), what="the other one's packet is stored")
        rig.works.set()
        await rig.completes("exec_1")
        await rig.completes("exec_2")
    assert last_sequences == (0, 0)
    assert rig.attempts == 6
    assert await rig.count("SELECT count(*) FROM outbox") == 0


async def test_what_a_worker_that_ends_had_no_room_for_is_made_by_the_next_one_and_passes_for_no_loss(rig: Rig) -> None:
    rig.works.clear()
    async with AsyncExitStack() as orchestrators:
        async with rig.worker(slots=1):
            await orchestrators.enter_async_context(rig.orchestrator("one", lease_seconds=10))
            await rig.orders("exec_1")
            await eventually(lambda: rig.attempts == 1, what="the worker is busy")
            await rig.orders("exec_2")
            await eventually(rig.is_a_packet_out, what="the other one's packet waits at the worker")

        async with rig.worker():
            await rig.completes("exec_2")
            await rig.completes("exec_1")
    assert await rig.count("SELECT count(*) FROM stage_attempts WHERE failure_code = 'worker_lost'") == 0
    assert await rig.count("SELECT count(*) FROM stage_attempts WHERE failure_code = 'declined'") == 1
    assert await rig.count("SELECT count(*) FROM stage_attempts WHERE success") == 6


async def test_with_two_replicas_chains_complete_whichever_takes_what(rig: Rig) -> None:
    executions = [f"exec_{number}" for number in range(20)]
    async with (
        rig.worker(slots=32),
        rig.orchestrator("one"),
        rig.orchestrator("two"),
        rig.bus.listen("aif.direct.report.>") as told,
    ):
        for execution_id in executions:
            await rig.orders(execution_id)
        for execution_id in executions:
            await rig.completes(execution_id)

        replicas = set()
        while (message := await told.next(0.1)) is not None:
            replicas.add(message.subject)
    assert replicas == {"aif.direct.report.one.maker", "aif.direct.report.two.maker"}
    assert rig.attempts == 60
    assert await rig.count("SELECT count(*) FROM stage_attempts WHERE success") == 60
    assert await rig.count("SELECT count(*) FROM outbox") == 0


async def test_a_report_to_a_replica_that_is_cut_off_is_stored_and_applied_by_another(rig: Rig) -> None:
    rig.works.clear()
    async with AsyncExitStack() as others, rig.worker():
        async with rig.orchestrator("one") as cut_off:
            await rig.orders("exec_1")
            await eventually(lambda: rig.attempts == 1, what="the worker has its packet")
            await others.enter_async_context(rig.orchestrator("two"))
            await cut_off.close()

            rig.works.set()
            await rig.completes("exec_1")
            await eventually(lambda: rig.has_stored(packets=0, reports=1), what="the first report alone was stored")
        await eventually(lambda: rig.count("SELECT (count(*) = 0)::int FROM outbox"), 15, what="what it left is seen to")
    assert rig.attempts == 3
    assert await rig.count("SELECT count(*) FROM stage_attempts WHERE success") == 3


async def test_a_worker_that_claims_what_is_free_too_loses_no_attempt(rig: Rig) -> None:
    worker = HandWorker(rig.bus, paid=False)
    await worker.register()
    async with rig.orchestrator("one"):
        await rig.orders("exec_1")

        for _ in range(3):
            delivery, packet = await worker.take()
            await worker.completes(packet, await worker.granted(packet), {"text": "*"})
            await delivery.ack()
        await rig.completes("exec_1")
        page = await rig.client.events("exec_1")

    assert packet.grant is not None
    assert await rig.count("SELECT count(*) FROM stage_attempts WHERE success AND attempt = 1") == 3
    assert await rig.count("SELECT count(*) FROM stage_attempts") == 3
    assert "STEP_RETRYING" not in [event.data.__struct_config__.tag for event in page.events]


async def test_an_offer_that_is_claimed_after_its_packet_was_stored_as_well_is_one_attempt(rig: Rig) -> None:
    worker, other = HandWorker(rig.bus, paid=False), HandWorker(rig.bus, paid=False, instance_id="worker_b")
    await worker.register()
    async with rig.takes_offers() as offers, rig.orchestrator("one"):
        await rig.orders("exec_1")
        offered = await asyncio.wait_for(offers.get(), 30)
        await eventually(lambda: rig.has_stored(packets=1, reports=0), 15, what="the silence is told, and its packet stored")
        _, stored = await other.take()

        attempt = await worker.granted(offered)
        others_answer = await other.claim(stored)
        await worker.completes(offered, attempt, {"text": "*"})
        await eventually(lambda: rig.count("SELECT count(*) FROM stage_attempts WHERE success"), what="its report is applied")

    assert stored == offered
    assert isinstance(others_answer, Later)
    assert attempt == 1
    assert await rig.count("SELECT count(*) FROM stage_attempts") == 1


async def _note(seen: list[bytes], message: Msg) -> None:
    seen.append(message.data)
