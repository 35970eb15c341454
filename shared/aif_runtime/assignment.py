"""What a worker author writes against: a worker is a name and some actions, an action turns an assignment into an outcome."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from aif_contracts.audit import Severity
from aif_contracts.metering import ProviderCall
from aif_contracts.packets import Context, Grant, PreviousAttempt
from aif_contracts.reports import HANDED_BACK
from aif_contracts.workers import ProviderDescription
from aif_runtime.blobs import BlobStore

_CODE = re.compile(r"[a-z][a-z0-9_]{0,99}")


class Outcome(Struct, frozen=True, kw_only=True):
    """A finished piece of work."""

    output: Any
    """Anything msgspec can encode as JSON; stored by the worker loop. NaN and infinities become null, bytes base64."""
    quality_score: float | None = None
    element_count: int | None = None
    provider: str | None = None
    model: str | None = None
    summary: str = ""
    media_type: str = "application/json"


class WorkFailure(Exception):
    """An action raises it to end the attempt with a typed failure; whatever else it raises is an internal error.

    `code` is stable and snake_case, `retryable` says whether another attempt can help. To make one that could not be reported
    raises TypeError or ValueError.
    """

    def __init__(self, code: str, message: str, *, retryable: bool, retry_after_ms: int | None = None) -> None:
        if not isinstance(code, str) or not _CODE.fullmatch(code) or code == HANDED_BACK:
            raise ValueError(f"{code!r} cannot be a failure's code: use snake_case, at most 100 characters, not {HANDED_BACK}")
        if not isinstance(message, str) or not isinstance(retryable, bool):
            raise TypeError(
                f"a WorkFailure has a text for its message and a bool for retryable, not {message!r}, {retryable!r}"
            )
        if retry_after_ms is not None and not (isinstance(retry_after_ms, int) and 0 <= retry_after_ms <= 10**12):
            raise ValueError(f"retry_after_ms is {retry_after_ms!r}: give whole milliseconds, 0 to a million million, or None")
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.retry_after_ms = retry_after_ms


class Assignment(Protocol):
    """One attempt, as its action sees it."""

    @property
    def execution_id(self) -> str: ...
    @property
    def stage_id(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def worker_name(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def context(self) -> Context: ...
    @property
    def grant(self) -> Grant: ...
    @property
    def input(self) -> Mapping[str, Any]:
        """The stage's input, a JSON object."""
        ...

    @property
    def previous(self) -> PreviousAttempt | None:
        """What was wrong with the attempt before; None for a first one, and when the one before only fell silent."""
        ...

    @property
    def is_compensation(self) -> bool:
        """True when it undoes what an earlier stage has done, because the execution will end as failed or cancelled."""
        ...

    @property
    def blobs(self) -> BlobStore:
        """Counts its operations into the attempt's metrics."""
        ...

    def remaining_seconds(self) -> float:
        """Until the attempt's timeout, by the monotonic clock."""
        ...

    async def progress(self, percent: int, message: str) -> None:
        """Tell how far the work is. Cheap: reports are merged, at most a few a second leave the process."""
        ...

    async def announce_call(self, call: ProviderCall) -> None:
        """Tell, durably, that a call with outcome `started` is about to be made: should this process die, it stays on the bill.

        Raises BusUnavailable: nobody would know of the call, so it must not be made.
        """
        ...

    async def audit(self, action: str, severity: Severity, details: Mapping[str, Any]) -> None:
        """Have something kept in the audit log; it reaches the log even when the broker is away for a while."""
        ...

    async def record_call(self, call: ProviderCall) -> None:
        """Book one provider call, at once when it ends, whatever its end; it reaches the orchestrator even if this attempt
        never reports. Its tokens and cost enter the attempt's metrics."""
        ...

    def next_call_number(self) -> int:
        """1, 2, 3 …: the last part of the call key."""
        ...

    def spent_on(self, part: str, seconds: float) -> None:
        """Add wall time to the breakdown: `ai_generation`, `validation` or `storage`."""
        ...


Action = Callable[[Assignment], Awaitable[Outcome]]
"""Cancelled by asyncio cancellation when the execution is cancelled, the attempt superseded or its time over."""


class ActionSpec(Struct, frozen=True, kw_only=True):
    run: Action
    paid: bool
    """True when it may call a provider that costs money; its packets are then claimed before work begins."""


class WorkerSpec(Struct, frozen=True, kw_only=True):
    """A worker: `actions` by name, and what it tells the registry about itself."""

    worker_name: str
    actions: Mapping[str, ActionSpec]
    capabilities: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    providers: Callable[[], tuple[ProviderDescription, ...]] = tuple
    """Asked at every heartbeat."""
    slots: int = 4
    """Attempts at once in this process."""
