"""Many messages at once: confirmed by few answers, stored once each, and no promise kept any less for it."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import nats
import nats.aio.client
import pytest
import pytest_asyncio

from aif_contracts import subjects
from aif_runtime.bus import Outgoing
from aif_runtime.failures import BusUnavailable
from aif_runtime.nats_bus import NatsBus
from conformance.bus_rigs import FragileNatsRig, NatsRig, fetch_payloads, work_consumer
from support.other_nats_client import all_is_read
from support.waiting import eventually

WORK = subjects.work("granulator", "normal")
EVENTS = subjects.event("acme", "exec_1", "STEP_STARTED")


@pytest_asyncio.fixture
async def client(fresh_nats: str) -> AsyncIterator[nats.aio.client.Client]:
    """Another NATS client at the same server, which sees everything that passes."""
    async with await nats.connect(fresh_nats) as connected:
        yield connected


def numbered(count: int, *, subject: str = WORK, first: int = 0) -> list[Outgoing]:
    return [
        Outgoing(subject=subject, payload=b"%d" % number, message_id=f"{subject}.{number}")
        for number in range(first, first + count)
    ]


async def count_of(client: nats.aio.client.Client, stream: str) -> int:
    return int((await client.jetstream().stream_info(stream)).state.messages)


async def test_a_batch_is_stored_in_order_and_told_by_two_answers(nats_rig: NatsRig, client: nats.aio.client.Client) -> None:
    bus = await nats_rig.connect("one")
    await bus.publish(numbered(8, subject=EVENTS))
    answers: list[bytes] = []

    async def note(message: nats.aio.msg.Msg) -> None:
        answers.append(message.data)

    await client.subscribe("_INBOX.>", cb=note)
    await all_is_read(client)
    await bus.publish(numbered(400))

    deliveries = await bus.open_consumer(work_consumer())
    assert await fetch_payloads(deliveries, 400) == [b"%d" % number for number in range(400)]
    await all_is_read(client)
    batch = [answer for answer in answers if b'"batch"' in answer]
    assert [msgspec.json.decode(answer)["count"] for answer in batch] == [400]
    assert len([answer for answer in answers if b'"stream":"AIF_WORK"' in answer]) == 1


async def test_single_messages_of_many_tasks_are_told_by_few_answers(nats_rig: NatsRig, client: nats.aio.client.Client) -> None:
    bus = await nats_rig.connect("one")
    await bus.publish(numbered(8, subject=EVENTS))
    answers: list[bytes] = []

    async def note(message: nats.aio.msg.Msg) -> None:
        answers.append(message.data)

    await client.subscribe("_INBOX.>", cb=note)
    await all_is_read(client)
    await asyncio.gather(*(bus.publish([message]) for message in numbered(200)))

    assert await count_of(client, "AIF_WORK") == 200
    assert len([answer for answer in answers if b'"stream":"AIF_WORK"' in answer]) == 2


async def test_messages_for_several_streams_are_sorted_into_batches_of_their_own(
    nats_rig: NatsRig, client: nats.aio.client.Client
) -> None:
    bus = await nats_rig.connect("one")
    mixed = [message for pair in zip(numbered(50), numbered(50, subject=EVENTS), strict=True) for message in pair]

    await bus.publish([*mixed, *numbered(3, subject=subjects.dead("work"))])

    assert [await count_of(client, stream) for stream in ("AIF_WORK", "AIF_EVENTS", "AIF_DEAD")] == [50, 50, 3]


async def test_a_batch_that_is_sent_again_is_stored_once(nats_rig: NatsRig, client: nats.aio.client.Client) -> None:
    bus = await nats_rig.connect("one")
    other = await nats_rig.connect("two")

    await asyncio.gather(bus.publish(numbered(100)), other.publish(numbered(100)))
    await other.publish(numbered(100, first=50))

    assert await count_of(client, "AIF_WORK") == 150


async def test_a_stream_that_takes_no_batches_gets_its_messages_one_by_one(
    nats_rig: NatsRig, client: nats.aio.client.Client
) -> None:
    bus = await nats_rig.connect("one")
    config = msgspec.json.decode((await client.request("$JS.API.STREAM.INFO.AIF_WORK")).data)["config"]
    config["allow_batched"] = False
    await client.request("$JS.API.STREAM.UPDATE.AIF_WORK", msgspec.json.encode(config))

    await bus.publish(numbered(100))

    assert await count_of(client, "AIF_WORK") == 100


async def test_streams_of_an_older_factory_take_batches_after_the_next_start(
    nats_rig: NatsRig, client: nats.aio.client.Client
) -> None:
    await nats_rig.connect("old")
    config = msgspec.json.decode((await client.request("$JS.API.STREAM.INFO.AIF_WORK")).data)["config"]
    config["allow_batched"] = False
    await client.request("$JS.API.STREAM.UPDATE.AIF_WORK", msgspec.json.encode(config))

    await nats_rig.connect("new")

    config = msgspec.json.decode((await client.request("$JS.API.STREAM.INFO.AIF_WORK")).data)["config"]
    assert config["allow_batched"] is True


async def test_a_message_that_no_stream_can_hold_fails_its_batch_and_the_others_are_stored(
    nats_rig: NatsRig, client: nats.aio.client.Client
) -> None:
    bus = await nats_rig.connect("one")
    config = msgspec.json.decode((await client.request("$JS.API.STREAM.INFO.AIF_WORK")).data)["config"]
    config["max_msg_size"] = 1000
    await client.request("$JS.API.STREAM.UPDATE.AIF_WORK", msgspec.json.encode(config))
    large = Outgoing(subject=WORK, payload=bytes(2000), message_id="large")

    with pytest.raises(BusUnavailable, match="message size exceeds maximum"):
        await bus.publish([*numbered(20), large, *numbered(20, first=20)])

    assert await count_of(client, "AIF_WORK") == 40


async def test_a_batch_that_nobody_confirms_is_sent_again_when_the_broker_is_back(fragile_nats_rig: FragileNatsRig) -> None:
    bus = await NatsBus.connect(fragile_nats_rig.url, name="patient", publish_limit_seconds=30.0)
    async with bus:
        await bus.declare_topology()
        await bus.publish(numbered(10))
        await fragile_nats_rig.go_down()
        publishing = asyncio.create_task(bus.publish(numbered(200, first=10)))
        await eventually(lambda: not bus.is_connected)

        await fragile_nats_rig.come_back()
        await publishing

        deliveries = await bus.open_consumer(work_consumer())
        assert len(await fetch_payloads(deliveries, 210)) == 210
