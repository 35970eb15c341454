"""From bytes of the wire to a message, or to the reason why they are none."""

import re
from typing import TypeVar

import msgspec

from aif_runtime.failures import MalformedMessage

T = TypeVar("T")

_PARTS = msgspec.json.Decoder(list[msgspec.Raw])

_ESCAPED_NUL = b"\\u0000"
# An even number of backslashes before it spells backslashes, and then the text only looks like an escape.
_REAL_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def decode(decoder: msgspec.json.Decoder[T], payload: bytes) -> T:
    """The message in `payload`. Raises MalformedMessage with the place of the mistake.

    Text with a NUL character is refused although JSON allows it: Postgres does not store it, and the message would be
    delivered for ever.
    """
    if _holds_nul(payload):
        raise MalformedMessage("a text in the message holds a NUL character (\\u0000): leave it out")
    try:
        return decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
        raise MalformedMessage(str(wrong)) from wrong
    except RecursionError as wrong:
        raise MalformedMessage("the message is nested too deeply") from wrong


def parts_of(payload: bytes) -> list[bytes]:
    """The elements of a JSON array, each to be decoded by itself, so that one that is no message takes none of the others with
    it. Empty when there are none, or it is no array."""
    try:
        return [bytes(part) for part in _PARTS.decode(payload)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []


def _holds_nul(payload: bytes) -> bool:
    """Searches for one byte, which are quick, settle most messages; the pattern decides only where the others hit."""
    return b"\x00" in payload or (
        b"\\" in payload and _ESCAPED_NUL in payload and _REAL_ESCAPED_NUL.search(payload) is not None
    )
