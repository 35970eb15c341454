"""The folder of one embedded server: one supervisor at a time."""

import fcntl
import os
from pathlib import Path

from aif_console.failures import DataFolderInUse, DataFolderUnusable

LOCK = "lock"


def is_held(folder: Path) -> bool:
    """Tell whether somebody holds the lock of a folder, where that can be seen."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as refused:
        return not isinstance(refused, FileNotFoundError)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


class FolderLock:
    """Held while a server runs over the folder. The kernel releases it when the holder dies, however it dies.

    Whoever holds it knows that a server still found running there has lost its supervisor.
    """

    def __init__(self, folder: Path, server: str) -> None:
        self._folder = folder
        self._server = server
        self._descriptor: int | None = None

    def take(self) -> None:
        """Make the folder if need be and lock it.

        Raises DataFolderInUse if somebody else holds it, in this process or another, and DataFolderUnusable.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as refused:
            raise DataFolderUnusable(self._server, self._folder, str(refused)) from refused
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            os.close(descriptor)
            raise DataFolderInUse(self._server, self._folder) from taken
        self._descriptor = descriptor

    def release(self) -> None:
        """Let the next one in. Releasing twice does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
