"""Waiting for something to become true: the one place in the tests where time passes."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

POLL_SECONDS = 0.01
PATIENCE_SECONDS = 30.0
"""Of a machine that is many times slower than usual; whoever shows how quick something is names a limit of its own."""

Truth = TypeVar("Truth")


@overload
async def eventually(
    condition: Callable[[], Awaitable[Truth]], within_seconds: float = PATIENCE_SECONDS, *, what: str = ""
) -> Truth: ...
@overload
async def eventually(condition: Callable[[], Truth], within_seconds: float = PATIENCE_SECONDS, *, what: str = "") -> Truth: ...
async def eventually(condition: Callable[[], Any], within_seconds: float = PATIENCE_SECONDS, *, what: str = "") -> Any:
    """Ask until the answer is true and return it.

    An AssertionError of the condition counts as "not yet". When the time is over, the failure names `what` was awaited
    (else the condition's source) and the last answer.
    """
    last: object = "none yet"
    deadline = asyncio.timeout(within_seconds)
    try:
        async with deadline:
            while True:
                try:
                    answer = condition()
                    value = await answer if inspect.isawaitable(answer) else answer
                    if value:
                        return value
                    last = repr(value)
                except AssertionError as not_yet:
                    last = not_yet
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        if not deadline.expired():
            raise  # the condition's own
        awaited = what or inspect.getsource(condition).strip()
        raise AssertionError(f"not within {within_seconds:g} s: {awaited}; last answer: {last}") from None
