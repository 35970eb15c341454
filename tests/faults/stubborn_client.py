"""A client of the gateway that does not give up: it asks until it is answered, and always under the same key."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from aif_console.factory.factory import Factory
from aif_contracts.events import FINAL_EVENT_TYPES
from support.http_client import FactoryClient, client_of

GIVE_UP_SECONDS = 180.0
PAUSE_SECONDS = 0.2
TRY_AGAIN = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)
STILL_AT_WORK = "urn:aif:problem:idempotency_key_in_flight"


class EventsBroken(AssertionError):
    """A stream of events skipped some, or repeated them."""


class StubbornClient:
    """Made by `stubborn_client`."""

    def __init__(self, client: FactoryClient) -> None:
        self.usual = client
        """For what is asked before anything is harmed."""

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, key: str = "") -> httpx.Response:
        """The first answer that says anything about the question. Raises TimeoutError when there is none."""
        headers = {"Idempotency-Key": key} if key else {}
        async with asyncio.timeout(GIVE_UP_SECONDS):
            while True:
                try:
                    response = await self.usual.http.request(method, path, json=body, headers=headers)
                except httpx.TransportError:
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
                if response.status_code not in TRY_AGAIN and not _is_still_at_work(response):
                    return response
                await asyncio.sleep(PAUSE_SECONDS)

    async def events(self, request_id: str) -> AsyncIterator[str]:
        """Their types until the execution ends, over as many connections as that takes. Raises EventsBroken."""
        last = 0
        while True:
            try:
                async for number, event in self.usual.stream(request_id, last):
                    if number != last + 1:
                        raise EventsBroken(f"event {number} of {request_id} came after event {last}")
                    last = number
                    yield event["data"]["event_type"]
                    if event["data"]["event_type"] in FINAL_EVENT_TYPES:
                        return
            except (httpx.TransportError, httpx.HTTPStatusError):
                pass
            await asyncio.sleep(PAUSE_SECONDS)


@asynccontextmanager
async def stubborn_client(factory: Factory, transport: httpx.AsyncBaseTransport) -> AsyncIterator[StubbornClient]:
    async with client_of(factory, transport) as client:
        yield StubbornClient(client)


def _is_still_at_work(response: httpx.Response) -> bool:
    return response.status_code == httpx.codes.CONFLICT and response.json()["type"] == STILL_AT_WORK
