"""What the orchestrator makes of the registry, whatever a worker has written there."""

import msgspec
import pytest

from aif_contracts.subjects import BUCKET_REGISTRY
from aif_contracts.workers import ActionDescription, WorkerDescription
from aif_orchestrator.engine.workforce import Workforce
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus


def described(worker_name: str, instance_id: str) -> bytes:
    free = ActionDescription(name="make", paid=False)
    return msgspec.json.encode(
        WorkerDescription(worker_name=worker_name, instance_id=instance_id, version="1", actions=(free,))
    )


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"{}",
        b"[]",
        b'{"worker_name": "\xff"}',
        b'{"x": ' + b"[" * 100_000,
        described("analyst", "other"),
        described("planner", "bad"),
    ],
    ids=["empty", "without fields", "a list", "no UTF-8", "nested too deeply", "of another process", "of another worker"],
)
async def test_an_entry_that_is_none_hides_no_other_worker(entry: bytes) -> None:
    async with MemoryBus(MemoryBroker()) as bus:
        workforce = Workforce(bus)
        await bus.put_entry(BUCKET_REGISTRY, "analyst.bad", entry)
        await bus.put_entry(BUCKET_REGISTRY, "researcher.good", described("researcher", "good"))

        await workforce.refresh()

        assert workforce.present().live_workers == {"researcher"}
        assert workforce.present().free_actions == {("researcher", "make")}
