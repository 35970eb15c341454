"""Blobs in a folder, in an S3 bucket, or in memory, through the object-store library. Writes are atomic in all of them."""

import errno
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
import obstore.exceptions
from obstore.store import LocalStore, MemoryStore, ObjectStore, S3Store

from aif_contracts.blobs import INLINE_LIMIT_BYTES, BlobRef, StorageType
from aif_runtime.blob_keys import (
    check_folder,
    check_readable,
    check_replaceable,
    full_key,
    inline_content,
    inline_ref,
    rides_inline,
    sha256_hex,
    verified,
    verified_pieces,
)
from aif_runtime.failures import BlobCorrupt, BlobMissing, BlobStoreRefuses, BlobStoreUnavailable

BENEATH_A_FILE = f"(os error {errno.ENOTDIR})"
"""What a folder's store says of a key whose beginning names a blob. There is nothing, and never will be."""
DELETED_AT_ONCE = 1000
"""In one request to S3."""
_REFUSED = (obstore.exceptions.PermissionDeniedError, obstore.exceptions.UnauthenticatedError, PermissionError)
PIECE_BYTES = 256 * 1024


class ObstoreBlobStore:
    """All that is not inline has storage type OBJECT."""

    def __init__(self, store: ObjectStore, *, folder: Path | None = None) -> None:
        """`folder` is where the store keeps them, if it is one: while that is gone, no blob is known to be lost."""
        self._store = store
        self._folder = folder

    @classmethod
    def from_url(cls, url: str) -> "ObstoreBlobStore":
        """`file:///folder` (made if missing), `s3://bucket/prefix` (credentials from the AWS_* environment), `memory://`.

        Raises ValueError for any other URL.
        """
        parts = urlsplit(url)
        if parts.scheme == "file" and not parts.netloc and parts.path not in ("", "/"):
            folder = Path(unquote(parts.path))
            return cls(LocalStore(folder, mkdir=True, automatic_cleanup=True), folder=folder)
        if parts.scheme == "s3" and parts.netloc:
            return cls(S3Store.from_url(url))
        if parts.scheme == "memory":
            return cls(MemoryStore())
        raise ValueError(f"blob store URL {url!r} is not understood: use file:///folder, s3://bucket/prefix or memory://")

    async def put(
        self,
        storage_key: str,
        content: bytes,
        *,
        media_type: str = "application/json",
        inline_limit_bytes: int = INLINE_LIMIT_BYTES,
    ) -> BlobRef:
        digest = sha256_hex(content)
        if rides_inline(content, inline_limit_bytes):
            return inline_ref(storage_key, content, digest, media_type)
        key = full_key(storage_key, digest)
        try:
            await self._put_new(key, content)
        except (obstore.exceptions.BaseError, OSError) as failed:
            raise _unavailable(f"{key} was not stored", failed) from failed
        return BlobRef(
            storage_type=StorageType.OBJECT, storage_key=key, size_bytes=len(content), sha256=digest, media_type=media_type
        )

    async def get(self, ref: BlobRef) -> bytes:
        if ref.storage_type is StorageType.INLINE:
            return inline_content(ref)
        check_readable(ref)
        with self._translated(ref):
            found = await obstore.get_async(self._store, ref.storage_key)
            _check_size(ref, found.meta["size"])
            content = bytes(await found.bytes_async())
        return verified(ref, content)

    async def read(self, ref: BlobRef, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        if ref.storage_type is StorageType.INLINE or start == stop:
            yield (await self.get(ref))[start:stop]
            return
        check_readable(ref)
        with self._translated(ref):
            found = await obstore.get_async(self._store, ref.storage_key, options={"range": (start, stop)})
            _check_size(ref, found.meta["size"])
            pieces = (bytes(piece) async for piece in found.stream(min_chunk_size=PIECE_BYTES))
            async for piece in verified_pieces(ref, pieces, stop - start):
                yield piece

    async def delete_folders(self, folders: Sequence[str]) -> int:
        for folder in folders:
            check_folder(folder)
        try:
            return sum([await self._delete_folder(folder) for folder in folders])
        except (obstore.exceptions.BaseError, OSError) as failed:
            raise _unavailable("blobs were not deleted", failed) from failed

    async def delete_fragments(self, older_than_seconds: float) -> int:
        """None: a blob that is not written whole is not there."""
        return 0

    async def _delete_folder(self, folder: str) -> int:
        deleted, is_empty = 0, False
        while not is_empty:
            is_empty = True
            async for found in obstore.list(self._store, folder, chunk_size=DELETED_AT_ONCE):
                keys = [each["path"] for each in found]
                try:
                    await obstore.delete_async(self._store, keys)
                except FileNotFoundError:
                    # Somebody else deletes here, too: look again for what is left.
                    is_empty = False
                    continue
                deleted += len(keys)
        return deleted

    @contextmanager
    def _translated(self, ref: BlobRef) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as missing:
            if self._folder is not None and not self._folder.is_dir():
                raise BlobStoreUnavailable(f"{ref.storage_key} was not read: there is no folder {self._folder}") from missing
            raise BlobMissing(ref.storage_key) from missing
        except (obstore.exceptions.BaseError, OSError) as failed:
            if BENEATH_A_FILE in str(failed):
                raise BlobMissing(ref.storage_key) from failed
            raise _unavailable(f"{ref.storage_key} was not read", failed) from failed

    async def _put_new(self, key: str, content: bytes) -> None:
        try:
            # In one piece, because a multipart upload cannot promise to be the first.
            await obstore.put_async(self._store, key, content, mode="create", use_multipart=False)
        except (obstore.exceptions.AlreadyExistsError, FileExistsError):
            existing = await (await obstore.get_async(self._store, key)).bytes_async()
            if existing == content:
                return
            check_replaceable(key, sha256_hex(bytes(existing)))
            await obstore.put_async(self._store, key, content, mode="overwrite", use_multipart=False)


def _unavailable(what: str, failed: Exception) -> BlobStoreUnavailable:
    kind = BlobStoreRefuses if isinstance(failed, _REFUSED) else BlobStoreUnavailable
    return kind(f"{what}: {_in_words(failed)}")


def _in_words(failed: Exception) -> str:
    """What the library says, without how it remembers it."""
    return str(failed).partition("\n")[0]


def _check_size(ref: BlobRef, size: int) -> None:
    """Before reading it: a reference is no reason to load whatever size."""
    if size != ref.size_bytes:
        raise BlobCorrupt(ref.storage_key, f"{size} bytes instead of {ref.size_bytes}")
