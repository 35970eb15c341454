"""The port to stored bytes: immutable, addressed by a reference that carries size and digest."""

from collections.abc import AsyncGenerator, Sequence
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
        the first 16 hex digits of the digest appended, so that other bytes never replace these; in a bucket it has dots for
        slashes. Storing the same bytes again is harmless. Bytes up to the inline limit ride in the reference and are not
        stored. Raises BlobStoreUnavailable."""
        ...

    async def get(self, ref: BlobRef) -> bytes:
        """The bytes, checked against size and digest. Raises BlobMissing, BlobCorrupt, BlobStoreUnavailable."""
        ...


class StreamedBlobStore(BlobStore, Protocol):
    """A store whose blobs need not be held whole."""

    def read(self, ref: BlobRef, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` up to `stop`, which lie within the blob, in pieces. Raises as `get` does; of a part only
        the size can be checked, of the whole also the digest, before its last piece is given."""
        ...


class DeletingBlobStore(BlobStore, Protocol):
    """For those who know what nobody needs any more. At the broker it takes rights that workers have not."""

    async def delete_folders(self, folders: Sequence[str]) -> int:
        """Delete all whose keys begin with these and `/`, for example with `data/exec_1`; returns how many blobs that were.

        Nobody may store anything there meanwhile. Harmless when repeated; whoever was cut off begins again.
        Raises ValueError, BlobStoreUnavailable.
        """
        ...

    async def delete_fragments(self, older_than_seconds: float) -> int:
        """Delete what writers that died on their way have left and no blob holds; returns how many writers those were.

        The age is measured by the store's own clock. Raises BlobStoreUnavailable.
        """
        ...


class WholeBlobStore(StreamedBlobStore, DeletingBlobStore, Protocol):
    """All that a store can do."""
