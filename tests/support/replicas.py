"""More processes of a running factory's services, and a client's way to all its gateways in turn."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import httpx
from msgspec.structs import replace

from aif_console.factory.environments import Reached, environment_of
from aif_console.factory.factory import Factory, next_free_port
from aif_console.factory.keeping_alive import keep_alive
from aif_console.factory.plan import ServiceKind
from aif_console.factory.service_process import ServiceProcess


class Replicas:
    """What runs beside a factory's own processes, each under its service's name and a number: `kam-2`."""

    def __init__(self, factory: Factory, processes: Mapping[str, ServiceProcess], kam_urls: Sequence[str]) -> None:
        self.kam_urls = (factory.kam_url, *kam_urls)
        """Of all gateways, the factory's own first."""
        self._factory = factory
        self._processes = processes

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of all that runs now, the factory's own included."""
        more = {name: process.pid for name, process in self._processes.items() if process.pid is not None}
        return {**self._factory.pids, **more}


@asynccontextmanager
async def replicas_beside(factory: Factory, counts: Mapping[str, int]) -> AsyncIterator[Replicas]:
    """So many processes more of each service, ready and kept alive like the factory's own; ended with the block."""
    processes: dict[str, ServiceProcess] = {}
    kam_urls: list[str] = []
    port = factory.kam_port
    for kind in factory.plan.services:
        for number in range(2, 2 + counts.get(kind.name, 0)):
            if kind.name == "kam":
                port = next_free_port(port + 1)
                kam_urls.append(f"http://127.0.0.1:{port}")
            processes[f"{kind.name}-{number}"] = _process(factory, kind, f"{kind.name}-{number}", port)
    await asyncio.gather(*(process.start() for process in processes.values()))
    pauses = factory.plan.restart_pauses
    keeping = [
        asyncio.create_task(keep_alive(name, process, pauses=pauses, tell=_say_nothing)) for name, process in processes.items()
    ]
    try:
        yield Replicas(factory, processes, kam_urls)
    finally:
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)
        await asyncio.gather(*(process.stop() for process in processes.values()))


class InTurn(httpx.AsyncBaseTransport):
    """Each request to the next address, as a load balancer sends them that knows nothing of who is away."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = [httpx.URL(url) for url in urls]
        self._transport = httpx.AsyncHTTPTransport()
        self._next = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        address = self._urls[self._next % len(self._urls)]
        self._next += 1
        request.url = request.url.copy_with(host=address.host, port=address.port)
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        await self._transport.aclose()


def _process(factory: Factory, kind: ServiceKind, name: str, kam_port: int) -> ServiceProcess:
    reached = Reached(nats_url=factory.nats_url, database_urls=factory.database_urls, kam_port=kam_port)
    environment = environment_of(kind, factory.plan, factory.folder, factory.keys, reached)
    return ServiceProcess(
        replace(kind, name=name),
        factory.folder,
        {**environment, "AIF_READY_FILE": str(factory.folder.marks / f"{name}.ready")},
        stop_limit_seconds=factory.plan.beyond_drain_seconds + 10.0,
        slow_start_seconds=factory.plan.slow_start_seconds,
        tell=_say_nothing,
    )


def _say_nothing(_member: str, _words: str) -> None:
    """Who harms them knows why they end."""
