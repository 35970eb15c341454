"""What can be seen of a folder of blobs without storing anything: nobody may want to for hours."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from aif_runtime.health import Check

LEAST_FREE_BYTES = 1024 * 1024


def folder_check(url: str, *, free_bytes: Callable[[Path], int] | None = None) -> Check | None:
    """A check of the folder at a `file:` URL; None for stores that are no folder."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        return None
    return _FolderCheck(Path(unquote(parts.path)), free_bytes or _free_bytes)


class _FolderCheck:
    def __init__(self, folder: Path, free_bytes: Callable[[Path], int]) -> None:
        self._folder = folder
        self._free_bytes = free_bytes
        self._looking: asyncio.Future[str | None] | None = None
        """A look outlives its asker: a file system of the network may never answer, and would take a thread for each."""

    async def __call__(self) -> str | None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(asyncio.to_thread(self._look))
        return await asyncio.shield(self._looking)

    def _look(self) -> str | None:
        try:
            free = self._free_bytes(self._folder)
        except OSError as failure:
            return f"the folder of blobs, {self._folder}, cannot be read: {failure.strerror}"
        if not os.access(self._folder, os.W_OK | os.X_OK):
            return f"the folder of blobs, {self._folder}, cannot be written to"
        if free < LEAST_FREE_BYTES:
            return f"the disk of the folder of blobs, {self._folder}, is full"
        return None


def _free_bytes(folder: Path) -> int:
    disk = os.statvfs(folder)
    has_room_for_files = disk.f_files == 0 or disk.f_favail > 0
    return disk.f_bavail * disk.f_frsize if has_room_for_files else 0
