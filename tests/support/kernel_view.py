"""What the kernel knows of a process: whether it lives, where it listens, what it was told. Linux only."""

import os
from pathlib import Path

LISTENING = "0A"


def is_alive(pid: int) -> bool:
    """False for a zombie too: it does nothing any more."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def is_stopped(pid: int) -> bool:
    """Every thread of it, by a signal."""
    stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


def tcp_listeners(pid: int) -> list[tuple[str, int]]:
    """Addresses and ports on which the process listens; the address as the kernel writes it, `0100007F` is 127.0.0.1."""
    mine = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            address, _, port = fields[1].partition(":")
            if fields[3] == LISTENING and f"socket:[{fields[9]}]" in mine:
                found.append((address, int(port, 16)))
    return found


def unix_listeners(pid: int) -> list[str]:
    """Paths of the Unix sockets that the process holds by name."""
    mine = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
    lines = [line.split() for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]]
    return [fields[7] for fields in lines if len(fields) > 7 and f"socket:[{fields[6]}]" in mine]


def environment(pid: int) -> dict[str, str]:
    """The environment that the process was started with."""
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)
