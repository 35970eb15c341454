"""A reference to immutable bytes. Packets and reports carry references, not payloads."""

import enum
from typing import Annotated

from msgspec import Meta, Struct

Sha256Hex = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]

INLINE_LIMIT_BYTES = 8 * 1024
"""Up to this size the bytes ride inside the reference, unless a packet asks for less."""
KV_LIMIT_BYTES = 512 * 1024
"""Up to this size a blob goes to the key-value bucket, above it to the object store."""


class StorageType(enum.StrEnum):
    INLINE = "INLINE"
    """The bytes are in the reference itself, in `inline`."""
    KV = "KV"
    """A key in the key-value bucket `aif_blobs_kv`."""
    OBJECT = "OBJECT"
    """A key in the object store."""


class BlobRef(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where some bytes lie and how to be sure that they are the right ones."""

    storage_type: StorageType
    storage_key: Annotated[str, Meta(min_length=1, max_length=512)]
    size_bytes: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    sha256: Sha256Hex
    """Digest of the bytes. A reader verifies it and refuses other bytes."""
    media_type: str = "application/json"
    inline: bytes | None = None
    """The bytes themselves (base64 in JSON), for INLINE only."""
