"""Ports on 127.0.0.1 that stay the same over restarts."""

import random
import socket
from pathlib import Path

from aif_console.failures import NoFreePort

# Below every system's range for outgoing connections: otherwise, while the server is down, some client's
# connection could sit on its port and the restart would fail.
FIRST_PORT, LAST_PORT = 15_000, 29_999
HIGHEST_PORT = 65_535
ATTEMPTS = 200


def is_free(port: int) -> bool:
    """Try to listen on the port. Connections that still linger from an earlier server do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def remembered_port(note: Path) -> int | None:
    """Read the port that was used last, None if there is none to be read."""
    try:
        port = int(note.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return port if 0 < port <= HIGHEST_PORT else None


def chosen_port(note: Path) -> int:
    """Take the remembered port, or a free one if a stranger sits on it, and write it down. Raises NoFreePort."""
    remembered = remembered_port(note)
    if remembered is not None and is_free(remembered):
        return remembered
    # Two supervisors that start at once must not draw the same numbers, so this is no seeded sequence.
    draw = random.SystemRandom()
    for _ in range(ATTEMPTS):
        port = draw.randint(FIRST_PORT, LAST_PORT)
        if is_free(port):
            note.write_text(f"{port}\n")
            return port
    raise NoFreePort(FIRST_PORT, LAST_PORT)
