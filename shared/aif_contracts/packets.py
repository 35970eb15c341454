"""The handshake: a packet gives one stage to a worker, a claim binds one attempt to it, a grant says what it may spend."""

import enum
from typing import Annotated, Any

from msgspec import Meta, Struct, field

from aif_contracts.blobs import INLINE_LIMIT_BYTES, BlobRef
from aif_contracts.money import UsdText


class Priority(enum.StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    CRITICAL = "critical"


class ControlAction(enum.StrEnum):
    CONTINUE = "continue"
    CANCEL = "cancel"
    PAUSE = "pause"
    COMPENSATE = "compensate"


class Control(Struct, frozen=True, kw_only=True):
    action: ControlAction = ControlAction.CONTINUE
    priority: Priority = Priority.NORMAL
    timeout_ms: int = 120_000
    """How long an attempt may take from its beginning, measured by the worker's monotonic clock."""
    deadline: str | None = None
    """By when the execution as a whole has to have ended, RFC 3339, as things stood when the packet was written: a pause and an
    approval put it off. For people and logs; no process decides by it."""


class QualityTier(enum.StrEnum):
    """How good and how dear a model is, in words that outlast its name. Better ones come later."""

    ECONOMY = "economy"
    STANDARD = "standard"
    PREMIUM = "premium"


class CeilingReason(enum.StrEnum):
    TIER = "tier"
    """The client's tier allows no better model."""
    ENERGY = "energy"
    """The client's energy no longer suffices for a better one."""


class Grant(Struct, frozen=True, kw_only=True):
    """What the orchestrator allocated to one attempt. Without a grant nothing is paid for."""

    models: tuple[str, ...] | None = None
    """Models that the attempt may use, best first; None leaves the choice to the worker's configuration, an empty list
    allows local providers only."""
    max_cost_usd: UsdText = "0"
    max_tokens: int | None = None
    """Output tokens over all calls of the attempt; None for no bound of its own."""
    energy: int = 0
    """Units that the stage takes from its client's energy when it calls a provider that costs money."""
    quality: QualityTier | None = None
    """The best tier that may be used; None for no ceiling."""
    quality_reason: CeilingReason | None = None
    """Why there is a ceiling."""
    prefer_providers: tuple[str, ...] = ()
    """Providers to try first, best first; others follow."""
    max_fallbacks: int | None = None
    """Models tried after the first one; 0 turns fallback off, None leaves it to the configuration."""
    cache: bool = False
    """Whether answers may come from the response cache."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """Tuned parameters, by name."""


class Context(Struct, frozen=True, kw_only=True):
    client_id: str
    request_id: str | None = None
    workspace_id: str | None = None
    tier: str = "standard"


class PreviousAttempt(Struct, frozen=True, kw_only=True):
    """What was wrong with the attempt before, so that the next one can do better than repeat it."""

    attempt: int
    code: str
    """`output_invalid`, `retry_rule`; before a resume also `failed_by_rule`, `rejected`; or the code that the worker gave."""
    message: str
    output: BlobRef | None = None
    """What it made; None when it made nothing, or nothing that was kept."""


class WorkPacket(Struct, frozen=True, kw_only=True):
    """Offers one stage of one execution to the workers of a kind."""

    packet_id: str
    execution_id: str
    stage_id: str
    attempt: Annotated[int, Meta(ge=0)]
    """The attempt that this packet carries a grant for; 0 when there is no grant yet and the worker has to claim."""
    worker_name: str
    action: str
    control: Control
    data_ref: BlobRef
    """The stage's input, a JSON object."""
    grant: Grant | None
    context: Context
    inline_limit_bytes: int = INLINE_LIMIT_BYTES
    """Outputs above this size are stored as blobs; 0 for a deliverable, which is always stored."""
    previous: PreviousAttempt | None = None
    """None for a first attempt, and after an attempt that only fell silent."""


class ClaimRequest(Struct, frozen=True, kw_only=True):
    """A worker asks for the attempt that a packet offers."""

    packet_id: str
    execution_id: str
    stage_id: str
    instance_id: str
    """The claiming worker process."""
    num_delivered: int = 1
    models: tuple[str, ...] = ()
    """Models that this worker is configured for; empty when it has local providers only."""
    claim_id: Annotated[str, Meta(max_length=100)] = ""
    """The same when a claim is repeated because no answer came: it then gets the same attempt. Empty for none."""


class Granted(Struct, frozen=True, kw_only=True, tag="granted"):
    attempt: int
    grant: Grant
    timeout_ms: int
    alone: bool = False
    """Work on it while nothing else is under way in this process: earlier attempts took their workers down with them."""


class Later(Struct, frozen=True, kw_only=True, tag="later"):
    retry_after_ms: int
    reason: str


class Superseded(Struct, frozen=True, kw_only=True, tag="superseded"):
    """The stage no longer needs this packet; drop it."""


class Cancelled(Struct, frozen=True, kw_only=True, tag="cancelled"):
    """The execution was cancelled; stop and drop the packet."""


class Proceed(Struct, frozen=True, kw_only=True, tag="proceed"):
    """Answer to a progress report: go on."""


class NotNoted(Struct, frozen=True, kw_only=True, tag="not_noted"):
    """Answer to a progress report that could not be read or applied now: go on, but nobody knows. The same as no answer."""


ClaimAnswer = Granted | Later | Superseded | Cancelled
ProgressAnswer = Proceed | NotNoted | Superseded | Cancelled


class ControlMessage(Struct, frozen=True, kw_only=True):
    """Sent to all workers of a kind; the one that holds the attempt obeys."""

    execution_id: str
    action: ControlAction
    stage_id: str | None = None
    """None for every stage of the execution."""
    attempt: int | None = None
    """None for every attempt. A message that arrives late must not reach the attempt after the one that it means."""
