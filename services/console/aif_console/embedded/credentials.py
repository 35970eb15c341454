"""Passwords that this machine made up for its own database roles."""

import os
import secrets
from pathlib import Path

import msgspec

from aif_console.failures import CredentialsUnreadable

PASSWORD_BYTES = 24


class Credentials:
    """A file of role names and passwords that only its owner may read (0600)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def find(self, role: str) -> str | None:
        """Look up a password. Raises CredentialsUnreadable if the file is damaged."""
        return self._read().get(role)

    def ensure(self, role: str) -> str:
        """Look up a password, making one if the role has none. It holds letters, digits, `-` and `_` only."""
        passwords = self._read()
        if role not in passwords:
            passwords[role] = secrets.token_urlsafe(PASSWORD_BYTES)
            self._write(passwords)
        return passwords[role]

    def _read(self) -> dict[str, str]:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        try:
            return msgspec.json.decode(content, type=dict[str, str])
        except msgspec.MsgspecError as damage:
            raise CredentialsUnreadable(self.path, str(damage)) from damage

    def _write(self, passwords: dict[str, str]) -> None:
        write_private(self.path, msgspec.json.format(msgspec.json.encode(passwords), indent=2))


def write_private(path: Path, content: bytes, *, owner: tuple[int, int] | None = None) -> None:
    """Replace a file in one step by one that only its owner may read, and have it on the disk on return.

    `owner` is a uid and gid to hand it to. The file is never readable by anybody else, not even for a moment.
    """
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        if owner is not None:
            os.fchown(descriptor, *owner)
        file.flush()
        os.fsync(descriptor)
    draft.replace(path)
