"""Is this process well? `/health` answers 200 or 503 with the reasons, `/metrics` the figures.

A service with an HTTP face of its own mounts the same two on it; the others get the small app at the end of this file.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
from msgspec import Struct
from prometheus_client import CollectorRegistry

from aif_runtime.failures import RuntimeFailure
from aif_runtime.metrics import METRICS_MEDIA_TYPE, metrics_page

_CHECK_SECONDS = 2.0

Check = Callable[[], Awaitable[str | None]]
"""Returns None when well, else what is wrong in a few words. May raise RuntimeFailure or OSError, and may hang: it is
given a time limit."""

Warn = Callable[[], str | None]
"""The same of what a process can work with all the same. Must neither raise nor wait."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class CheckResult(Struct, frozen=True, kw_only=True):
    status: str
    """`ok`, `failing`, or `warning`: the operator has to look at it, and the process works all the same."""
    detail: str = ""


class HealthReport(Struct, frozen=True, kw_only=True):
    service: str
    version: str
    status: str
    """`ok`, `starting`, `draining` or `failing`; only `ok` is ready for work."""
    draining: bool
    checks: dict[str, CheckResult]


class Health:
    """The state of one process. It is ready from `ready()` until `drain()`, while every check passes."""

    def __init__(self, *, service: str, version: str) -> None:
        self._service = service
        self._version = version
        self._checks: dict[str, Check] = {}
        self._warnings: dict[str, Warn] = {}
        self._is_ready = False
        self._is_draining = False

    def add(self, name: str, check: Check) -> None:
        self._checks[name] = check

    def warn(self, name: str, warning: Warn) -> None:
        """Tell of what makes nobody unready."""
        self._warnings[name] = warning

    def ready(self) -> None:
        self._is_ready = True

    def drain(self) -> None:
        self._is_draining = True

    async def report(self) -> HealthReport:
        """Runs all checks, at once and for two seconds at most."""
        results = await asyncio.gather(*(_result(check) for check in self._checks.values()))
        checks = dict(zip(self._checks, results, strict=True))
        checks |= {name: _warned(warning()) for name, warning in self._warnings.items()}
        return HealthReport(
            service=self._service,
            version=self._version,
            status=self._status(checks),
            draining=self._is_draining,
            checks=checks,
        )

    def _status(self, checks: dict[str, CheckResult]) -> str:
        if self._is_draining:
            return "draining"
        if not self._is_ready:
            return "starting"
        return "ok" if all(check.status != "failing" for check in checks.values()) else "failing"


async def _result(check: Check) -> CheckResult:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            wrong = await check()
    except TimeoutError:
        wrong = f"no answer within {_CHECK_SECONDS:g} s"
    except (RuntimeFailure, OSError) as failure:
        wrong = str(failure) or type(failure).__name__
    return CheckResult(status="failing", detail=wrong) if wrong else CheckResult(status="ok")


def _warned(words: str | None) -> CheckResult:
    return CheckResult(status="warning", detail=words) if words else CheckResult(status="ok")


def health_app(health: Health, registry: CollectorRegistry) -> AsgiApp:
    """A raw ASGI app with `GET /health` and `GET /metrics`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] not in ("GET", "HEAD"):
            await _respond(scope, send, 405, "text/plain", b"only GET\n")
        elif scope["path"] == "/health":
            report = await health.report()
            status = 200 if report.status == "ok" else 503
            await _respond(scope, send, status, "application/json", msgspec.json.encode(report))
        elif scope["path"] == "/metrics":
            await _respond(scope, send, 200, METRICS_MEDIA_TYPE, metrics_page(registry))
        else:
            await _respond(scope, send, 404, "text/plain", b"here are /health and /metrics\n")

    return app


async def _respond(scope: Scope, send: Send, status: int, media_type: str, body: bytes) -> None:
    headers = [
        (b"content-type", media_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
