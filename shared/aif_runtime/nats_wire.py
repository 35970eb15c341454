"""Messages as they go over the wire to NATS and come from it."""

import re
from collections.abc import Mapping

STATUS = "Status"
DESCRIPTION = "Description"

_VERSION = "NATS/1.0"
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LINE_BREAKS = str.maketrans("\r\n", "  ")


class Arrived:
    """A message that has come. Its headers are read when somebody asks for them."""

    __slots__ = ("_block", "_headers", "data", "reply", "subject")

    def __init__(self, subject: bytes, reply: bytes, data: bytes, block: bytes | None) -> None:
        """All as they were on the wire, where subjects may hold any bytes; those that are no UTF-8 become U+FFFD."""
        self.subject = subject.decode("utf-8", "replace")
        self.reply = reply.decode("utf-8", "replace")
        """Empty when no answer is expected."""
        self.data = data
        self._block = block
        self._headers: Mapping[str, str] | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        if self._headers is None:
            self._headers = _read_headers(self._block) if self._block else {}
        return self._headers

    @property
    def status(self) -> str | None:
        """Of a message that the server itself wrote, for example `404`; None for a message with content."""
        return None if self.data or not self._block else self.headers.get(STATUS)


def written(subject: str, payload: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None) -> bytes:
    """The command that publishes a message.

    `subject` and `reply` hold no white space: whoever takes them from outside checks that. A line break in a header's value
    becomes a space. Raises ValueError for a header's name that NATS could not read.
    """
    if not headers:
        return b"".join((f"PUB {subject} {reply} {len(payload)}\r\n".encode(), payload, b"\r\n"))
    lines = _VERSION + "\r\n"
    for name, value in headers.items():
        if _HEADER_NAME.fullmatch(name) is None:
            raise ValueError(f"header name {name!r} cannot be sent: use letters, digits and `-` without spaces or colons")
        if "\n" in value or "\r" in value:
            value = value.translate(_LINE_BREAKS)
        lines += f"{name}: {value}\r\n"
    block = f"{lines}\r\n".encode()
    size = len(block)
    return b"".join((f"HPUB {subject} {reply} {size} {size + len(payload)}\r\n".encode(), block, payload, b"\r\n"))


def _read_headers(block: bytes) -> dict[str, str]:
    """The server's own messages have a status in the first line, and often words behind it."""
    first, *lines = block.decode("utf-8", "replace").split("\r\n")
    headers: dict[str, str] = {}
    if first != _VERSION:
        status, _, description = first.removeprefix(_VERSION).strip().partition(" ")
        headers = {name: text for name, text in ((STATUS, status), (DESCRIPTION, description)) if text}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip()] = value.strip()
    return headers
