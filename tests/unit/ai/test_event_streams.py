"""The events of a stream, whatever the pieces in which the network delivers it."""

import pytest

from aif_ai.event_stream import EventStreamDecoder


def data_of(*parts: bytes) -> list[bytes]:
    decoder = EventStreamDecoder()
    return [data for part in parts for data in decoder.ended_by(part)]


def one_byte_at_a_time(stream: bytes) -> list[bytes]:
    return [stream[i : i + 1] for i in range(len(stream))]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: one\n\ndata: two\n\n", [b"one", b"two"]),
        (b"data: one\r\n\r\ndata: two\r\n\r\n", [b"one", b"two"]),
        (b"data: one\r\rdata: two\r\r", [b"one", b"two"]),
        (b"event: ping\nid: 7\nretry: 3\ndata: one\n\n", [b"one"]),
        (b": a comment\n\ndata: one\n\n", [b"one"]),
        (b"data: one\ndata: two\n\n", [b"one\ntwo"]),
        (b"data:one\n\n", [b"one"]),
        (b"data:  one\n\n", [b" one"]),
        (b"data\n\n", [b""]),
        (b"database: one\n\n", []),
        (b"event: ping\n\n", []),
        (b"\n\n\n", []),
        (b"data: one", []),
        (b"data: one\n", []),
        ("data: Grüße\u2028Ende\n\n".encode(), ["Grüße\u2028Ende".encode()]),
        (b"data: a\x0bb\x0cc\x1cd\x85e\n\n", [b"a\x0bb\x0cc\x1cd\x85e"]),
        (b"\xef\xbb\xbfdata: one\n\ndata: two\n\n", [b"one", b"two"]),
        (b"data: one\n\n\xef\xbb\xbfdata: two\n\n", [b"one"]),
    ],
    ids=[
        "line feeds",
        "both",
        "carriage returns",
        "other fields",
        "comment",
        "two lines",
        "no space",
        "two spaces",
        "no colon",
        "longer name",
        "no data",
        "empty lines",
        "no end of the line",
        "no end of the event",
        "not ASCII",
        "what ends lines elsewhere",
        "byte order mark",
        "byte order mark in the middle",
    ],
)
def test_events_are_the_same_in_one_piece_and_byte_by_byte(stream: bytes, expected: list[bytes]) -> None:
    assert data_of(stream) == expected
    assert data_of(*one_byte_at_a_time(stream)) == expected


def test_one_end_of_a_line_in_two_pieces_is_no_empty_line() -> None:
    assert data_of(b"data: one\r", b"\ndata: two\r\n\r", b"\n") == [b"one\ntwo"]


def test_an_empty_line_after_a_parted_end_of_a_line_ends_the_event() -> None:
    assert data_of(b"data: one\r", b"\n", b"\n") == [b"one"]
