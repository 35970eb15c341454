"""What is added to a log file from now on."""

from pathlib import Path


class LogTail:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_to = self._size()

    def new_lines(self) -> list[str]:
        """Since the last call, without empty ones; a line that is not finished yet waits for the next call."""
        try:
            with self._path.open("rb") as log:
                # A long log was set aside at a start, or emptied, and this is a new one.
                begin = self._read_to if self._read_to <= self._size() else 0
                log.seek(begin)
                content = log.read()
        except OSError:
            return []
        finished = content[: content.rfind(b"\n") + 1]
        self._read_to = begin + len(finished)
        return [line for line in finished.decode("utf-8", "replace").splitlines() if line.strip()]

    def _size(self) -> int:
        """0 for one that is not there, or cannot be reached: that is for its writer to tell."""
        try:
            return self._path.stat().st_size
        except OSError:
            return 0
