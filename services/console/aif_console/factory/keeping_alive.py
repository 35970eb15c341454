"""A process that dies is started again, each time after a longer pause."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from aif_console.factory.plan import RestartPauses
from aif_console.failures import ConsoleFailure


class Member(Protocol):
    """A server or a service of the factory."""

    @property
    def pid(self) -> int | None: ...

    @property
    def log_path(self) -> Path: ...

    async def start(self) -> None: ...

    async def wait(self) -> int: ...

    async def stop(self) -> None: ...

    async def kill(self) -> None: ...


Tell = Callable[[str, str], None]
"""Takes the name of a member and what happened to it, in words for the operator."""


async def keep_alive(name: str, member: Member, *, pauses: RestartPauses, tell: Tell) -> None:
    """Start a member again whenever it has ended. Runs until it is cancelled."""
    pause = pauses.first_seconds
    while True:
        begun = asyncio.get_running_loop().time()
        code = await member.wait()
        if asyncio.get_running_loop().time() - begun >= pauses.forgiven_after_seconds:
            pause = pauses.first_seconds
        tell(name, f"{_end(code)}; starting it again in {pause:g} s")
        # Its end was not ours: what it held (the lock of its folder) is given back here.
        await member.stop()
        await asyncio.sleep(pause)
        pause = min(pause * 2, pauses.longest_seconds)
        while not await _starts(name, member, pause, tell):
            await asyncio.sleep(pause)
            pause = min(pause * 2, pauses.longest_seconds)
        tell(name, f"runs again (process {member.pid})")


async def _starts(name: str, member: Member, pause: float, tell: Tell) -> bool:
    try:
        await member.start()
    except (ConsoleFailure, OSError) as failure:
        tell(name, f"{failure}; trying again in {pause:g} s")
        return False
    return True


def _end(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"ended with code {code}"
