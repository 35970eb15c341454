"""The shapes of HTTP bodies about executions: how they are steered, their history, and who could work on them."""

import enum
from typing import Annotated

from msgspec import Meta, Struct

from aif_contracts.events import ExecutionEvent, Kept
from aif_contracts.history import AttemptView
from aif_contracts.metering import ProviderCall
from aif_contracts.orders import ExecutionView
from aif_contracts.workers import ModelDescription, ProviderRefusal


class Pause(Struct, frozen=True, kw_only=True):
    reason: Annotated[str, Meta(min_length=1, max_length=500)] = "paused by the client"
    """Shown to everybody who looks at the execution."""


class Decision(Struct, frozen=True, kw_only=True):
    stage_id: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    """Which stage is decided about; may be left out while only one waits."""
    comment: Annotated[str, Meta(max_length=1000)] = ""


class SkippedCompensation(Struct, frozen=True, kw_only=True):
    stage_id: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    """The stage that is not undone; may be left out while only one is left to undo."""
    comment: Annotated[str, Meta(max_length=1000)] = ""


class ResumedExecution(Struct, frozen=True, kw_only=True):
    execution: ExecutionView
    kept: Kept
    """What is not paid for again."""


class ExecutionHistory(Struct, frozen=True, kw_only=True):
    """All that is known of one execution."""

    execution: ExecutionView
    events: tuple[ExecutionEvent, ...]
    attempts: tuple[AttemptView, ...]
    """In the order in which they ended, open ones last."""
    calls: tuple[ProviderCall, ...]
    """Provider calls by key."""
    truncated: bool
    """True when there is more of something than fits here; `/events`, `/attempts` and `/calls` have all of it."""


class OfferedAction(Struct, frozen=True, kw_only=True):
    name: str
    paid: bool
    """Whether it may call a provider that costs money."""
    instances: int
    """Live processes that offer it."""


class OfferedWorker(Struct, frozen=True, kw_only=True):
    worker_name: str
    instances: int
    slots: int
    """Attempts that its live processes work on at once, all together."""
    actions: tuple[OfferedAction, ...]
    capabilities: tuple[str, ...]
    models: tuple[str, ...]


class OfferedCapability(Struct, frozen=True, kw_only=True):
    name: str
    workers: tuple[str, ...]


class ProviderState(enum.StrEnum):
    AVAILABLE = "available"
    PARTLY = "partly_available"
    """Some processes leave it alone because it has only failed lately."""
    LEFT_ALONE = "left_alone"
    """All processes do."""
    REFUSES = "refuses"
    """It refuses the calls of a process, or of one of its models, until the operator mends it."""


class OfferedProvider(Struct, frozen=True, kw_only=True):
    name: str
    state: ProviderState
    is_local: bool
    """It works in the workers themselves: nothing leaves the machine, nothing is paid."""
    capabilities: tuple[str, ...]
    models: tuple[ModelDescription, ...]
    """Each with its quality tier; a client of the free tier may use those of the tier `economy`."""
    workers: tuple[str, ...]
    """Workers that have it configured."""
    refusals: tuple[ProviderRefusal, ...] = ()
    """Why it refuses, of all processes together."""


class Providers(Struct, frozen=True, kw_only=True):
    """Who does the AI work of the live workers. A provider that needs a key is there when a live worker has one."""

    providers: tuple[OfferedProvider, ...]


class Capabilities(Struct, frozen=True, kw_only=True):
    """What a stage can ask for at this moment."""

    capabilities: tuple[OfferedCapability, ...]
    workers: tuple[OfferedWorker, ...]
