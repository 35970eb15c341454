"""The memory broker under a clock that the test moves."""

import pytest

from aif_contracts import subjects
from aif_runtime.bus import ConsumerSpec, Outgoing
from aif_runtime.failures import BusUnavailable
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.topology import StoreLimits, factory_topology
from conformance.bus_rigs import WORK, fetch_one, fetch_payloads, work, work_consumer

EVENT = subjects.event("cli_1", "exec_1", "STEP_COMPLETED")
DAY_SECONDS = 86_400


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def broker(clock: Clock) -> MemoryBroker:
    return MemoryBroker(clock=clock)


async def test_redelivery_follows_the_given_clock(broker: MemoryBroker, clock: Clock) -> None:
    bus = MemoryBus(broker)
    deliveries = await bus.open_consumer(work_consumer(ack_wait_seconds=30.0))
    await bus.publish(work(b"x"))
    await fetch_one(deliveries)

    clock.now += 29.9
    assert await deliveries.fetch(1, 0.0) == []
    clock.now += 0.2

    assert (await fetch_one(deliveries, wait_seconds=0.0)).num_delivered == 2


async def test_overdue_messages_come_before_new_ones(broker: MemoryBroker, clock: Clock) -> None:
    bus = MemoryBus(broker)
    deliveries = await bus.open_consumer(work_consumer(ack_wait_seconds=30.0))
    await bus.publish(work(b"1", b"2"))
    await deliveries.fetch(2, 0.0)
    await bus.publish(work(b"3"))

    clock.now += 31

    assert [(one.payload, one.num_delivered) for one in await deliveries.fetch(5, 0.0)] == [(b"1", 2), (b"2", 2), (b"3", 1)]


async def test_an_id_is_forgotten_after_the_duplicate_window(broker: MemoryBroker, clock: Clock) -> None:
    bus = MemoryBus(broker)
    deliveries = await bus.open_consumer(work_consumer())
    message = Outgoing(subject=WORK, payload=b"x", message_id="1")

    await bus.publish([message])
    clock.now += 119
    await bus.publish([message])
    clock.now += 2
    await bus.publish([message])

    assert await fetch_payloads(deliveries, 2) == [b"x", b"x"]
    assert await deliveries.fetch(1, 0.0) == []


async def test_events_are_forgotten_after_seven_days(broker: MemoryBroker, clock: Clock) -> None:
    bus = MemoryBus(broker)
    await bus.publish([Outgoing(subject=EVENT, payload=b"old")])
    clock.now += 4 * DAY_SECONDS
    await bus.publish([Outgoing(subject=EVENT, payload=b"young")])
    clock.now += 4 * DAY_SECONDS
    await bus.publish([Outgoing(subject=EVENT, payload=b"new")])

    deliveries = await bus.open_consumer(
        ConsumerSpec(stream=subjects.STREAM_EVENTS, durable="late", filter_subject=subjects.ALL_EVENTS)
    )

    assert await fetch_payloads(deliveries, 2) == [b"young", b"new"]


async def test_an_entry_lives_as_long_as_it_was_given(broker: MemoryBroker, clock: Clock) -> None:
    bus = MemoryBus(broker)
    await bus.put_entry(subjects.BUCKET_REGISTRY, "worker.1", b"x", ttl_seconds=15.0)

    clock.now += 14.9
    assert await bus.entries(subjects.BUCKET_REGISTRY) == {"worker.1": b"x"}
    clock.now += 0.2

    assert await bus.entries(subjects.BUCKET_REGISTRY) == {}


async def test_a_full_stream_refuses_and_takes_again_when_there_is_room(clock: Clock) -> None:
    broker = MemoryBroker(factory_topology(StoreLimits(stream_max_bytes=1000)), clock=clock)
    bus = MemoryBus(broker)
    deliveries = await bus.open_consumer(work_consumer())
    await bus.publish(work(bytes(800)))

    with pytest.raises(BusUnavailable, match="AIF_WORK is full"):
        await bus.publish(work(bytes(800)))
    await fetch_payloads(deliveries, 1)

    await bus.publish(work(bytes(800)))


async def test_buckets_and_streams_that_nobody_declared_are_refused(broker: MemoryBroker) -> None:
    bus = MemoryBus(broker)

    with pytest.raises(BusUnavailable, match="there is no bucket nowhere"):
        await bus.put_entry("nowhere", "key", b"")
    with pytest.raises(BusUnavailable, match="there is no bucket nowhere"):
        await bus.entries("nowhere")
    with pytest.raises(BusUnavailable, match="there is no stream NOWHERE"):
        await bus.open_consumer(ConsumerSpec(stream="NOWHERE", durable="x", filter_subject=">"))
