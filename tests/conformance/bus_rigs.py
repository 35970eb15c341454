"""What the conformance tests need of a broker beside the bus itself: to connect, and to break it."""

import os
import signal
from contextlib import AsyncExitStack
from typing import Protocol

from aif_console.embedded.nats_server import EmbeddedNats
from aif_contracts import subjects
from aif_runtime.bus import Bus, ConsumerSpec, Deliveries, Delivery, Outgoing
from aif_runtime.failures import BusUnavailable
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.nats_bus import NatsBus
from support.kernel_view import is_stopped
from support.waiting import eventually

WORK = subjects.work("granulator", "normal")


class BusRig(Protocol):
    async def connect(self, name: str) -> Bus:
        """A bus of its own, closed after the test. A publish gives up after a second."""
        ...


class FragileRig(BusRig, Protocol):
    async def go_down(self) -> None: ...
    async def come_back(self) -> None: ...
    async def wipe(self) -> None:
        """The broker restarts and has lost all that it had stored."""
        ...

    async def stop_confirming(self) -> None:
        """What is published from now on may be stored, but nobody is told until `come_back`."""
        ...


class MemoryRig:
    def __init__(self, stack: AsyncExitStack) -> None:
        self.broker = MemoryBroker()
        self._stack = stack

    async def connect(self, name: str) -> MemoryBus:
        return await self._stack.enter_async_context(MemoryBus(self.broker))

    async def go_down(self) -> None:
        self.broker.go_down()

    async def come_back(self) -> None:
        self.broker.come_back()

    async def wipe(self) -> None:
        self.broker.wipe()

    async def stop_confirming(self) -> None:
        self.broker.stop_confirming()


class NatsRig:
    """A NATS server that other tests use too."""

    def __init__(self, stack: AsyncExitStack, url: str) -> None:
        self._stack = stack
        self.url = url

    async def connect(self, name: str) -> NatsBus:
        bus = await NatsBus.connect(self.url, name=name, publish_limit_seconds=1.0)
        await self._stack.enter_async_context(bus)
        await eventually(lambda: _is_declared(bus), what="the streams are made")
        return bus


async def _is_declared(bus: NatsBus) -> bool:
    """A broker that is still removing the streams of the test before may refuse to make them anew."""
    try:
        await bus.declare_topology()
    except BusUnavailable:
        return False
    return True


class FragileNatsRig(NatsRig):
    """A NATS server of its own."""

    def __init__(self, stack: AsyncExitStack, server: EmbeddedNats) -> None:
        super().__init__(stack, server.url)
        self._server = server

    async def go_down(self) -> None:
        await self._server.stop()

    async def come_back(self) -> None:
        if self._server.is_running:
            self._signal(signal.SIGCONT)
        else:
            await self._server.start()

    async def wipe(self) -> None:
        # Without a farewell: a server that stops in order tells those who wait that it does.
        await self._server.kill()
        self._server.wipe()
        await self._server.start()

    async def stop_confirming(self) -> None:
        self._signal(signal.SIGSTOP)
        # Until the kernel has stopped its last thread, that one may still answer.
        await eventually(lambda: self._server.pid is not None and is_stopped(self._server.pid))

    def _signal(self, number: signal.Signals) -> None:
        pid = self._server.pid
        assert pid is not None
        os.kill(pid, number)


def work_consumer(*, ack_wait_seconds: float = 30.0, max_ack_pending: int = 1000) -> ConsumerSpec:
    return ConsumerSpec(
        stream=subjects.STREAM_WORK,
        durable=subjects.work_consumer("granulator", "normal"),
        filter_subject=WORK,
        ack_wait_seconds=ack_wait_seconds,
        max_ack_pending=max_ack_pending,
    )


def work(*payloads: bytes) -> list[Outgoing]:
    return [Outgoing(subject=WORK, payload=payload) for payload in payloads]


async def fetch_deliveries(deliveries: Deliveries, count: int, wait_seconds: float = 5.0) -> list[Delivery]:
    """Fetch until there are so many: what is there comes in parts where the broker has no turn of the processor meanwhile."""
    came: list[Delivery] = []
    while len(came) < count:
        fetched = await deliveries.fetch(count - len(came), wait_seconds)
        assert fetched, f"only {[delivery.payload for delivery in came]} came"
        came += fetched
    return came


async def fetch_payloads(deliveries: Deliveries, count: int, wait_seconds: float = 5.0) -> list[bytes]:
    """Fetch and acknowledge until there are so many."""
    payloads: list[bytes] = []
    while len(payloads) < count:
        fetched = await deliveries.fetch(count - len(payloads), wait_seconds)
        assert fetched, f"only {payloads} came"
        for delivery in fetched:
            await delivery.ack()
            payloads.append(delivery.payload)
    return payloads


async def fetch_one(deliveries: Deliveries, wait_seconds: float = 5.0) -> Delivery:
    fetched = await deliveries.fetch(1, wait_seconds)
    assert len(fetched) == 1
    return fetched[0]
