"""Server-sent events, read from bytes that come in any pieces."""

from collections.abc import AsyncIterator

import pytest

from aif_console.gateway.event_source import ServerSentEvent, read_events

STREAM = b'retry: 1000\n\nid: 1\nevent: A\ndata: {"a": 1}\n\n: heartbeat\n\nid: 2\ndata: one\ndata: two\n\n'


async def events_in(*chunks: bytes) -> list[ServerSentEvent]:
    async def arriving() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return [event async for event in read_events(arriving())]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
async def test_events_are_the_same_however_their_bytes_are_cut(size: int) -> None:
    events = await events_in(*(STREAM[begin : begin + size] for begin in range(0, len(STREAM), size)))

    assert events == [ServerSentEvent(id="1", data=b'{"a": 1}'), ServerSentEvent(id="2", data=b"one\ntwo")]


async def test_an_event_that_is_cut_off_is_none() -> None:
    assert await events_in(b"id: 1\ndata: whole\n\nid: 2\ndata: hal") == [ServerSentEvent(id="1", data=b"whole")]


async def test_line_ends_of_other_systems_are_understood() -> None:
    assert await events_in(b"id: 1\r\ndata: x\r\n\r\n") == [ServerSentEvent(id="1", data=b"x")]


async def test_unicode_line_ends_inside_a_text_end_no_line() -> None:
    text = "before\u2028after\u0085end".encode()

    assert await events_in(b"id: 1\ndata: " + text + b"\n\n") == [ServerSentEvent(id="1", data=text)]


async def test_heartbeats_are_not_told() -> None:
    assert await events_in(b": heartbeat\n\n", b": heartbeat\n\n") == []
