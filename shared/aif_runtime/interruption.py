"""Ends a piece of work from outside, once, and keeps every cancelling of it from what its task does afterwards.

As `asyncio.timeout` does it, for somebody else to decide when: the task that works is cancelled, and what it makes of that does
not hide that it was. The work may also cancel its own task; that ends the work alone.
"""

import asyncio


class Interruption:
    __slots__ = ("_cancelling", "_task", "has_struck", "is_of_the_task")

    def __init__(self) -> None:
        """Of the work that the current task is going to do, until `leave`."""
        task = asyncio.current_task()
        assert task is not None, "work is done in a task"
        self._task: asyncio.Task[object] | None = task
        self._cancelling = task.cancelling()
        self.has_struck = False
        self.is_of_the_task = False
        """Whoever cancels the task ends all of it and not only the work. Set before that is done."""

    @property
    def is_possible(self) -> bool:
        """While the work goes on and has not been interrupted."""
        return self._task is not None and not self.has_struck

    def strike(self) -> None:
        """Nothing happens the second time, or when the work has ended."""
        if self._task is not None and not self.has_struck:
            self.has_struck = True
            self._task.cancel()

    async def leave(self) -> None:
        """The work has ended, and its task goes on as if nobody had cancelled it, unless somebody ends the task meanwhile."""
        task, self._task = self._task, None
        if task is None or self.is_of_the_task or task.cancelling() <= self._cancelling:
            return
        while task.cancelling() > self._cancelling:
            task.uncancel()
        try:
            # One that the work had no time to meet would meet what comes after it.
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if self.is_of_the_task:
                raise
