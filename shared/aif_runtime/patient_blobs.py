"""A blob store that is away for a while, or full, costs an attempt time and not its work.

What an attempt wants to store may have been paid for: made again, it is paid for again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from aif_contracts.blobs import INLINE_LIMIT_BYTES, BlobRef
from aif_runtime.blobs import BlobStore
from aif_runtime.failures import BlobStoreUnavailable
from aif_runtime.time_limit import TimeLimit

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 5.0
LAST_WORD_SECONDS = 1.0
"""Of its time that an attempt keeps to tell of it in the store's words."""

T = TypeVar("T")

_log = structlog.get_logger()


class PatientBlobStore:
    """Asks a store again and again while there is time left. Raises what the store raised last."""

    def __init__(self, store: BlobStore, limit: TimeLimit) -> None:
        """`limit` is the attempt's. The attempt itself is not asked: it has this store, and what refers to each other in a
        circle is freed late."""
        self._store = store
        self._limit = limit

    async def put(
        self,
        storage_key: str,
        content: bytes,
        *,
        media_type: str = "application/json",
        inline_limit_bytes: int = INLINE_LIMIT_BYTES,
    ) -> BlobRef:
        try:
            # Each stage passes here: what is not needed for the first time is not made for it.
            return await self._store.put(storage_key, content, media_type=media_type, inline_limit_bytes=inline_limit_bytes)
        except BlobStoreUnavailable as away:
            return await self._again(
                away,
                lambda: self._store.put(storage_key, content, media_type=media_type, inline_limit_bytes=inline_limit_bytes),
            )

    async def get(self, ref: BlobRef) -> bytes:
        try:
            return await self._store.get(ref)
        except BlobStoreUnavailable as away:
            return await self._again(away, lambda: self._store.get(ref))

    async def _again(self, away: BlobStoreUnavailable, ask: Callable[[], Awaitable[T]]) -> T:
        pause = FIRST_PAUSE_SECONDS
        while True:
            if self._limit.seconds_left() < pause + LAST_WORD_SECONDS:
                raise away
            if pause == FIRST_PAUSE_SECONDS:
                _log.warning("blob_store_waited_for", reason=str(away))
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            try:
                return await ask()
            except BlobStoreUnavailable as still:
                away = still
