"""The state of one execution, as it is stored between two happenings.

Times are whole milliseconds since 1970 by the database's clock, which is the only clock that decides anything.
"""

from collections.abc import Mapping

from msgspec import Struct, field

from aif_contracts.blobs import BlobRef
from aif_contracts.metering import ProviderCall, Tokens
from aif_contracts.money import UsdText
from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_contracts.packets import CeilingReason, Grant, PreviousAttempt, Priority, QualityTier
from aif_orchestrator.execution.spent import NOTHING, Spent

FAR_AWAY_MS = 10_000
MOST_HELD_MS = 30 * 24 * 3_600_000
"""A pause or a wait for a person that lasts longer ends the execution."""
GRID_MS = 2_000


class Reservation(Struct, frozen=True, kw_only=True):
    """What an attempt that has not reported may still cost."""

    amount: UsdText
    until: int
    """By then its worker has ended it, whatever became of it: only calls that are known of count after that."""


class BookedCall(Struct, frozen=True, array_like=True, gc=False):
    """A provider call of an attempt that has reported."""

    cost_usd: UsdText | None
    """None while nobody knows."""
    bound_usd: UsdText = "0"
    is_beside: bool = False
    """The report says that it does not know the cost, so it is no part of what the report says."""
    has_ended: bool = False
    """Its end was told, and nothing replaces that. Otherwise it was announced, or named by the report alone."""
    is_decided: bool = False
    """The cost is somebody's decision, which may be corrected."""
    tokens: Tokens | None = None
    """Those that the report cannot have counted, because the call had no answer then."""
    is_counted: bool = False
    """Its end told its tokens without its cost: the report, which knows no more of the cost, has counted them."""


class Statement(Struct, frozen=True, array_like=True):
    """What an attempt's report says that its calls have cost, and which of them are known."""

    calls_usd: UsdText = "0"
    is_complete: bool = True
    """False when it says that its cost is unknown, and does not name the call."""
    calls: dict[str, BookedCall] = field(default_factory=dict)
    """By key."""


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
    handed_back: int = 0
    """Attempts that their workers gave back. They use up no retry; many of them make the next one wait."""
    resends: int = 0
    """Packets sent again since the last sign of life, because nobody had taken them."""
    due_at: int | None = None
    """When the stage needs attention if nothing happens before: end of lease, retry time, packet presumed lost."""
    times_out_at: int | None = None
    """When the open attempt has had its time."""
    ready_at: int | None = None
    """When it was first offered on this leg, or anew after a pause; None before."""
    offered_anew_at: int | None = None
    """When the stage was offered for another attempt than the first one."""
    started_at: int | None = None
    """When the open attempt was granted or first heard of."""
    heard_at: int | None = None
    """When the worker of the open attempt last showed itself; None before the first time."""
    holder: str | None = None
    """Instance id of the worker that holds the open attempt."""
    is_waiting: bool = False
    """The open attempt is to be alone in its process and has not begun: it cannot be what ends that process."""
    claim_id: str = ""
    """Of the claim that opened the attempt; the same claim again gets the same attempt."""
    grant: Grant | None = None
    """Of the newest attempt that was claimed; one that came with its packet has the free one."""
    previous: PreviousAttempt | None = None
    """What was wrong with the attempt before; the next packet says it."""
    progress_percent: int = 0
    input_ref: BlobRef | None = None
    """From its being known until the stage has completed. Without its content where that can be made again from the parameters
    and the outputs: a text that one stage hands to the next would be stored twice."""
    output: BlobRef | None = None
    """The newest valid result. While a rule has the stage tried again, the one that stands if nothing better comes."""
    made_at: int | None = None
    """When `output` was made."""
    quality_score: float | None = None
    element_count: int | None = None
    spent: Spent = NOTHING
    """Sum over the attempts that have reported, with what their statements come to."""
    settled: tuple[int, ...] = ()
    """Attempts whose report is in `spent`."""
    reserved: dict[int, Reservation] = field(default_factory=dict)
    """Of each attempt that has not reported, by its number."""
    unreported_calls: tuple[ProviderCall, ...] = ()
    """Provider calls of attempts that have not reported (yet, or never); they count beside `spent`."""
    statements: dict[int, Statement] = field(default_factory=dict)
    """Of attempts that have reported, by their numbers; none of one that has cost nothing and called nobody."""
    energy: int = 0
    """Taken from the client's energy, once, when an attempt has called a provider."""
    finished_at: int | None = None
    reason: str = ""
    follows: str | None = None
    """Id under which the plan knows the stage, where it is not its own: of an added stage, of a compensation."""
    added_by: str | None = None
    """The stage whose rule added this one."""
    withdrawn: bool = False
    """Added in an earlier leg by a stage that runs anew; not there unless the rule adds it again."""
    compensates: str | None = None
    """The stage that this one undoes."""
    is_undone: bool = False
    """A compensation has taken back what the stage did."""
    skipped_by: str | None = None
    """The stage whose rule left this one out, which is skipped as soon as what it waits for has ended."""
    next_rule: int = 0
    """Rules before this one have been judged for the newest result, or for the one that stands if nothing better comes."""
    retries_by_rule: dict[int, int] = field(default_factory=dict)
    """How often each retry_stage rule, by its index, has had the stage tried again; all its tries once nothing better came."""

    @property
    def offered_at(self) -> int | None:
        """Since when the newest attempt could be taken; packets that are sent again for it change nothing."""
        return self.ready_at if self.offered_anew_at is None else self.offered_anew_at

    @property
    def silent(self) -> dict[int, Reservation]:
        """Reservations of attempts that are over for us and have not reported."""
        return {number: each for number, each in self.reserved.items() if number <= self.ended or self.status.is_final}

    @property
    def has_result(self) -> bool:
        """Others may read its output, and it may be delivered."""
        return self.output is not None and self.status is StageStatus.COMPLETED and not self.is_undone


class Account(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the execution has in its client's books; amounts in USD."""

    window: str = ""
    """The month that it is charged to, as `2026-11`."""
    spent: UsdText = "0"
    held: UsdText = "0"
    """Of the client's budget, beside what is spent."""
    energy_limit: int = 0
    """What its stages may take at most."""
    energy_spent: int = 0
    energy_held: int = 0
    energy_per_stage: int = 0


class Verdict(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an execution that compensates is going to end."""

    status: ExecutionStatus
    code: str
    message: str
    stage_id: str | None = None


class Execution(Struct, frozen=True, kw_only=True, omit_defaults=True):
    execution_id: str
    client_id: str
    request_id: str | None
    workspace_id: str | None
    tier: str
    template: str
    template_version: str
    template_owner: str = ""
    """The client whose own pipeline it runs; empty for one of the factory's."""
    priority: Priority
    parameters: dict[str, object]
    created_at: int
    deadline_at: int
    stages: dict[str, StageRun]
    max_cost_usd: UsdText = "0"
    """What its attempts may spend at providers, all together; as much of the client's budget is reserved for it."""
    quality: QualityTier | None = None
    """The best models that it may use; None for no ceiling."""
    quality_reason: CeilingReason | None = None
    account: Account = Account()
    status: ExecutionStatus = ExecutionStatus.RUNNING
    sequence: int = 0
    """Number of the newest event."""
    progress_percent: int = 0
    ended_at: int | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    leg: int = 1
    """One more for every time that it was resumed after it had ended."""
    leg_began_at: int | None = None
    """None on the first leg, which begins with the execution."""
    spent_before_leg: UsdText = "0"
    """What is known of the cost of the legs before."""
    start_at: int | None = None
    """When a delayed execution starts."""
    held_since: int | None = None
    """Since when its time stands still, because it is paused or waits for a person."""
    verdict: Verdict | None = None
    """Only while it compensates."""
    compensate_until: int | None = None
    """What is not undone by then stays."""
    trace: dict[str, str] = field(default_factory=dict)
    """Trace headers of the order; everything done for it belongs to that trace."""

    @property
    def is_final(self) -> bool:
        return self.status.is_final


def newest_instance(stages: Mapping[str, StageRun], plan_id: str) -> StageRun | None:
    """The run that a name in a pipeline means: the stage itself, or the newest of those that a rule added under that name."""
    found = stages.get(plan_id)
    if found is not None and found.follows is None:
        return found
    added = [run for run in stages.values() if run.follows == plan_id and not run.withdrawn]
    return added[-1] if added else None


def wake_at(execution: Execution, at_ms: int, most_held_ms: int = MOST_HELD_MS) -> int | None:
    """When the execution needs attention if nothing happens before; None when it has ended, and holds no more money.

    What is far away is put off to the next mark of a coarse grid, so that the steps of a short execution do not each move it:
    a row whose indexed columns stay as they are is written much more cheaply.
    """
    kept = [each.until for run in execution.stages.values() if run.reserved for each in run.silent.values()]
    if execution.is_final:
        return min(kept, default=None)
    paused = execution.status is ExecutionStatus.PAUSED
    earliest = min([_limit(execution, most_held_ms), *kept])
    for run in execution.stages.values():
        if run.due_at is not None and run.due_at < earliest and not (paused and run.status in _HELD_BY_A_PAUSE):
            earliest = run.due_at
    if earliest - at_ms < FAR_AWAY_MS:
        return earliest
    return -(-earliest // GRID_MS) * GRID_MS


def _limit(execution: Execution, most_held_ms: int) -> int:
    if execution.status is ExecutionStatus.SCHEDULED and execution.start_at is not None:
        return execution.start_at
    if execution.compensate_until is not None:
        return execution.compensate_until
    if execution.held_since is not None:
        return execution.held_since + most_held_ms
    return execution.deadline_at


_HELD_BY_A_PAUSE = frozenset({StageStatus.QUEUED, StageStatus.RETRYING})
