"""What can happen to an execution."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from aif_contracts.blobs import BlobRef
from aif_contracts.metering import Basis, Metrics, ProviderCall, Tokens
from aif_contracts.money import UsdText
from aif_contracts.reports import ProgressPoint
from aif_orchestrator.execution.state import MOST_HELD_MS
from aif_pipelines.plan import Plan


class AttemptClaimed(Struct, frozen=True, kw_only=True):
    """A worker asks for the attempt that a packet offers."""

    stage_id: str
    packet_id: str
    instance_id: str
    claim_id: str = ""
    """The same when the claim is repeated because no answer came; empty for none."""
    is_first_delivery: bool = True
    """Nobody else had this packet before."""


class AttemptProgressed(Struct, frozen=True, kw_only=True):
    stage_id: str
    attempt: int
    instance_id: str
    percent: int
    message: str
    is_waiting: bool = False
    """It is to be alone in its process, and has not begun because others are under way there."""
    points: tuple[ProgressPoint, ...] = ()
    """That it passed before it told of itself."""


class AttemptCompleted(Struct, frozen=True, kw_only=True):
    stage_id: str
    attempt: int
    worker_name: str
    """Whose report it is. Nobody else's worker can end the attempt."""
    output: BlobRef
    value: Any
    """The decoded output when it is JSON, read and verified; None otherwise."""
    metrics: Metrics
    quality_score: float | None
    element_count: int | None
    summary: str
    instance_id: str | None = None
    """Who reports; an attempt that came with its packet has not told before."""
    calls: tuple[ProviderCall, ...] = ()
    """The attempt's calls that the report names."""
    points: tuple[ProgressPoint, ...] = ()
    """That it passed, if it had not told of itself before."""


class AttemptFailed(Struct, frozen=True, kw_only=True):
    stage_id: str
    attempt: int
    worker_name: str
    code: str
    message: str
    retryable: bool
    retry_after_ms: int | None
    metrics: Metrics | None
    """None when its report could not be used: it may still have spent something, as one that fell silent."""
    instance_id: str | None = None
    calls: tuple[ProviderCall, ...] = ()
    """The attempt's calls that the report names."""
    points: tuple[ProgressPoint, ...] = ()
    """That it passed, if it had not told of itself before."""


class PacketDeclined(Struct, frozen=True, kw_only=True):
    """A worker will not do it; the packet is offered again later."""

    stage_id: str
    packet_id: str
    worker_name: str
    message: str
    is_action_unknown: bool = False
    """To this process; another one of the worker may know it."""


class PacketUntold(Struct, frozen=True, kw_only=True):
    """The packet was committed, and perhaps nobody has it: whoever was to publish it is gone, or it was offered, and since then
    nothing has been heard."""

    stage_id: str
    packet_id: str


class CallBooked(Struct, frozen=True, kw_only=True):
    """A provider call ended."""

    call: ProviderCall


class CallSettled(Struct, frozen=True, kw_only=True):
    """What a call without an answer has cost is decided: by the provider's bill, or by its bound when nobody can say."""

    call_key: str
    stage_id: str
    attempt: int
    cost_usd: UsdText
    basis: Basis
    note: str
    """Who decided, and by what."""
    tokens: Tokens | None = None
    """None when nobody knows."""


class LoadedOutput(Struct, frozen=True, kw_only=True):
    sha256: str
    """Of the bytes that were read; an output that has been made anew since has another one."""
    value: Any


class OutputsLoaded(Struct, frozen=True, kw_only=True):
    """Stored outputs that a stage's input is made of, or that its rules judge, have been read."""

    stage_id: str
    outputs: Mapping[str, LoadedOutput]


class InputStored(Struct, frozen=True, kw_only=True):
    """A stage's input, too large to ride in the packet, has been stored."""

    stage_id: str
    input_ref: BlobRef


class InputUnavailable(Struct, frozen=True, kw_only=True):
    """An output that a stage's input is made of, or that its rules judge, cannot be read, and never will be."""

    stage_id: str
    code: str
    message: str


class CancelAsked(Struct, frozen=True, kw_only=True):
    reason: str


class PauseAsked(Struct, frozen=True, kw_only=True):
    reason: str


class ResumeAsked(Struct, frozen=True, kw_only=True):
    """Go on after a pause, or on a new leg after the end."""

    lost: frozenset[str] = frozenset()
    """Storage keys of outputs that cannot be read any more."""


class ApprovalDecisionMade(Struct, frozen=True, kw_only=True):
    """A person agrees, or does not, with what a stage has made."""

    stage_id: str | None
    """None when only one stage waits."""
    approved: bool
    decided_by: str
    comment: str


class CompensationSkipAsked(Struct, frozen=True, kw_only=True):
    """A person gives up undoing a stage."""

    stage_id: str | None
    """The stage, or its compensation; None when only one is left to undo."""
    decided_by: str
    comment: str


class TimePassed(Struct, frozen=True, kw_only=True):
    """The time at which the execution wanted attention has come."""


class ClockSetBack(Struct, frozen=True, kw_only=True):
    """The database's clock has been set back, after the execution's times were taken from it."""


Happening = (
    AttemptClaimed
    | AttemptProgressed
    | AttemptCompleted
    | AttemptFailed
    | PacketDeclined
    | PacketUntold
    | CallBooked
    | CallSettled
    | OutputsLoaded
    | InputStored
    | InputUnavailable
    | CancelAsked
    | PauseAsked
    | ResumeAsked
    | ApprovalDecisionMade
    | CompensationSkipAsked
    | TimePassed
    | ClockSetBack
)


class Patience(Struct, frozen=True, kw_only=True):
    """How long the orchestrator waits for a sign of life, in milliseconds."""

    unclaimed_ms: int = 60_000
    """A packet that nobody has taken for so long is sent again; doubled each time, up to an hour."""
    lease_ms: int = 30_000
    """An attempt that is silent for so long is lost. Workers show themselves three times within it."""
    timeout_slack_ms: int = 5_000
    """The worker ends an attempt at its timeout and reports so; this much later the orchestrator ends it."""
    last_word_ms: int = 5_000
    """What an attempt announced before it was lost has arrived by then; the rest of what it reserved is free again."""
    preparing_ms: int = 30_000
    """Reading and storing a stage's input that takes longer is begun anew."""
    max_losses: int = 5
    suspect_losses: int = 2
    """After so many lost attempts the next one is worked on alone, so that it cannot take others down with it."""
    compensating_ms: int = 3_600_000
    """What could not be undone within this time stays, and the execution ends saying so."""
    most_held_ms: int = MOST_HELD_MS


class Circumstances(Struct, frozen=True, kw_only=True):
    """What a step needs to know beside the execution: the time, the plan, and the workers there are."""

    at_ms: int
    plan: Plan
    free_actions: frozenset[tuple[str, str]] = frozenset()
    """Worker and action pairs that never cost money; their packets carry a grant and need no claim."""
    known_actions: frozenset[tuple[str, str]] = frozenset()
    """Worker and action pairs that some live process offers."""
    live_workers: frozenset[str] = frozenset()
    max_attempt_cost_usd: UsdText = "1"
    """What one attempt may spend at providers at most."""
    max_execution_cost_usd: UsdText = "25"
    """What an execution may spend when its order sets no lower limit."""
    is_blocked: bool = False
    """The client's budget is passed and its policy is HARD_BLOCK: no attempt that may cost something begins."""
    patience: Patience = Patience()
