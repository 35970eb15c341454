"""The note that a running factory leaves in its data folder, for the other commands on this machine."""

from pathlib import Path

import msgspec
from msgspec import Struct

from aif_console.embedded.credentials import write_private
from aif_console.embedded.data_folder import is_held


class RunningFactory(Struct, frozen=True, kw_only=True):
    """Holds no secrets."""

    pid: int
    kam_url: str
    nats_url: str


def find_running(path: Path) -> RunningFactory | None:
    """None when no factory runs over the folder, or the note is not to be read. A factory that was killed leaves its note."""
    if not is_held(path.parent):
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunningFactory)
    except (OSError, msgspec.MsgspecError):
        return None


def note_running(path: Path, running: RunningFactory) -> None:
    write_private(path, msgspec.json.format(msgspec.json.encode(running), indent=2))
