"""Restate as a side of the comparison: its server, its handlers in two processes, and a client at its ingress."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from aif_console.embedded.ports import chosen_port
from load.foreign import running_listener
from load.pipelines import CHAIN, TEXT, Shape
from load.restate.ingress import Ingress, Reply
from load.restate.named import RestatePrograms
from load.side import ENDS_WITHIN_SECONDS, NotEnded

NAME = "Restate"
PARTITIONS = 1
"""Its default of 24 is for clusters: on one small machine these make several writes of one and double the CPU of its server."""
WORDS = (
    f"Restate: one server with {PARTITIONS} partition, its own default of fsync for each batch of its log, without telemetry; "
    "the handlers in Python under granian, HTTP/2 both ways, pipeline and stages in a process each"
)
READY_SECONDS = 60.0
LOOK_SECONDS = 0.1
_EXECUTE = "/Pipelines/execute"


class RestateRefused(Exception):
    def __init__(self, path: str, reply: Reply) -> None:
        super().__init__(f"Restate answers {path} with {reply.status}: {reply.body.decode(errors='replace')}")


class Restate:
    """Made by `running_restate`."""

    name = NAME

    def __init__(self, ingress: Ingress, pids: Mapping[str, int]) -> None:
        self.pids = pids
        self._ingress = ingress

    async def execute(self, shape: Shape, seconds: float) -> float:
        order = _order(shape, seconds)
        began = time.perf_counter()
        try:
            async with asyncio.timeout(ENDS_WITHIN_SECONDS):
                reply = await self._ingress.post(_EXECUTE, order)
        except TimeoutError as late:
            raise NotEnded("An execution by Restate") from late
        if reply.status != 200:
            raise RestateRefused(_EXECUTE, reply)
        return (time.perf_counter() - began) * 1000


@asynccontextmanager
async def running_restate(within: Path, programs: RestatePrograms) -> AsyncIterator[Restate]:
    """With nothing in its past: its files are in a new folder, and go with it."""
    folder = Path(tempfile.mkdtemp(prefix="restate-", dir=within))
    ports = {what: chosen_port(folder / f"{what}.port") for what in ("ingress", "admin", "node", "pipelines", "stages")}
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        server = running_listener(
            "restate",
            [str(programs.server), "--no-logo"],
            port=ports["admin"],
            folder=folder,
            environment=_configuration(folder / "data", ports),
        )
        pids = {"server": await stack.enter_async_context(server)}
        for what in ("pipelines", "stages"):
            handlers = running_listener(
                what,
                [str(programs.python), *_serving(f"{what}_app", ports[what])],
                port=ports[what],
                folder=folder,
                environment={},
            )
            pids[what] = await stack.enter_async_context(handlers)
        admin = await stack.enter_async_context(Ingress(ports["admin"]))
        for what in ("pipelines", "stages"):
            deployment = msgspec.json.encode({"uri": f"http://127.0.0.1:{ports[what]}"})
            await _until_accepted(admin, "/deployments", deployment)
        ingress = await stack.enter_async_context(Ingress(ports["ingress"]))
        # The ingress learns of what is deployed a little later.
        await _until_accepted(ingress, _EXECUTE, _order(CHAIN, 0.0))
        yield Restate(ingress, pids)


def _order(shape: Shape, seconds: float) -> bytes:
    parameters = {"text": TEXT, "seconds": seconds}
    return msgspec.json.encode({"action": shape.action, "widths": shape.widths, "parameters": parameters})


def _configuration(data: Path, ports: Mapping[str, int]) -> dict[str, str]:
    return {
        "RESTATE_BASE_DIR": str(data),
        "RESTATE_NODE_NAME": "bench",
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_BIND_IP": "127.0.0.1",
        "RESTATE_BIND_PORT": str(ports["node"]),
        "RESTATE_ADVERTISED_HOST": "127.0.0.1",
        "RESTATE_INGRESS__BIND_PORT": str(ports["ingress"]),
        "RESTATE_ADMIN__BIND_PORT": str(ports["admin"]),
        "RESTATE_DEFAULT_NUM_PARTITIONS": str(PARTITIONS),
        # A pipeline that waits for its stage takes one, too: by the default of 1,000 in each partition, W1c would stand still.
        "RESTATE_WORKER__INVOKER__CONCURRENT_INVOCATIONS_LIMIT": "10000",
        "RESTATE_DISABLE_TELEMETRY": "true",
        "RESTATE_LOG_FILTER": "warn",
    }


def _serving(app: str, port: int) -> list[str]:
    """Restate's templates serve with Hypercorn, whose HTTP/2 is Python: under granian a handler costs half."""
    served = ["-m", "granian", "--interface", "asginl", "--http", "2", "--no-ws", "--loop", "uvloop", "--workers", "1"]
    where = ["--host", "127.0.0.1", "--port", str(port), "--working-dir", str(Path(__file__).parent), f"handlers:{app}"]
    return [*served, "--log-level", "warning", *where]


async def _until_accepted(face: Ingress, path: str, body: bytes) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while (reply := await face.post(path, body)).status // 100 != 2:
        if time.monotonic() > deadline:
            raise RestateRefused(path, reply)
        await asyncio.sleep(LOOK_SECONDS)
