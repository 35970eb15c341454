"""Keeps in mind what a blob store could not do of late, for the health page.

A full one is read from as ever: only who writes to it notices.
"""

import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager

from aif_contracts.blobs import INLINE_LIMIT_BYTES, BlobRef, StorageType
from aif_runtime.blobs import WholeBlobStore
from aif_runtime.failures import BlobStoreUnavailable

TROUBLE_SECONDS = 30.0
"""For so long a failure is told of, unless the same succeeds again."""


class WatchedBlobStore:
    """Wraps a store."""

    def __init__(self, store: WholeBlobStore, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._monotonic = monotonic
        self._failures: dict[str, tuple[float, str]] = {}
        """By what was tried: when it failed, and in which words."""

    @property
    def trouble(self) -> str | None:
        since = self._monotonic() - TROUBLE_SECONDS
        return "; ".join(words for at, words in self._failures.values() if at > since) or None

    async def put(
        self,
        storage_key: str,
        content: bytes,
        *,
        media_type: str = "application/json",
        inline_limit_bytes: int = INLINE_LIMIT_BYTES,
    ) -> BlobRef:
        try:
            ref = await self._store.put(storage_key, content, media_type=media_type, inline_limit_bytes=inline_limit_bytes)
        except BlobStoreUnavailable as failure:
            self._failed("put", failure)
            raise
        if self._failures and ref.storage_type is not StorageType.INLINE:
            self._failures.pop("put", None)
        return ref

    async def get(self, ref: BlobRef) -> bytes:
        try:
            content = await self._store.get(ref)
        except BlobStoreUnavailable as failure:
            self._failed("get", failure)
            raise
        if self._failures and ref.storage_type is not StorageType.INLINE:
            self._failures.pop("get", None)
        return content

    async def read(self, ref: BlobRef, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        with self._watched("get"):
            async with aclosing(self._store.read(ref, start, stop)) as pieces:
                async for piece in pieces:
                    yield piece

    async def delete_folders(self, folders: Sequence[str]) -> int:
        with self._watched("delete"):
            return await self._store.delete_folders(folders)

    async def delete_fragments(self, older_than_seconds: float) -> int:
        with self._watched("delete"):
            return await self._store.delete_fragments(older_than_seconds)

    @contextmanager
    def _watched(self, what: str) -> Iterator[None]:
        try:
            yield
        except BlobStoreUnavailable as failure:
            self._failed(what, failure)
            raise

    def _failed(self, what: str, failure: BlobStoreUnavailable) -> None:
        self._failures[what] = (self._monotonic(), str(failure))
