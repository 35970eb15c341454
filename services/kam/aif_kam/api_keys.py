"""API keys: `af_live_<id>_<secret>_<checksum>`.

The id finds the row, the secret has 256 random bits, the checksum lets a mistyped or invented key be refused without a
query. Stored is only an HMAC under a pepper that the database does not know; a slow hash is not needed for 256 bits.
"""

import hashlib
import hmac
import re
import secrets
import zlib

from aif_runtime.settings import Secret

KEY_PREFIX = "af_live_"
_SHAPE = re.compile(rf"{KEY_PREFIX}([0-9a-f]{{16}})_[0-9a-f]{{64}}_([0-9a-f]{{8}})")


def mint_api_key() -> str:
    body = f"{KEY_PREFIX}{secrets.token_hex(8)}_{secrets.token_hex(32)}"
    return f"{body}_{_checksum(body)}"


def key_id_of(key: str) -> str | None:
    """The public part of a key; None when it is no key of ours."""
    shape = _SHAPE.fullmatch(key)
    if shape is None or not hmac.compare_digest(_checksum(key.rsplit("_", 1)[0]), shape.group(2)):
        return None
    return shape.group(1)


class KeyDigest:
    """Turns keys into what is stored of them."""

    def __init__(self, pepper: Secret) -> None:
        self._pepper = pepper.reveal().encode()

    def of(self, key: str) -> bytes:
        return hmac.new(self._pepper, key.encode(), hashlib.sha256).digest()

    def matches(self, key: str, stored: bytes | None) -> bool:
        """Takes the same time for a known and an unknown id: without a stored digest it compares with another one."""
        return hmac.compare_digest(self.of(key), stored if stored is not None else self.of("")) and stored is not None


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"
