"""Ends a piece of work from outside, once, and tells that apart from every other cancelling.

As `asyncio.timeout` does it, for somebody else to decide when: the task that works is cancelled, and what it makes of that does
not hide that it was.
"""

import asyncio


class Interruption:
    __slots__ = ("_cancelling", "_task", "has_struck")

    def __init__(self) -> None:
        """Of the work that the current task is going to do, until `leave`."""
        task = asyncio.current_task()
        assert task is not None, "work is done in a task"
        self._task: asyncio.Task[object] | None = task
        self._cancelling = task.cancelling()
        self.has_struck = False

    @property
    def is_possible(self) -> bool:
        """While the work goes on and has not been interrupted."""
        return self._task is not None and not self.has_struck

    def strike(self) -> None:
        """Nothing happens the second time, or when the work has ended."""
        if self._task is not None and not self.has_struck:
            self.has_struck = True
            self._task.cancel()

    def leave(self) -> bool:
        """The work has ended. True when nobody but this has cancelled the task, so that it may go on."""
        task, self._task = self._task, None
        if task is None:
            return True
        if self.has_struck:
            task.uncancel()
        return task.cancelling() <= self._cancelling
