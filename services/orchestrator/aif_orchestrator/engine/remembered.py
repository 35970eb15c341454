"""Live executions as this replica last saw them. Nothing is decided by memory alone: each commit checks the versions."""

from collections import OrderedDict
from collections.abc import Iterable

from aif_orchestrator.store.journal import Versioned

MOST = 10_000


class Remembered:
    def __init__(self) -> None:
        self._seen: OrderedDict[str, Versioned] = OrderedDict()

    def get(self, execution_id: str) -> Versioned | None:
        return self._seen.get(execution_id)

    def keep(self, versioned: Versioned) -> None:
        """Those that have ended are let go: little more happens to them."""
        execution_id = versioned.execution.execution_id
        if versioned.execution.is_final:
            self._seen.pop(execution_id, None)
            return
        self._seen[execution_id] = versioned
        self._seen.move_to_end(execution_id)
        while len(self._seen) > MOST:
            self._seen.popitem(last=False)

    def forget(self, execution_ids: Iterable[str]) -> None:
        for execution_id in execution_ids:
            self._seen.pop(execution_id, None)
