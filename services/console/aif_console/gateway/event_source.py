"""Server-sent events, read from bytes as they come.

Lines end at line feeds only: readers that split text at every Unicode line end break events whose text holds such a character.
"""

from collections.abc import AsyncGenerator, AsyncIterator

from msgspec import Struct


class ServerSentEvent(Struct, frozen=True, kw_only=True):
    id: str
    """The last id that was seen; empty when there was none."""
    data: bytes


async def read_events(chunks: AsyncIterator[bytes]) -> AsyncGenerator[ServerSentEvent, None]:
    """Events without data, such as heartbeats, are not told. An event cut off at the end is none."""
    rest = b""
    last_id = ""
    data: list[bytes] = []
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            name, _, value = line.rstrip(b"\r").partition(b":")
            value = value.removeprefix(b" ")
            if not line.rstrip(b"\r"):
                if data:
                    yield ServerSentEvent(id=last_id, data=b"\n".join(data))
                data = []
            elif name == b"id":
                last_id = value.decode("utf-8", "replace")
            elif name == b"data":
                data.append(value)
