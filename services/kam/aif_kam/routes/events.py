"""Live events of an execution: server-sent events, and a WebSocket on the same address."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Annotated, Any

import msgspec
from litestar import Router, WebSocket, get, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.params import FromPath, HeaderParameter, QueryParameter
from litestar.response import Stream

from aif_contracts.events import ExecutionEvent
from aif_kam import problems
from aif_kam.event_stream import SILENCE_SECONDS, Draining, Heartbeat, event_type
from aif_kam.failures import Conflict, KamFailure, NotAuthenticated, Unavailable, invalid
from aif_kam.parts import Parts
from aif_kam.request_store import ClientRequest, RequestStatus
from aif_kam.routes.address_parameters import require_known
from aif_kam.routes.calling import API_KEY_HEADER, CallerRequest, known_id
from aif_runtime.failures import RuntimeFailure

RECONNECT_MS = 1000
MAX_SEQUENCE = 2_000_000_000
LastEventId = Annotated[
    str | None,
    HeaderParameter(name="Last-Event-ID", required=False, description="Number of the last event seen; what follows it is sent"),
]
After = Annotated[int, QueryParameter(ge=0, le=MAX_SEQUENCE, description="The same for clients that cannot set the header")]
Happenings = AsyncGenerator[ExecutionEvent | Heartbeat | Draining, None]
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def event_routes(parts: Parts) -> Router:
    @get(
        "/api/kam/requests/{request_id:str}/events",
        media_type="text/event-stream",
        responses=problems.documented(*problems.DELETED, *problems.NOT_NOW),
        summary="Live events of a request's execution (SSE)",
    )
    async def of_request(
        request: CallerRequest, request_id: FromPath[str], last_event_id: LastEventId = None, after: After = 0
    ) -> Stream:
        found = await parts.tracker.find(known_id(request_id), request.auth.sees)
        happenings = parts.events.follow(await _execution(parts, found), found.client_id, _after(last_event_id, after))
        return _stream(_while_admitted(parts, request.headers.get(API_KEY_HEADER), happenings))

    @get(
        "/api/v1/ai/pipelines/{execution_id:str}/events",
        media_type="text/event-stream",
        responses=problems.documented(*problems.DELETED, *problems.NOT_NOW),
        summary="Live events of an execution (SSE; a WebSocket on the same address)",
    )
    async def of_execution(
        request: CallerRequest, execution_id: FromPath[str], last_event_id: LastEventId = None, after: After = 0
    ) -> Stream:
        found = await parts.tracker.find_of_execution(known_id(execution_id), request.auth.sees)
        happenings = parts.events.follow(await _execution(parts, found), found.client_id, _after(last_event_id, after))
        return _stream(_while_admitted(parts, request.headers.get(API_KEY_HEADER), happenings))

    return Router("/", route_handlers=[of_request, of_execution], tags=["events"])


def event_socket(parts: Parts) -> Any:
    """Each message is an event as JSON with its `event_type`. `?after=` resumes. Failures close with 4000 plus the status."""

    @websocket("/api/v1/ai/pipelines/{execution_id:str}/events")
    async def socket_of_execution(socket: WebSocket[Any, Any, Any], execution_id: FromPath[str]) -> None:
        try:
            caller = await parts.identity.caller(socket.headers.get(API_KEY_HEADER))
            found = await parts.tracker.find_of_execution(known_id(execution_id), caller.sees)
            require_known(socket.query_params, ["after"])
            after = _after(socket.headers.get("Last-Event-ID") or socket.query_params.get("after"), 0)
            execution = await _execution(parts, found)
        except (KamFailure, RuntimeFailure) as failure:
            await socket.accept()
            await socket.close(code=problems.close_code(failure), reason=getattr(failure, "code", "")[:100])
            return
        await socket.accept()
        try:
            happenings = parts.events.follow(execution, found.client_id, after)
            if await _tell_while_there(socket, _while_admitted(parts, socket.headers.get(API_KEY_HEADER), happenings)):
                await socket.close()
        except (NotAuthenticated, RuntimeFailure) as failure:
            await socket.close(code=problems.close_code(failure), reason=failure.code)
        except WebSocketDisconnect:
            return

    return socket_of_execution


async def _tell_while_there(socket: WebSocket[Any, Any, Any], happenings: Happenings) -> bool:
    """Send events to their end; False when the reader has left before. Raises what following and sending raise.

    Only who receives learns that a reader has left: an execution that waits for days has nothing to send.
    """
    telling = asyncio.create_task(_tell(socket, happenings))
    leaving = asyncio.create_task(_until_gone(socket))
    try:
        await asyncio.wait((telling, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        telling.cancel()
        leaving.cancel()
        await asyncio.wait((telling, leaving))
    if telling.cancelled():
        return False
    telling.result()
    return True


async def _tell(socket: WebSocket[Any, Any, Any], happenings: Happenings) -> None:
    async with aclosing(happenings):
        async for happening in happenings:
            if isinstance(happening, ExecutionEvent):
                await socket.send_data(_named(happening).decode(), mode="text")


def _named(event: ExecutionEvent) -> bytes:
    """The event as JSON with its type in front: a message has no other line that could say it, as one of a stream has."""
    return b'{"event_type":"%b",%b' % (event_type(event).encode(), msgspec.json.encode(event)[1:])


async def _until_gone(socket: WebSocket[Any, Any, Any]) -> None:
    """Nothing is expected of a reader, so what it says is dropped."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def _while_admitted(parts: Parts, key: str | None, happenings: Happenings) -> Happenings:
    """Raises NotAuthenticated soon after the reader's key was revoked or its client disabled: a stream may be open for days."""
    clock = asyncio.get_running_loop()
    looked_at = clock.time()
    async with aclosing(happenings):
        async for happening in happenings:
            if isinstance(happening, Heartbeat) or clock.time() - looked_at >= SILENCE_SECONDS:
                with suppress(RuntimeFailure):
                    await parts.identity.caller(key)
                looked_at = clock.time()
            yield happening


def _stream(happenings: Happenings) -> Stream:
    return Stream(_lines(happenings), media_type="text/event-stream", headers=_HEADERS)


async def _lines(happenings: Happenings) -> AsyncGenerator[bytes, None]:
    yield b"retry: %d\n\n" % RECONNECT_MS
    try:
        async with aclosing(happenings):
            async for happening in happenings:
                yield _encoded(happening)
    except NotAuthenticated as failure:
        yield f": {failure.code}\n\n".encode()
    except RuntimeFailure as failure:
        # The answer has begun, so its status is said; the reader comes again with the last number it saw.
        yield f": {failure.code}, connect again\n\n".encode()


def _encoded(happening: ExecutionEvent | Heartbeat | Draining) -> bytes:
    match happening:
        case Heartbeat():
            return b": heartbeat\n\n"
        case Draining():
            return b": draining, connect again\n\n"
        case event:
            head = f"id: {event.sequence}\nevent: {event_type(event)}\ndata: ".encode()
            return head + msgspec.json.encode(event) + b"\n\n"


async def _execution(parts: Parts, request: ClientRequest) -> str:
    """The one to follow. Raises Conflict when there is none, Gone when it was deleted: a stream would wait for it for ever."""
    if request.execution_id is None or request.status is RequestStatus.REFUSED:
        raise Conflict(f"request {request.request_id} is {request.status}: without an execution no events", code="not_executed")
    if request.status.is_final:
        # While nobody can say, the stream begins and waits, as it does for whatever else is to be asked.
        with suppress(Unavailable):
            await parts.results.require_kept(request.execution_id)
    return request.execution_id


def _after(last_event_id: str | None, after: int) -> int:
    if not last_event_id:
        return after
    if not last_event_id.isascii() or not last_event_id.isdecimal() or int(last_event_id[:12]) > MAX_SEQUENCE:
        raise invalid("Last-Event-ID", "is no event's number", "send the id of the last event that you saw")
    return int(last_event_id[:12])
