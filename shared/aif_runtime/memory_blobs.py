"""A blob store in this process's memory."""

from collections.abc import AsyncGenerator, Sequence

from aif_contracts.blobs import INLINE_LIMIT_BYTES, KV_LIMIT_BYTES, BlobRef, StorageType
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
)
from aif_runtime.failures import BlobMissing


class MemoryBlobStore:
    """Uses all three storage types, by size, as the NATS store does."""

    def __init__(self) -> None:
        self.stored: dict[tuple[StorageType, str], bytes] = {}
        """By type and full key. A test may damage or remove bytes here."""

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
        storage_type = StorageType.KV if len(content) <= KV_LIMIT_BYTES else StorageType.OBJECT
        key = full_key(storage_key, digest)
        existing = self.stored.get((storage_type, key))
        if existing is not None and existing != content:
            check_replaceable(key, sha256_hex(existing))
        self.stored[storage_type, key] = bytes(content)
        return BlobRef(
            storage_type=storage_type, storage_key=key, size_bytes=len(content), sha256=digest, media_type=media_type
        )

    async def get(self, ref: BlobRef) -> bytes:
        if ref.storage_type is StorageType.INLINE:
            return inline_content(ref)
        check_readable(ref)
        content = self.stored.get((ref.storage_type, ref.storage_key))
        if content is None:
            raise BlobMissing(ref.storage_key)
        return verified(ref, content)

    async def read(self, ref: BlobRef, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        yield (await self.get(ref))[start:stop]

    async def delete_folders(self, folders: Sequence[str]) -> int:
        for folder in folders:
            check_folder(folder)
        beneath = tuple(f"{folder}/" for folder in folders)
        gone = [place for place in self.stored if place[1].startswith(beneath)]
        for place in gone:
            del self.stored[place]
        return len(gone)

    async def delete_fragments(self, older_than_seconds: float) -> int:
        return 0
