"""A worker's entry in the registry bucket, written again at every heartbeat."""

from msgspec import Struct


class ActionDescription(Struct, frozen=True, kw_only=True):
    name: str
    paid: bool
    """True when an attempt may call a provider that costs money, so that it must be claimed first."""


class WorkerDescription(Struct, frozen=True, kw_only=True):
    """Key in the bucket: `<worker_name>.<instance_id>`; the entry vanishes when its heartbeats stop."""

    worker_name: str
    instance_id: str
    version: str
    actions: tuple[ActionDescription, ...]
    capabilities: tuple[str, ...] = ()
    """What its providers can do, for example `structuring` and `llm_generation`."""
    models: tuple[str, ...] = ()
    slots: int = 1
    """Attempts that this process works on at once."""


class ListWorkers(Struct, frozen=True, kw_only=True):
    pass


class WorkerList(Struct, frozen=True, kw_only=True):
    workers: tuple[WorkerDescription, ...]
    """The live ones, by name and instance."""
