"""Whether a path can be a Unix socket for a server and its clients."""

import socket
from pathlib import Path

OWNER_ONLY = 0o700


def takes_a_socket(path: Path) -> bool:
    """Listen at a path where nothing is and connect to it, then leave it as it was.

    The kernel is asked by trying: how long a path may be differs between systems (107 bytes on Linux), and some file systems
    know no sockets or refuse their permissions.
    """
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        try:
            server.bind(str(path))
            path.chmod(OWNER_ONLY)
            server.listen(1)
            client.connect(str(path))
        except OSError:
            return False
        finally:
            path.unlink(missing_ok=True)
    return True


def is_nameable(folder: Path) -> bool:
    """Tell whether a Postgres URL can name the folder: drivers take a comma for the end of a host, and escape UTF-8 only."""
    return "," not in str(folder) and str(folder).isprintable()
