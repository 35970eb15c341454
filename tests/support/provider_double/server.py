"""A provider for tests: a real HTTP server that speaks three wires, keeps its own bill, and misbehaves on demand.

OpenAI's and Anthropic's official SDKs talk to it unmodified. Every call gets its own response id. Faults are played in the
order in which they were planned, one for each call; when none is planned, the mix decides, and without a mix the call is
answered well. The bill can be had as it is (`bill`, or `GET /bill`), and in the shapes of the providers' own reports.
"""

import asyncio
import json
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random
from types import ModuleType
from typing import Any

import msgspec

from support.provider_double import anthropic_wire, deepgram_wire, openai_wire
from support.provider_double.bill import BillEntry
from support.provider_double.exchange import Exchange, HiddenUsage, exchange
from support.provider_double.faults import Fault, FaultKind, FaultMix
from support.provider_double.http_server import HttpRequest, Reply, http_server
from support.provider_double.statements import Refusal, anthropic_costs, anthropic_usage, openai_costs, openai_usage

_ERRORS = frozenset(
    {
        FaultKind.RATE_LIMITED,
        FaultKind.NO_CREDIT,
        FaultKind.SERVER_ERROR,
        FaultKind.UNAVAILABLE,
        FaultKind.OVERLOADED,
        FaultKind.UNAUTHORIZED,
        FaultKind.CONTEXT_TOO_LONG,
    }
)
_BREAKS = frozenset({FaultKind.HELD_STREAM, FaultKind.RESET, FaultKind.CUT_OFF, FaultKind.ERROR_EVENT, FaultKind.CORRUPT_CHUNK})
_WIRES = {"/v1/chat/completions": openai_wire, "/v1/messages": anthropic_wire, "/v1/listen": deepgram_wire}
_REPORTS = {
    "/v1/organization/usage/completions": openai_usage,
    "/v1/organization/costs": openai_costs,
    "/v1/organizations/usage_report/messages": anthropic_usage,
    "/v1/organizations/cost_report": anthropic_costs,
}
CLIENT_REQUEST_ID = "x-client-request-id"
_TRICKLE_BYTES = 64
_TRICKLE_SECONDS = 0.001
_FLOOD_BYTES = 100_000_000
_FLOOD_PIECE = b"x" * 65_536
_NUMBERS_AS_NUMBERS = msgspec.json.Encoder(decimal_format="number")


class ProviderDouble:
    def __init__(self, now: Callable[[], datetime] | None = None) -> None:
        self.bill: list[BillEntry] = []
        """Appended to and never changed."""
        self.requests: list[dict[str, Any]] = []
        """Of audio, its query and its size."""
        self.headers: list[dict[str, str]] = []
        self.client_ports: set[int] = set()
        """One for each connection that carried a call."""
        self.mix: FaultMix | None = None
        """By which calls go wrong when nothing is planned."""
        self.cache_read_tokens = 0
        """Reported and billed with every answer from now on."""
        self.cache_write_tokens = 0
        self.reasoning_tokens = 0
        self.hidden_usage_seed: int | None = None
        """When set, each call has cached and reasoning tokens of its own, by chance."""
        self.seconds_for_an_answer = 0.0
        """Over which the pieces of a stream are spread, or after which the whole answer comes: a model takes its time."""
        self.holding = asyncio.Event()
        """Set when a call is held in the middle."""
        self.release = asyncio.Event()
        """Set by the test to let a call go on that waits for it."""
        self.client_left = asyncio.Event()
        """Set when the client of a held call has gone away."""
        self.sent_bytes = 0
        """Of floods, as far as the client took them."""
        self.url = ""
        self._now = now or (lambda: datetime.now(UTC))
        self._planned: deque[Fault | None] = deque()

    def plan(self, *faults: Fault | FaultKind | None) -> None:
        """Misbehave so in the coming calls; None answers one of them well."""
        self._planned.extend(Fault(kind=fault) if isinstance(fault, FaultKind) else fault for fault in faults)

    async def respond(self, request: HttpRequest, reply: Reply) -> None:
        if request.method == "GET":
            await self._report(request, reply)
            return
        wire = _WIRES.get(request.path)
        if wire is None:
            await _json(reply, 404, {"error": {"message": f"nothing at {request.path}", "type": "not_found_error"}})
            return
        self.headers.append(request.headers)
        self.client_ports.add(reply.client_port)
        number = len(self.headers)
        name = request.headers.get(CLIENT_REQUEST_ID) or _named_in(request.query)
        fault = self._fault(name or str(number))
        ids = [(wire.REQUEST_ID_HEADER, f"req-{number}")]
        if wire is deepgram_wire:
            await self._transcribe(request, reply, fault, f"answer-{number}", name)
            return
        prompt, sent = wire.prompt(request.body)
        self.requests.append(sent)
        if await self._refused(wire, request, reply, fault, ids):
            return
        answer = exchange(
            prompt=prompt,
            provider=wire.PROVIDER,
            fault=fault.kind if fault else None,
            response_id=f"answer-{number}",
            client_request_id=name,
            at=self._now(),
            hidden=self._hidden(name or str(number)),
        )
        self.bill.append(answer.entry)
        if await self._silenced(reply, answer.fault):
            return
        if prompt.streams:
            await self._stream(wire, answer, reply, ids)
        else:
            if self.seconds_for_an_answer:
                await asyncio.sleep(self.seconds_for_an_answer)
            await _json(reply, 200, wire.whole(answer), ids)

    def _fault(self, name: str) -> Fault | None:
        if self._planned:
            return self._planned.popleft()
        return self.mix.drawn(name) if self.mix else None

    def _hidden(self, name: str) -> HiddenUsage:
        if self.hidden_usage_seed is None:
            return HiddenUsage(
                cache_read_tokens=self.cache_read_tokens,
                cache_write_tokens=self.cache_write_tokens,
                reasoning_tokens=self.reasoning_tokens,
            )
        random = Random(f"{self.hidden_usage_seed}:{name}")
        return HiddenUsage(
            cache_read_tokens=random.choice((0, random.randrange(500))),
            cache_write_tokens=random.choice((0, random.randrange(200))),
            reasoning_tokens=random.choice((0, random.randrange(300))),
        )

    async def _report(self, request: HttpRequest, reply: Reply) -> None:
        if request.path == "/bill":
            await reply.whole(200, msgspec.json.encode(self.bill))
            return
        report = _REPORTS.get(request.path)
        if report is None:
            await _json(reply, 404, {"error": {"message": f"nothing at {request.path}", "type": "not_found_error"}})
            return
        try:
            body = report(request, self.bill, self._now())
        except Refusal as refusal:
            await _json(reply, refusal.status, {"error": {"message": refusal.message, "type": "invalid_request_error"}})
            return
        await reply.whole(200, _NUMBERS_AS_NUMBERS.encode(body))

    async def _refused(
        self, wire: ModuleType, request: HttpRequest, reply: Reply, fault: Fault | None, ids: list[tuple[str, str]]
    ) -> bool:
        """Play what happens before anything is billed; False when the call is to be answered."""
        kind = FaultKind.UNAUTHORIZED if wire.is_wrong_key(request.headers) else fault.kind if fault else None
        if kind in _ERRORS:
            status, body = wire.error(kind, ids[0][1])
            wait = [("retry-after", fault.retry_after)] if fault and fault.retry_after else []
            await _json(reply, status, body, [*ids, *wait])
        elif kind is FaultKind.REDIRECT:
            await _json(reply, 307, {}, [*ids, ("location", f"{self.url}{request.path}")])
        elif kind is FaultKind.SILENT_BEFORE_BILLING:
            await self._hold(reply)
        elif kind is FaultKind.ERROR_BODY:
            await _json(reply, 200, wire.error(FaultKind.SERVER_ERROR, ids[0][1])[1], ids)
        elif kind is FaultKind.WEB_PAGE:
            await reply.whole(200, b"<html><body>Gateway</body></html>", ids, media_type="text/html")
        elif kind is FaultKind.HUGE_ERROR:
            await self._flood(reply, status=500)
        elif kind is FaultKind.HUGE_BODY:
            await self._flood(reply, status=200)
        elif kind is FaultKind.GZIP_BOMB:
            bomb = _bomb()
            self.sent_bytes += len(bomb)
            await reply.whole(200, bomb, [("content-encoding", "gzip")], media_type="text/event-stream")
        else:
            return False
        return True

    async def _silenced(self, reply: Reply, fault: FaultKind | None) -> bool:
        if fault is FaultKind.SILENT_AFTER_BILLING:
            await self._hold(reply)
        elif fault is FaultKind.RESET_BEFORE_ANSWER:
            reply.reset()
        else:
            return False
        return True

    async def _stream(self, wire: ModuleType, answer: Exchange, reply: Reply, ids: list[tuple[str, str]]) -> None:
        await reply.open(ids)
        opening, closing = wire.opening_events(answer), wire.closing_events(answer)
        if answer.fault is FaultKind.HELD_UNTIL_RELEASED:
            await self._send_in_halves(opening, reply)
            opening = []
        if answer.fault in _BREAKS:
            await self._broken_stream(wire, answer.fault, opening, reply)
            return
        lines = [_event(*event) for event in [*opening, *closing]] + [wire.LAST_LINE]
        if self.seconds_for_an_answer:
            for line in lines:
                await reply.piece(line or b"\n")
                await asyncio.sleep(self.seconds_for_an_answer / len(lines))
        elif answer.fault is FaultKind.SLOW_STREAM:
            text = b"".join(lines)
            for i in range(0, len(text), _TRICKLE_BYTES):
                await reply.piece(text[i : i + _TRICKLE_BYTES])
                await asyncio.sleep(_TRICKLE_SECONDS)
        else:
            await reply.piece(b"".join(lines))
        await reply.end()

    async def _broken_stream(self, wire: ModuleType, fault: FaultKind | None, opening: list[Any], reply: Reply) -> None:
        for event in opening[: len(opening) // 2 + 1]:
            await reply.piece(_event(*event))
        if fault is FaultKind.HELD_STREAM:
            await self._hold(reply)
            return
        if fault is FaultKind.RESET:
            reply.break_off()
            return
        if fault is FaultKind.ERROR_EVENT:
            await reply.piece(_event(*wire.error_event()))
        if fault is FaultKind.CORRUPT_CHUNK:
            name = f"event: {opening[-1][0]}\n" if opening[-1][0] else ""
            await reply.piece(f'{name}data: {{"broken": \n\n'.encode())
        await reply.end()

    async def _send_in_halves(self, events: list[Any], reply: Reply) -> None:
        half = len(events) // 2 + 1
        await reply.piece(b"".join(_event(*event) for event in events[:half]))
        self.holding.set()
        await self.release.wait()
        if events[half:]:
            await reply.piece(b"".join(_event(*event) for event in events[half:]))

    async def _transcribe(
        self, request: HttpRequest, reply: Reply, fault: Fault | None, response_id: str, name: str | None
    ) -> None:
        wire = deepgram_wire
        self.requests.append({"query": request.query, "size_bytes": len(request.body)})
        ids = [(wire.REQUEST_ID_HEADER, response_id)]
        if await self._refused(wire, request, reply, fault, ids):
            return
        audio_ms = wire.length_ms(request.body)
        if audio_ms is None:
            status, body = wire.bad_audio(response_id)
            await _json(reply, status, body, ids)
            return
        kind = fault.kind if fault else None
        entry = wire.entry(
            query=request.query, audio_ms=audio_ms, response_id=response_id, client_request_id=name, at=self._now()
        )
        self.bill.append(entry)
        if await self._silenced(reply, kind):
            return
        answer = wire.encoded(wire.whole(entry, query=request.query, audio=request.body, fault=kind))
        match kind:
            case FaultKind.HELD_STREAM | FaultKind.RESET | FaultKind.ERROR_EVENT:
                await reply.open(ids, media_type="application/json")
                await reply.piece(answer[: len(answer) // 2])
                if kind is FaultKind.HELD_STREAM:
                    await self._hold(reply)
                else:
                    reply.break_off()
            case FaultKind.CUT_OFF | FaultKind.CORRUPT_CHUNK | FaultKind.BROKEN_JSON:
                await reply.whole(200, answer[: len(answer) // 2], ids)
            case FaultKind.BREAKS_SCHEMA:
                await _json(reply, 200, {"unexpected": True}, ids)
            case _:
                await reply.whole(200, answer, ids)

    async def _flood(self, reply: Reply, *, status: int) -> None:
        reply.is_last = True
        await reply.open([], status=status, media_type="text/event-stream" if status == 200 else "application/json")
        for _ in range(_FLOOD_BYTES // len(_FLOOD_PIECE)):
            await reply.piece(_FLOOD_PIECE)
            self.sent_bytes += len(_FLOOD_PIECE)
        await reply.end()

    async def _hold(self, reply: Reply) -> None:
        self.holding.set()
        await reply.until_client_leaves()
        self.client_left.set()


@asynccontextmanager
async def provider_double(now: Callable[[], datetime] | None = None) -> AsyncIterator[ProviderDouble]:
    """The double on a free port; its `url` has no path. `now` dates the bill."""
    double = ProviderDouble(now)
    async with http_server(double.respond) as url:
        double.url = url
        yield double


def _bomb() -> bytes:
    """A hundred megabytes, packed as gzip does."""
    packer = zlib.compressobj(1, wbits=31)
    packed = [packer.compress(_FLOOD_PIECE) for _ in range(_FLOOD_BYTES // len(_FLOOD_PIECE))]
    return b"".join([*packed, packer.flush()])


def _named_in(query: dict[str, list[str]]) -> str | None:
    """What Deepgram calls extra metadata: `extra=call_key:…`."""
    pairs = [pair.partition(":") for pair in query.get("extra", [])]
    return next((value for key, _, value in pairs if key == "call_key"), None)


async def _json(reply: Reply, status: int, body: dict[str, Any], headers: list[tuple[str, str]] | None = None) -> None:
    await reply.whole(status, json.dumps(body).encode(), headers or [])


def _event(name: str | None, data: dict[str, Any]) -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()
