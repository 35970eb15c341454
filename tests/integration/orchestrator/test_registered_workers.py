"""What the orchestrator makes of the registry, whatever a worker has written there."""

import msgspec
import pytest
from structlog.testing import capture_logs

from aif_contracts.subjects import BUCKET_REGISTRY
from aif_contracts.workers import ActionDescription, ProviderDescription, WorkerDescription
from aif_orchestrator.engine.workforce import Workforce
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus


def described(worker_name: str, instance_id: str, *, action: str = "make", paid: bool = False, provider: str = "own") -> bytes:
    return msgspec.json.encode(
        WorkerDescription(
            worker_name=worker_name,
            instance_id=instance_id,
            version="1",
            actions=(ActionDescription(name=action, paid=paid),),
            providers=(ProviderDescription(name=provider, is_local=True, capabilities=(), models=()),),
        )
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


async def test_an_action_is_free_only_while_no_process_of_its_worker_is_paid_for_it() -> None:
    async with MemoryBus(MemoryBroker()) as bus:
        workforce = Workforce(bus)
        await bus.put_entry(BUCKET_REGISTRY, "analyst.local", described("analyst", "local"))
        await bus.put_entry(BUCKET_REGISTRY, "analyst.cloud", described("analyst", "cloud", paid=True))
        await bus.put_entry(BUCKET_REGISTRY, "planner.local", described("planner", "local"))

        await workforce.refresh()

        assert workforce.present().live_workers == {"analyst", "planner"}
        assert workforce.present().free_actions == {("planner", "make")}


async def test_a_worker_offers_what_any_process_of_it_offers() -> None:
    async with MemoryBus(MemoryBroker()) as bus:
        workforce = Workforce(bus)
        await bus.put_entry(BUCKET_REGISTRY, "analyst.older", described("analyst", "older", provider="local"))
        await bus.put_entry(BUCKET_REGISTRY, "analyst.newer", described("analyst", "newer", action="sum_up", provider="cloud"))
        await bus.put_entry(BUCKET_REGISTRY, "planner.only", described("planner", "only", action="plan"))

        await workforce.refresh()

        assert workforce.present().actions() == {"analyst": {"make", "sum_up"}, "planner": {"plan"}}
        assert workforce.present().known_actions == {("analyst", "make"), ("analyst", "sum_up"), ("planner", "plan")}
        assert workforce.present().providers_of("analyst") == {"local", "cloud"}


async def test_an_entry_that_is_none_is_told_of_once_for_as_long_as_it_is_there() -> None:
    async with MemoryBus(MemoryBroker()) as bus:
        workforce = Workforce(bus)
        with capture_logs() as told:
            for _ in range(2):
                await bus.put_entry(BUCKET_REGISTRY, "analyst.bad", b"{}")
                await workforce.refresh()
                await workforce.refresh()
                await bus.delete_entry(BUCKET_REGISTRY, "analyst.bad")
                await workforce.refresh()

    assert [(each["event"], each["key"]) for each in told] == [("registry_entry_malformed", "analyst.bad")] * 2
