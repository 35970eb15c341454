"""What one connection may take, and how many there may be: the real web server, spoken to byte by byte."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
import pytest_asyncio
from msgspec.structs import replace

from aif_runtime.bounded_connections import Limits
from aif_runtime.bounded_websockets import BoundedWebSocket
from aif_runtime.connection_places import SPARE
from aif_runtime.health import Receive, Scope, Send
from aif_runtime.web_server import WebServer
from support.waiting import eventually

BRIEF = Limits(
    head_seconds=0.5, body_seconds=0.5, idle_seconds=1, stalled_seconds=0.5, head_bytes=4096, socket_message_bytes=4096
)
UPGRADE = (
    b"GET /socket HTTP/1.1\r\nHost: hive\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
CHUNK = bytes(256 * 1024)
FIN, TEXT, PING, CLOSE = 0x80, 1, 9, 8


class LeapingLoop(asyncio.SelectorEventLoop):
    """Its clock can be moved on."""

    leapt_seconds = 0.0

    def time(self) -> float:
        return super().time() + self.leapt_seconds


class Hive:
    """Answers with what it was sent; refuses `/refused` without reading it; pours endlessly from `/honey`."""

    def __init__(self) -> None:
        self.gone: list[str] = []
        """Paths of callers that left."""
        self.may_read = asyncio.Event()
        self.may_read.set()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (await receive())["type"] != "websocket.disconnect":
                pass
            self.gone.append(scope["path"])
        elif scope["path"] == "/honey":
            await self._pour(receive, send)
        elif scope["path"] == "/refused":
            await _answer(send, 401, b"no")
        else:
            await self.may_read.wait()
            await self._echo(scope, receive, send)

    async def _echo(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone.append(scope["path"])
                await _answer(send, 400, b"never to be seen")
                return
            body, more = body + message["body"], message["more_body"]
        await _answer(send, 200, body)

    async def _pour(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        leaving = asyncio.create_task(_until_gone(receive))
        while not leaving.done():
            await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
            # Else nobody has a turn while the kernel takes all, or while it takes nothing because the connection is broken.
            await asyncio.sleep(0)
        self.gone.append("/honey")


class Line:
    """A connection of a caller who listens all the time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._listening = asyncio.create_task(self._listen())
        self.heard = b""

    @property
    def is_closed(self) -> bool:
        return self._listening.done()

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def drip(self, piece: bytes) -> None:
        """Again and again, until the other side has had enough."""
        with suppress(ConnectionError):
            async with asyncio.timeout(30):
                while await self.stays_open(0.05):
                    await self.send(piece)

    async def stays_open(self, seconds: float) -> bool:
        await asyncio.wait([self._listening], timeout=seconds)
        return not self.is_closed

    async def all_heard(self) -> bytes:
        """To the end of the connection."""
        async with asyncio.timeout(30):
            await self._listening
        return self.heard

    def close(self) -> None:
        self._listening.cancel()
        self._writer.transport.abort()

    async def _listen(self) -> None:
        with suppress(ConnectionError):
            while data := await self._reader.read(65536):
                self.heard += data


@pytest.fixture
def hive() -> Hive:
    return Hive()


@pytest_asyncio.fixture
async def port(hive: Hive) -> AsyncIterator[int]:
    async with serving(hive, BRIEF) as number:
        yield number


@asynccontextmanager
async def serving(hive: Hive, limits: Limits) -> AsyncIterator[int]:
    stop = asyncio.Event()
    server = WebServer(hive.app, host="127.0.0.1", port=0, websockets=BoundedWebSocket, limits=limits)
    task = asyncio.create_task(server.serve(stop))
    try:
        yield server.port
    finally:
        stop.set()
        await task


@asynccontextmanager
async def calling(port: int) -> AsyncIterator[Line]:
    line = Line(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield line
    finally:
        line.close()


@asynccontextmanager
async def not_listening(port: int, asked: bytes) -> AsyncIterator[asyncio.StreamWriter]:
    """A caller who reads no more than the headers of an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    try:
        writer.write(asked)
        await reader.readuntil(b"\r\n\r\n")
        yield writer
    finally:
        writer.transport.abort()


async def test_a_connection_on_which_nothing_is_asked_is_closed_without_a_word(port: int) -> None:
    async with calling(port) as line:
        assert await line.all_heard() == b""


def test_after_an_answer_a_connection_is_kept_longer_than_clients_and_load_balancers_keep_it() -> None:
    async def leap() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, LeapingLoop)
        async with serving(Hive(), Limits()) as port, calling(port) as line, calling(port) as silent:
            for answers in (1, 2):
                await line.send(b"GET / HTTP/1.1\r\nHost: hive\r\n\r\n")
                await eventually(lambda answers=answers: line.heard.count(b"HTTP/1.1 200 OK") == answers)  # type: ignore[misc]
                loop.leapt_seconds += 61
                assert await line.stays_open(0.1)
            loop.leapt_seconds += 20

            await line.all_heard()
            assert await silent.all_heard() == b""

    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        runner.run(leap())


async def test_headers_that_come_a_byte_at_a_time_are_refused(port: int) -> None:
    async with calling(port) as line:
        await line.send(b"GET / HTTP/1.1\r\nX-Bees: ")
        await line.drip(b"z")

        assert line.heard.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert b'"detail":"a request\'s head has 0.5 s"' in line.heard


async def test_a_body_that_comes_a_byte_at_a_time_is_refused_and_the_app_told(port: int, hive: Hive) -> None:
    async with calling(port) as line:
        await line.send(b"POST /slow HTTP/1.1\r\nHost: hive\r\nContent-Length: 1000\r\n\r\n")
        await line.drip(b"z")

        assert line.heard.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert b"never to be seen" not in line.heard
    assert hive.gone == ["/slow"]


async def test_a_body_may_take_longer_the_more_of_it_has_come(hive: Hive) -> None:
    async with serving(hive, replace(BRIEF, body_bytes_per_second=1)) as port, calling(port) as line:
        await line.send(b"POST / HTTP/1.1\r\nHost: hive\r\nContent-Length: 11\r\n\r\n0123456789")

        assert await line.stays_open(2)

        await line.send(b"!")
        await eventually(lambda: line.heard.endswith(b"0123456789!\r\n0\r\n\r\n"))


async def test_time_that_the_app_takes_is_not_the_sender_s(port: int, hive: Hive) -> None:
    hive.may_read.clear()
    async with calling(port) as line:
        sending = asyncio.create_task(
            line.send(b"POST / HTTP/1.1\r\nHost: hive\r\nContent-Length: 9000000\r\n\r\n" + bytes(9_000_000))
        )

        assert await line.stays_open(2)

        hive.may_read.set()
        await sending
        await eventually(lambda: len(line.heard) > 9_000_000)


async def test_who_was_refused_and_goes_on_sending_slowly_is_left(port: int) -> None:
    async with calling(port) as line:
        await line.send(b"POST /refused HTTP/1.1\r\nHost: hive\r\nContent-Length: 1000000\r\n\r\n")
        await line.drip(b"z")

        assert line.heard.startswith(b"HTTP/1.1 401 Unauthorized\r\n")


async def test_empty_lines_after_an_answer_keep_no_connection_open(port: int) -> None:
    async with calling(port) as line:
        await line.send(b"GET / HTTP/1.1\r\nHost: hive\r\n\r\n")
        await eventually(lambda: line.heard.endswith(b"0\r\n\r\n"))
        await line.drip(b"\r\n")

        assert line.is_closed


@pytest.mark.parametrize("pieces", [1, 100])
async def test_headers_that_are_too_large_are_refused_however_they_come(port: int, pieces: int) -> None:
    async with calling(port) as line:
        await line.send(b"GET / HTTP/1.1\r\nX-Bees: ")
        with suppress(ConnectionError):
            for _ in range(pieces):
                await line.send(b"z" * (20_000 // pieces))
            await line.send(b"\r\n\r\n")

        assert (await line.all_heard()).startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


async def test_an_address_that_is_too_large_is_refused(port: int) -> None:
    async with calling(port) as line:
        await line.send(b"GET /" + b"z" * 5000 + b" HTTP/1.1\r\n\r\n")

        assert (await line.all_heard()).startswith(b"HTTP/1.1 431 ")


async def test_many_requests_at_once_are_not_taken_for_large_headers(port: int) -> None:
    async with calling(port) as line:
        await line.send(b"GET / HTTP/1.1\r\nHost: hive\r\n\r\n" * 200)

        await eventually(lambda: line.heard.count(b"HTTP/1.1 200 OK") == 200)


async def test_requests_without_end_do_not_pile_up_behind_one_that_waits(port: int, hive: Hive) -> None:
    hive.may_read.clear()
    async with calling(port) as line:
        with suppress(ConnectionError):
            await line.send(b"GET / HTTP/1.1\r\nHost: hive\r\n\r\n" * 1000)

        await line.all_heard()


@pytest.mark.parametrize("piece", [b"2;" + b"e" * 4096, b"0\r\nX-Bees: " + b"z" * 4096, b"0\r\n" + b"X-Bees: z\r\n" * 400])
async def test_a_body_of_all_but_bytes_is_refused(port: int, piece: bytes) -> None:
    async with calling(port) as line:
        await line.send(b"POST / HTTP/1.1\r\nHost: hive\r\nTransfer-Encoding: chunked\r\n\r\n")
        with suppress(ConnectionError):
            await line.send(piece)
            for _ in range(100):
                await line.send(b"z" * 1000 if piece[-1:] != b"\n" else b"X-Bees: z\r\n" * 100)

        assert (await line.all_heard()).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "body", [b"Content-Length: 5\r\n\r\nhoney", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhoney\r\n0\r\n\r\n"]
)
@pytest.mark.parametrize("size", [1, 5000])
async def test_a_body_that_comes_with_a_wish_for_another_protocol_is_read(port: int, body: bytes, size: int) -> None:
    asked = (
        b"POST / HTTP/1.1\r\nHost: hive\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n" + body
    )
    async with calling(port) as line:
        for start in range(0, len(asked), size):
            await line.send(asked[start : start + size])
        await eventually(lambda: line.heard.endswith(b"honey\r\n0\r\n\r\n"))

        await line.send(b"GET / HTTP/1.1\r\nHost: hive\r\n\r\n")
        await eventually(lambda: line.heard.count(b"HTTP/1.1 200 OK\r\n") == 2)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (UPGRADE.replace(b"GET", b"POST"), b"HTTP/1.1 200 OK\r\n"),
        (UPGRADE.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n{}"), b""),
        (UPGRADE.replace(b"13", b"99"), b"HTTP/1.1 400 "),
    ],
)
async def test_a_wrong_upgrade_is_not_held_open(port: int, asked: bytes, answer: bytes) -> None:
    async with calling(port) as line:
        await line.send(asked)

        assert (await line.all_heard()).startswith(answer)


async def test_what_is_no_http_is_told_so(port: int) -> None:
    async with calling(port) as line:
        await line.send(b"BZZ BZZ\r\n\r\n")

        assert (await line.all_heard()).startswith(b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n")


@pytest.mark.parametrize(
    ("begun", "piece", "code", "field", "mend"),
    [
        (b"GET / HTTP/1.1\r\nX-Bees: ", b"z", "request_too_slow", "headers", "at once"),
        (b"POST / HTTP/1.1\r\nHost: hive\r\nContent-Length: 1000\r\n\r\n", b"z", "request_too_slow", "body", "pauses"),
        (b"GET /" + b"z" * 5000 + b" HTTP/1.1\r\n\r\n", b"", "headers_too_large", "headers", "Shorten the address"),
        (b"\x16\x03\x01\x02\x00", b"", "malformed_request", "request", "http://"),
    ],
    ids=["slow headers", "slow body", "large headers", "TLS"],
)
async def test_what_is_refused_before_a_route_is_a_problem_with_a_type_and_a_mend(
    port: int, begun: bytes, piece: bytes, code: str, field: str, mend: str
) -> None:
    async with calling(port) as line:
        await line.send(begun)
        await line.drip(piece)
        problem = json.loads((await line.all_heard()).partition(b"\r\n\r\n")[2])

    [mistake] = problem["errors"]
    assert (problem["type"], mistake["field"]) == (f"urn:aif:problem:{code}", field)
    assert (problem["detail"], mend in mistake["mend"]) == (mistake["message"], True)
    assert problem["title"]


async def test_a_reader_who_takes_nothing_is_left(port: int, hive: Hive) -> None:
    async with not_listening(port, b"GET /honey HTTP/1.1\r\nHost: hive\r\n\r\n"):
        await eventually(lambda: hive.gone == ["/honey"])


async def test_a_reader_who_takes_something_is_kept(port: int) -> None:
    async with calling(port) as line:
        await line.send(b"GET /honey HTTP/1.1\r\nHost: hive\r\n\r\n")

        assert await line.stays_open(2)


async def test_pings_of_who_does_not_read_the_answers_are_not_piled_up(port: int, hive: Hive) -> None:
    async with not_listening(port, UPGRADE) as writer:
        with suppress(ConnectionError):
            for _ in range(512):
                writer.write(frame(PING, bytes(125)) * 1000)
                await writer.drain()

        await eventually(lambda: hive.gone == ["/socket"])


@pytest.mark.parametrize(
    "message",
    [
        pytest.param([(TEXT, bytes(2)), *[(0, b"")] * 100], id="frames"),
        pytest.param([(TEXT | FIN, bytes(5000))], id="size"),
    ],
)
async def test_a_socket_s_message_that_is_too_large_closes_it(port: int, message: list[tuple[int, bytes]]) -> None:
    async with calling(port) as line:
        await line.send(UPGRADE)
        await eventually(lambda: line.heard.endswith(b"\r\n\r\n"))
        with suppress(ConnectionError):
            await line.send(b"".join(frame(kind, content) for kind, content in message))

        _, _, frames = (await line.all_heard()).partition(b"\r\n\r\n")
    assert (frames[0], int.from_bytes(frames[2:4])) == (FIN | CLOSE, 1009)


@asynccontextmanager
async def full_house(hive: Hive) -> AsyncIterator[tuple[int, Line]]:
    """A port with places for two, who sit there; with the second of them."""
    limits = replace(BRIEF, connections=2, head_seconds=20)
    async with serving(hive, limits) as port, calling(port) as first, calling(port) as second:
        for line in (first, second):
            await line.send(UPGRADE)
            await eventually(lambda line=line: line.heard.endswith(b"\r\n\r\n"))  # type: ignore[misc]
        yield port, second


@pytest.mark.parametrize("asked", [b"GET / HTTP/1.1\r\nHost: hive\r\n\r\n", UPGRADE], ids=["request", "socket"])
async def test_who_comes_when_all_connections_are_taken_is_told_to_come_again(hive: Hive, asked: bytes) -> None:
    async with full_house(hive) as (port, second):
        async with calling(port) as line:
            await line.send(asked)
            head, _, problem = (await line.all_heard()).partition(b"\r\n\r\n")
        second.close()
        await eventually(lambda: hive.gone == ["/socket"])
        async with calling(port) as line:
            await line.send(asked)
            await eventually(lambda: line.heard.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 101 ")))

    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nretry-after: 2" in head
    assert json.loads(problem)["type"] == "urn:aif:problem:too_many_connections"


@pytest.mark.parametrize("address", [b"/health", b"/metrics", b"/api/v1/ai/pipelines/health?of=kam"])
async def test_health_and_figures_are_told_when_all_connections_are_taken(hive: Hive, address: bytes) -> None:
    async with full_house(hive) as (port, _), calling(port) as line:
        await line.send(b"GET " + address + b" HTTP/1.1\r\nHost: hive\r\n\r\n")
        heard = await line.all_heard()

    assert heard.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nconnection: close\r\n" in heard


async def test_who_opens_connections_and_says_nothing_does_not_keep_health_from_its_callers(hive: Hive) -> None:
    async with full_house(hive) as (port, second), AsyncExitStack() as silent:
        lines = [await silent.enter_async_context(calling(port)) for _ in range(SPARE + 3)]
        async with calling(port) as line:
            await line.send(b"GET /health HTTP/1.1\r\nHost: hive\r\n\r\n")
            heard = await line.all_heard()

        await eventually(lambda: [each.is_closed for each in lines] == [True] * 4 + [False] * (SPARE - 1))
        assert await second.stays_open(0.1)
    assert heard.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("hard", "places", "soft"),
    [(20_000, 1000, 4304), (1024, 384, 1024), (100, 1, 100)],
)
def test_there_are_no_more_connections_than_files_may_be_open_for_them(hard: int, places: int, soft: int) -> None:
    asking = (
        "import resource; from aif_runtime.connection_places import within_open_files as within;"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (90, {hard}));"
        "print(within(1000), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )

    told = subprocess.run([sys.executable, "-c", asking], capture_output=True, text=True, check=True).stdout

    assert told.split() == [str(places), str(soft), str(hard)]


def frame(kind: int, content: bytes) -> bytes:
    """As a client sends it, masked with zeros."""
    first = kind | FIN if kind in (PING, CLOSE) else kind
    size = len(content)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2)
    return bytes([first]) + length + bytes(4) + content


async def _answer(send: Send, status: int, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
