"""What the services write into their log files, as lines on the terminal of the one who runs the factory."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from rich.text import Text

from aif_console.log_tail import LogTail
from aif_console.reading.plain_text import plain

POLL_SECONDS = 0.2
NAME_WIDTH = 13
SERVERS = ("nats", "postgres")

_QUIET_LEVELS = ("debug", "info")
_TROUBLE_OF_SERVERS = ("[ERR]", "[FTL]", "PANIC:")
"""As NATS and Postgres mark it. Postgres says ERROR and FATAL of single connections; whose they are logs that."""
_NOT_FIELDS = ("time", "level", "event", "service", "traceback")
_STYLES = {"warning": "yellow", "error": "red", "critical": "bold red"}


class LogLine(Struct, frozen=True, kw_only=True):
    member: str
    level: str
    """As the service wrote it; `error` for what is no event of its own, such as the last words of an interpreter."""
    words: str
    more: str = ""
    """A traceback."""


def log_line(member: str, raw: str) -> LogLine:
    """One line of a log file, understood as well as it can be."""
    if member in SERVERS:
        level = "error" if any(mark in raw for mark in _TROUBLE_OF_SERVERS) else "info"
        return LogLine(member=member, level=level, words=plain(raw.strip()))
    try:
        event = msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.MsgspecError:
        return LogLine(member=member, level="error", words=plain(raw.rstrip()))
    fields = "  ".join(f"{name}={_on_one_line(value)}" for name, value in event.items() if name not in _NOT_FIELDS)
    return LogLine(
        member=member,
        level=str(event.get("level", "info")),
        words=f"{_on_one_line(event.get('event', ''))}  {fields}".strip(),
        more="\n".join(plain(line) for line in str(event.get("traceback", "")).splitlines()),
    )


def _on_one_line(value: object) -> str:
    """A reason may be a whole page, and a path hold what a client has sent."""
    return " ".join(plain(str(value)).split())


def rendered(line: LogLine, *, whole: bool = False) -> Text:
    """Prefixed by the name of who wrote it. A warning's traceback is left to the log file unless the `whole` is wanted."""
    text = Text()
    text.append(f"{line.member:<{NAME_WIDTH}}", style="cyan")
    text.append(f"{line.level:<8} ", style=_STYLES.get(line.level, "dim"))
    text.append(line.words)
    if line.more and (whole or line.level != "warning"):
        text.append(f"\n{line.more.rstrip()}", style="dim")
    return text


class LogFollower:
    """Shows what is added to some log files from now on: warnings and worse, or everything."""

    def __init__(self, paths: Mapping[str, Path], *, show: Callable[[Text], None], everything: bool) -> None:
        self._tails = {name: LogTail(path) for name, path in paths.items()}
        self._show = show
        self._everything = everything

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            self.look()
            await asyncio.sleep(POLL_SECONDS)

    def look(self) -> None:
        """Show what has come since the last look."""
        for name, tail in self._tails.items():
            for raw in tail.new_lines():
                line = log_line(name, raw)
                if self._everything or line.level not in _QUIET_LEVELS:
                    self._show(rendered(line, whole=self._everything))
