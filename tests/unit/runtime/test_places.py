"""Places of which there are few."""

import asyncio

import pytest

from aif_kam.orchestrator_client import ANSWER_SECONDS
from aif_orchestrator.wiring import READERS_SECONDS
from aif_runtime.failures import TooManyRead
from aif_runtime.places import Places


async def test_who_finds_no_place_waits_for_one_and_is_refused_when_none_gets_free() -> None:
    places = Places(2, within_seconds=0.3, full="too many")
    taken = asyncio.Semaphore(0)

    async def takes(leaves: asyncio.Event) -> None:
        async with places.place():
            taken.release()
            await leaves.wait()

    first, second = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(takes(first))
        group.create_task(takes(second))
        await taken.acquire()
        await taken.acquire()

        with pytest.raises(TooManyRead, match="too many"):
            async with places.place():
                pass

        group.create_task(takes(second))
        first.set()
        await taken.acquire()
        second.set()

    async with places.place(), places.place():
        pass


def test_a_reader_who_has_waited_for_a_connection_can_be_answered_while_the_gateway_still_waits() -> None:
    assert READERS_SECONDS <= ANSWER_SECONDS / 1.5
