"""What dies is started again, after growing pauses."""

import asyncio
from pathlib import Path

import pytest

from aif_console.factory.factory import next_free_port
from aif_console.factory.keeping_alive import keep_alive
from aif_console.factory.plan import RestartPauses
from aif_console.failures import NoFreePort, PortTaken


class Mortal:
    """A member that dies at once, each time, until it has been started often enough."""

    def __init__(self, deaths: int, *, failing_starts: int = 0) -> None:
        self.deaths_left = deaths
        self.failing_starts = failing_starts
        self.starts = 0
        self.stops = 0
        self.at_rest = asyncio.Event()
        self.pid: int | None = 7
        self.log_path = Path("mortal.log")

    async def start(self) -> None:
        if self.failing_starts:
            self.failing_starts -= 1
            raise PortTaken("mortal", 1)
        self.starts += 1

    async def wait(self) -> int:
        if self.deaths_left:
            self.deaths_left -= 1
            return -9
        self.at_rest.set()
        await asyncio.Event().wait()
        return 0

    async def stop(self) -> None:
        self.stops += 1

    async def kill(self) -> None:
        raise AssertionError("nobody kills it")


async def told_about(member: Mortal, pauses: RestartPauses) -> list[str]:
    told: list[str] = []
    keeping = asyncio.create_task(keep_alive("mortal", member, pauses=pauses, tell=lambda name, words: told.append(words)))
    async with asyncio.timeout(30):
        await member.at_rest.wait()
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
    return told


async def test_the_pause_doubles_up_to_the_longest() -> None:
    member = Mortal(4)

    told = await told_about(member, RestartPauses(first_seconds=0.001, longest_seconds=0.004))

    assert [words for words in told if "again in" in words] == [
        "killed by signal 9; starting it again in 0.001 s",
        "killed by signal 9; starting it again in 0.002 s",
        "killed by signal 9; starting it again in 0.004 s",
        "killed by signal 9; starting it again in 0.004 s",
    ]
    assert member.starts == 4


async def test_one_that_lived_long_is_forgiven() -> None:
    told = await told_about(Mortal(3), RestartPauses(first_seconds=0.001, longest_seconds=1, forgiven_after_seconds=0))

    assert [words for words in told if "again in" in words] == ["killed by signal 9; starting it again in 0.001 s"] * 3


async def test_what_it_held_is_given_back_before_the_next_start() -> None:
    member = Mortal(2)

    await told_about(member, RestartPauses(first_seconds=0.001))

    assert member.stops == 2


async def test_a_start_that_fails_is_tried_again_and_told() -> None:
    member = Mortal(1, failing_starts=2)

    told = await told_about(member, RestartPauses(first_seconds=0.001, longest_seconds=0.01))

    assert member.starts == 1
    assert sum("the port is taken" in words for words in told) == 2
    assert told[-1] == "runs again (process 7)"


async def test_the_next_free_port_is_taken_when_the_wished_one_is_not() -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    taken = server.sockets[0].getsockname()[1]

    found = next_free_port(taken)

    server.close()
    await server.wait_closed()
    assert taken < found <= taken + 100


async def test_ports_do_not_go_beyond_the_last_one() -> None:
    with pytest.raises(NoFreePort, match="65536"):
        next_free_port(65_536)
