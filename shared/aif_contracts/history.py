"""The full history of one execution, beside its events: every attempt with its grant and report, every provider call."""

import enum
from typing import Annotated

from msgspec import Meta, Struct

from aif_contracts.blobs import BlobRef
from aif_contracts.metering import Metrics, ProviderCall
from aif_contracts.packets import Grant


class AttemptOutcome(enum.StrEnum):
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    """Failed, refused by the stage's validation, timed out, silent or handed back; `failure_code` says which."""


class AttemptView(Struct, frozen=True, kw_only=True):
    stage_id: str
    attempt: int
    worker_name: str
    action: str
    outcome: AttemptOutcome
    queue_time_ms: int
    """From offered to granted, of this attempt alone."""
    execution_time_ms: int
    metrics: Metrics
    packet_id: str
    """The packet that offered it."""
    instance_id: str | None = None
    """The worker process that held it; None when its report was its only sign of life."""
    started_at: str | None = None
    ended_at: str | None = None
    """None while it runs."""
    grant: Grant | None = None
    """What it was allowed to spend."""
    failure_code: str | None = None
    message: str = ""
    """The report's words: why it failed, or what was made."""
    quality_score: float | None = None
    element_count: int | None = None
    output: BlobRef | None = None
    """Without inline content."""


class ListAttempts(Struct, frozen=True, kw_only=True):
    """In the order in which they ended, open ones last. Answered with AttemptPage or Refusal."""

    execution_id: str
    client_id: str | None
    cursor: str | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 200


class AttemptPage(Struct, frozen=True, kw_only=True):
    attempts: tuple[AttemptView, ...]
    next_cursor: str | None
    """None on the last page."""


class ListCalls(Struct, frozen=True, kw_only=True):
    """Provider calls by key. Answered with CallPage or Refusal."""

    execution_id: str
    client_id: str | None
    cursor: str | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 200


class CallPage(Struct, frozen=True, kw_only=True):
    calls: tuple[ProviderCall, ...]
    next_cursor: str | None
    """None on the last page."""
