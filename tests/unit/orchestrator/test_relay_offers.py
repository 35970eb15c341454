"""New packets are offered before they are stored: what the relay does with each answer, over the in-memory bus."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from aif_contracts import subjects
from aif_orchestrator.engine import gathering
from aif_orchestrator.engine.figures import Figures
from aif_orchestrator.engine.relay import Relay
from aif_orchestrator.store.outbox import NamedPacket, OutboxStore
from aif_runtime.bus import Offer, Outgoing
from aif_runtime.failures import BusUnavailable
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBroadcasts, MemoryBus
from aif_runtime.metrics import metrics_page, new_registry
from aif_runtime.postgres import Database
from support.manual_clock import ManualClock
from support.waiting import eventually


class GuardedBus(MemoryBus):
    """Notes what was stored. Confirms nothing while its gate is closed, and fails where it is told to."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.stored: list[Outgoing] = []
        self.publishes: list[list[str | None]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.can_offer = True
        self.failures_to_listen = 0
        self.failures_to_publish = 0

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        await self.gate.wait()
        if self.failures_to_publish:
            self.failures_to_publish -= 1
            raise BusUnavailable("the broker does not confirm")
        await super().publish(messages)
        self.stored += messages
        self.publishes.append([message.message_id for message in messages])

    async def offer(self, offers: Sequence[Offer]) -> None:
        if not self.can_offer:
            raise BusUnavailable("the connection is lost")
        await super().offer(offers)

    @asynccontextmanager
    async def listen(self, subject: str) -> AsyncIterator[MemoryBroadcasts]:
        if self.failures_to_listen:
            self.failures_to_listen -= 1
            raise BusUnavailable("the broker does not answer")
        async with super().listen(subject) as broadcasts:
            yield broadcasts


class RelayRig:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.bus = GuardedBus(MemoryBroker(clock=self.clock.monotonic))
        self.registry = new_registry(service="orchestrator", version="test")
        self.relay = Relay(
            bus=self.bus,
            # Nothing here asks for them: rows are deleted by the engine, or by `tidy`.
            database=cast(Database, None),
            outbox=cast(OutboxStore, None),
            figures=Figures(self.registry),
            replica="replica_1",
            monotonic=self.clock.monotonic,
        )
        self.takes = True
        self.offered: list[Offer] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        running = asyncio.create_task(self.relay.run())
        yield
        running.cancel()
        await asyncio.wait([running])

    def answer(self, offer: Offer) -> bool:
        self.offered.append(offer)
        return self.takes

    async def hears_refusals(self) -> None:
        await eventually(lambda: self.relay._hears_refusals, what="refusals are heard")

    async def refuses(self, packet_id: str) -> None:
        await self.bus.broadcast(subjects.refusal("replica_1", packet_id), b"")

    async def was_offered(self, *packet_ids: str) -> None:
        await eventually(lambda: self.offered_ids() == list(packet_ids), what=f"{packet_ids} were offered")
        await self.is_settled()

    async def was_stored(self, *message_ids: str) -> None:
        await eventually(lambda: self.stored_ids() == list(message_ids), what=f"{message_ids} were stored")
        await self.is_settled()

    async def is_settled(self) -> None:
        """What was to be stored is."""
        async with asyncio.timeout(30):
            await self.relay.idle()

    def counted(self, of: str) -> list[str]:
        """What the figures with such a beginning say."""
        lines = metrics_page(self.registry).decode().splitlines()
        return [line for line in lines if line.startswith(of) and "_total" in line]

    def offered_ids(self) -> list[str]:
        return [subjects.refused_packet(offer.refused_to) for offer in self.offered]

    def stored_ids(self) -> list[str]:
        return [str(message.message_id) for message in self.bus.stored]


@pytest.fixture
async def idle_rig() -> AsyncIterator[RelayRig]:
    """With a worker, whose relay does not run yet."""
    rig = RelayRig()
    async with rig.bus.take_offers("aif.direct.offer.maker.*", "maker", rig.answer):
        yield rig
    await rig.bus.close()


@pytest.fixture
async def rig(idle_rig: RelayRig) -> AsyncIterator[RelayRig]:
    async with idle_rig.running():
        await idle_rig.hears_refusals()
        yield idle_rig


def packet(number: int, subject: str = "aif.work.maker.normal") -> Outgoing:
    return Outgoing(subject=subject, payload=b"packet %d" % number, message_id=f"exec_{number}.one.1", headers={"trace": "t"})


def named(number: int) -> NamedPacket:
    return NamedPacket(f"exec_{number}", "one", f"exec_{number}.one.1")


EVENT = Outgoing(subject="aif.event.acme.exec_1.step_started", payload=b"[1]", message_id="exec_1:1")
END = Outgoing(subject="aif.event.acme.exec_1.workflow_failed", payload=b"[2]", message_id="exec_1:2")


async def test_a_new_packet_is_offered_and_not_stored(rig: RelayRig) -> None:
    await rig.relay.send(1, [packet(1), EVENT], [named(1)])

    await rig.was_offered("exec_1.one.1")

    assert rig.offered == [
        Offer(
            subject="aif.direct.offer.maker.normal",
            payload=b"packet 1",
            refused_to="aif.direct.refusal.replica_1.exec_1.one.1",
            headers={"trace": "t"},
        )
    ]
    assert rig.bus.stored == [EVENT]


async def test_a_refused_packet_is_stored_under_its_id(rig: RelayRig) -> None:
    rig.takes = False
    await rig.relay.send(1, [packet(1)], [named(1)])

    await rig.was_stored("exec_1.one.1")

    assert rig.bus.stored == [packet(1)]
    assert rig.offered_ids() == ["exec_1.one.1"]
    assert rig.relay.take_published() == [1]


async def test_a_packet_for_which_nobody_is_there_is_stored(rig: RelayRig) -> None:
    elsewhere = packet(1, "aif.work.baker.normal")
    await rig.relay.send(1, [elsewhere], [named(1)])

    await rig.was_stored("exec_1.one.1")

    assert rig.bus.stored == [elsewhere]
    assert rig.relay.take_published() == [1]


async def test_a_packet_that_its_worker_gives_back_is_stored(rig: RelayRig) -> None:
    await rig.relay.send(1, [packet(1)], [named(1)])
    await rig.was_offered("exec_1.one.1")
    assert rig.relay.take_published() == []

    await rig.refuses("exec_1.one.1")
    await rig.was_stored("exec_1.one.1")

    assert rig.relay.take_published() == [1]


async def test_a_packet_that_is_refused_twice_is_stored_once(rig: RelayRig) -> None:
    rig.takes = False
    await rig.relay.send(1, [packet(1)], [named(1)])
    await rig.was_stored("exec_1.one.1")

    await rig.refuses("exec_1.one.1")
    await rig.relay.send(2, [packet(2)])
    await rig.was_stored("exec_1.one.1", "exec_2.one.1")

    assert rig.relay.take_published() == [1, 2]


async def test_after_a_refusal_the_worker_gets_no_offer_of_that_priority_for_half_a_second(rig: RelayRig) -> None:
    rig.takes = False
    await rig.relay.send(1, [packet(1)], [named(1)])
    await rig.was_stored("exec_1.one.1")
    rig.takes = True

    rig.clock.advance(0.4)
    await rig.relay.send(2, [packet(2)], [named(2)])
    await rig.was_stored("exec_1.one.1", "exec_2.one.1")
    rig.clock.advance(0.1)
    await rig.relay.send(3, [packet(3)], [named(3)])
    await rig.was_offered("exec_1.one.1", "exec_3.one.1")

    assert rig.stored_ids() == ["exec_1.one.1", "exec_2.one.1"]


async def test_a_refusal_keeps_no_offer_from_other_priorities_and_workers(rig: RelayRig) -> None:
    rig.takes = False
    await rig.relay.send(1, [packet(1)], [named(1)])
    await rig.was_stored("exec_1.one.1")
    rig.takes = True

    async with rig.bus.take_offers("aif.direct.offer.baker.*", "baker", rig.answer):
        await rig.relay.send(2, [packet(2, "aif.work.maker.high")], [named(2)])
        await rig.relay.send(3, [packet(3, "aif.work.baker.normal")], [named(3)])
        await rig.was_offered("exec_1.one.1", "exec_2.one.1", "exec_3.one.1")

    assert rig.stored_ids() == ["exec_1.one.1"]


async def test_after_an_offer_that_was_lost_the_worker_gets_none_of_that_priority_for_half_a_minute(rig: RelayRig) -> None:
    await rig.relay.send(1, [packet(1)], [named(1)])
    await rig.was_offered("exec_1.one.1")
    # The core has been told that nothing was heard of it.
    await rig.relay.send(2, [packet(1)])

    rig.clock.advance(29.9)
    await rig.relay.send(3, [packet(2)], [named(2)])
    await rig.was_stored("exec_1.one.1", "exec_2.one.1")
    rig.clock.advance(0.1)
    await rig.relay.send(4, [packet(3), packet(4)], [named(3), named(4)])
    await rig.was_offered("exec_1.one.1", "exec_3.one.1", "exec_4.one.1")

    assert rig.stored_ids() == ["exec_1.one.1", "exec_2.one.1"]


async def test_a_repeated_packet_is_never_offered(rig: RelayRig) -> None:
    await rig.relay.send(1, [packet(1), packet(2)], [named(2)])

    await rig.was_stored("exec_1.one.1")
    await rig.was_offered("exec_2.one.1")

    assert rig.stored_ids() == ["exec_1.one.1"]


async def test_a_row_is_done_when_a_report_of_each_offer_has_come_though_the_rest_was_confirmed_before(rig: RelayRig) -> None:
    await rig.relay.send(1, [packet(1), packet(2), EVENT], [named(1), named(2)])
    await rig.was_offered("exec_1.one.1", "exec_2.one.1")
    assert rig.bus.stored == [EVENT]

    confirmed = rig.relay.take_published()
    rig.relay.has_come_of(["exec_1.one.1"])
    one_has_come = rig.relay.take_published()
    rig.relay.has_come_of(["exec_2.one.1"])
    both_have_come = rig.relay.take_published()

    assert (confirmed, one_has_come, both_have_come) == ([], [], [1])


async def test_a_row_is_done_when_the_rest_is_confirmed_though_a_report_of_each_offer_had_come_before(rig: RelayRig) -> None:
    rig.bus.gate.clear()
    await rig.relay.send(1, [packet(1), EVENT], [named(1)])
    await eventually(lambda: rig.offered, what="it is offered")
    rig.relay.has_come_of(["exec_1.one.1"])
    has_come = rig.relay.take_published()

    rig.bus.gate.set()
    await rig.was_stored("exec_1:1")

    assert has_come == []
    assert rig.relay.take_published() == [1]


async def test_a_report_frees_its_row_for_the_next_batch_once_and_again_if_that_was_not_committed(rig: RelayRig) -> None:
    await rig.relay.send(1, [packet(1)], [named(1)])
    await rig.was_offered("exec_1.one.1")

    rig.relay.has_come_of(["exec_1.one.1", "exec_1.one.1", "exec_9.one.1"])
    taken = rig.relay.take_published()
    taken_again = rig.relay.take_published()
    rig.relay.give_back(taken)

    assert (taken, taken_again) == ([1], [])
    assert rig.relay.take_published() == [1]


async def test_a_refusal_that_comes_after_a_report_stores_nothing(rig: RelayRig) -> None:
    await rig.relay.send(1, [packet(1)], [named(1)])
    await rig.was_offered("exec_1.one.1")
    rig.relay.has_come_of(["exec_1.one.1"])

    await rig.refuses("exec_1.one.1")
    await rig.relay.send(2, [packet(2)])
    await rig.was_stored("exec_2.one.1")

    assert sorted(rig.relay.take_published()) == [1, 2]


async def test_offers_are_counted_and_those_that_nobody_took(rig: RelayRig) -> None:
    await rig.relay.send(1, [packet(1), packet(2)], [named(1), named(2)])
    await rig.was_offered("exec_1.one.1", "exec_2.one.1")
    rig.relay.has_come_of(["exec_1.one.1"])
    await rig.refuses("exec_2.one.1")
    await rig.refuses("exec_2.one.1")
    await rig.was_stored("exec_2.one.1")
    await rig.relay.send(2, [packet(3, "aif.work.baker.high")], [named(3)])
    await rig.was_stored("exec_2.one.1", "exec_3.one.1")

    assert rig.counted("aif_offers") == [
        'aif_offers_total{worker="maker"} 2.0',
        'aif_offers_total{worker="baker"} 1.0',
        'aif_offers_refused_total{worker="maker"} 1.0',
        'aif_offers_refused_total{worker="baker"} 1.0',
    ]


async def test_an_offer_that_the_bus_could_not_send_is_counted_neither_as_made_nor_as_refused(rig: RelayRig) -> None:
    rig.bus.can_offer = False
    await rig.relay.send(1, [packet(1)], [named(1)])

    await rig.was_stored("exec_1.one.1")

    assert rig.counted("aif_offers") == []


async def test_a_packet_that_is_written_again_because_nothing_was_heard_of_its_offer_is_counted(rig: RelayRig) -> None:
    await rig.relay.send(1, [packet(1)], [named(1)])
    await rig.was_offered("exec_1.one.1")
    await rig.relay.send(2, [packet(1)])
    rig.relay.has_come_of(["exec_1.one.1"])
    await rig.relay.send(3, [packet(2)])
    await rig.was_stored("exec_1.one.1", "exec_2.one.1")

    assert rig.counted("aif_attempts_handed_out_anew") == [
        'aif_attempts_handed_out_anew_total{silence="offer_unanswered",worker="maker"} 1.0'
    ]


async def test_before_refusals_are_heard_nothing_is_offered(idle_rig: RelayRig) -> None:
    await idle_rig.relay.send(1, [packet(1)], [named(1)])

    async with idle_rig.running():
        await idle_rig.was_stored("exec_1.one.1")

    assert idle_rig.offered == []


async def test_while_refusals_cannot_be_heard_packets_are_stored_and_later_they_are_offered(idle_rig: RelayRig) -> None:
    idle_rig.bus.failures_to_listen = 1
    async with idle_rig.running():
        await eventually(lambda: idle_rig.bus.failures_to_listen == 0, what="it tried to listen")

        await idle_rig.relay.send(1, [packet(1)], [named(1)])
        await idle_rig.was_stored("exec_1.one.1")
        await idle_rig.hears_refusals()
        await idle_rig.relay.send(2, [packet(2)], [named(2)])
        await idle_rig.was_offered("exec_2.one.1")

    assert idle_rig.stored_ids() == ["exec_1.one.1"]


async def test_when_the_bus_cannot_send_an_offer_the_packet_is_stored(rig: RelayRig) -> None:
    rig.bus.can_offer = False
    await rig.relay.send(1, [packet(1), packet(2)], [named(1), named(2)])

    await rig.was_stored("exec_1.one.1", "exec_2.one.1")

    assert rig.relay.take_published() == [1]


async def test_what_is_offered_is_not_waited_for_when_the_line_ends(rig: RelayRig) -> None:
    await rig.relay.send(1, [packet(1)], [named(1)])

    async with asyncio.timeout(30):
        await rig.relay.idle()

    assert rig.relay.take_published() == []


async def test_news_of_an_execution_waits_for_what_ends_it_and_goes_out_with_that(
    rig: RelayRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "GATHER_SECONDS", 60.0)
    await rig.relay.send(1, [EVENT])
    await one_turn()

    await rig.relay.send(2, [END])

    await rig.was_stored("exec_1:1..exec_1:2")
    assert rig.relay.take_published() == [1, 2]


async def test_a_row_is_kept_while_news_of_it_waits(rig: RelayRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "GATHER_SECONDS", 60.0)
    other = Outgoing(subject="aif.event.acme.exec_2.step_started", payload=b"[1]", message_id="exec_2:1")
    await rig.relay.send(1, [other, END])

    await eventually(lambda: rig.stored_ids() == ["exec_1:2"], what="the end is stored")
    early = rig.relay.take_published()
    await rig.is_settled()

    assert rig.stored_ids() == ["exec_1:2", "exec_2:1"]
    assert (early, rig.relay.take_published()) == ([], [1])


async def test_a_packet_does_not_wait_for_anything(rig: RelayRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "GATHER_SECONDS", 60.0)

    await rig.relay.send(1, [packet(1), EVENT])

    await eventually(lambda: rig.stored_ids() == ["exec_1.one.1"], what="the packet is stored")


async def test_what_the_broker_does_not_confirm_is_published_again_before_all_that_comes_later(rig: RelayRig) -> None:
    rig.bus.failures_to_publish = 2
    await rig.relay.send(1, [packet(1)])
    await eventually(lambda: rig.bus.failures_to_publish < 2, what="it is published in vain")
    early = rig.relay.take_published()

    await rig.relay.send(2, [packet(2)])
    await rig.was_stored("exec_1.one.1", "exec_2.one.1")

    assert (early, rig.relay.take_published()) == ([], [1, 2])


async def one_turn() -> None:
    await asyncio.sleep(0)
