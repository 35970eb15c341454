"""What only the NATS adapters have: streams to declare, permissions, troubles of the broker, other NATS clients."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import nats
import nats.aio.client
import nats.js.errors
import pytest
import pytest_asyncio

from aif_console.embedded.nats_server import EmbeddedNats, find_nats_server
from aif_contracts import subjects
from aif_contracts.blobs import BlobRef, StorageType
from aif_runtime.bus import Deliveries, Question
from aif_runtime.failures import BlobMissing, BlobStoreUnavailable, BusUnavailable, NoAnswer
from aif_runtime.nats_blobs import NatsBlobStore
from aif_runtime.nats_bus import NatsBus
from aif_runtime.nats_connection import FLUSH_LIMIT_SECONDS
from aif_runtime.nats_wire import Arrived
from aif_runtime.open_blob_store import open_blob_store
from aif_runtime.prepared_message import Prepared
from aif_runtime.topology import StoreLimits, factory_topology
from conformance.bus_rigs import WORK, FragileNatsRig, NatsRig, fetch_one, fetch_payloads, work, work_consumer
from support.other_nats_client import all_is_read
from support.waiting import eventually

MIB = 1024 * 1024


@pytest_asyncio.fixture
async def client(fresh_nats: str) -> AsyncIterator[nats.aio.client.Client]:
    """Another NATS client at the same server."""
    async with await nats.connect(fresh_nats) as connected:
        yield connected


async def test_the_topology_is_declared_by_many_at_once_and_again(fresh_nats: str, client: nats.aio.client.Client) -> None:
    buses = [await NatsBus.connect(fresh_nats, name=f"bus {number}") for number in range(5)]

    await asyncio.gather(*[bus.declare_topology() for bus in buses])
    await buses[0].declare_topology()

    names = {info.config.name for info in await client.jetstream().streams_info()}
    assert names == {
        "AIF_REQUESTS",
        "AIF_WORK",
        "AIF_REPORTS",
        "AIF_USAGE",
        "AIF_EVENTS",
        "AIF_PERFORMANCE",
        "AIF_DEAD",
        "AIF_AUDIT",
        "KV_aif_registry",
        "KV_aif_blobs_kv",
        "KV_aif_config",
        "KV_aif_responses",
        "OBJ_aif_blobs",
    }
    for bus in buses:
        await bus.close()


async def test_streams_refuse_when_full_and_keep_for_as_long_as_they_should(
    nats_rig: NatsRig, client: nats.aio.client.Client
) -> None:
    await nats_rig.connect("one")
    configurations = {str(info.config.name): info.config for info in await client.jetstream().streams_info()}

    assert {name: config.retention for name, config in configurations.items() if name.startswith("AIF_")} == {
        "AIF_REQUESTS": "workqueue",
        "AIF_WORK": "workqueue",
        "AIF_REPORTS": "workqueue",
        "AIF_USAGE": "workqueue",
        "AIF_AUDIT": "workqueue",
        "AIF_EVENTS": "limits",
        "AIF_PERFORMANCE": "limits",
        "AIF_DEAD": "limits",
    }
    assert configurations["AIF_EVENTS"].max_age == 604_800
    assert configurations["AIF_PERFORMANCE"].max_age == 604_800
    assert configurations["AIF_DEAD"].max_age == 2_592_000
    # Kept answers make room for newer ones; everything else is refused rather than lost.
    assert {name for name, config in configurations.items() if config.discard != "new"} == {"KV_aif_responses"}
    assert {config.storage for config in configurations.values()} == {"file"}
    assert all(0 < (config.max_bytes or 0) <= 2 * 1024**3 for config in configurations.values())


async def test_changed_limits_are_updated_and_nothing_is_lost(nats_rig: NatsRig, client: nats.aio.client.Client) -> None:
    bus = await nats_rig.connect("one")
    await bus.publish(work(b"kept"))
    limits = StoreLimits(stream_max_bytes=300 * MIB, events_max_age_seconds=3600.0)

    async with await NatsBus.connect(nats_rig.url, name="two", topology=factory_topology(limits)) as other:
        await other.declare_topology()

    assert (await client.jetstream().stream_info("AIF_WORK")).config.max_bytes == 300 * MIB
    assert (await client.jetstream().stream_info("AIF_EVENTS")).config.max_age == 3600
    assert await fetch_payloads(await bus.open_consumer(work_consumer()), 1) == [b"kept"]


async def test_a_full_stream_says_so_at_once(fresh_nats: str) -> None:
    topology = factory_topology(StoreLimits(stream_max_bytes=MIB))

    async with await NatsBus.connect(fresh_nats, name="one", topology=topology, publish_limit_seconds=60.0) as bus:
        await bus.declare_topology()
        async with asyncio.timeout(5):
            with pytest.raises(BusUnavailable, match="maximum bytes exceeded"):
                await bus.publish(work(*[bytes(100_000)] * 20))


async def test_a_broker_that_is_there_and_stores_nothing_is_a_trouble_until_it_stores_again(
    fresh_nats: str, client: nats.aio.client.Client
) -> None:
    bus = await NatsBus.connect(fresh_nats, name="bus", publish_limit_seconds=1.0)
    await bus.declare_topology()
    await client.jetstream().delete_stream("AIF_WORK")
    mute = await client.subscribe("aif.work.>")
    await all_is_read(client)

    with pytest.raises(BusUnavailable, match="were not confirmed"):
        await bus.publish(work(b"lost"))
    trouble, is_connected = bus.trouble, bus.is_connected
    await mute.unsubscribe()
    await all_is_read(client)
    await bus.publish(work(b"stored"))

    assert trouble == "nothing is stored under aif.work, though the broker answers: its disk may be full"
    assert is_connected
    assert bus.trouble is None
    await bus.close()


async def test_a_frozen_broker_is_said_not_to_answer_until_it_does(fragile_nats_rig: FragileNatsRig) -> None:
    bus = await fragile_nats_rig.connect("bus")
    await fragile_nats_rig.stop_confirming()

    with pytest.raises(BusUnavailable, match="were not confirmed within 1 s and may be stored: the broker does not answer"):
        await bus.publish(work(b"late"))
    trouble = bus.trouble
    await fragile_nats_rig.come_back()

    await eventually(lambda: bus.trouble is None)
    assert trouble == "the broker does not answer: nothing is stored under aif.work"


async def test_entries_whose_time_was_over_do_not_come_back_with_a_broker_that_was_killed(servers_dir: Path) -> None:
    server = EmbeddedNats(servers_dir / "killed")
    await server.start()
    async with await NatsBus.connect(server.url, name="before") as bus:
        await bus.declare_topology()
        for _ in range(3):
            await bus.put_entry(subjects.BUCKET_REGISTRY, "granulator.alive", b"1")
            await bus.put_entry(subjects.BUCKET_REGISTRY, "granulator.dead", b"1", ttl_seconds=1)
            await bus.put_entry(subjects.BUCKET_REGISTRY, "planner.dead", b"1", ttl_seconds=1)
        await eventually(lambda: _beats_alone(bus), what="the broker drops the dead ones")
    await server.kill()
    await server.start()

    async with await NatsBus.connect(server.url, name="after") as bus:
        await bus.put_entry(subjects.BUCKET_REGISTRY, "granulator.alive", b"3")
        assert dict(await bus.entries(subjects.BUCKET_REGISTRY)) == {"granulator.alive": b"3"}
    await server.stop()


async def _beats_alone(bus: NatsBus) -> bool:
    await bus.put_entry(subjects.BUCKET_REGISTRY, "granulator.alive", b"2")
    return list(await bus.entries(subjects.BUCKET_REGISTRY)) == ["granulator.alive"]


async def test_a_missing_stream_is_made_by_the_first_who_publishes_to_it(fresh_nats: str) -> None:
    async with await NatsBus.connect(fresh_nats, name="one") as bus:
        await bus.publish(work(b"first"))

        assert await fetch_payloads(await bus.open_consumer(work_consumer()), 1) == [b"first"]


async def test_a_missing_stream_is_made_by_the_first_who_consumes_from_it(fresh_nats: str) -> None:
    async with await NatsBus.connect(fresh_nats, name="one") as bus:
        deliveries = await bus.open_consumer(work_consumer())
        await bus.publish(work(b"first"))

        assert await fetch_payloads(deliveries, 1) == [b"first"]


@pytest.mark.parametrize("lost", ["consumer", "stream"])
async def test_a_waiting_fetch_goes_on_when_somebody_deletes_what_it_reads(
    nats_rig: NatsRig, client: nats.aio.client.Client, lost: str
) -> None:
    bus = await nats_rig.connect("one")
    deliveries = await bus.open_consumer(work_consumer())
    fetching = asyncio.create_task(_next_payloads(deliveries))
    await eventually(lambda: _is_asked(client, "AIF_WORK", "granulator_normal"), what="the fetch waits at the broker")

    if lost == "consumer":
        await client.jetstream().delete_consumer("AIF_WORK", "granulator_normal")
    else:
        await client.jetstream().delete_stream("AIF_WORK")
    await bus.publish(work(b"after"))

    assert await fetching == [b"after"]


async def _next_payloads(deliveries: Deliveries) -> list[bytes]:
    """The broker may forget a request that it gets while it deletes what is asked; the next one is answered."""
    async with asyncio.timeout(30):
        while not (fetched := await deliveries.fetch(5, 5.0)):
            pass
    return [delivery.payload for delivery in fetched]


async def _is_asked(client: nats.aio.client.Client, stream: str, consumer: str) -> bool:
    try:
        return bool((await client.jetstream().consumer_info(stream, consumer)).num_waiting)
    except nats.js.errors.NotFoundError:
        return False


async def test_what_arrived_after_a_cancelled_fetch_goes_back_when_the_consumer_closes(nats_rig: NatsRig) -> None:
    leaving, staying = await nats_rig.connect("leaving"), await nats_rig.connect("staying")
    left = await leaving.open_consumer(work_consumer(ack_wait_seconds=60.0))
    fetching = asyncio.create_task(left.fetch(5, 30.0))
    await leaving.connection.flush()
    fetching.cancel()
    await asyncio.wait([fetching])
    await staying.publish(work(b"handed over"))

    await leaving.close()

    stayed = await staying.open_consumer(work_consumer(ack_wait_seconds=60.0))
    assert (await fetch_one(stayed)).payload == b"handed over"


async def test_a_short_loss_of_the_broker_is_not_noticed_by_those_who_publish(fragile_nats_rig: FragileNatsRig) -> None:
    bus = await NatsBus.connect(fragile_nats_rig.url, name="patient", publish_limit_seconds=20.0)
    await bus.declare_topology()
    deliveries = await bus.open_consumer(work_consumer())
    await fragile_nats_rig.go_down()
    publishing = asyncio.create_task(bus.publish(work(*[b"%d" % number for number in range(50)])))
    await asyncio.sleep(0)

    await fragile_nats_rig.come_back()
    await publishing

    assert await fetch_payloads(deliveries, 50) == [b"%d" % number for number in range(50)]
    await bus.close()


async def test_who_waits_for_an_answer_hears_at_once_that_the_broker_is_lost(fragile_nats_rig: FragileNatsRig) -> None:
    asking, answering = await fragile_nats_rig.connect("asking"), await fragile_nats_rig.connect("answering")
    taken = asyncio.Event()

    async def never_answers(question: Question) -> bytes:
        taken.set()
        await asyncio.Event().wait()
        return b""

    await answering.answer(subjects.GET, subjects.ORCHESTRATOR_GROUP, never_answers)
    waiting = asyncio.create_task(asking.ask(subjects.GET, b"", wait_seconds=3600.0))
    await asyncio.wait_for(taken.wait(), 30)

    await fragile_nats_rig.go_down()

    with pytest.raises(BusUnavailable, match="lost before the reply came"):
        await asyncio.wait_for(waiting, 30)


async def test_an_answer_that_finds_no_connection_any_more_is_one_line_of_the_log(
    nats_rig: NatsRig, caplog: pytest.LogCaptureFixture
) -> None:
    asking, answering = await nats_rig.connect("asking"), await nats_rig.connect("answering")

    async def answers_after_the_loss(question: Question) -> bytes:
        await answering.connection.close()
        return b"too late"

    await answering.answer(subjects.GET, subjects.ORCHESTRATOR_GROUP, answers_after_the_loss)
    with pytest.raises(NoAnswer):
        await asking.ask(subjects.GET, b"", wait_seconds=1.0)
    await eventually(lambda: "answer_lost" in caplog.messages)

    assert [record.exc_info for record in caplog.records if record.message.startswith("answer_")] == [None]


async def test_no_broker_is_said_within_the_limit_and_where_it_was_looked_for() -> None:
    urls = "nats://kam:secret@127.0.0.1:1,localhost:2"
    async with asyncio.timeout(10):
        with pytest.raises(BusUnavailable, match=r"no connection to NATS at 127\.0\.0\.1:1, localhost:2 within 0\.3 s: "):
            await NatsBus.connect(urls, name="lost", connect_limit_seconds=0.3)


async def test_thousands_of_object_reads_leave_no_consumer_behind(nats_rig: NatsRig, client: nats.aio.client.Client) -> None:
    store = NatsBlobStore(await nats_rig.connect("reader"))
    one_chunk = await _put_object(client, b"small")
    ref = await store.put("large", bytes(600_000))

    for _ in range(600):
        await store.get(ref)
        await store.get(one_chunk)

    assert (await client.jetstream().stream_info("OBJ_aif_blobs")).state.consumer_count == 0


async def test_orders_of_two_clients_under_the_same_message_id_are_both_stored(
    nats_rig: NatsRig, client: nats.aio.client.Client
) -> None:
    await nats_rig.connect("one")
    jetstream = client.jetstream()
    await jetstream.publish(subjects.submit("acme"), b"{}", headers={"Nats-Msg-Id": "order-1"})

    async def is_stored() -> bool:
        stored = await jetstream.publish(subjects.submit("globex"), b"{}", headers={"Nats-Msg-Id": "order-1"})
        return not stored.duplicate

    await eventually(is_stored, 1.5)


async def test_outside_the_object_store_a_roll_up_takes_away_nobody_elses_messages(
    nats_rig: NatsRig, client: nats.aio.client.Client
) -> None:
    await nats_rig.connect("one")
    published = {
        str(info.config.name): str((info.config.subjects or [])[0]).replace("*", "mine").replace(">", "mine")
        for info in await client.jetstream().streams_info()
        if info.config.name != "OBJ_aif_blobs"
    }
    assert len(published) == 12

    for stream, subject in published.items():
        await client.jetstream().publish(subject.replace("mine", "theirs"), b"kept")
        with pytest.raises(nats.js.errors.APIError, match="rollup not permitted"):
            await client.jetstream().publish(subject, b"all mine", headers={"Nats-Rollup": "all"})

        assert (await client.jetstream().stream_info(stream)).state.messages == 1


@pytest.mark.parametrize("size", [0, 1, 200_000, 3 * MIB])
async def test_objects_of_other_nats_clients_can_be_read(nats_rig: NatsRig, client: nats.aio.client.Client, size: int) -> None:
    store = NatsBlobStore(await nats_rig.connect("reader"))
    content = os.urandom(size)

    ref = await _put_object(client, content)

    assert await store.get(ref) == content


async def test_other_nats_clients_can_read_our_objects_and_entries(nats_rig: NatsRig, client: nats.aio.client.Client) -> None:
    store = NatsBlobStore(await nats_rig.connect("writer"))
    content = os.urandom(3 * MIB)

    large = await store.put("data/large", content)
    small = await store.put("data/small", b"x" * 9000)

    objects = await client.jetstream().object_store("aif_blobs")
    entries = await client.jetstream().key_value("aif_blobs_kv")
    assert (await objects.get(large.storage_key)).data == content
    assert (await entries.get(small.storage_key)).value == b"x" * 9000


async def test_a_deleted_object_is_missing(nats_rig: NatsRig, client: nats.aio.client.Client) -> None:
    store = NatsBlobStore(await nats_rig.connect("reader"))
    ref = await store.put("data/large", bytes(600_000))

    await (await client.jetstream().object_store("aif_blobs")).delete(ref.storage_key)

    with pytest.raises(BlobMissing):
        await store.get(ref)


async def test_writers_of_the_same_object_at_once_leave_one_whole_object(nats_rig: NatsRig) -> None:
    store = NatsBlobStore(await nats_rig.connect("writer"))
    content = os.urandom(MIB)

    refs = await asyncio.gather(*[store.put("data/same", content) for _ in range(5)])

    assert [await store.get(ref) for ref in refs] == [content] * 5


async def test_chunks_that_no_description_names_are_fragments_once_they_are_old(nats_rig: NatsRig) -> None:
    bus = await nats_rig.connect("writer")
    store = NatsBlobStore(bus)
    content = os.urandom(MIB)
    kept = await store.put("data/kept", content)
    fragment = Prepared(subject="$O.aif_blobs.C.DEAD", payload=b"half an object", headers={})
    await bus.store([fragment, fragment])

    assert await store.delete_fragments(60) == 0
    assert await store.delete_fragments(0) == 1

    listing = await bus.connection.api("STREAM.INFO.OBJ_aif_blobs", {"subjects_filter": "$O.aif_blobs.C.>"}, dict)
    assert list(listing["state"]["subjects"].values()) == [4]
    assert await store.get(kept) == content


async def test_nothing_stays_in_the_broker_of_deleted_blobs(nats_rig: NatsRig) -> None:
    bus = await nats_rig.connect("writer")
    store = NatsBlobStore(bus)
    for number in range(3):
        await store.put(f"data/exec_1/stage_{number}/output", os.urandom(MIB))
        await store.put(f"data/exec_1/stage_{number}/output", os.urandom(9000))

    assert await store.delete_folders(["data/exec_1"]) == 6

    for stream in ("OBJ_aif_blobs", "KV_aif_blobs_kv"):
        assert (await bus.connection.api(f"STREAM.INFO.{stream}", {}, dict))["state"]["messages"] == 0


async def test_where_the_buckets_are_lost_there_is_nothing_to_delete(fragile_nats_rig: FragileNatsRig) -> None:
    store = NatsBlobStore(await fragile_nats_rig.connect("blobs"))
    await fragile_nats_rig.wipe()

    assert await store.delete_folders(["data/exec_1"]) == 0
    assert await store.delete_fragments(0) == 0


async def test_blobs_are_missing_after_the_loss_of_everything_and_can_be_stored_again(
    fragile_nats_rig: FragileNatsRig,
) -> None:
    bus = await fragile_nats_rig.connect("blobs")
    store = open_blob_store("nats:", bus)
    refs = [await store.put("small", bytes(9000)), await store.put("large", bytes(600_000))]

    await fragile_nats_rig.wipe()
    await eventually(lambda: bus.is_connected)

    for ref in refs:
        with pytest.raises(BlobMissing):
            await store.get(ref)
    assert await store.get(await store.put("small", bytes(9000))) == bytes(9000)
    assert await store.get(await store.put("large", bytes(600_000))) == bytes(600_000)


async def test_a_blob_store_without_its_broker_says_so(fragile_nats_rig: FragileNatsRig) -> None:
    bus = await fragile_nats_rig.connect("blobs")
    store = NatsBlobStore(bus)
    ref = await store.put("small", bytes(9000))

    await fragile_nats_rig.go_down()
    await eventually(lambda: not bus.is_connected)

    async with asyncio.timeout(10):
        with pytest.raises(BlobStoreUnavailable):
            await store.get(ref)
        with pytest.raises(BlobStoreUnavailable):
            await store.put("other", bytes(9000))


WORKER_PERMISSIONS = {
    "publish": [
        "aif.report.>",
        "$JS.API.CONSUMER.CREATE.AIF_WORK.granulator_normal.>",
        "$JS.API.CONSUMER.MSG.NEXT.AIF_WORK.granulator_normal",
        "$JS.ACK.AIF_WORK.granulator_normal.>",
    ],
    "subscribe": ["_INBOX_granulator.>", "aif.control.granulator"],
}


class GuardedServer:
    """A server that knows two users: `admin` may do all, `worker` only what a worker needs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def start(self) -> None:
        users = [
            {"user": "admin", "password": "secret"},
            {"user": "worker", "password": "secret", "permissions": WORKER_PERMISSIONS},
        ]
        settings = {
            "host": "127.0.0.1",
            "port": -1,
            "ports_file_dir": str(self._folder),
            "jetstream": {"store_dir": str(self._folder)},
            "authorization": {"users": users},
        }
        config = self._folder / "guarded.conf"
        config.write_bytes(msgspec.json.encode(settings))
        self._process = await asyncio.create_subprocess_exec(
            find_nats_server(os.environ), "--config", str(config), stderr=asyncio.subprocess.DEVNULL
        )
        ports = self._folder / f"nats-server_{self._process.pid}.ports"

        def first_address() -> str:
            """Empty while the file is not there or not written to its end."""
            try:
                return str(msgspec.json.decode(ports.read_bytes())["nats"][0])
            except (FileNotFoundError, msgspec.DecodeError):
                return ""

        self.url = await eventually(first_address)

    async def stop(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def connect(
        self, user: str, password: str = "secret", inbox_prefix: str = "_INBOX", *, may_declare: bool = True
    ) -> NatsBus:
        return await NatsBus.connect(
            self.url,
            name=user,
            user=user,
            password=password,
            inbox_prefix=inbox_prefix,
            may_declare=may_declare,
            publish_limit_seconds=1.0,
            connect_limit_seconds=1.0,
        )


@pytest_asyncio.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[GuardedServer]:
    server = GuardedServer(tmp_path)
    await server.start()
    yield server
    await server.stop()


async def test_a_wrong_password_is_named(guarded: GuardedServer) -> None:
    with pytest.raises(BusUnavailable, match="Authorization Violation"):
        await guarded.connect("worker", password="wrong")


async def test_a_user_with_few_permissions_works_with_an_inbox_of_its_own(guarded: GuardedServer) -> None:
    async with (
        await guarded.connect("admin") as admin,
        await guarded.connect("worker", inbox_prefix="_INBOX_granulator") as worker,
    ):
        await admin.declare_topology()
        await admin.publish(work(b"do it"))
        deliveries = await worker.open_consumer(work_consumer())

        assert await fetch_payloads(deliveries, 1) == [b"do it"]
        await worker.publish([msgspec.structs.replace(work(b"done")[0], subject=subjects.report("echo"))])
        assert worker.is_connected
        assert worker.trouble is None


async def test_a_user_who_may_make_no_streams_goes_on_when_somebody_else_has_made_them_again(guarded: GuardedServer) -> None:
    async with (
        await guarded.connect("admin") as admin,
        await guarded.connect("worker", inbox_prefix="_INBOX_granulator", may_declare=False) as worker,
    ):
        await admin.declare_topology()
        deliveries = await worker.open_consumer(work_consumer())
        fetching = asyncio.create_task(_next_payloads(deliveries))
        await worker.connection.flush()

        await admin.connection.api("STREAM.DELETE.AIF_WORK", None, dict)
        await admin.publish(work(b"after"))

        assert await fetching == [b"after"]
        assert worker.trouble is None


async def test_a_refused_subject_is_no_slow_broker_but_a_trouble_with_a_name(guarded: GuardedServer) -> None:
    async with (
        await guarded.connect("admin") as admin,
        await guarded.connect("worker", inbox_prefix="_INBOX_granulator") as worker,
    ):
        await admin.declare_topology()

        with pytest.raises(BusUnavailable, match=r"(?i)permissions violation for publish to"):
            await worker.publish(work(b"forged"))

        assert not worker.is_connected
        assert worker.trouble is not None
        assert WORK in worker.trouble


async def test_a_question_in_the_queue_is_still_answered_when_the_bus_closes(nats_rig: NatsRig) -> None:
    answering, asking = await nats_rig.connect("answering"), await nats_rig.connect("asking")
    asked, released = asyncio.Event(), asyncio.Event()

    async def answer(question: Question) -> bytes:
        asked.set()
        await released.wait()
        return question.payload

    await answering.answer(subjects.GET, subjects.ORCHESTRATOR_GROUP, answer)
    questions = [asyncio.create_task(asking.ask(subjects.GET, b"%d" % n, wait_seconds=5.0)) for n in range(1500)]
    await asked.wait()
    await asking.connection.flush()

    closing = asyncio.create_task(answering.close())
    released.set()

    assert await asyncio.gather(*questions) == [b"%d" % n for n in range(1500)]
    await closing


async def _put_object(client: nats.aio.client.Client, content: bytes) -> BlobRef:
    name = "foreign-0123456789abcdef"
    objects = await client.jetstream().object_store("aif_blobs")
    await objects.put(name, content)
    digest = hashlib.sha256(content).hexdigest()
    return BlobRef(storage_type=StorageType.OBJECT, storage_key=name, size_bytes=len(content), sha256=digest)


async def test_listeners_that_are_cancelled_while_they_begin_leave_the_connection_whole(fresh_nats: str) -> None:
    async with await NatsBus.connect(fresh_nats, name="one") as bus:
        await bus.declare_topology()

        async def listen() -> None:
            async with bus.listen("aif.control.nobody"):
                await asyncio.Event().wait()

        losses: list[bool] = []
        bus.connection.watch(lambda: losses.append(bus.connection.is_up))
        for turns in range(20):
            listening = asyncio.create_task(listen())
            for _ in range(turns % 4):
                await asyncio.sleep(0)
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        await bus.publish(work(b"still here"))

        assert losses == []


async def test_after_a_flush_that_was_answered_too_late_the_next_one_asks_again(fragile_nats_rig: FragileNatsRig) -> None:
    bus = await fragile_nats_rig.connect("one")
    await fragile_nats_rig.stop_confirming()
    with pytest.raises(BusUnavailable, match="does not answer"):
        await bus.connection.flush()
    await fragile_nats_rig.come_back()
    await bus.publish(work(b"answered"))
    await bus.connection.flush()

    await fragile_nats_rig.stop_confirming()

    with pytest.raises(BusUnavailable, match="does not answer"):
        await bus.connection.flush()
    await fragile_nats_rig.come_back()


async def test_closing_does_not_wait_again_for_a_broker_that_has_just_been_silent(fragile_nats_rig: FragileNatsRig) -> None:
    bus = await fragile_nats_rig.connect("leaving")
    await fragile_nats_rig.stop_confirming()
    with pytest.raises(BusUnavailable):
        await bus.connection.flush()

    async with asyncio.timeout(FLUSH_LIMIT_SECONDS / 2):
        await bus.close()


async def test_a_message_that_cannot_be_taken_does_not_end_the_connection(nats_rig: NatsRig) -> None:
    bus = await nats_rig.connect("one")
    taken: list[bytes] = []

    def take(message: Arrived) -> None:
        if message.data == b"bad":
            raise RuntimeError("a bug")
        taken.append(message.data)

    await bus.connection.subscribe("aif.control.granulator", take)
    for content in (b"good", b"bad", b"better"):
        await bus.broadcast("aif.control.granulator", content)
    await bus.connection.flush()

    assert taken == [b"good", b"better"]
    assert bus.is_connected


async def test_messages_sent_together_arrive_in_order_and_none_when_one_is_too_large(nats_rig: NatsRig) -> None:
    bus = await nats_rig.connect("one")
    taken: list[tuple[bytes, str]] = []
    await bus.connection.subscribe("aif.control.granulator", lambda message: taken.append((message.data, message.reply)))
    too_large = b"x" * (bus.connection.max_payload + 1)

    with pytest.raises(ValueError, match="store it as a blob"):
        await bus.connection.send_all([("", control(b"first")), ("", control(too_large))])
    await bus.connection.send_all([(f"_INBOX.{number}", control(b"%d" % number)) for number in range(1000)])
    await bus.connection.flush()

    assert taken == [(b"%d" % number, f"_INBOX.{number}") for number in range(1000)]


def control(content: bytes) -> Prepared:
    return Prepared(subject="aif.control.granulator", payload=content, headers={"x-note": "together"})


async def test_a_work_queue_that_is_emptied_after_each_message_does_not_make_a_file_for_each(tmp_path: Path) -> None:
    server = EmbeddedNats(tmp_path / "nats")
    await server.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.stop)
        bus = await NatsRig(stack, server.url).connect("one")
        deliveries = await bus.open_consumer(work_consumer())
        for number in range(30):
            await bus.publish(work(b"%d" % number))
            delivery = await fetch_one(deliveries)
            await delivery.ack()
            await eventually(lambda: _has_nothing_for_workers(bus))

        files = [int(file.stem) for file in (tmp_path / "nats").rglob(f"{subjects.STREAM_WORK}/msgs/*.blk")]

    assert max(files) < 10


async def _has_nothing_for_workers(bus: NatsBus) -> bool:
    consumer = subjects.work_consumer("granulator", "normal")
    info = await bus.connection.api(f"CONSUMER.INFO.{subjects.STREAM_WORK}.{consumer}", None, dict)
    return (info["num_pending"], info["num_ack_pending"]) == (0, 0)
