"""What has to be provable later: who did what, told by every service, kept in one append-only, hash-linked log."""

import enum
from typing import Annotated, Any

from msgspec import Meta, Struct, field

WORKFLOW_GENERATED = "WORKFLOW_GENERATED"
WORKFLOW_GENERATION_FALLBACK = "WORKFLOW_GENERATION_FALLBACK"
AI_GENERATION_COMPLETED = "AI_GENERATION_COMPLETED"
AI_GENERATION_FALLBACK = "AI_GENERATION_FALLBACK"
"""A model failed and another one took over; `details` name both, the reason and the tokens that were wasted."""
CONFIGURATION_CHANGED = "CONFIGURATION_CHANGED"
CONFIGURATION_INVALID = "CONFIGURATION_INVALID"
"""A value that cannot be used was found; a safe default serves in its place."""
BUDGET_CHANGED = "BUDGET_CHANGED"
CALL_SETTLED = "CALL_SETTLED"
"""What a call without an answer has cost was decided, or corrected."""
COMPENSATION_SKIPPED = "COMPENSATION_SKIPPED"
"""A person gave up undoing a stage: what it has done remains."""
COST_BEYOND_GRANT = "COST_BEYOND_GRANT"
"""A worker has reported that an attempt cost more than it was granted, and all of it is charged; `details` name both."""
PIPELINE_SAVED = "PIPELINE_SAVED"
DEAD_LETTER_REPLAYED = "DEAD_LETTER_REPLAYED"
DEAD_LETTER_DISMISSED = "DEAD_LETTER_DISMISSED"
CLIENT_CREATED = "CLIENT_CREATED"
CLIENT_DISABLED = "CLIENT_DISABLED"
CLIENT_ENABLED = "CLIENT_ENABLED"
API_KEY_CREATED = "API_KEY_CREATED"
API_KEY_ROTATED = "API_KEY_ROTATED"
"""Another one was made in its place; `details` name both, and the time that the old one goes on for."""
API_KEY_REVOKED = "API_KEY_REVOKED"

SOC2 = "SOC2"


class Severity(enum.StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class AuditEntry(Struct, frozen=True, kw_only=True):
    """Published on the audit subject of its origin; taken into the log once under its id."""

    audit_id: Annotated[str, Meta(min_length=1, max_length=200)]
    action: Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9_]{0,63}$(?!\n)")]
    severity: Severity
    actor: Annotated[str, Meta(min_length=1, max_length=200)]
    """Who did it: `api_key:<id>`, `worker:<name>`, `service:<name>`."""
    occurred_at: str
    details: dict[str, Any] = field(default_factory=dict)
    """Never a secret, never the content of a prompt."""
    compliance: tuple[str, ...] = ()
    """Rules that ask for it, for example `SOC2`."""
    client_id: str | None = None
    execution_id: str | None = None


class AuditHead(Struct, frozen=True, kw_only=True):
    """One place in the log. Kept outside of the database it shows later that nothing up to it was changed or cut off."""

    sequence: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    """0 for the empty log."""
    hash: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)", description="64 hexadecimal digits in lower case")]


class AuditRow(Struct, frozen=True, kw_only=True):
    """An entry with its place in the log. Each row's hash covers the hash of the row before."""

    sequence: int
    entry: AuditEntry
    recorded_at: str
    """When it was taken into the log, by the database's clock."""
    sealed_with: str
    """`hmac-sha256:<key id>`, or `sha256` from a factory without an audit key."""
    previous_hash: str
    hash: str


class ListAudit(Struct, frozen=True, kw_only=True):
    """Newest first. Answered with AuditPage or Refusal."""

    action: str | None = None
    severity: Severity | None = None
    actor: str | None = None
    client_id: str | None = None
    execution_id: str | None = None
    recorded_after: str | None = None
    """RFC 3339 with an offset; this time and later."""
    recorded_before: str | None = None
    """RFC 3339 with an offset; before this time."""
    cursor: str | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 50


class AuditPage(Struct, frozen=True, kw_only=True):
    rows: tuple[AuditRow, ...]
    next_cursor: str | None
    """None on the last page."""


class VerifyAudit(Struct, frozen=True, kw_only=True):
    """Follow the chain for a few thousand rows. Answered with AuditVerdict."""

    after: AuditHead | None = None
    """Begin behind this place, which an earlier part has verified; None for the beginning."""
    head: AuditHead | None = None
    """A place that somebody has kept: the log has to reach it, and to have had this hash there."""


class AuditFaultKind(enum.StrEnum):
    ALTERED = "altered"
    """What the row says is not what was written."""
    REMOVED = "removed"
    """The row is gone, and others follow it."""
    INSERTED = "inserted"
    """The row was never written by the factory."""
    REORDERED = "reordered"
    """The row holds what was written at another place."""
    CUT = "cut"
    """The log ends before this row, which was there once."""
    UNKNOWN_KEY = "unknown_key"
    """The row may be right: it is sealed with a key that the orchestrator does not have any more."""


class AuditFault(Struct, frozen=True, kw_only=True):
    sequence: int
    """Of the first row that is not as it was written."""
    kind: AuditFaultKind
    message: str


class AuditVerdict(Struct, frozen=True, kw_only=True):
    """What one part of a verification has found."""

    checked: int
    """Rows that are as they were written, in this part."""
    head: AuditHead
    """The last of them: go on behind it when `is_complete` is false, keep it somewhere else when it is true."""
    is_complete: bool
    """True at the end of the log, or at a fault."""
    fault: AuditFault | None = None
