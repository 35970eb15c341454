"""Live executions as this replica last saw them. Nothing is decided by memory alone: each commit checks the versions.

An execution that another replica has ended may be deleted a day later, and begun anew under its id, with versions that begin
anew, too. So what has not been seen for long is forgotten.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from aif_orchestrator.store.journal import Versioned

MOST = 10_000
LONGEST_SECONDS = 3600.0
"""Far less than the day that an execution is kept at least after its end."""


class Remembered:
    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._seen: OrderedDict[str, tuple[float, Versioned]] = OrderedDict()

    def get(self, execution_id: str) -> Versioned | None:
        seen = self._seen.get(execution_id)
        if seen is None:
            return None
        seen_at, versioned = seen
        if self._monotonic() - seen_at > LONGEST_SECONDS:
            del self._seen[execution_id]
            return None
        return versioned

    def keep(self, versioned: Versioned) -> None:
        """As it was just stored or read. Those that have ended are let go: little more happens to them."""
        execution_id = versioned.execution.execution_id
        if versioned.execution.is_final:
            self._seen.pop(execution_id, None)
            return
        self._seen[execution_id] = (self._monotonic(), versioned)
        self._seen.move_to_end(execution_id)
        while len(self._seen) > MOST:
            self._seen.popitem(last=False)

    def forget(self, execution_ids: Iterable[str]) -> None:
        for execution_id in execution_ids:
            self._seen.pop(execution_id, None)
