"""Waiting for something to become true: the one place in the tests where time passes."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

POLL_SECONDS = 0.01

Truth = TypeVar("Truth")


async def eventually(
    condition: Callable[[], Truth | Awaitable[Truth]], within_seconds: float = 5.0, *, what: str = ""
) -> Truth:
    """Ask until the answer is true and return it.

    An AssertionError of the condition counts as "not yet". When the time is over, the failure names `what` was awaited
    (else the condition's source) and the last answer.
    """
    deadline = time.monotonic() + within_seconds
    while True:
        last: object
        try:
            answer = condition()
            value: Truth = await answer if inspect.isawaitable(answer) else answer
            if value:
                return value
            last = value
        except AssertionError as not_yet:
            last = not_yet
        if time.monotonic() >= deadline:
            awaited = what or inspect.getsource(condition).strip()
            raise AssertionError(f"not within {within_seconds:g} s: {awaited}; last answer: {last!r}")
        await asyncio.sleep(POLL_SECONDS)
