"""The port to stored bytes: immutable, addressed by a reference that carries size and digest."""

from typing import Protocol

from aif_contracts.blobs import INLINE_LIMIT_BYTES, BlobRef


class BlobStore(Protocol):
    async def put(
        self,
        storage_key: str,
        content: bytes,
        *,
        media_type: str = "application/json",
        inline_limit_bytes: int = INLINE_LIMIT_BYTES,
    ) -> BlobRef:
        """Store bytes under a key of our own making, for example `data/exec_1/stage_1/output`. The key in the reference has
        the first 16 hex digits of the digest appended, so that other bytes never replace these. Storing the same bytes again
        is harmless. Bytes up to the inline limit ride in the reference and are not stored. Raises BlobStoreUnavailable."""
        ...

    async def get(self, ref: BlobRef) -> bytes:
        """The bytes, checked against size and digest. Raises BlobMissing, BlobCorrupt, BlobStoreUnavailable."""
        ...
