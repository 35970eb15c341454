"""What is raised when a program gives no address or no key, or when something else than a factory answers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aif_client import ArgumentInvalid, GatewayUnavailable, PipelineExecutor

EXECUTION = "exec_01M7YE2MWNEN0Z8K1JWNGR7Q8W"


@asynccontextmanager
async def answering(status: str, body: bytes, *headers: str) -> AsyncIterator[str]:
    """A server that says the same to everybody."""
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""])

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8420",
        "ftp://h",
        "http://",
        "http://h:0",
        "http://h:99999",
        "http://h:port",
        "http://[::1",
        "http://h\n",
        "http://a b",
        "http://xn--a",
    ],
)
def test_what_is_no_address_is_said_where_it_is_given(url: str) -> None:
    with pytest.raises(ArgumentInvalid, match="is no address of a factory"):
        PipelineExecutor(url, "key")


@pytest.mark.parametrize("key", ["", "secret\n", " secret", "secr\x00et", "secrët"])
def test_a_key_that_no_header_may_hold_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ArgumentInvalid, match="the API key is empty or holds what is in no key") as refused:
        PipelineExecutor("http://127.0.0.1:8420", key)

    assert "secr" not in str(refused.value)


@pytest.mark.parametrize("key", ["", "night-7\n", "nächtens"])
async def test_an_idempotency_key_that_no_header_may_hold_is_refused_before_anything_is_sent(key: str) -> None:
    async with PipelineExecutor("http://127.0.0.1:1", "key") as executor:
        with pytest.raises(ArgumentInvalid, match="the idempotency key"):
            await executor.start("course", {}, idempotency_key=key)


async def _events(executor: PipelineExecutor) -> list[Any]:
    return [event async for event in executor.events(EXECUTION)]


CALLS: list[Callable[[PipelineExecutor], Awaitable[Any]]] = [
    lambda executor: executor.start("course", {}),
    lambda executor: executor.upload("bees.md", b"# Bees"),
    lambda executor: executor.result(EXECUTION),
    lambda executor: executor.cancel(EXECUTION),
    _events,
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (("200 OK", b"<html>Welcome</html>"), "answers what this client does not understand"),
        (("200 OK", b"not gzip", "Content-Encoding: gzip"), "answers what this client does not understand"),
        (("404 Not Found", b"not gzip", "Content-Encoding: gzip"), "answers what this client does not understand"),
        (("404 Not Found", b"<html>Gone</html>"), "answers with status 404 and without a factory's reason"),
        (("404 Not Found", b'{"detail":"Not Found"}'), "answers with status 404 and without a factory's reason"),
        (("404 Not Found", b"{}"), "answers with status 404 and without a factory's reason"),
        (("308 Moved", b"", "Location: https://factory.example/api"), "sends on to 'https://factory.example/api'"),
    ],
)
async def test_what_is_no_factory_does_not_serve(
    call: Callable[[PipelineExecutor], Awaitable[Any]], answer: tuple[str, bytes, str], said: str
) -> None:
    async with answering(*answer) as url, PipelineExecutor(url, "key", patience_seconds=5) as executor:
        with pytest.raises(GatewayUnavailable, match=said):
            await call(executor)


@pytest.mark.parametrize(
    "call", [lambda executor: executor.result("e" * 70_000), lambda executor: executor.cancel("e" * 70_000)]
)
async def test_an_id_longer_than_any_address_is_refused(call: Callable[[PipelineExecutor], Awaitable[Any]]) -> None:
    async with PipelineExecutor("http://127.0.0.1:1", "key") as executor:
        with pytest.raises(ArgumentInvalid, match="URL too long"):
            await call(executor)
