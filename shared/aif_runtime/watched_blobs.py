"""Keeps in mind what a blob store could not do of late, for the health page.

A full one is read from as ever: only who writes to it notices.
"""

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from aif_contracts.blobs import INLINE_LIMIT_BYTES, BlobRef, StorageType
from aif_runtime.blobs import WholeBlobStore
from aif_runtime.failures import BlobStoreUnavailable
from aif_runtime.recent_trouble import RecentTrouble


class WatchedBlobStore:
    """Wraps a store."""

    def __init__(self, store: WholeBlobStore, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._putting, self._getting, self._deleting = (_Watched(RecentTrouble(monotonic=monotonic)) for _ in range(3))

    @property
    def trouble(self) -> str | None:
        told = [each.trouble.words for each in (self._putting, self._getting, self._deleting)]
        return "; ".join(words for words in told if words is not None) or None

    async def put(
        self,
        storage_key: str,
        content: bytes,
        *,
        media_type: str = "application/json",
        inline_limit_bytes: int = INLINE_LIMIT_BYTES,
    ) -> BlobRef:
        with self._putting:
            ref = await self._store.put(storage_key, content, media_type=media_type, inline_limit_bytes=inline_limit_bytes)
        if ref.storage_type is not StorageType.INLINE:
            self._putting.trouble.is_over()
        return ref

    async def get(self, ref: BlobRef) -> bytes:
        with self._getting:
            content = await self._store.get(ref)
        if ref.storage_type is not StorageType.INLINE:
            self._getting.trouble.is_over()
        return content

    async def read(self, ref: BlobRef, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        with self._getting:
            async with aclosing(self._store.read(ref, start, stop)) as pieces:
                async for piece in pieces:
                    yield piece

    async def delete_folders(self, folders: Sequence[str]) -> int:
        with self._deleting:
            return await self._store.delete_folders(folders)

    async def delete_fragments(self, older_than_seconds: float) -> int:
        with self._deleting:
            return await self._store.delete_fragments(older_than_seconds)


class _Watched:
    """Notes what the store raises meanwhile. No generator: every small value passes here."""

    __slots__ = ("trouble",)

    def __init__(self, trouble: RecentTrouble) -> None:
        self.trouble = trouble

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, failure: BaseException | None, _trace: object) -> None:
        if isinstance(failure, BlobStoreUnavailable):
            self.trouble.note(str(failure))
