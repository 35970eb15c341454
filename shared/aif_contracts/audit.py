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

SOC2 = "SOC2"


class Severity(enum.StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class AuditEntry(Struct, frozen=True, kw_only=True):
    """Published on the audit subject of its origin; taken into the log once under its id."""

    audit_id: Annotated[str, Meta(min_length=1, max_length=200)]
    action: Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]
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
