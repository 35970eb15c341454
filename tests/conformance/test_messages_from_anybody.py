"""Messages that no client library of good manners sends: they come like any other, or not at all, and harm nobody."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import nats
import nats.aio.client
import pytest
import pytest_asyncio
from nats.aio.msg import Msg

from aif_contracts import subjects
from aif_runtime.bus import ConsumerSpec, Outgoing, Question
from aif_runtime.failures import MalformedMessage
from aif_runtime.nats_bus import NatsBus
from conformance.bus_rigs import NatsRig, fetch_payloads
from support.other_nats_client import all_is_read

REPORTS = ConsumerSpec(
    stream=subjects.STREAM_REPORTS,
    durable=subjects.CONSUMER_REPORTS,
    filter_subject=subjects.ALL_REPORTS,
    ack_wait_seconds=30.0,
)


@pytest_asyncio.fixture
async def bus(nats_rig: NatsRig) -> NatsBus:
    return await nats_rig.connect("one")


@pytest_asyncio.fixture
async def client(nats_rig: NatsRig, bus: NatsBus) -> AsyncIterator[nats.aio.client.Client]:
    """Another NATS client at the same server."""
    async with await nats.connect(nats_rig.url) as connected:
        yield connected


@pytest.mark.parametrize("token", [b"\xff", b"a\x0bb", b"a\x0cb\x1c", b"a\rb", b"\xc2\x85", b"a\x00b"])
async def test_a_subject_of_strange_bytes_is_delivered_and_takes_nothing_with_it(
    nats_rig: NatsRig, bus: NatsBus, token: bytes
) -> None:
    deliveries = await bus.open_consumer(REPORTS)
    losses: list[bool] = []
    bus.connection.watch(lambda: losses.append(bus.connection.is_up))

    await _say(nats_rig.url, b"PUB aif.report.%s 7\r\nstrange\r\n" % token)
    await bus.publish([Outgoing(subject=subjects.report("analyst"), payload=b"good")])

    assert await fetch_payloads(deliveries, 2) == [b"strange", b"good"]
    assert losses == []


async def test_a_question_whose_inbox_is_no_utf_8_ends_nobodys_connection(nats_rig: NatsRig, bus: NatsBus) -> None:
    asked = await _answering(bus)

    await _say(nats_rig.url, b"PUB aif.orchestrator.get _INBOX.\xff 3\r\nwho\r\n")

    assert await bus.ask(subjects.GET, b"well?", wait_seconds=10) == b"an answer"
    assert asked == [b"who", b"well?"]


@pytest.mark.parametrize("block", [b"NATS/1.0 404\r\n\r\n", b"NATS/1.0\r\nStatus: 503\r\n\r\n"])
async def test_an_empty_message_that_calls_itself_a_status_is_delivered(nats_rig: NatsRig, bus: NatsBus, block: bytes) -> None:
    deliveries = await bus.open_consumer(REPORTS)

    await _say(nats_rig.url, b"HPUB aif.report.analyst %d %d\r\n%s\r\n" % (len(block), len(block), block))
    await bus.publish([Outgoing(subject=subjects.report("analyst"), payload=b"good")])

    assert await fetch_payloads(deliveries, 2) == [b"", b"good"]


async def test_an_empty_entry_that_calls_itself_a_status_hides_no_other(bus: NatsBus, client: nats.aio.client.Client) -> None:
    await bus.put_entry(subjects.BUCKET_REGISTRY, "analyst.1", b"here")

    await client.jetstream().publish("$KV.aif_registry.analyst.2", b"", headers={"Status": "503"})

    assert await bus.entries(subjects.BUCKET_REGISTRY) == {"analyst.1": b"here", "analyst.2": b""}
    assert await bus.entry(subjects.BUCKET_REGISTRY, "analyst.2") == b""


async def test_answers_go_to_inboxes_alone(bus: NatsBus, client: nats.aio.client.Client) -> None:
    asked = await _answering(bus)
    said: list[str] = []

    async def hear(message: Msg) -> None:
        said.append(message.subject)

    await client.subscribe(subjects.ALL_EVENTS, cb=hear)
    await client.publish(subjects.GET, b"a deputy?", reply=subjects.event("acme", "exec_1", "WORKFLOW_COMPLETED"))
    await client.publish(subjects.GET, b"nobody?")
    await all_is_read(client)

    assert await bus.ask(subjects.GET, b"well?", wait_seconds=10) == b"an answer"
    await all_is_read(client)
    assert asked == [b"well?"]
    assert said == []
    assert bus.is_connected


async def test_a_flood_of_questions_that_cannot_be_read_is_told_of_once_in_a_while(
    bus: NatsBus, client: nats.aio.client.Client, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(question: Question) -> bytes:
        raise MalformedMessage(f"{question.payload.decode()} is no question")

    await bus.answer(subjects.GET, subjects.ORCHESTRATOR_GROUP, answer)

    answers = [await client.request(subjects.GET, b"%d" % number, timeout=5) for number in range(50)]

    assert {(each.headers or {})["Nats-Service-Error-Code"] for each in answers} == {"400"}
    assert [(each.headers or {})["Nats-Service-Error"] for each in answers[:2]] == ["0 is no question", "1 is no question"]
    assert [record.getMessage() for record in caplog.records] == ["question_malformed"]


async def _answering(bus: NatsBus) -> list[bytes]:
    """What is asked from now on."""
    asked: list[bytes] = []

    async def answer(question: Question) -> bytes:
        asked.append(question.payload)
        return b"an answer"

    await bus.answer(subjects.GET, subjects.ORCHESTRATOR_GROUP, answer)
    return asked


async def _say(url: str, commands: bytes) -> None:
    """In the words of the protocol, which takes more than client libraries do."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        await reader.readline()
        writer.write(b'CONNECT {"verbose":false,"headers":true}\r\n' + commands + b"PING\r\n")
        assert await reader.readline() == b"PONG\r\n"
    finally:
        writer.close()
        await writer.wait_closed()
