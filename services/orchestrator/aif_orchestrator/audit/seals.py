"""How a row of the audit log is sealed.

The sealed bytes hold the entry, its place, its time and the hash of the row before. With an audit key the seal is an
HMAC-SHA-256: who can write to the database but does not have the key cannot make rows that fit. Without a key it is a plain
SHA-256, which shows accidents and clumsy hands only; then the head has to be kept elsewhere.

Several keys may be given, so that one can be changed: the first seals, all of them verify. `sha256` as the last one lets rows
verify that were sealed before there was a key.
"""

import hashlib
import hmac
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from aif_contracts.audit import AuditEntry

PLAIN = "sha256"
KEYED = "hmac-sha256:"
SHORTEST_KEY = 16
NOTHING_BEFORE = "0" * 64
"""In place of the hash of a row before the first."""
_KEY_ID_CHARACTERS = 8


class Sealed(Struct, frozen=True, kw_only=True):
    """What the sealed bytes say."""

    sequence: int
    previous_hash: str
    recorded_at: str
    sealed_with: str
    entry: AuditEntry


class Place(Struct, frozen=True, kw_only=True):
    """A row of the chain, by its number and hash; 0 stands before the first."""

    sequence: int
    hash: str


BEGINNING = Place(sequence=0, hash=NOTHING_BEFORE)
_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER = msgspec.json.Decoder(Sealed)


class Seals:
    def __init__(self, keys: Sequence[str]) -> None:
        """The first key seals; plain hashes do without any. Raises ValueError for a key that can be guessed."""
        secret = [key for key in keys if key != PLAIN]
        if any(len(key) < SHORTEST_KEY for key in secret):
            raise ValueError(f"an audit key has at least {SHORTEST_KEY} characters")
        self._keys = {KEYED + _key_id(key): key.encode() for key in secret}
        self._takes_plain = not secret or PLAIN in keys
        self._sealing = next(iter(self._keys), PLAIN)

    @property
    def sealing(self) -> str:
        """How new rows are sealed."""
        return self._sealing

    def knows(self, sealed_with: str) -> bool:
        return sealed_with in self._keys or (sealed_with == PLAIN and self._takes_plain)

    def hash_of(self, content: bytes, sealed_with: str) -> str:
        """Only for seals that are known."""
        if sealed_with == PLAIN:
            return hashlib.sha256(content).hexdigest()
        return hmac.new(self._keys[sealed_with], content, hashlib.sha256).hexdigest()


def sealed_bytes(sealed: Sealed) -> bytes:
    return _ENCODER.encode(sealed)


def read_sealed(content: bytes) -> Sealed | None:
    """None for bytes that nobody has sealed like this."""
    try:
        return _DECODER.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def keys_in(setting: str) -> tuple[str, ...]:
    """The keys of a setting, separated by commas, the newest first."""
    return tuple(key for part in setting.split(",") if (key := part.strip()))


def _key_id(key: str) -> str:
    """Tells keys apart and tells nothing about them."""
    return hashlib.sha256(b"audit key id:" + key.encode()).hexdigest()[:_KEY_ID_CHARACTERS]
