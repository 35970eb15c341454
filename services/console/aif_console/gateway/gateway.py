"""A factory by HTTP. Calls that may be repeated are repeated while it is away for a moment, as after a crash of its gateway."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Self, TypeVar

import httpx
import msgspec

from aif_console.failures import ExecutionUnknown, FactoryUnreachable, RequestRefused
from aif_console.gateway.answers import (
    FINAL,
    NamedStructure,
    OrderAnswer,
    Problem,
    RequestAnswer,
    RequestPage,
    Result,
    SourceAnswer,
    TemplatesAnswer,
)
from aif_console.gateway.event_source import read_events
from aif_console.gateway.ids import kind_of
from aif_console.gateway.trouble import words_of
from aif_contracts.events import FINAL_EVENT_TYPES, ExecutionEvent
from aif_contracts.money import UsdText
from aif_contracts.orders import ExecutionView
from aif_contracts.performance import WorkerInsights
from aif_contracts.workers import WorkerList

CALL_SECONDS = 30.0
UPLOAD_SECONDS = 120.0
SILENCE_SECONDS = 45.0
"""A stream of events sends a sign of life each 15 s; after so much silence the connection is dead."""
PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.5
SETTLING_SECONDS = 15.0
SETTLING_PAUSE_SECONDS = 0.1

_AWAY = frozenset({502, 503, 504})

T = TypeVar("T")


class Gateway:
    """Use it as an asynchronous context manager. Every call raises FactoryUnreachable and RequestRefused."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        """Another `transport` stands in for the network. A factory that has answered once is waited for so long."""
        self._url = url
        self._patience_seconds = patience_seconds
        self._pause_seconds = pause_seconds
        # Whatever proxies the environment names are for the way out, not for a factory.
        self._http = httpx.AsyncClient(
            base_url=url, headers={"X-API-Key": key}, timeout=CALL_SECONDS, transport=transport, trust_env=False
        )
        self._has_answered = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def upload(self, file_name: str, content: bytes) -> SourceAnswer:
        return await self.ask(
            "POST",
            "/api/kam/sources",
            SourceAnswer,
            headers=once(),
            files={"source": (file_name, content)},
            timeout=UPLOAD_SECONDS,
        )

    async def order(
        self,
        template: str,
        parameters: Mapping[str, Any],
        *,
        message: str,
        urgency: str = "normal",
        start_at: str | None = None,
        max_cost_usd: UsdText | None = None,
        version: str | None = None,
    ) -> OrderAnswer:
        """One execution, however often it has to be sent."""
        body: dict[str, Any] = {
            "selected_template": template,
            "parameters": dict(parameters),
            "message": message,
            "urgency_level": urgency,
        }
        if start_at is not None:
            body["start_at"] = start_at
        if max_cost_usd is not None:
            body["max_cost_usd"] = max_cost_usd
        if version is not None:
            body["template_version"] = version
        return await self.ask(
            "POST",
            "/api/kam/orders",
            OrderAnswer,
            headers=once(),
            json=body,
        )

    async def request(self, some_id: str) -> RequestAnswer:
        """The request of that id, or the one whose execution has it."""
        if kind_of(some_id) == "req":
            return await self.ask("GET", f"/api/kam/requests/{some_id}", RequestAnswer)
        execution = await self.execution(some_id)
        if execution.request_id is None:
            raise ExecutionUnknown(some_id, "it came of no request")
        return await self.ask("GET", f"/api/kam/requests/{execution.request_id}", RequestAnswer)

    async def execution(self, execution_id: str) -> ExecutionView:
        return await self.ask("GET", f"/api/v1/ai/pipelines/{execution_id}", ExecutionView)

    async def execution_id_of(self, some_id: str) -> str:
        """Raises ExecutionUnknown for a request that has not been executed."""
        if kind_of(some_id) == "exec":
            return some_id
        request = await self.request(some_id)
        if request.execution is None:
            raise ExecutionUnknown(some_id, "it has not been executed")
        return request.execution.execution_id

    async def cancel(self, some_id: str) -> RequestAnswer:
        path = "/api/kam/requests" if kind_of(some_id) == "req" else "/api/v1/ai/pipelines"
        return await self.ask("DELETE", f"{path}/{some_id}", RequestAnswer)

    async def list_requests(self, *, status: str | None, limit: int) -> RequestPage:
        query = without_none(status=status, limit=limit)
        return await self.ask("GET", "/api/kam/requests", RequestPage, params=query)

    async def templates(self) -> TemplatesAnswer:
        """All of them, page by page."""
        page = await self.ask("GET", "/api/kam/templates", TemplatesAnswer, params={"limit": "100"})
        found = page.templates
        while page.next_cursor is not None:
            query = {"limit": "100", "cursor": page.next_cursor}
            page = await self.ask("GET", "/api/kam/templates", TemplatesAnswer, params=query)
            found += page.templates
        return TemplatesAnswer(templates=found)

    async def workers(self) -> WorkerList:
        return await self.ask("GET", "/api/kam/workers", WorkerList)

    async def insights(self, worker: str | None, period: str) -> WorkerInsights:
        query = without_none(analysis_period=period, worker_name=worker)
        return await self.ask("GET", "/worker-insights", WorkerInsights, params=query)

    async def deliverable(self, deliverable_id: str) -> bytes:
        return (await self._call("GET", f"/api/kam/deliverables/{deliverable_id}")).content

    async def result(self, request_id: str) -> Result:
        """What there is once an execution has ended. The last event may be here before the gateway has written it down."""
        request = await self.request(request_id)
        deadline = asyncio.get_running_loop().time() + SETTLING_SECONDS
        while request.status not in FINAL and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(SETTLING_PAUSE_SECONDS)
            request = await self.request(request_id)
        execution = None if request.execution is None else await self.execution(request.execution.execution_id)
        readable = [item for item in request.deliverables if item.media_type == "application/json"]
        made = [
            NamedStructure(name=item.name, structure=msgspec.Raw(await self.deliverable(item.deliverable_id)))
            for item in readable
        ]
        return Result(
            request=request, execution=execution, structure=made[0].structure if made else None, further=tuple(made[1:])
        )

    async def events(self, some_id: str, *, after: int = 0) -> AsyncGenerator[ExecutionEvent, None]:
        """All events from the one after `after` on, until nothing follows a final one. A lost connection is made anew.

        The gateway ends a stream behind a final event only when the execution was not resumed after it.
        """
        path = f"/api/kam/requests/{some_id}" if kind_of(some_id) == "req" else f"/api/v1/ai/pipelines/{some_id}"
        lost_at: float | None = None
        has_ended = False
        while True:
            try:
                async with aclosing(self._stream(f"{path}/events", after)) as events:
                    async for event in events:
                        lost_at, after = None, event.sequence
                        has_ended = type(event.data).__struct_config__.tag in FINAL_EVENT_TYPES
                        yield event
                if has_ended:
                    return
            except (msgspec.MsgspecError, httpx.DecodingError) as strange:
                raise self._no_factory(strange) from strange
            except httpx.TransportError as broken:
                now = asyncio.get_running_loop().time()
                lost_at = lost_at if lost_at is not None else now
                if now - lost_at > self._patience_seconds:
                    raise self._unreachable(broken) from broken
            await asyncio.sleep(self._pause_seconds)

    async def _stream(self, path: str, after: int) -> AsyncGenerator[ExecutionEvent, None]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        timeout = httpx.Timeout(CALL_SECONDS, read=SILENCE_SECONDS)
        async with self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
            if response.status_code in _AWAY:
                raise httpx.ReadError(f"answered with status {response.status_code}")
            if response.is_error:
                await response.aread()
                raise self._refused(response)
            async for event in read_events(response.aiter_bytes()):
                yield msgspec.json.decode(event.data, type=ExecutionEvent)

    async def ask(self, method: str, path: str, answer_type: type[T], **content: Any) -> T:
        """One call, for a body of that type. It is repeated when no answer comes, so it must be harmless twice: see `once`."""
        response = await self._call(method, path, **content)
        try:
            return msgspec.json.decode(response.content, type=answer_type)
        except msgspec.MsgspecError as strange:
            raise self._no_factory(strange) from strange

    async def _call(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Every call here may be repeated: it reads, it deletes, or it carries a key that makes it one."""
        begun = asyncio.get_running_loop().time()
        while True:
            waited = asyncio.get_running_loop().time() - begun
            try:
                response = await self._http.request(method, path, **content)
            except (httpx.InvalidURL, httpx.UnsupportedProtocol) as nonsense:
                raise self._unreachable(nonsense) from nonsense
            except httpx.DecodingError as strange:
                raise self._no_factory(strange) from strange
            except httpx.TransportError as broken:
                # Where nobody ever answered, nobody is waited for.
                if not self._has_answered or waited >= self._patience_seconds:
                    raise self._unreachable(broken) from broken
            else:
                self._has_answered = True
                if response.status_code not in _AWAY or waited >= self._patience_seconds:
                    return self._checked(response)
            await asyncio.sleep(self._pause_seconds)

    def _checked(self, response: httpx.Response) -> httpx.Response:
        if response.is_error:
            raise self._refused(response)
        return response

    def _refused(self, response: httpx.Response) -> RequestRefused | FactoryUnreachable:
        try:
            problem = msgspec.json.decode(response.content, type=Problem)
        except msgspec.MsgspecError:
            return self._unreachable(None, f"it answers with status {response.status_code} and without a reason")
        if response.status_code in _AWAY:
            return self._unreachable(None, problem.detail or problem.title)
        return RequestRefused(problem.title, problem.detail, problem.errors, status=response.status_code)

    def _no_factory(self, cause: Exception) -> FactoryUnreachable:
        return self._unreachable(cause, "it answers like something else than a factory")

    def _unreachable(self, cause: Exception | None, reason: str = "") -> FactoryUnreachable:
        return FactoryUnreachable(f"{self._url} does not serve: {reason or words_of(cause)}")


def once() -> dict[str, str]:
    """Headers that make a call count once, however often it has to be sent."""
    return {"Idempotency-Key": uuid.uuid4().hex}


def without_none(**query: str | int | bool | None) -> dict[str, str]:
    """What of a query is said."""
    said = {name: value for name, value in query.items() if value is not None}
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in said.items()}
