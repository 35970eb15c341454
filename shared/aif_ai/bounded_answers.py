"""A bound on what an HTTP answer may take of our memory, whatever the provider, or whoever stands in its place, sends.

Hangs in an `httpx2.AsyncClient` as a hook on responses, so that it sees every body before anybody reads it, error bodies
that an SDK reads by itself included. Importing this module imports httpx2; adapters do so when they first connect.
"""

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx2

ACCEPTED_ENCODING = {"accept-encoding": "identity"}
"""Headers of a client whose answers are bounded: a few packed kilobytes can unpack to gigabytes."""
_MOST_BYTES_OF_AN_ERROR = 65_536
_NO_STREAMS = ("application/json", "text/html")
_ENDS_OF_EVENTS = (b"\n\n", b"\r\n\r\n", b"\r\r")


class UnboundedAnswer(httpx2.TransportError):
    """The answer is larger than any that was asked for, or comes packed, so that nobody can tell how large it is."""


def bounded(most_bytes: int, *, streams: bool) -> Callable[[httpx2.Response], Awaitable[None]]:
    """A hook that lets pass at most so much of a body; of an error its beginning.

    With `streams`, event streams are meant to come: what does not say that it is something else may be of any length, and
    each of its events only so long.
    """

    async def bound(response: httpx2.Response) -> None:
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise UnboundedAnswer(f"the answer is packed with {encoding}, which was not asked for", request=response.request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        if not response.is_success:
            response.stream = _Beginning(response.stream, _MOST_BYTES_OF_AN_ERROR)
        elif not streams or is_no_stream(response):
            response.stream = _Whole(response.stream, most_bytes)
        else:
            response.stream = _Events(response.stream, most_bytes)

    return bound


def is_no_stream(response: httpx2.Response) -> bool:
    """Whether it is told to be something else, and would be read as a whole."""
    content_type: str = response.headers.get("content-type", "")
    return content_type.lower().startswith(_NO_STREAMS)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, most_bytes: int) -> None:
        self._stream = stream
        self._most_bytes = most_bytes

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Beginning(_Bounded):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._most_bytes
        async for part in self._stream:
            yield part[:left]
            left -= len(part)
            if left <= 0:
                return


class _Whole(_Bounded):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._most_bytes
        async for part in self._stream:
            left -= len(part)
            if left < 0:
                raise UnboundedAnswer(f"the answer is longer than {self._most_bytes} bytes")
            yield part


class _Events(_Bounded):
    """Readers of event streams keep what they have until an empty line ends the event. An end that falls between two parts
    goes unseen, which can only make a bound stricter that is far above any event."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pending = 0
        async for part in self._stream:
            end = max(part.rfind(mark) for mark in _ENDS_OF_EVENTS)
            pending = pending + len(part) if end < 0 else len(part) - end
            if pending > self._most_bytes:
                raise UnboundedAnswer(f"an event of the answer is longer than {self._most_bytes} bytes")
            yield part
