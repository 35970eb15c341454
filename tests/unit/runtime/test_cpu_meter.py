import asyncio
import time

import pytest

from aif_runtime.cpu_meter import CpuMeter, run_in_thread


def burn(seconds: float) -> str:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass
    return "done"


async def test_steps_of_the_work_are_measured_and_its_result_given() -> None:
    async def work() -> str:
        burn(0.01)
        await asyncio.sleep(0)
        return burn(0.01)

    meter = CpuMeter()
    result = await meter.measure(work())

    assert result == "done"
    assert 0.02 <= meter.seconds < 0.1


async def test_the_steps_of_others_between_are_not_measured() -> None:
    turns = asyncio.Barrier(2)

    async def busy() -> None:
        await turns.wait()
        burn(0.05)
        await turns.wait()

    async def idle() -> None:
        await turns.wait()
        await turns.wait()

    meter = CpuMeter()
    other = asyncio.create_task(busy())
    await meter.measure(idle())
    await other

    assert meter.seconds < 0.03


async def test_errors_and_cancelling_pass_through() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise KeyError("gone")

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    ends: list[str] = []
    with pytest.raises(KeyError):
        await CpuMeter().measure(fail())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await CpuMeter().measure(wait())
    assert ends == ["cancelled"]


async def test_an_error_is_caught_by_the_work_itself_like_without_a_meter() -> None:
    async def inner() -> None:
        await asyncio.sleep(0)
        raise ValueError

    async def outer() -> str:
        try:
            await inner()
        except ValueError:
            await asyncio.sleep(0)
            return "mended"
        raise AssertionError

    assert await CpuMeter().measure(outer()) == "mended"


async def test_a_thread_counts_for_the_work_that_awaits_it_even_when_it_fails() -> None:
    def fail() -> None:
        burn(0.02)
        raise LookupError("not there")

    meter = CpuMeter()
    with pytest.raises(LookupError, match="not there"):
        await meter.measure(run_in_thread(fail))

    assert meter.seconds >= 0.02


async def test_a_thread_without_a_meter_around_it_just_runs() -> None:
    assert await run_in_thread(burn, 0.001) == "done"
