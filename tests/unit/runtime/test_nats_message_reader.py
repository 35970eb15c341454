"""What comes from a NATS server, cut into messages and the rest, however the network has torn it."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aif_runtime.nats_transport import MessageReader

Message = tuple[int, bytes, bytes, bytes, bytes | None]
OURS, THE_LIBRARYS = 7, 8
LIMIT = 64 * 1024


class Read:
    """What a reader has made of what came."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        self.messages: list[Message] = []
        self.reader = MessageReader(self._take, LIMIT)
        for part in parts:
            self.reader.feed_data(part)

    def _take(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> bool:
        if sid != OURS:
            return False
        self.messages.append((sid, subject, reply, data, headers))
        return True

    async def rest(self) -> bytes:
        self.reader.feed_eof()
        return await self.reader.read()


async def test_a_message_with_and_without_a_reply_subject_is_taken() -> None:
    read = Read([b"MSG orders.new 7 5\r\nhello\r\nMSG orders.new 7 _INBOX.a.1 0\r\n\r\n"])

    assert read.messages == [(7, b"orders.new", b"", b"hello", None), (7, b"orders.new", b"_INBOX.a.1", b"", None)]
    assert await read.rest() == b""


async def test_white_space_that_is_no_space_belongs_to_the_subject() -> None:
    read = Read([b"MSG a\x0bb.\x0c\x1c\xff 7 2\r\nhi\r\nHMSG \x0b 7 \x0c 12 12\r\nNATS/1.0\r\n\r\n\r\n"])

    assert read.messages == [
        (7, b"a\x0bb.\x0c\x1c\xff", b"", b"hi", None),
        (7, b"\x0b", b"\x0c", b"", b"NATS/1.0\r\n\r\n"),
    ]
    assert await read.rest() == b""


async def test_headers_come_apart_from_the_content() -> None:
    block = b"NATS/1.0\r\nStatus: 503\r\n\r\n"

    read = Read([b"HMSG a 7 %d %d\r\n%shi\r\nHMSG b 7 back %d %d\r\n%s\r\n" % (25, 27, block, 25, 25, block)])

    assert read.messages == [(7, b"a", b"", b"hi", block), (7, b"b", b"back", b"", block)]
    assert await read.rest() == b""


async def test_content_that_looks_like_the_protocol_is_content() -> None:
    content = b"MSG x 7 3\r\nabc\r\nPING\r\n"

    read = Read([b"MSG a 7 %d\r\n%s\r\nPONG\r\n" % (len(content), content)])

    assert read.messages == [(7, b"a", b"", content, None)]
    assert await read.rest() == b"PONG\r\n"


async def test_what_nobody_takes_here_is_left_to_the_library_in_order() -> None:
    read = Read([b"PING\r\nMSG a 8 2\r\nhi\r\nMSG a 7 2\r\nho\r\n-ERR 'Permissions Violation'\r\n"])

    assert read.messages == [(7, b"a", b"", b"ho", None)]
    assert await read.rest() == b"PING\r\nMSG a 8 2\r\nhi\r\n-ERR 'Permissions Violation'\r\n"


@pytest.mark.parametrize("line", [b"MSG a seven 2", b"MSG a", b"MSG", b"HMSG a 7 x 2", b"MSG a 7 two"])
async def test_a_line_that_makes_no_sense_is_left_to_the_library_with_all_that_follows(line: bytes) -> None:
    rest = line + b"\r\nhi\r\nMSG a 7 2\r\nho\r\n"

    read = Read([b"MSG a 7 2\r\nhi\r\n" + rest])

    assert [data for *_, data, _ in read.messages] == [b"hi"]
    assert await read.rest() == rest


def a_message(sid: int, data: bytes, headers: bytes | None, reply: bytes) -> tuple[bytes, Message]:
    words = [b"HMSG" if headers else b"MSG", b"some.subject", b"%d" % sid, *([reply] if reply else [])]
    sizes = [b"%d" % len(headers), b"%d" % (len(headers) + len(data))] if headers else [b"%d" % len(data)]
    wire = b" ".join(words + sizes) + b"\r\n" + (headers or b"") + data + b"\r\n"
    return wire, (sid, b"some.subject", reply, data, headers)


MESSAGES = st.builds(
    a_message,
    sid=st.sampled_from([OURS, THE_LIBRARYS]),
    data=st.sampled_from([b"", b"\r\n", b"MSG a 7 1\r\nx\r\n", b"some content"]),
    headers=st.sampled_from([None, b"NATS/1.0\r\nA: b\r\n\r\n"]),
    reply=st.sampled_from([b"", b"_INBOX.x.1"]),
)
LINES = st.sampled_from([b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b'INFO {"max_payload":8}\r\n'])


@given(
    commands=st.lists(st.one_of(MESSAGES, LINES), max_size=6),
    cuts=st.lists(st.integers(min_value=0, max_value=400), max_size=8),
)
def test_it_reads_the_same_however_the_stream_is_torn(commands: list[tuple[bytes, Message] | bytes], cuts: list[int]) -> None:
    stream = b"".join(each if isinstance(each, bytes) else each[0] for each in commands)
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]

    async def read_all() -> tuple[list[Message], bytes]:
        read = Read([stream[begins:ends] for begins, ends in pairwise(edges) if begins < ends])
        return read.messages, await read.rest()

    messages, rest = asyncio.run(read_all())

    assert messages == [each[1] for each in commands if not isinstance(each, bytes) and each[1][0] == OURS]
    assert rest == b"".join(
        each if isinstance(each, bytes) else each[0] for each in commands if isinstance(each, bytes) or each[1][0] != OURS
    )
