"""At start the servers that a process needs may still be starting: ask again for a while before giving up."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from aif_runtime.clock import Clock
from aif_runtime.failures import RuntimeFailure

START_SECONDS = 30.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0

T = TypeVar("T")
_log = structlog.get_logger()


async def patiently(
    connect: Callable[[], Awaitable[T]],
    *,
    what: str,
    clock: Clock,
    pause: Callable[[float], Awaitable[None]],
    within_seconds: float = START_SECONDS,
) -> T:
    """The result of `connect`, asked again after each retryable failure, with growing pauses. Raises the last failure."""
    deadline = clock.monotonic() + within_seconds
    seconds = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return await connect()
        except RuntimeFailure as failure:
            if not failure.retryable or clock.monotonic() + seconds > deadline:
                raise
            _log.warning("waiting_for_server", what=what, reason=str(failure), again_in_seconds=seconds)
        await pause(seconds)
        seconds = min(seconds * 2, _LONGEST_PAUSE_SECONDS)
