"""Many customers at once over HTTP, each with a connection of its own: each orders a course and follows it to its end.

Who is turned away with `Retry-After` comes again then, under the same idempotency key, as every client should.
"""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
import msgspec
from msgspec import Struct, field

from aif_contracts.events import FINAL_EVENT_TYPES

TEMPLATE = "content_granulation_course"
SAMPLES = Path(__file__).parents[2] / "samples"
SOURCES = ("beekeeping.md", "network-basics.txt")
"""One document out of them: a course from it takes long enough for orders to come faster than they are done."""
GIVE_UP_SECONDS = 1_800.0
_NO_HINT_SECONDS = 1.0
_LOST_PAUSE_SECONDS = 0.5


class Course(Struct, frozen=True, kw_only=True):
    """One order, as its customer saw it. Times are as `perf_counter` tells them."""

    execution_id: str
    began: float
    accepted: float
    ended: float
    end: str
    """The type of its last event."""


class Crowd(Struct, frozen=True, kw_only=True):
    courses: list[Course] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    """Of orders and of streams of events, by status and code."""


class Customers:
    """Made by `open_customers`."""

    def __init__(self, open_client: Callable[[], httpx2.AsyncClient], source_id: str) -> None:
        self._open_client = open_client
        self._wish = {"selected_template": TEMPLATE, "parameters": {"source": source_id}}

    async def order(self, count: int, heard: Callable[[int], None] = lambda _: None) -> Crowd:
        """So many orders in the same moment. `heard` is told how many have ended, each time. Raises TimeoutError."""
        crowd = Crowd()

        async def customer() -> None:
            # Of many connections one client looks at all whenever one of them is used.
            async with self._open_client() as http:
                crowd.courses.append(await self._course(http, crowd.answers))
            heard(len(crowd.courses))

        async with asyncio.timeout(GIVE_UP_SECONDS), asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(customer())
        return crowd

    async def _course(self, http: httpx2.AsyncClient, answers: "Counter[str]") -> Course:
        key, began = str(uuid.uuid4()), time.perf_counter()

        async def place() -> httpx2.Response:
            return await http.post("/api/kam/orders", json=self._wish, headers={"Idempotency-Key": key})

        placed = (await _answered("order", place, answers)).json()
        accepted = time.perf_counter()
        end = await self._end_of(http, placed["request_id"], answers)
        return Course(execution_id=placed["execution_id"], began=began, accepted=accepted, ended=time.perf_counter(), end=end)

    async def _end_of(self, http: httpx2.AsyncClient, request_id: str, answers: "Counter[str]") -> str:
        last = 0
        while True:
            try:
                async with http.stream(
                    "GET", f"/api/kam/requests/{request_id}/events", headers={"Last-Event-ID": str(last)}
                ) as response:
                    answers[await _in_words("events", response)] += 1
                    pause = _pause(response)
                    async for line in response.aiter_lines():
                        name, _, value = line.partition(": ")
                        if name == "id":
                            last = int(value)
                        elif name == "event" and value in FINAL_EVENT_TYPES:
                            return value
            except httpx2.TransportError as lost:
                answers[f"events: {_lost(lost)}"] += 1
                pause = _LOST_PAUSE_SECONDS
            await asyncio.sleep(pause)


async def customers_at(url: str, key: str) -> Customers:
    """With a document of theirs in the factory."""

    def open_client() -> httpx2.AsyncClient:
        # Over plain HTTP. To read the certificates that the machine trusts would take each of them longer than the order.
        return httpx2.AsyncClient(
            base_url=url, headers={"X-API-Key": key}, timeout=GIVE_UP_SECONDS, verify=False, trust_env=False
        )

    texts = [await asyncio.to_thread((SAMPLES / name).read_text) for name in SOURCES]
    async with open_client() as http:
        uploaded = await http.post("/api/kam/sources", params={"file_name": "both.md"}, content="\n\n".join(texts))
    uploaded.raise_for_status()
    return Customers(open_client, uploaded.json()["source_id"])


async def _answered(what: str, ask: Callable[[], Awaitable[httpx2.Response]], answers: "Counter[str]") -> httpx2.Response:
    """The first answer that is not to come again."""
    while True:
        try:
            response = await ask()
        except httpx2.TransportError as lost:
            answers[f"{what}: {_lost(lost)}"] += 1
            await asyncio.sleep(_LOST_PAUSE_SECONDS)
            continue
        answers[await _in_words(what, response)] += 1
        if response.is_success:
            return response
        await asyncio.sleep(_pause(response))


def _lost(failure: httpx2.TransportError) -> str:
    return f"connection lost, {type(failure).__name__} {failure}".rstrip()


async def _in_words(what: str, response: httpx2.Response) -> str:
    if response.is_success:
        return f"{what}: {response.status_code}"
    problem = msgspec.json.decode(await response.aread())
    if not _may_come_again(response):
        raise Refused(f"{what}: {problem}")
    code = str(problem["type"]).rsplit(":", 1)[-1]
    return f"{what}: {response.status_code} {code} ({problem['detail'].split(';')[0]})"


def _may_come_again(response: httpx2.Response) -> bool:
    return "Retry-After" in response.headers


def _pause(response: httpx2.Response) -> float:
    return float(response.headers.get("Retry-After", _NO_HINT_SECONDS))


class Refused(Exception):
    """The trial itself is wrong, or the factory is."""
