"""How a blob is named, and how a reader makes sure that it holds the right bytes. The same rule for every store."""

import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterable

from aif_contracts.blobs import BlobRef, StorageType
from aif_runtime.failures import BlobCorrupt, BlobMissing

MAX_KEY_CHARACTERS = 512
DIGEST_CHARACTERS = 16

# What a file system, an S3 bucket and a NATS subject all take as it is. A file name has 255 characters at most, and its writer
# puts a few behind it for a while.
_PART = r"[A-Za-z0-9_=-](?:[A-Za-z0-9_=.-]{0,238}[A-Za-z0-9_=-])?"
_KEY = re.compile(rf"{_PART}(/{_PART})*")
_FOLDER = re.compile(r"[A-Za-z0-9_=-]{1,240}(/[A-Za-z0-9_=-]{1,240})+")


def sha256_hex(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def full_key(storage_key: str, sha256: str) -> str:
    """The key under which the bytes are stored: the caller's, `-`, and the first digits of the digest. Raises ValueError."""
    key = f"{storage_key}-{sha256[:DIGEST_CHARACTERS]}"
    if not storage_key or storage_key.endswith("/") or not _is_clean(key):
        raise ValueError(
            f"storage_key {storage_key[:64]!r} cannot name a blob: use parts of A-Z a-z 0-9 _ = . - separated by single `/`, "
            "none beginning or ending with a dot, holding `..` or longer than 223 characters"
        )
    if len(key) > MAX_KEY_CHARACTERS:
        raise ValueError(
            f"storage_key {storage_key[:64]!r}… has {len(storage_key)} characters, at most "
            f"{MAX_KEY_CHARACTERS - DIGEST_CHARACTERS - 1} are allowed"
        )
    return key


def check_readable(ref: BlobRef) -> None:
    """Raises BlobMissing for a key that no blob of ours can have, so that a forged reference reaches no file and no subject."""
    # A bucket's keys have dots for slashes.
    key = ref.storage_key.replace(".", "/") if ref.storage_type is StorageType.KV else ref.storage_key
    if len(key) > MAX_KEY_CHARACTERS or not _is_clean(key):
        raise BlobMissing(ref.storage_key[:MAX_KEY_CHARACTERS])


def check_folder(folder: str) -> None:
    """Raises ValueError for what is no folder beneath another one: nobody deletes all that begins with `data`."""
    if len(folder) > MAX_KEY_CHARACTERS or _FOLDER.fullmatch(folder) is None:
        raise ValueError(f"{folder[:64]!r} is no folder whose blobs may be deleted: name one such as data/exec_1, without dots")


def rides_inline(content: bytes, inline_limit_bytes: int) -> bool:
    """A limit of 0 turns it off, for empty content too."""
    return inline_limit_bytes > 0 and len(content) <= inline_limit_bytes


def inline_ref(storage_key: str, content: bytes, sha256: str, media_type: str) -> BlobRef:
    return BlobRef(
        storage_type=StorageType.INLINE,
        storage_key=full_key(storage_key, sha256),
        size_bytes=len(content),
        sha256=sha256,
        media_type=media_type,
        inline=content,
    )


def inline_content(ref: BlobRef) -> bytes:
    """The bytes that ride in an INLINE reference. Raises BlobMissing, BlobCorrupt."""
    if ref.inline is None:
        raise BlobMissing(ref.storage_key)
    return verified(ref, ref.inline)


def verified(ref: BlobRef, content: bytes) -> bytes:
    """`content` itself. Raises BlobCorrupt when it is not what the reference names."""
    if len(content) != ref.size_bytes:
        raise BlobCorrupt(ref.storage_key, f"{len(content)} bytes instead of {ref.size_bytes}")
    if sha256_hex(content) != ref.sha256:
        raise BlobCorrupt(ref.storage_key, "another SHA-256 digest")
    return content


async def verified_pieces(ref: BlobRef, pieces: AsyncIterable[bytes], size: int) -> AsyncGenerator[bytes, None]:
    """The pieces of `size` bytes of a blob; the last one when all are as the reference says. Raises BlobCorrupt."""
    digest, received, kept = hashlib.sha256(), 0, b""
    async for piece in pieces:
        if kept:
            yield kept
        digest.update(piece)
        received, kept = received + len(piece), piece
    if received != size:
        raise BlobCorrupt(ref.storage_key, f"{received} bytes instead of {size}")
    if size == ref.size_bytes and digest.hexdigest() != ref.sha256:
        raise BlobCorrupt(ref.storage_key, "another SHA-256 digest")
    yield kept


def check_replaceable(storage_key: str, existing_sha256: str) -> None:
    """Pass when what lies under the full key is damaged, that is when its digest is not the one in its name.

    Raises BlobCorrupt when it is whole: then other bytes share the name, and they stay.
    """
    if storage_key.endswith(f"-{existing_sha256[:DIGEST_CHARACTERS]}"):
        raise BlobCorrupt(storage_key, "other bytes with the same beginning of their digest are stored there")


def _is_clean(key: str) -> bool:
    return ".." not in key and _KEY.fullmatch(key) is not None
