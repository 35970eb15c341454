"""Performance records wait a moment for each other, and no longer than until the relay ends."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest

from aif_contracts.performance import PerformanceRecord
from aif_orchestrator.engine.told_attempts import performance_messages, record_post
from aif_runtime.bus import Outgoing
from support.performance_samples import record
from support.waiting import eventually

_RECORDS = msgspec.json.Decoder(list[PerformanceRecord])


class Published:
    def __init__(self) -> None:
        self.executions: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        self.executions += [[each.execution_id for each in _RECORDS.decode(message.payload)] for message in messages]
        await self.gate.wait()


class Rig:
    def __init__(self) -> None:
        self.published = Published()
        self.post = record_post(self.published.publish)
        self.stored: list[int] = []

    def send(self, number: int, **changes: Any) -> None:
        [message] = performance_messages([record(number, **changes)])
        self.post.send(message, lambda: self.stored.append(number))


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    running = asyncio.create_task(rig.post.run())
    yield rig
    running.cancel()


async def test_what_comes_within_a_moment_is_one_message(rig: Rig) -> None:
    for number in (1, 2, 3):
        rig.send(number)
        await asyncio.sleep(0)

    await eventually(lambda: rig.stored == [1, 2, 3], what="all are stored")
    assert rig.published.executions == [["exec_1", "exec_2", "exec_3"]]


async def test_each_worker_has_a_message_of_its_own(rig: Rig) -> None:
    rig.send(1)
    rig.send(2, worker_name="topic_researcher")
    rig.send(3)

    await eventually(lambda: sorted(rig.stored) == [1, 2, 3], what="all are stored")
    assert rig.published.executions == [["exec_1", "exec_3"], ["exec_2"]]


async def test_nothing_counts_as_stored_before_it_is(rig: Rig) -> None:
    rig.published.gate.clear()

    rig.send(1)
    await eventually(lambda: rig.published.executions == [["exec_1"]], what="it is being published")
    early = list(rig.stored)
    rig.send(2)
    rig.published.gate.set()

    await eventually(lambda: rig.stored == [1, 2], what="both are stored")
    assert early == []
    assert rig.published.executions == [["exec_1"], ["exec_2"]]


async def test_in_a_hurry_nothing_waits_for_company(rig: Rig) -> None:
    rig.post.hurry()

    rig.send(1)
    for _ in range(5):
        await asyncio.sleep(0)
    rig.send(2)

    await eventually(lambda: rig.stored == [1, 2], what="both are stored")
    assert rig.published.executions == [["exec_1"], ["exec_2"]]
