"""Server-sent events out of the bytes of an answer, by the rules of https://html.spec.whatwg.org/#event-stream-interpretation.

Only the data of events: the providers repeat in it what they write into an event's name.
"""

_LINE_ENDS = (b"\n", b"\r")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventStreamDecoder:
    """Takes the bytes as they come. Sets no bound to an event."""

    def __init__(self) -> None:
        self._begun = bytearray()
        """A line whose end has not come yet."""
        self._data: list[bytes] = []
        self._has_met_cr = False
        self._has_begun = False

    def ended_by(self, part: bytes) -> list[bytes]:
        """The data of the events that come to their end in this part."""
        ended: list[bytes] = []
        for line in self._lines(part):
            if not line:
                if self._data:
                    ended.append(b"\n".join(self._data))
                    self._data = []
            elif line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b" ", 5) else line[5:])
            elif line == b"data":
                self._data.append(b"")
        return ended

    def _lines(self, part: bytes) -> list[bytes]:
        if self._has_met_cr and part.startswith(b"\n"):
            # The second half of one end of a line.
            part = part[1:]
            self._has_met_cr = False
        if not part:
            return []
        self._has_met_cr = part.endswith(b"\r")
        self._begun += part
        if b"\n" not in part and b"\r" not in part:
            return []
        if not self._has_begun:
            self._has_begun = True
            self._begun = self._begun.removeprefix(_BYTE_ORDER_MARK)
        lines = self._begun.splitlines()
        # Bytes come as they like: a line that is not at its end is kept, without looking at it again for each part.
        self._begun = bytearray() if self._begun.endswith(_LINE_ENDS) else lines.pop()
        return [bytes(line) for line in lines]
