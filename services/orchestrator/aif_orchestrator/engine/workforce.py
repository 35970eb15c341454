"""Which workers are alive, what they can do and which of their actions cost nothing, from the registry."""

import asyncio

import msgspec
import structlog
from msgspec import Struct

from aif_contracts.subjects import BUCKET_REGISTRY
from aif_contracts.workers import WorkerDescription
from aif_runtime.bus import Bus
from aif_runtime.decoding import decode
from aif_runtime.failures import BusUnavailable, MalformedMessage

REFRESH_SECONDS = 2.0

log = structlog.get_logger()
_DESCRIPTION = msgspec.json.Decoder(WorkerDescription)


class Present(Struct, frozen=True, kw_only=True):
    live_workers: frozenset[str] = frozenset()
    known_actions: frozenset[tuple[str, str]] = frozenset()
    """Worker and action pairs that some live process offers."""
    free_actions: frozenset[tuple[str, str]] = frozenset()
    """Worker and action pairs that every live instance offers without cost."""
    capabilities: frozenset[str] = frozenset()
    workers: tuple[WorkerDescription, ...] = ()
    """The live processes, by worker's name and instance."""

    def actions(self) -> dict[str, frozenset[str]]:
        """The actions that some live process of a worker offers, by worker."""
        names = {each.worker_name for each in self.workers}
        return {
            name: frozenset(action.name for each in self.workers if each.worker_name == name for action in each.actions)
            for name in names
        }

    def providers_of(self, worker: str) -> frozenset[str]:
        """The providers that some live process of the worker has."""
        return frozenset(each.name for live in self.workers if live.worker_name == worker for each in live.providers)


class Workforce:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._present = Present()
        self._malformed: set[str] = set()
        """Entries that have been told of."""

    def present(self) -> Present:
        """As last read; at most a few seconds old while the broker answers."""
        return self._present

    async def refresh(self) -> None:
        """Raises BusUnavailable."""
        entries = await self._bus.entries(BUCKET_REGISTRY)
        self._malformed &= entries.keys()
        self._present = _read([each for key, entry in entries.items() if (each := self._description(key, entry)) is not None])

    async def run(self) -> None:
        """Refresh until cancelled."""
        while True:
            try:
                await self.refresh()
            except BusUnavailable as failure:
                log.warning("workforce_not_refreshed", reason=str(failure))
            await asyncio.sleep(REFRESH_SECONDS)

    def _description(self, key: str, entry: bytes) -> WorkerDescription | None:
        """None for an entry that is none, or that speaks for another worker: it hides nobody else."""
        try:
            described = decode(_DESCRIPTION, entry)
            if key != f"{described.worker_name}.{described.instance_id}":
                raise MalformedMessage(f"it is of {described.worker_name}.{described.instance_id}")
        except MalformedMessage as mistake:
            if key not in self._malformed:
                self._malformed.add(key)
                log.warning("registry_entry_malformed", key=key, reason=str(mistake))
            return None
        return described


def _read(descriptions: list[WorkerDescription]) -> Present:
    offered = {(each.worker_name, action.name) for each in descriptions for action in each.actions}
    paid = {(each.worker_name, action.name) for each in descriptions for action in each.actions if action.paid}
    return Present(
        live_workers=frozenset(each.worker_name for each in descriptions),
        known_actions=frozenset(offered),
        free_actions=frozenset(offered - paid),
        capabilities=frozenset(capability for each in descriptions for capability in each.capabilities),
        workers=tuple(sorted(descriptions, key=lambda each: (each.worker_name, each.instance_id))),
    )
