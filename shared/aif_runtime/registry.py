"""Keeps a worker's entry in the registry alive: an entry that is not written again vanishes by itself."""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec
import structlog

from aif_contracts import subjects
from aif_contracts.workers import ActionDescription, WorkerDescription
from aif_runtime.assignment import WorkerSpec
from aif_runtime.bus import Bus
from aif_runtime.failures import BusUnavailable

BEAT_SECONDS = 5.0
TIME_TO_LIVE_SECONDS = 15.0

_log = structlog.get_logger()


def describe(spec: WorkerSpec, *, instance_id: str, version: str) -> WorkerDescription:
    return WorkerDescription(
        worker_name=spec.worker_name,
        instance_id=instance_id,
        version=version,
        actions=tuple(ActionDescription(name=name, paid=action.paid) for name, action in sorted(spec.actions.items())),
        capabilities=spec.capabilities,
        models=spec.models,
        providers=spec.providers(),
        slots=spec.slots,
    )


async def stay_registered(bus: Bus, described: Callable[[], WorkerDescription], stop: asyncio.Event) -> None:
    """Write the entry now and every five seconds until `stop` is set; what the broker misses is written at the next beat."""
    while not stop.is_set():
        description = described()
        key, entry = f"{description.worker_name}.{description.instance_id}", msgspec.json.encode(description)
        try:
            await bus.put_entry(subjects.BUCKET_REGISTRY, key, entry, ttl_seconds=TIME_TO_LIVE_SECONDS)
        except BusUnavailable as failure:
            _log.warning("registry_not_written", reason=str(failure))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEAT_SECONDS):
                await stop.wait()
