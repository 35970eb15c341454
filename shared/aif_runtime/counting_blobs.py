"""Count what a piece of work does with its blob store, for its metrics."""

import time
from collections.abc import Callable

from aif_contracts.blobs import INLINE_LIMIT_BYTES, BlobRef, StorageType
from aif_runtime.blob_keys import inline_content, inline_ref, rides_inline, sha256_hex
from aif_runtime.blobs import BlobStore


class CountingBlobStore:
    """Wraps a store. Blobs that ride in their reference cost no operation, and need no store."""

    def __init__(self, store: BlobStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self.kv_operations = 0
        self.object_operations = 0
        self.storage_seconds = 0.0
        """Wall time spent in the store, failed operations included."""

    async def put(
        self,
        storage_key: str,
        content: bytes,
        *,
        media_type: str = "application/json",
        inline_limit_bytes: int = INLINE_LIMIT_BYTES,
    ) -> BlobRef:
        if rides_inline(content, inline_limit_bytes):
            return inline_ref(storage_key, content, sha256_hex(content), media_type)
        started_at = self._clock()
        try:
            ref = await self._store.put(storage_key, content, media_type=media_type, inline_limit_bytes=inline_limit_bytes)
        finally:
            self.storage_seconds += self._clock() - started_at
        self._count(ref)
        return ref

    async def get(self, ref: BlobRef) -> bytes:
        if ref.storage_type is StorageType.INLINE:
            return inline_content(ref)
        self._count(ref)
        started_at = self._clock()
        try:
            return await self._store.get(ref)
        finally:
            self.storage_seconds += self._clock() - started_at

    def _count(self, ref: BlobRef) -> None:
        if ref.storage_type is StorageType.KV:
            self.kv_operations += 1
        elif ref.storage_type is StorageType.OBJECT:
            self.object_operations += 1
