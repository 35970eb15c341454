"""How many connections one port has at a time, so that it never comes to the process's last file and health always answers.

A connection beyond them is heard all the same: health and figures are told, anything else hears that it should come again. Of
such connections a few wait with a request that has not come; each further one sends the oldest away, so who opens connections
and is silent is in nobody's way.
"""

import resource
from typing import Protocol

import structlog

SPARE = 64
"""Connections beyond the others that wait for a request's head, and as many that are told of health."""
BACKLOG = 2048
"""Callers whom the system lets wait, and hands over at once."""
_KEPT_FILES = 256
"""For databases, the broker, processes that read documents, and connections beyond the others."""
_SECONDS_BETWEEN_WARNINGS = 60.0
_log = structlog.get_logger()


class Line(Protocol):
    """A connection, seen from here."""

    def leave(self) -> None:
        """Close it at once, without a word."""


class ConnectionPlaces:
    """Of one port. Nothing here counts who has a place: the server knows."""

    def __init__(self, *, connections: int) -> None:
        self._connections = connections
        self._waiting: dict[Line, None] = {}
        self._warned_at: float | None = None

    def come(self, line: Line, *, open_lines: int, now: float) -> None:
        """A new one beside so many open ones."""
        if open_lines - len(self._waiting) < self._connections:
            return
        self._warn(now)
        self._waiting[line] = None
        if len(self._waiting) > SPARE:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            oldest.leave()

    def is_waiting(self, line: Line) -> bool:
        return line in self._waiting

    def take(self, line: Line, *, open_lines: int, is_spared: bool) -> bool:
        """Give a waiting one a place, if there is one for what it asks, among so many open ones that it is one of."""
        places = self._connections + (SPARE if is_spared else 0)
        if open_lines - len(self._waiting) >= places:
            return False
        del self._waiting[line]
        return True

    def go(self, line: Line) -> None:
        self._waiting.pop(line, None)

    def _warn(self, now: float) -> None:
        if self._warned_at is None or now - self._warned_at >= _SECONDS_BETWEEN_WARNINGS:
            self._warned_at = now
            _log.warning("connections_all_taken", connections=self._connections)


def within_open_files(connections: int) -> int:
    """So many, or as many as the process may have files open for: each may have a file beside it, as an upload has. The
    system's soft limit is raised for them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(2 * connections + BACKLOG + _KEPT_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(1, min(connections, (max(soft, wanted) - _KEPT_FILES) // 2))
