"""A client of a running factory, over HTTP as anybody would write it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from aif_console.factory.factory import Factory
from support.waiting import eventually

SAMPLES = Path(__file__).parents[2] / "samples"


class FactoryClient:
    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def upload(self, file: Path) -> str:
        """The source's id."""
        with file.open("rb") as content:
            response = await self.http.post("/api/kam/sources", files={"file": (file.name, content)})
        assert response.status_code == 201, response.text
        return str(response.json()["source_id"])

    async def order(self, template: str, parameters: dict[str, Any], **more: Any) -> dict[str, Any]:
        """The accepted order."""
        body = {"selected_template": template, "parameters": parameters, **more}
        response = await self.http.post("/api/kam/orders", json=body)
        assert response.status_code == 202, response.text
        accepted: dict[str, Any] = response.json()
        return accepted

    async def request(self, request_id: str) -> dict[str, Any]:
        response = await self.http.get(f"/api/kam/requests/{request_id}")
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    async def ended(self, request_id: str, within_seconds: float = 120) -> dict[str, Any]:
        """The request once its execution has ended. Failures to answer on the way are waited out."""

        async def has_ended() -> dict[str, Any] | None:
            try:
                found = await self.request(request_id)
            except (httpx.TransportError, AssertionError):
                return None
            return found if found["completed_at"] else None

        found: dict[str, Any] | None = await eventually(has_ended, within_seconds, what=f"{request_id} ends")
        assert found is not None
        return found

    async def status_of_stage(self, execution_id: str, stage_id: str) -> str:
        response = await self.http.get(f"/api/v1/ai/pipelines/{execution_id}")
        assert response.status_code == 200, response.text
        return next(str(each["status"]) for each in response.json()["stages"] if each["stage_id"] == stage_id)

    async def events(self, request_id: str, last_event_id: int | None = None) -> list[tuple[int, dict[str, Any]]]:
        """All events until the stream ends, with their ids."""
        return [event async for event in self.stream(request_id, last_event_id)]

    async def stream(self, request_id: str, last_event_id: int | None = None) -> AsyncIterator[tuple[int, dict[str, Any]]]:
        """Raises HTTPStatusError for any answer but 200."""
        headers = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
        path = f"/api/kam/requests/{request_id}/events"
        async with self.http.stream("GET", path, headers=headers, timeout=60) as response:
            response.raise_for_status()
            number, data = 0, ""
            async for line in response.aiter_lines():
                if line.startswith("id:"):
                    number = int(line[3:])
                elif line.startswith("data:"):
                    data += line[5:].strip()
                elif not line and data:
                    yield number, json.loads(data)
                    data = ""


@asynccontextmanager
async def client_of(factory: Factory, transport: httpx.AsyncBaseTransport | None = None) -> AsyncIterator[FactoryClient]:
    headers = {"X-API-Key": factory.keys.client_key}
    async with httpx.AsyncClient(base_url=factory.kam_url, headers=headers, timeout=60, transport=transport) as http:
        yield FactoryClient(http)


def decoded(content: bytes, kind: Any) -> Any:
    return msgspec.json.decode(content, type=kind)
