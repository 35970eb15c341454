"""The state of one execution, as it is stored between two happenings.

Times are whole milliseconds since 1970 by the database's clock, which is the only clock that decides anything.
"""

from msgspec import Struct, field

from aif_contracts.blobs import BlobRef
from aif_contracts.metering import Metrics, ProviderCall
from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_contracts.packets import Priority

FAR_AWAY_MS = 10_000
GRID_MS = 2_000


class StageRun(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One stage inside one execution.

    `attempt` is the fence: a report that names another attempt changes nothing but the bill. `dispatches` is the second
    fence: only the newest packet can be claimed.
    """

    status: StageStatus = StageStatus.WAITING
    dispatches: int = 0
    """Packets sent so far; part of the packet's id."""
    attempt: int = 0
    """Number of the newest attempt; 0 before the first."""
    ended: int = 0
    """Number of the newest attempt that has ended, in whatever way; an attempt above it is open."""
    failures: int = 0
    """Attempts that reported a failure; the retry limit counts these."""
    losses: int = 0
    """Attempts that fell silent. Counted apart, so that a crash does not use up a retry, and bounded, so that an input that
    kills workers ends."""
    resends: int = 0
    """Packets sent again since the last sign of life, because nobody had taken them."""
    due_at: int | None = None
    """When the stage needs attention if nothing happens before: end of lease, retry time, packet presumed lost."""
    times_out_at: int | None = None
    """When the open attempt has had its time."""
    ready_at: int | None = None
    started_at: int | None = None
    """When the open attempt was granted or first heard of."""
    heard_at: int | None = None
    """When the worker of the open attempt last showed itself; None before the first time."""
    holder: str | None = None
    """Instance id of the worker that holds the open attempt."""
    progress_percent: int = 0
    input_ref: BlobRef | None = None
    """From its being known until the stage has completed."""
    output: BlobRef | None = None
    quality_score: float | None = None
    element_count: int | None = None
    spent: Metrics = field(default_factory=Metrics)
    """Sum over the attempts that have reported."""
    settled: tuple[int, ...] = ()
    """Attempts whose report is in `spent`."""
    unreported_calls: tuple[ProviderCall, ...] = ()
    """Provider calls of attempts that have not reported (yet, or never); they count beside `spent`."""
    finished_at: int | None = None
    reason: str = ""


class Execution(Struct, frozen=True, kw_only=True, omit_defaults=True):
    execution_id: str
    client_id: str
    request_id: str | None
    workspace_id: str | None
    tier: str
    template: str
    template_version: str
    priority: Priority
    parameters: dict[str, object]
    created_at: int
    deadline_at: int
    stages: dict[str, StageRun]
    status: ExecutionStatus = ExecutionStatus.RUNNING
    sequence: int = 0
    """Number of the newest event."""
    progress_percent: int = 0
    ended_at: int | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    failed_stage: str | None = None
    trace: dict[str, str] = field(default_factory=dict)
    """Trace headers of the order; everything done for it belongs to that trace."""

    @property
    def is_final(self) -> bool:
        return self.status.is_final


def wake_at(execution: Execution, at_ms: int) -> int | None:
    """When the execution needs attention if nothing happens before; None when it has ended.

    What is far away is put off to the next mark of a coarse grid, so that the steps of a short execution do not each move it:
    a row whose indexed columns stay as they are is written much more cheaply.
    """
    if execution.is_final:
        return None
    due = [run.due_at for run in execution.stages.values() if run.due_at is not None and not run.status.is_final]
    earliest = min([execution.deadline_at, *due])
    if earliest - at_ms < FAR_AWAY_MS:
        return earliest
    return -(-earliest // GRID_MS) * GRID_MS
