"""What the gateway answers, as far as the terminal shows it. Other fields are ignored, so that it may learn new ones."""

import msgspec
from msgspec import Struct

from aif_contracts.events import ExecutionEvent, Kept, Totals
from aif_contracts.history import AttemptView
from aif_contracts.metering import ProviderCall
from aif_contracts.money import UsdText
from aif_contracts.orders import ExecutionView, FieldMistake, TemplateView

FINAL = frozenset({"completed", "partially_completed", "failed", "cancelled", "refused"})
"""Words for a request that has ended. The other words are not looked at, so that new ones may come."""


class Problem(Struct, frozen=True, kw_only=True):
    """A problem document (RFC 9457)."""

    type: str = "about:blank"
    title: str = ""
    status: int = 0
    detail: str = ""
    errors: tuple[FieldMistake, ...] = ()


class SourceAnswer(Struct, frozen=True, kw_only=True):
    source_id: str
    title: str
    words: int
    headings: int


class OrderAnswer(Struct, frozen=True, kw_only=True):
    request_id: str
    execution_id: str
    status: str


class ExecutionSummary(Struct, frozen=True, kw_only=True):
    execution_id: str
    progress_percent: int = 0


class DeliverableAnswer(Struct, frozen=True, kw_only=True):
    deliverable_id: str
    name: str
    title: str
    media_type: str
    size_bytes: int


class WhyNot(Struct, frozen=True, kw_only=True):
    code: str
    message: str
    errors: tuple[FieldMistake, ...] = ()


class RequestAnswer(Struct, frozen=True, kw_only=True):
    request_id: str
    status: str
    client_id: str
    created_at: str
    selected_template: str | None = None
    message: str = ""
    execution: ExecutionSummary | None = None
    execution_status: str | None = None
    """A finer word than the request's own while it runs: scheduled, paused, awaiting_approval, compensating."""
    totals: Totals | None = None
    total_tokens_used: int | None = None
    total_cost_usd: UsdText | None = None
    deliverables: tuple[DeliverableAnswer, ...] = ()
    problem: WhyNot | None = None
    max_cost_usd: UsdText | None = None
    """What its execution may spend, as far as the order says; None for the operator's limit."""

    @property
    def is_final(self) -> bool:
        return self.status in FINAL


class RequestPage(Struct, frozen=True, kw_only=True):
    requests: tuple[RequestAnswer, ...]
    next_cursor: str | None = None


class TemplatesAnswer(Struct, frozen=True, kw_only=True):
    templates: tuple[TemplateView, ...]
    next_cursor: str | None = None


class NamedStructure(Struct, frozen=True, kw_only=True):
    name: str
    """Of the deliverable."""
    structure: msgspec.Raw


class Result(Struct, frozen=True, kw_only=True):
    """A request that has ended, with what there is to read about it."""

    request: RequestAnswer
    execution: ExecutionView | None
    structure: msgspec.Raw | None
    """The first deliverable; None when there is none."""
    further: tuple[NamedStructure, ...] = ()
    """The others."""


class History(Struct, frozen=True, kw_only=True):
    """All that is known of an execution, in one answer."""

    execution: ExecutionView
    events: tuple[ExecutionEvent, ...]
    attempts: tuple[AttemptView, ...]
    calls: tuple[ProviderCall, ...]
    truncated: bool = False
    """True when there is more of something than fits in one answer."""


class ResumeAnswer(Struct, frozen=True, kw_only=True):
    execution: ExecutionView
    kept: Kept
