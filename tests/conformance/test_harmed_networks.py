"""The bus over a network that is cut, or loses everything and says nothing."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from aif_console.embedded.nats_server import EmbeddedNats
from aif_contracts import subjects
from aif_runtime.bus import Question
from aif_runtime.failures import BusUnavailable, NoAnswer
from aif_runtime.nats_bus import NatsBus
from aif_runtime.nats_connection import RETURN_SECONDS
from conformance.bus_rigs import NatsRig, fetch_one, work, work_consumer
from support.harmed_link import HarmedLink, harmed_link
from support.waiting import eventually

ASKED_IN_A_ROW = 20
MIB = 1024 * 1024


@pytest_asyncio.fixture
async def link(nats_rig: NatsRig) -> AsyncIterator[HarmedLink]:
    port = urlsplit(nats_rig.url).port
    assert port is not None
    async with harmed_link(port) as opened:
        yield opened


@pytest_asyncio.fixture
async def far(nats_rig: NatsRig, link: HarmedLink) -> AsyncIterator[NatsBus]:
    """A bus whose way to the broker is the link."""
    async with await NatsBus.connect(f"nats://127.0.0.1:{link.port}", name="far", publish_limit_seconds=1.0) as bus:
        await bus.declare_topology()
        yield bus


async def test_a_connection_is_left_although_the_network_takes_nothing_of_what_is_unsent(
    link: HarmedLink, far: NatsBus
) -> None:
    link.fall_silent()
    for _ in range(30):
        await far.broadcast("aif.noise", bytes(MIB // 2))

    link.end_answers()
    link.come_back()

    await eventually(lambda: link.opened > 1, what="the connection is made again")
    await eventually(lambda: far.is_connected)
    await far.publish(work(b"here again"))
    assert (await fetch_one(await far.open_consumer(work_consumer()))).payload == b"here again"


async def test_what_goes_to_all_of_a_group_is_answered_again_soon_after_the_network_has_lost_one_of_them(
    nats_rig: NatsRig, link: HarmedLink, far: NatsBus
) -> None:
    near, asking = await nats_rig.connect("near"), await nats_rig.connect("asking")

    async def echo(question: Question) -> bytes:
        return question.payload

    for each in (far, near):
        await each.answer(subjects.GET, subjects.ORCHESTRATOR_GROUP, echo)

    async def all_are_answered() -> bool:
        try:
            for _ in range(ASKED_IN_A_ROW):
                await asking.ask(subjects.GET, b"", wait_seconds=1.0)
        except NoAnswer:
            return False
        return True

    assert await all_are_answered()

    link.fall_silent()

    assert not await all_are_answered()
    await eventually(all_are_answered, what="the broker has let the lost one go")
    link.come_back()
    await eventually(lambda: far.is_connected and link.opened > 1, what="the lost one is back")
    await near.stop_answering()
    await eventually(all_are_answered, what="the lost one answers again")


async def test_who_may_wait_long_for_an_answer_hears_soon_that_there_is_no_connection(link: HarmedLink, far: NatsBus) -> None:
    await link.close()
    await eventually(lambda: not far.is_connected)

    async with asyncio.timeout(RETURN_SECONDS * 3):
        with pytest.raises(BusUnavailable, match="no connection to NATS"):
            await far.ask(subjects.REPORT_USAGE, b"", wait_seconds=3600.0)


async def test_a_server_that_understands_nothing_any_more_is_connected_to_again(link: HarmedLink, far: NatsBus) -> None:
    link.garble()

    await _until_opened_again(link, far, 2)
    await far.publish(work(b"here again"))
    assert (await fetch_one(await far.open_consumer(work_consumer()))).payload == b"here again"


async def test_a_password_that_is_withdrawn_for_a_while_ends_no_connection_for_good(tmp_path: Path) -> None:
    server = EmbeddedNats(tmp_path / "nats", passwords={"worker": "first"})
    await server.start()
    configuration = tmp_path / "nats" / "nats.conf"
    written = configuration.read_bytes()

    def read_again(content: bytes) -> None:
        configuration.write_bytes(content)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGHUP)

    try:
        async with await NatsBus.connect(server.url, name="worker", user="worker", password="first") as bus:
            await bus.declare_topology()

            read_again(written.replace(b"first", b"second"))
            await eventually(lambda: "uthorization" in (bus.trouble or ""), what="its password is refused")
            read_again(written)

            await eventually(lambda: bus.is_connected, what="it is back")
            await bus.publish(work(b"here again"))
            assert (await fetch_one(await bus.open_consumer(work_consumer()))).payload == b"here again"
    finally:
        await server.stop()


async def test_a_connection_that_is_cut_often_leaves_nothing_behind(nats_rig: NatsRig, link: HarmedLink, far: NatsBus) -> None:
    deliveries = await far.open_consumer(work_consumer())
    at_rest = len(asyncio.all_tasks())

    for number in range(20):
        link.cut()
        await _until_opened_again(link, far, number + 2)
        await far.publish(work(b"%d" % number))
        assert (await fetch_one(deliveries)).payload == b"%d" % number

    await eventually(lambda: link.open_now == 1, what="one connection is left")
    await eventually(lambda: len(asyncio.all_tasks()) <= at_rest, what="no more tasks than before")


async def _until_opened_again(link: HarmedLink, bus: NatsBus, times: int) -> None:
    await eventually(lambda: link.opened >= times and bus.is_connected, what=f"connection {times} is made")
