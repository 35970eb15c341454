"""From bytes of the wire to a message, or to the reason why they are none."""

import re
from typing import TypeVar

import msgspec

from aif_runtime.failures import MalformedMessage

T = TypeVar("T")

LONGEST_REASON = 500
"""Characters of the words about a mistake."""

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
        raise MalformedMessage(_brief(wrong)) from wrong
    except RecursionError as wrong:
        raise MalformedMessage("the message is nested too deeply") from wrong


def parts_of(payload: bytes, *, at_most: int) -> list[bytes]:
    """The elements of a JSON array, each to be decoded by itself, so that one that is no message takes none of the others with
    it. Raises MalformedMessage for what is no array, and for one of more than `at_most`: each that is given up costs a message
    of its own, and a small array holds half a million."""
    try:
        parts = _PARTS.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
        raise MalformedMessage(_brief(wrong)) from wrong
    except RecursionError as wrong:
        raise MalformedMessage("the message is nested too deeply") from wrong
    if len(parts) > at_most:
        raise MalformedMessage(f"the message holds {len(parts)} parts: {at_most} may travel together")
    return [bytes(part) for part in parts]


def _brief(wrong: Exception) -> str:
    """A wrong value is repeated in the words about it, however long it is; the place of the mistake stands behind it."""
    words = str(wrong)
    return words if len(words) <= LONGEST_REASON else f"{words[: LONGEST_REASON // 2]} … {words[-LONGEST_REASON // 2 :]}"


def _holds_nul(payload: bytes) -> bool:
    """Searches for one byte, which are quick, settle most messages; the pattern decides only where the others hit."""
    return b"\x00" in payload or (
        b"\\" in payload and _ESCAPED_NUL in payload and _REAL_ESCAPED_NUL.search(payload) is not None
    )
