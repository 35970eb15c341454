"""Uploads, received into files without a name: none lies in memory before it is its turn to be read.

As many are received at once as the disk bears, and a slow one holds nothing but its file. What uploads hold together may not be
more than they leave free on the disk, and one client may hold half of that, so no sender locks the others out. A file without a
name is gone with its last descriptor, whatever becomes of the sender or of this process.
"""

import asyncio
import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from threading import Lock
from typing import IO

from aif_kam.failures import Unavailable

PIECE_BYTES = 128 * 1024
"""Of each upload in memory while it is received."""
HEAD_BYTES = 64
"""Enough to tell a recording by."""
RETRY_AFTER_SECONDS = 10


def too_many_documents(message: str) -> Unavailable:
    return Unavailable(message, code="too_many_documents", retry_after_seconds=RETRY_AFTER_SECONDS)


class Upload:
    """What a client sends, piece by piece."""

    def __init__(self, *, client_id: str, held: Counter[str], free_bytes: Callable[[int], int]) -> None:
        self.size_bytes = 0
        self._client_id = client_id
        self._held = held
        self._free_bytes = free_bytes
        self._waiting = bytearray()
        self._held_bytes = 0
        self._digest = hashlib.sha256()
        self._file: IO[bytes] | None = None
        self._is_closed = False
        self._lock = Lock()
        """A write that nobody waits for any more ends before the file does."""

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    @property
    def file(self) -> IO[bytes]:
        """At its beginning. Its bytes are complete once they have been flushed."""
        assert self._file is not None
        return self._file

    async def write(self, piece: bytes) -> None:
        """Raises Unavailable when uploads have taken the room that they may have."""
        self.size_bytes += len(piece)
        self._waiting += piece
        if len(self._waiting) >= PIECE_BYTES:
            await self._write_waiting()

    async def complete(self) -> None:
        """All has been written; the file is at its beginning. Raises Unavailable as `write` does."""
        await self._write_waiting()
        await asyncio.to_thread(self.file.seek, 0)

    async def read(self, size: int = -1) -> bytes:
        """So many bytes from the beginning, or all."""
        return await asyncio.to_thread(self._read, size)

    async def close(self) -> None:
        try:
            await asyncio.to_thread(self._close)
        finally:
            self._held[self._client_id] -= self._held_bytes
            self._held_bytes = 0
            if not self._held[self._client_id]:
                del self._held[self._client_id]

    async def _write_waiting(self) -> None:
        piece, self._waiting = self._waiting, bytearray()
        self._held[self._client_id] += len(piece)
        self._held_bytes += len(piece)
        await asyncio.to_thread(self._append, piece, self._held[self._client_id], self._held.total())

    def _append(self, piece: bytearray, held_by_client: int, held: int) -> None:
        with self._lock:
            if self._is_closed:
                return
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
            free = self._free_bytes(self._file.fileno())
            if held > free or held_by_client > (held + free) // 4:
                raise too_many_documents("uploads under way fill the room that they may have on the disk; try again")
            rest = memoryview(piece)
            while rest:
                rest = rest[self._file.write(rest) :]
            self._digest.update(piece)

    def _read(self, size: int) -> bytes:
        with self._lock:
            self.file.seek(0)
            content = self.file.read(size)
            self.file.seek(0)
            return content

    def _close(self) -> None:
        with self._lock:
            self._is_closed = True
            if self._file is not None:
                self._file.close()


def _free_bytes(descriptor: int) -> int:
    disk = os.fstatvfs(descriptor)
    return disk.f_bavail * disk.f_frsize


class Uploads:
    """All that are under way."""

    def __init__(self, *, free_bytes: Callable[[int], int] = _free_bytes) -> None:
        """`free_bytes` tells how much is left on the disk of an open file."""
        self._free_bytes = free_bytes
        self._held: Counter[str] = Counter()

    @property
    def held_bytes(self) -> int:
        """On the disk, of all uploads that have not been closed."""
        return self._held.total()

    @asynccontextmanager
    async def receive(self, client_id: str) -> AsyncIterator[Upload]:
        """An empty upload; its file is gone afterwards."""
        upload = Upload(client_id=client_id, held=self._held, free_bytes=self._free_bytes)
        try:
            yield upload
        finally:
            with suppress(OSError):
                await upload.close()
