"""Serves one ASGI app on one port, inside the process's own event loop, and ends when it is told to."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from aif_runtime.bounded_connections import DEFAULT_LIMITS, BoundedConfig, BoundedHttp, Limits
from aif_runtime.connection_places import BACKLOG, ConnectionPlaces, within_open_files
from aif_runtime.failures import SettingsInvalid
from aif_runtime.health import AsgiApp

_GRACE_SECONDS = 5
"""For requests in flight; a stream has to watch the process's stop event, or it is cut then."""


class WebServer:
    """Bound from the start, so that its real port is known before it serves."""

    def __init__(
        self,
        app: AsgiApp,
        *,
        host: str,
        port: int,
        with_lifespan: bool = False,
        websockets: type[asyncio.Protocol] | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """Port 0 takes a free one; no WebSocket is spoken unless by `websockets`. Raises SettingsInvalid when the address
        cannot be had."""
        self._socket = _bind(host, port)
        config = BoundedConfig(
            app,
            http=BoundedHttp,
            ws=websockets or "none",
            ws_max_size=limits.socket_message_bytes,
            loop="none",
            interface="asgi3",
            # The client's address is the peer's: a header that anyone can write must not move a rate limit.
            proxy_headers=False,
            lifespan="on" if with_lifespan else "off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=limits.idle_seconds,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        config.limits = limits
        config.places = ConnectionPlaces(connections=within_open_files(limits.connections))
        self._server = _Server(config)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    async def serve(self, stop: asyncio.Event) -> None:
        """Until `stop` is set and the requests in flight are answered."""
        stopping = asyncio.create_task(self._pass_on(stop))
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            stopping.cancel()
            self.close()

    def close(self) -> None:
        self._socket.close()

    async def _pass_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._server.should_exit = True


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process, which stops its parts in order."""
        yield


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as failure:
        listener.close()
        raise SettingsInvalid(
            (f"cannot listen on {host} port {port}: {failure.strerror}; choose another port, or 0 for any",)
        ) from failure
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener
