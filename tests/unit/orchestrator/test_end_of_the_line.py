"""The line ends when it is told to, whatever its parts make of a cancellation."""

import asyncio

from aif_orchestrator.line import _cancelled


async def test_a_part_that_loses_its_first_cancellation_is_cancelled_again() -> None:
    begun = asyncio.Event()

    async def loses_one() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    part = asyncio.create_task(loses_one())
    await begun.wait()

    async with asyncio.timeout(30):
        await _cancelled([part])

    assert part.done()
