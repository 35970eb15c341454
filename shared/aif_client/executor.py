"""Pipelines, executed by a factory.

    async with PipelineExecutor("http://127.0.0.1:8420", api_key) as executor:
        result = await executor.execute(pipeline, {"text": "…"})

An execution belongs to the factory. Who stops waiting for it, by a timeout, a cancelled task or the program's end, does not
end it; `cancel` does. Every method raises RequestRefused and GatewayUnavailable; an address that is none, or a key that no
header may hold, raises ArgumentInvalid where it is given.
"""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from decimal import Decimal
from typing import Any, Self
from urllib.parse import quote

import msgspec
from msgspec import Struct

from aif_client.failures import ExecutionNotEnded
from aif_client.gateway import Gateway, check_key
from aif_client.result import ExecutionResult
from aif_contracts.events import Deliverable, ExecutionEvent
from aif_contracts.money import UsdText, usd_text
from aif_contracts.orders import ExecutionView
from aif_contracts.packets import Priority
from aif_contracts.pipelines import PipelineSaved
from aif_pipelines.definition import Pipeline
from aif_pipelines.loading import dump_pipeline, pipeline_digest

PATIENCE_SECONDS = 30.0
RECONNECT_SECONDS = 0.5

_EXECUTIONS = "/api/v1/ai/pipelines"
_AS_JSON = {"Content-Type": "application/json"}


class PipelineExecutor:
    """`patience_seconds` is how long a gateway that is away is waited for, in each call anew."""

    def __init__(self, url: str, api_key: str, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._gateway = Gateway(url, api_key, patience_seconds=patience_seconds)
        self._saved: set[tuple[str | None, str]] = set()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Of `AIF_URL` and `AIF_API_KEY`, as the `aif` command. Raises KeyError for what is not set."""
        return cls(environ["AIF_URL"], environ["AIF_API_KEY"])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._gateway.close()

    async def execute(
        self,
        pipeline: Pipeline | str,
        input_data: Mapping[str, Any],
        tenant_id: str | None = None,
        *,
        urgency_level: Priority = Priority.NORMAL,
        max_cost_usd: Decimal | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> ExecutionResult:
        """`start`, and the `result`: within `timeout` seconds, or however long it takes."""
        execution_id = await self.start(
            pipeline,
            input_data,
            tenant_id,
            urgency_level=urgency_level,
            max_cost_usd=max_cost_usd,
            idempotency_key=idempotency_key,
        )
        return await self.result(execution_id, timeout=timeout)

    async def start(
        self,
        pipeline: Pipeline | str,
        input_data: Mapping[str, Any],
        tenant_id: str | None = None,
        *,
        urgency_level: Priority = Priority.NORMAL,
        max_cost_usd: Decimal | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """Order an execution: its id.

        A pipeline made here is saved under its name and version, and refused (`pipeline_version_taken`) when other content is
        stored there. A stored one is named: `call_analysis` for its newest version, `call_analysis@1.1.0` for that one. The
        tenant is a client of the factory: left out, the one that the key belongs to; an operator's key has to name one.

        It may spend `max_cost_usd` at AI providers, at most and by default what the operator allows. The same order under
        the same idempotency key is one execution for 24 hours, whoever sends it; left out, each call is one.
        """
        if idempotency_key is not None:
            check_key("idempotency key", idempotency_key)
        if isinstance(pipeline, Pipeline):
            await self._save(pipeline, tenant_id)
            pipeline = f"{pipeline.name}@{pipeline.version}"
        name, _, version = pipeline.partition("@")
        order = _Order(
            pipeline_name=name,
            pipeline_version=version or None,
            input_data=input_data,
            client_id=tenant_id,
            urgency_level=urgency_level,
            max_cost_usd=None if max_cost_usd is None else usd_text(max_cost_usd),
        )
        headers = {**_AS_JSON, "Idempotency-Key": uuid.uuid4().hex if idempotency_key is None else idempotency_key}
        content = msgspec.json.encode(order)
        started = await self._gateway.ask("POST", f"{_EXECUTIONS}/execute", _Started, headers=headers, content=content)
        return started.execution_id

    async def upload(self, file_name: str, content: bytes, tenant_id: str | None = None) -> str:
        """Store a document or a recording: its id, which an order names as its `source`."""
        query, headers = {**_of(tenant_id), "file_name": file_name}, {"Idempotency-Key": uuid.uuid4().hex}
        stored = await self._gateway.ask("POST", "/api/kam/sources", _Source, params=query, headers=headers, content=content)
        return stored.source_id

    async def events(self, execution_id: str, *, after: int = 0) -> AsyncGenerator[ExecutionEvent, None]:
        """What happens in an execution, from the event behind number `after` to its end. A lost connection is made anew."""
        while True:
            async with aclosing(self._gateway.events(f"{_path(execution_id)}/events", after)) as events:
                async for event in events:
                    after = event.sequence
                    yield event
            execution = await self._execution(execution_id)
            if execution.status.is_final and execution.last_sequence <= after:
                return
            await asyncio.sleep(RECONNECT_SECONDS)

    async def result(self, execution_id: str, *, timeout: float | None = None) -> ExecutionResult:
        """What became of an execution that has ended, or ends within so many seconds. Raises ExecutionNotEnded."""
        try:
            async with asyncio.timeout(timeout):
                execution = await self._ended(execution_id)
                output = {each.name: await self._delivered(each) for each in execution.deliverables}
        except TimeoutError as over:
            raise ExecutionNotEnded(execution_id) from over
        return ExecutionResult(output=output, execution=execution)

    async def cancel(self, execution_id: str) -> None:
        """End an execution; what it had done is undone as its pipeline says. Refused, `already_ended`, when it is too late."""
        await self._gateway.ask("DELETE", _path(execution_id), _Cancelled)

    async def _save(self, pipeline: Pipeline, tenant_id: str | None) -> None:
        saved = (tenant_id, pipeline_digest(pipeline))
        if saved in self._saved:
            return
        # An operator who names no tenant is refused here: without one the pipeline would be offered to all of them.
        await self._gateway.call("GET", "/api/kam/profile", params=_of(tenant_id))
        await self._gateway.ask(
            "POST",
            "/api/kam/pipelines",
            PipelineSaved,
            params=_of(tenant_id),
            headers=_AS_JSON,
            content=dump_pipeline(pipeline),
        )
        self._saved.add(saved)

    async def _ended(self, execution_id: str) -> ExecutionView:
        while True:
            async with aclosing(self.events(execution_id)) as events:
                async for _ in events:
                    pass
            # Asked once more behind the end, which the gateway writes down, with what was delivered, when it looks.
            execution = await self._execution(execution_id)
            if execution.status.is_final:
                return execution

    async def _execution(self, execution_id: str) -> ExecutionView:
        return await self._gateway.ask("GET", _path(execution_id), ExecutionView)

    async def _delivered(self, deliverable: Deliverable) -> Any:
        content = (await self._gateway.call("GET", f"/api/kam/deliverables/{deliverable.deliverable_id}")).content
        return self._gateway.decoded(content, object) if deliverable.media_type == "application/json" else content


class _Order(Struct, frozen=True, kw_only=True, omit_defaults=True):
    pipeline_name: str
    input_data: Mapping[str, Any]
    pipeline_version: str | None = None
    client_id: str | None = None
    urgency_level: Priority = Priority.NORMAL
    max_cost_usd: UsdText | None = None


class _Started(Struct, frozen=True, kw_only=True):
    execution_id: str


class _Cancelled(Struct, frozen=True, kw_only=True):
    request_id: str


class _Source(Struct, frozen=True, kw_only=True):
    source_id: str


def _path(execution_id: str) -> str:
    return f"{_EXECUTIONS}/{quote(execution_id, safe='')}"


def _of(tenant_id: str | None) -> dict[str, str]:
    return {} if tenant_id is None else {"client_id": tenant_id}
