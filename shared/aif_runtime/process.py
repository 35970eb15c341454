"""One service process from start to end: settings, surroundings, readiness, its long-running parts, an orderly stop.

SIGTERM or SIGINT drains: `/health` answers 503, every part sees the stop event and finishes what it holds within
`AIF_DRAIN_SECONDS`, then it is cancelled. Five seconds after that time, or with a second signal, the process ends at once. A
server that is away or silent at the start is waited for, and told of again and again. Exit codes: 0 after an orderly stop, 1
when a part broke or something did not end in time, 2 when the process could not start for another reason (with one line that
says why).
"""

import asyncio
import gc
import importlib.metadata
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Generic, TypeVar

import structlog
import uvloop
from msgspec import Struct
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from aif_runtime.bounded_connections import DEFAULT_LIMITS, Limits
from aif_runtime.clock import Clock, SystemClock
from aif_runtime.failures import RuntimeFailure, SettingsInvalid
from aif_runtime.health import AsgiApp, Health, health_app
from aif_runtime.ids import NewId, id_mint
from aif_runtime.logs import configure_logging
from aif_runtime.metrics import new_registry
from aif_runtime.open_tracing import open_tracing
from aif_runtime.process_settings import CommonSettings
from aif_runtime.ready_file import Ready, write_ready_file
from aif_runtime.redaction import Redactor
from aif_runtime.settings import load_settings, secrets_of, unknown_variables
from aif_runtime.telemetry import Tracing
from aif_runtime.web_server import WebServer

S = TypeVar("S", bound=CommonSettings)

EXIT_STOPPED = 0
EXIT_BROKEN = 1
EXIT_NOT_STARTED = 2
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_TRACING_CLOSE_SECONDS = 3.0
_HAND_BACK_SECONDS = 2.0
"""Parts know the drain time themselves and hand back what is left at its end."""
_BEYOND_DRAIN_SECONDS = 5.0
"""For handing back and closing together: so long after its drain time the process ends, whatever does not answer it."""

_log = structlog.get_logger()


class Surroundings(Struct, Generic[S], frozen=True, kw_only=True):
    """What a process offers to the wiring of its service."""

    service: str
    version: str
    instance_id: str
    settings: S
    clock: Clock
    new_id: NewId
    redactor: Redactor
    registry: CollectorRegistry
    tracing: Tracing
    health: Health
    stop: asyncio.Event
    """Set when the process is to end. Streams to clients watch it."""


class Part(Struct, frozen=True, kw_only=True):
    """A long-running part. Its `run` returns soon after the event given to it is set, and not before."""

    name: str
    run: Callable[[asyncio.Event], Awaitable[None]]


class Face(Struct, frozen=True, kw_only=True):
    """A service's own HTTP app, served in place of the bare health app; `/health` and `/metrics` are its own duty."""

    app: AsgiApp
    host: str
    port: int
    with_lifespan: bool = False
    websockets: type[asyncio.Protocol] | None = None
    """What speaks them, if the app does."""
    limits: Limits = DEFAULT_LIMITS


class Assembled(Struct, frozen=True, kw_only=True):
    """What a service is made of."""

    parts: tuple[Part, ...] = ()
    face: Face | None = None


Wire = Callable[[Surroundings[S]], AbstractAsyncContextManager[Assembled]]
"""Opens what the service needs, gives its parts, and closes everything again in the opposite order. A failure that is retryable
is one of a server that may still be starting, or be silent: it is all opened again a moment later, for as long as it takes."""


def run_service(*, service: str, settings_type: type[S], wire: Wire[S], environ: Mapping[str, str] | None = None) -> int:
    """Run a service until it is told to stop. Returns the exit code."""
    environment = os.environ if environ is None else environ
    try:
        settings = load_settings(settings_type, environment)
    except SettingsInvalid as invalid:
        for mistake in invalid.mistakes:
            sys.stderr.write(f"{service}: {mistake}\n")
        return EXIT_NOT_STARTED
    redactor = configure_logging(service, settings.log_level, secrets_of(settings))
    _warn_of_typos(settings_type, environment)
    # A thread's, because what hangs may be the event loop, or another thread that its end waits for.
    last_moment = threading.Timer(settings.drain_seconds + _BEYOND_DRAIN_SECONDS, _end_at_once)
    last_moment.daemon = True
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_live(service, settings, redactor, wire, last_moment))
    finally:
        last_moment.cancel()


def version() -> str:
    """Of the installed program."""
    try:
        return importlib.metadata.version("ai-factory")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _end_at_once() -> None:
    _log.error("not_ended_in_time")
    os._exit(EXIT_BROKEN)


async def _live(service: str, settings: S, redactor: Redactor, wire: Wire[S], last_moment: threading.Timer) -> int:
    clock = SystemClock()
    new_id = id_mint(clock=clock)
    tracing = open_tracing(
        service=settings.telemetry_name or service,
        version=version(),
        endpoint=settings.telemetry_endpoint,
        redact=redactor.text,
    )
    surroundings = Surroundings(
        service=service,
        version=version(),
        instance_id=new_id(service),
        settings=settings,
        clock=clock,
        new_id=new_id,
        redactor=redactor,
        registry=new_registry(service=service, version=version()),
        tracing=tracing,
        health=Health(service=service, version=version()),
        stop=asyncio.Event(),
    )
    counting_down = asyncio.create_task(_count_down(surroundings.stop, last_moment))
    try:
        return await _from_start_to_end(surroundings, wire)
    finally:
        counting_down.cancel()
        await asyncio.to_thread(tracing.close, _TRACING_CLOSE_SECONDS)


async def _count_down(stop: asyncio.Event, last_moment: threading.Timer) -> None:
    await stop.wait()
    last_moment.start()


async def _from_start_to_end(surroundings: Surroundings[S], wire: Wire[S]) -> int:
    async with AsyncExitStack() as opened:
        starting = asyncio.create_task(_start(surroundings, wire, opened))
        _watch_signals(surroundings.stop, starting)
        try:
            assembled, server = await starting
        except asyncio.CancelledError:
            if not surroundings.stop.is_set():
                raise
            return EXIT_STOPPED
        except RuntimeFailure as failure:
            _log.error("cannot_start", code=failure.code, reason=str(failure))
            return EXIT_NOT_STARTED
        return await _run(surroundings, assembled, server)


async def _start(surroundings: Surroundings[S], wire: Wire[S], opened: AsyncExitStack) -> tuple[Assembled, WebServer]:
    pause_seconds = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return await _begin(surroundings, wire, opened)
        except RuntimeFailure as failure:
            if not failure.retryable:
                raise
            _log.warning("waiting_for_server", code=failure.code, reason=str(failure), again_in_seconds=pause_seconds)
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 2, _LONGEST_PAUSE_SECONDS)


async def _begin(surroundings: Surroundings[S], wire: Wire[S], opened: AsyncExitStack) -> tuple[Assembled, WebServer]:
    # Of its own: what was begun before and failed has left figures in the one that it had.
    surroundings = replace(surroundings, registry=new_registry(service=surroundings.service, version=surroundings.version))
    assembled = await opened.enter_async_context(wire(surroundings))
    face, settings = assembled.face, surroundings.settings
    if face is not None:
        server = WebServer(
            face.app,
            host=face.host,
            port=face.port,
            with_lifespan=face.with_lifespan,
            websockets=face.websockets,
            limits=face.limits,
        )
    else:
        app = health_app(surroundings.health, surroundings.registry)
        server = WebServer(app, host=settings.health_host, port=settings.health_port)
    opened.callback(server.close)
    return assembled, server


async def _run(surroundings: Surroundings[S], assembled: Assembled, server: WebServer) -> int:
    stop = surroundings.stop
    # A face ends with the other parts, so that its streams and requests drain; the health page stays up to say "draining".
    server_stop = stop if assembled.face is not None else asyncio.Event()
    serving = asyncio.create_task(server.serve(server_stop), name="web_server")
    parts = [asyncio.create_task(_running(part, stop), name=part.name) for part in assembled.parts]
    _announce(surroundings, server.port)
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([stopping, serving, *parts], return_when=asyncio.FIRST_COMPLETED)
    early = set() if stop.is_set() else done
    _log_ends_before_their_time(early)
    stop.set()
    surroundings.health.drain()
    _log.info("draining", within_seconds=surroundings.settings.drain_seconds)
    drain_first = [*parts, serving] if server_stop is stop else parts
    limit = surroundings.settings.drain_seconds + _HAND_BACK_SECONDS
    is_broken = await _drain([task for task in drain_first if task not in early], limit)
    if server_stop is not stop:
        server_stop.set()
        is_broken |= await _drain([serving], _HAND_BACK_SECONDS)
    await stopping
    _log.info("stopped")
    return EXIT_BROKEN if early or is_broken else EXIT_STOPPED


async def _running(part: Part, stop: asyncio.Event) -> None:
    await part.run(stop)


def _announce(surroundings: Surroundings[S], port: int) -> None:
    # What lives now lives to the end: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    # Messages are trees, not cycles: looking for cycles as often as by default costs a few percent and finds nothing.
    gc.set_threshold(20_000, 20, 20)
    surroundings.health.ready()
    path = surroundings.settings.ready_file
    if path is not None:
        write_ready_file(path, Ready(pid=os.getpid(), port=port, service=surroundings.service))
    _log.info("ready", port=port, instance_id=surroundings.instance_id, version=surroundings.version)


def _log_ends_before_their_time(ended: set[asyncio.Task[Any]]) -> None:
    for task in ended:
        _log.error("part_broke", part=task.get_name(), exc_info=None if task.cancelled() else task.exception())


async def _drain(tasks: list[asyncio.Task[None]], within_seconds: float) -> bool:
    """Wait for the tasks to end by themselves, cancel the late. True when one ended by an error."""
    if not tasks:
        return False
    _, late = await asyncio.wait(tasks, timeout=within_seconds)
    for task in late:
        _log.warning("part_did_not_drain", part=task.get_name())
        task.cancel()
    if late:
        await asyncio.wait(late)
    failed = [task for task in tasks if task.done() and not task.cancelled() and task.exception() is not None]
    for task in failed:
        _log.error("part_broke", part=task.get_name(), exc_info=task.exception())
    return bool(failed)


def _watch_signals(stop: asyncio.Event, starting: asyncio.Task[Any]) -> None:
    loop = asyncio.get_running_loop()

    def received(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        _log.info("signal_received", signal=number.name)
        stop.set()
        starting.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received, number)


def _warn_of_typos(settings_type: type[CommonSettings], environ: Mapping[str, str]) -> None:
    """Variables of other services are silent: one environment file may serve them all."""
    for unknown in unknown_variables(settings_type, environ):
        if unknown.did_you_mean is not None:
            _log.warning("unknown_setting", variable=unknown.name, did_you_mean=unknown.did_you_mean)
