"""Recordings: told by their first bytes and kept as they are. Decoding them is the analyst's, in a process of its own."""

from aif_kam.sources.reading import FileToRead
from aif_kam.sources.unreadable import Unreadable

OFFERED_RECORDINGS = ".wav, .mp3, .ogg, .flac or .m4a"
_EXTENSIONS = frozenset({"wav", "wave", "mp3", "ogg", "oga", "opus", "flac", "m4a", "mp4"})
_NEWEST_TAG_VERSION = 4


def recording_type(content: bytes, file: FileToRead) -> str | None:
    """The media type of a recording; None for what may be a document.

    Raises Unreadable for bytes and a name that contradict one another.
    """
    found = _by_signature(content)
    extension = file.file_name.rsplit(".", 1)[1].lower() if file.file_name and "." in file.file_name else None
    named = extension in _EXTENSIONS
    if found is None and not named:
        return None
    if found is None:
        raise Unreadable(
            "source_broken_recording",
            f"the file is called .{extension} but does not begin like a recording",
            f"save it again as {OFFERED_RECORDINGS}",
        )
    if extension is not None and not named:
        raise Unreadable(
            "source_kind",
            f"the file is called .{extension[:20]} but its bytes are {found}",
            f"name it by what it is: {OFFERED_RECORDINGS}",
        )
    return found


def _by_signature(content: bytes) -> str | None:
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return "audio/wav"
    if content[:5] == b"OggS\x00":
        return "audio/ogg"
    if content[:4] == b"fLaC" and content[4:5] in (b"\x00", b"\x80"):
        return "audio/flac"
    if content[4:8] == b"ftyp" and content[:1] == b"\x00":
        return "audio/mp4"
    if _is_mpeg(content):
        return "audio/mpeg"
    return None


def _is_mpeg(content: bytes) -> bool:
    """A tag of a known version, or the header of a frame of layer III with a bit rate and a sample rate that exist."""
    if content[:3] == b"ID3":
        return len(content) > 3 and 2 <= content[3] <= _NEWEST_TAG_VERSION
    if len(content) < 4 or content[0] != 0xFF or content[1] & 0xE6 != 0xE2:
        return False
    is_reserved_version = content[1] & 0x18 == 0x08
    return not is_reserved_version and content[2] >> 4 not in (0x0, 0xF) and content[2] & 0x0C != 0x0C
