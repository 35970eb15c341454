"""What a batch stores of its executions."""

from collections.abc import Mapping, Sequence

from aif_orchestrator.engine.batch import Worked
from aif_orchestrator.execution.state import MOST_HELD_MS, wake_at
from aif_orchestrator.store.journal import Revision, Versioned, revised


def revisions_of(
    worked: Sequence[Worked], known: Mapping[str, Versioned], at_ms: int, most_held_ms: int = MOST_HELD_MS
) -> list[Revision]:
    """Of those that are new or have changed."""
    return [
        revised(known.get(each.execution_id), each.execution, wake_at(each.execution, at_ms, most_held_ms), each.events)
        for each in worked
        if each.execution is not None and each.execution is not each.before
    ]
