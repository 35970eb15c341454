"""Doing something again and again until the process is to stop."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from aif_runtime.failures import RuntimeFailure

_log = structlog.get_logger()


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Until the time is over or the process is to stop."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass


async def repeat(
    what: str, action: Callable[[asyncio.Event], Awaitable[None]], interval_seconds: float, stop: asyncio.Event
) -> None:
    """At once, and then after each pause. One failure never ends the repetition."""
    while not stop.is_set():
        try:
            await action(stop)
        except RuntimeFailure as failure:
            _log.warning("round_postponed", what=what, code=failure.code, reason=str(failure))
        except Exception:  # noqa: BLE001 the outermost loop
            _log.exception("round_failed", what=what)
        await pause(stop, interval_seconds)
