"""Tells a supervisor on the same machine that a process is ready, and on which port."""

import os
from pathlib import Path

import msgspec
from msgspec import Struct


class Ready(Struct, frozen=True, kw_only=True):
    pid: int
    port: int
    service: str


def write_ready_file(path: str, ready: Ready) -> None:
    """Write the file whole or not at all: a reader never sees half of it. Raises OSError."""
    target = Path(path)
    draft = target.with_name(f".{target.name}.{ready.pid}")
    draft.write_bytes(msgspec.json.encode(ready))
    os.replace(draft, target)
