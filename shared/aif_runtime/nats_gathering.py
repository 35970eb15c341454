"""Small publishes of many tasks, sent together.

A worker with many slots ends many attempts at about the same time, each with a report of its own to be stored. The first of
them goes out at once. What is published while it is under way goes out together when it has ended: one window, few answers. Who
publishes alone waits for nobody. Each stream has a gathering of its own, so that a full one does not hold up the others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aif_runtime.failures import BusUnavailable
from aif_runtime.prepared_message import Prepared

MOST_TOGETHER = 256
"""Messages, so that one window holds them."""


class NotConfirmed(BusUnavailable):
    """Of messages that were sent together, which ones the broker has not confirmed."""

    def __init__(self, reason: str, messages: Sequence[Prepared]) -> None:
        super().__init__(reason)
        self.messages = tuple(messages)


class _Call:
    __slots__ = ("done", "messages")

    def __init__(self, messages: list[Prepared]) -> None:
        self.messages = messages
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Gathering:
    def __init__(self, store: Callable[[list[Prepared]], Awaitable[None]]) -> None:
        """`store` raises NotConfirmed."""
        self._store = store
        self._waiting: list[_Call] = []
        self._is_storing = False
        self._task: asyncio.Task[None] | None = None

    async def publish(self, messages: list[Prepared]) -> None:
        """Raises NotConfirmed when one of these is not confirmed in time."""
        if self._is_storing:
            call = _Call(messages)
            self._waiting.append(call)
            await call.done
            return
        self._is_storing = True
        try:
            await self._store(messages)
        finally:
            self._go_on()

    def _go_on(self) -> None:
        calls = self._next_calls()
        self._is_storing = bool(calls)
        if calls:
            self._task = asyncio.create_task(self._store_together(calls))

    def _next_calls(self) -> list[_Call]:
        """Whoever has given up waiting wants nothing sent any more."""
        calls: list[_Call] = []
        size = 0
        waiting = [call for call in self._waiting if not call.done.done()]
        for call in waiting:
            size += len(call.messages)
            if size > MOST_TOGETHER and calls:
                break
            calls.append(call)
        self._waiting = waiting[len(calls) :]
        return calls

    async def _store_together(self, calls: Sequence[_Call]) -> None:
        failure: Exception | None = None
        try:
            await self._store([message for call in calls for message in call.messages])
        except Exception as error:  # noqa: BLE001 it belongs to those who wait for this
            failure = error
        except asyncio.CancelledError:
            for call in calls:
                call.done.cancel()
            raise
        finally:
            self._go_on()
        missed = frozenset(map(id, failure.messages)) if isinstance(failure, NotConfirmed) else None
        for call in calls:
            if call.done.done():
                continue
            if failure is None or (missed is not None and missed.isdisjoint(map(id, call.messages))):
                call.done.set_result(None)
            elif missed is not None:
                call.done.set_exception(NotConfirmed(str(failure), call.messages))
            else:
                call.done.set_exception(failure)
