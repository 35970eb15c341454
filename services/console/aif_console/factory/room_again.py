"""A nats-server whose disk was full goes on refusing to write when there is room again; started anew, it writes.

Its log tells of each message that it could not store, and the file system whether there is room.
"""

import asyncio
import shutil
from pathlib import Path

from aif_console.factory.keeping_alive import Member, Tell
from aif_console.log_tail import LogTail

LOOK_SECONDS = 5.0
REST_SECONDS = 60.0
"""After a restart; what is full may be a quota that we cannot see."""
ENOUGH_BYTES = 32 * 1024 * 1024
NO_SPACE = "no space left on device"


class FullDisk:
    """What a server's log says of it, from now on."""

    def __init__(self, log: Path, *, enough_bytes: int = ENOUGH_BYTES) -> None:
        self._folder = log.parent
        self._tail = LogTail(log)
        self._enough_bytes = enough_bytes

    def is_over(self) -> bool:
        """Whether the server has complained of it since the last look although there is room."""
        complains = any(NO_SPACE in line for line in self._tail.new_lines())
        return complains and shutil.disk_usage(self._folder).free >= self._enough_bytes


async def restart_when_there_is_room(name: str, server: Member, *, tell: Tell) -> None:
    """Stop a server that complains of a full disk that is full no more; whoever keeps it alive starts it. Until cancelled."""
    disk = FullDisk(server.log_path)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if disk.is_over():
            tell(name, "its disk was full and has room again, but it writes nothing until it is started anew")
            await server.stop()
            await asyncio.sleep(REST_SECONDS)
            disk = FullDisk(server.log_path)
