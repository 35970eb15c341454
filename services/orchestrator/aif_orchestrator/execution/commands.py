"""What follows from a happening: the shell performs these after (or together with) storing the new state."""

from decimal import Decimal

from msgspec import Struct

from aif_contracts.audit import AuditEntry
from aif_contracts.blobs import BlobRef
from aif_contracts.events import ExecutionEvent, Kept
from aif_contracts.metering import Basis, ProviderCall, Tokens
from aif_contracts.money import UsdText
from aif_contracts.packets import ClaimAnswer, ControlMessage, Grant, ProgressAnswer, WorkPacket
from aif_contracts.performance import PerformanceRecord


class DispatchPacket(Struct, frozen=True, kw_only=True):
    packet: WorkPacket
    is_repeated: bool = False
    """True for one that may have been given out before: it is stored, where its deliveries are counted."""


class BuryPacket(Struct, frozen=True, kw_only=True):
    """Keep a packet that takes its workers down with it for a person to look at."""

    packet: WorkPacket
    reason: str


class EmitEvent(Struct, frozen=True, kw_only=True):
    event: ExecutionEvent
    leg: int
    """The leg that it belongs to; a final event ends it."""


class AttemptAccount(Struct, frozen=True, kw_only=True):
    """What people want to know of an attempt, beside its figures."""

    dispatches: int
    """The number of the packet that offered it."""
    leg: int = 1
    instance_id: str | None = None
    """The worker process that held it; None when its report was its only sign of life."""
    started_at: int | None = None
    """In milliseconds since 1970; None when nothing was ever heard of it."""
    grant: Grant | None = None
    """None for the free one."""
    message: str = ""
    """Why it failed, or what was made."""
    output: BlobRef | None = None
    """Without inline content."""


class RecordAttempt(Struct, frozen=True, kw_only=True):
    """An attempt has ended: keep it, and tell the classifier."""

    record: PerformanceRecord
    account: AttemptAccount


class RecordCall(Struct, frozen=True, kw_only=True):
    """Keep a provider call under its key, once."""

    call: ProviderCall


class SettleCall(Struct, frozen=True, kw_only=True):
    """What a call without an answer has cost is decided, or corrected."""

    call_key: str
    cost_usd: UsdText
    basis: Basis
    note: str
    tokens: Tokens | None = None


class TellContradiction(Struct, frozen=True, kw_only=True):
    """A worker has said different things about what an attempt cost."""

    stage_id: str
    attempt: int
    worker_name: str
    message: str


class TellBeyondGrant(Struct, frozen=True, kw_only=True):
    """A worker has reported that an attempt's calls cost more than it was granted."""

    stage_id: str
    attempt: int
    worker_name: str
    charged_usd: UsdText
    granted_usd: UsdText


class TellAudit(Struct, frozen=True, kw_only=True):
    """Somebody has decided what has to be provable later."""

    entry: AuditEntry


class MoveAccount(Struct, frozen=True, kw_only=True):
    """What the execution has spent, and what it holds of its client's budget, has changed by so much."""

    execution_id: str
    client_id: str
    window: str
    is_admission: bool
    """It has to fit into the budget, or nothing of the step counts."""
    spent_usd: Decimal
    reserved_usd: Decimal
    energy_spent: int
    energy_reserved: int


class LoadOutputs(Struct, frozen=True, kw_only=True):
    """Read stored outputs for a stage's input or its rules, then say `OutputsLoaded` or `InputUnavailable`."""

    stage_id: str
    refs: dict[str, BlobRef]


class StoreInput(Struct, frozen=True, kw_only=True):
    """Store a stage's input, then say `InputStored`."""

    stage_id: str
    storage_key: str
    content: bytes


class TellWorkers(Struct, frozen=True, kw_only=True):
    worker_name: str
    message: ControlMessage


class AnswerClaim(Struct, frozen=True, kw_only=True):
    answer: ClaimAnswer


class AnswerProgress(Struct, frozen=True, kw_only=True):
    answer: ProgressAnswer


class AnswerResume(Struct, frozen=True, kw_only=True):
    kept: Kept


class Refuse(Struct, frozen=True, kw_only=True):
    """What was asked for is not possible as the execution is now; nothing has changed."""

    code: str
    message: str


Command = (
    DispatchPacket
    | BuryPacket
    | TellContradiction
    | TellBeyondGrant
    | TellAudit
    | EmitEvent
    | RecordAttempt
    | RecordCall
    | SettleCall
    | MoveAccount
    | LoadOutputs
    | StoreInput
    | TellWorkers
    | AnswerClaim
    | AnswerProgress
    | AnswerResume
    | Refuse
)
