"""A worker's entry in the registry bucket, written again at every heartbeat."""

import enum

from msgspec import Struct

from aif_contracts.packets import QualityTier


class ActionDescription(Struct, frozen=True, kw_only=True):
    name: str
    paid: bool
    """True when an attempt may call a provider that costs money, so that it must be claimed first."""


class CircuitState(enum.StrEnum):
    CLOSED = "closed"
    """It is asked."""
    OPEN = "open"
    """It has only failed lately and is left alone."""
    HALF_OPEN = "half_open"
    """One call tries whether it is well again."""


class RefusalKind(enum.StrEnum):
    """What a provider holds against how it is configured. Only the operator can mend it."""

    KEY = "key"
    """It does not know the key."""
    PERMISSION = "permission"
    """The key may not use the model."""
    CREDIT = "credit"
    """The account has no money left."""
    UNKNOWN_MODEL = "unknown_model"
    """It has no such model, or the base URL is wrong."""


class ProviderRefusal(Struct, frozen=True, kw_only=True):
    """It holds until the provider answers a call again. What the provider said is not here: every client may see this."""

    kind: RefusalKind
    model: str
    """That was asked for last."""
    since: str
    """RFC 3339."""
    last_at: str
    """RFC 3339; of the newest call that met it."""


class ModelDescription(Struct, frozen=True, kw_only=True):
    name: str
    quality: QualityTier


class ProviderDescription(Struct, frozen=True, kw_only=True):
    """A provider as one worker process sees it."""

    name: str
    is_local: bool
    """It works in the process itself: nothing leaves the machine, nothing is paid."""
    capabilities: tuple[str, ...]
    models: tuple[ModelDescription, ...]
    """The preferred one first."""
    circuit: CircuitState = CircuitState.CLOSED
    refusals: tuple[ProviderRefusal, ...] = ()


class WorkerDescription(Struct, frozen=True, kw_only=True):
    """Key in the bucket: `<worker_name>.<instance_id>`; the entry vanishes when its heartbeats stop."""

    worker_name: str
    instance_id: str
    version: str
    actions: tuple[ActionDescription, ...]
    capabilities: tuple[str, ...] = ()
    """What its providers can do, for example `structuring` and `llm_generation`."""
    models: tuple[str, ...] = ()
    providers: tuple[ProviderDescription, ...] = ()
    slots: int = 1
    """Attempts that this process works on at once."""


class ListWorkers(Struct, frozen=True, kw_only=True):
    pass


class WorkerList(Struct, frozen=True, kw_only=True):
    workers: tuple[WorkerDescription, ...]
    """The live ones, by name and instance."""
