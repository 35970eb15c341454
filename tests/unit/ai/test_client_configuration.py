"""Configurations: read in parallel, cached, pushed on change; nothing that is wrong or away costs more than itself."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
import pytest

from aif_ai import configuration_entries
from aif_ai.configuration import Configurations
from aif_ai.configuration_complaints import Complaints
from aif_ai.configuration_entries import ConfigurationEntries
from aif_ai.configured_switches import ConfiguredSwitches
from aif_contracts import subjects
from aif_contracts.audit import AuditEntry
from aif_contracts.configuration import COMPLETE, AiSettings, Company, Product, Profile, Workspace
from aif_prices.book import PriceBook, shipped_prices
from aif_runtime.bus import ConsumerSpec
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBroadcasts, MemoryBus
from support.manual_clock import ManualClock
from support.waiting import eventually


class WatchedBus(MemoryBus):
    """Counts the entries that are read, and those that are read at the same time; its watch may go deaf."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.reads: list[str] = []
        self.reading = 0
        self.most_reading = 0
        self.is_deaf = False
        self.is_away = False
        self.before_answer: Callable[[str], Awaitable[None]] | None = None

    @property
    def is_connected(self) -> bool:
        return not self.is_away and super().is_connected

    async def entry(self, bucket: str, key: str) -> bytes | None:
        self.reads.append(key)
        self.reading += 1
        self.most_reading = max(self.most_reading, self.reading)
        found = await super().entry(bucket, key)
        if self.before_answer is not None:
            await self.before_answer(key)
        await asyncio.sleep(0)
        self.reading -= 1
        return found

    def watch(self, bucket: str) -> AbstractAsyncContextManager[MemoryBroadcasts]:
        return self.listen("nothing") if self.is_deaf else super().watch(bucket)


class Rig:
    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.bus = WatchedBus(self.broker)
        self.writing = MemoryBus(self.broker)
        self.clock = ManualClock()
        self.complaints = Complaints(origin="content_granulator", clock=self.clock)
        self.entries = ConfigurationEntries(
            bus=self.bus, monotonic=self.clock.monotonic, complaints=self.complaints, listen_seconds=0.05
        )
        self.configurations = Configurations(entries=self.entries, complaints=self.complaints)

    async def put(self, entry: str, content: Any, revision: int = 1) -> None:
        written = msgspec.json.encode({"revision": revision, "content": content})
        await self.writing.put_entry(subjects.BUCKET_CONFIG, entry, written)

    async def company_name(self) -> str:
        return (await self.configurations.of("acme")).company.name

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        running = asyncio.create_task(self.entries.run(stop))
        await eventually(lambda: self.entries.is_watching)
        try:
            yield
        finally:
            stop.set()
            await running

    async def audited(self) -> list[AuditEntry]:
        await self.complaints.send(self.writing)
        spec = ConsumerSpec(stream=subjects.STREAM_AUDIT, durable=subjects.CONSUMER_AUDIT, filter_subject=subjects.ALL_AUDIT)
        found = await (await self.writing.open_consumer(spec)).fetch(100, 0.05)
        return [msgspec.json.decode(delivery.payload, type=AuditEntry) for delivery in found]


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_all_parts_are_read_at_the_same_time(rig: Rig) -> None:
    await rig.put("client.acme.profile", {"tier": "free", "coins": 3, "display_name": "Acme"})
    await rig.put("client.acme.company", {"name": "Acme", "brand_voice": "Warm."})
    await rig.put("client.acme.products", {"products": [{"product_id": "prod_1", "name": "Hive"}]})
    await rig.put("client.acme.ai_settings", {"language": "de", "preferred_models": ["gpt-4o-mini"]})
    await rig.put("client.acme.workspace.spring", {"workspace_id": "spring", "branding": {"colour": "yellow"}})

    found = await rig.configurations.of("acme", "spring")

    assert found.profile == Profile(tier="free", coins=3, display_name="Acme")
    assert found.company == Company(name="Acme", brand_voice="Warm.")
    assert found.products == (Product(product_id="prod_1", name="Hive"),)
    assert found.ai_settings == AiSettings(language="de", preferred_models=("gpt-4o-mini",))
    assert found.workspace == Workspace(workspace_id="spring", branding={"colour": "yellow"})
    assert (len(rig.bus.reads), rig.bus.most_reading) == (5, 5)


async def test_a_workspace_shows_nothing_of_another_one_or_another_clients(rig: Rig) -> None:
    await rig.put("client.acme.workspace.spring", {"workspace_id": "spring", "name": "Spring"})
    await rig.put("client.other.workspace.autumn", {"workspace_id": "autumn", "name": "Autumn"})
    await rig.put("client.other.company", {"name": "Other"})

    in_spring = await rig.configurations.of("acme", "spring")
    in_autumn = await rig.configurations.of("acme", "autumn")
    in_none = await rig.configurations.of("acme")
    odd = [await rig.configurations.of("acme", odd) for odd in ("", "*", "spring.x", "a b", ">")]

    assert in_spring.workspace == Workspace(workspace_id="spring", name="Spring")
    assert (in_autumn.workspace, in_none.workspace, in_spring.company.name) == (None, None, "")
    assert [found.workspace for found in odd] == [None] * 5
    assert (await rig.configurations.of("*")).company.name == ""


async def test_what_was_read_is_kept_for_five_minutes(rig: Rig) -> None:
    await rig.put("client.acme.company", {"name": "Acme"})
    await rig.configurations.of("acme")
    await rig.put("client.acme.company", {"name": "New"}, revision=2)

    rig.clock.advance(299)
    kept = await rig.company_name()
    reads = len(rig.bus.reads)
    rig.clock.advance(1)

    assert (kept, reads) == ("Acme", 4)
    assert await rig.company_name() == "New"


async def test_many_who_ask_at_once_cause_one_reading(rig: Rig) -> None:
    await rig.put("client.acme.company", {"name": "Acme"})

    names = await asyncio.gather(*(rig.company_name() for _ in range(20)))

    assert set(names) == {"Acme"}
    assert rig.bus.reads.count("client.acme.company") == 1


async def test_a_change_is_known_at_once_without_reading(rig: Rig) -> None:
    await rig.put("client.acme.company", {"name": "Acme"})
    async with rig.following():
        await rig.configurations.of("acme")
        reads = len(rig.bus.reads)

        await rig.put("client.acme.company", {"name": "New"}, revision=2)

        async def is_known() -> bool:
            return await rig.company_name() == "New"

        await eventually(is_known)
        assert len(rig.bus.reads) == reads


async def test_an_older_change_that_comes_late_is_not_taken(rig: Rig) -> None:
    await rig.put("client.acme.company", {"name": "New"}, revision=7)
    async with rig.following():
        await rig.configurations.of("acme")

        await rig.put("client.acme.company", {"name": "Old"}, revision=6)
        await rig.put("system", {"values": {"orchestrator_enable_fallback": False}}, revision=8)
        await eventually(lambda: rig.entries.system.revision == 8)

        assert await rig.company_name() == "New"


async def test_a_change_during_a_reading_is_not_covered_by_what_was_read(rig: Rig) -> None:
    await rig.put("client.acme.company", {"name": "Old"}, revision=1)
    told = asyncio.Event()

    async def change_meanwhile(key: str) -> None:
        if key == "client.acme.company" and not told.is_set():
            told.set()
            await rig.put(key, {"name": "New"}, revision=2)
            await rig.put("system", {"values": {"a": 1}}, revision=3)
            await eventually(lambda: rig.entries.system.revision == 3)

    async with rig.following():
        rig.bus.before_answer = change_meanwhile

        assert await rig.company_name() == "New"


async def test_after_the_connection_was_away_everything_is_read_again(rig: Rig) -> None:
    await rig.put("client.acme.company", {"name": "Acme"})
    rig.bus.is_deaf = True
    async with rig.following():
        await rig.configurations.of("acme")
        await rig.put("client.acme.company", {"name": "New"}, revision=2)
        assert await rig.company_name() == "Acme"

        rig.bus.is_away = True
        await eventually(lambda: rig.entries.was_away)
        rig.bus.is_away = False

        async def is_known() -> bool:
            return await rig.company_name() == "New"

        await eventually(is_known)


async def test_what_cannot_be_used_is_at_its_default_and_told_once(rig: Rig) -> None:
    await rig.put("client.acme.company", {"name": 4, "industry": "Bees", "website": "javascript:x", "new_field": 1}, revision=5)
    await rig.put(
        "client.acme.products",
        {"products": [{"product_id": "p1", "name": "Hive", "tags": "wood"}, {"name": "no id"}, "none"]},
        revision=6,
    )
    await rig.put("client.acme.ai_settings", "nonsense", revision=7)

    first = await rig.configurations.of("acme")
    second = await rig.configurations.of("acme")

    assert first == second
    assert first.company == Company(industry="Bees")
    assert first.products == (Product(product_id="p1", name="Hive"),)
    assert first.ai_settings == AiSettings()
    entries = await rig.audited()
    assert sorted((entry.details["entry"], entry.details["field"]) for entry in entries) == [
        ("client.acme.ai_settings", ""),
        ("client.acme.company", "name"),
        ("client.acme.company", "website"),
        ("client.acme.products", "products[0].tags"),
        ("client.acme.products", "products[1].product_id"),
        ("client.acme.products", "products[2]"),
    ]
    assert {(entry.action, entry.severity.value, entry.client_id) for entry in entries} == {
        ("CONFIGURATION_INVALID", "warning", "acme")
    }
    assert await rig.audited() == []


async def test_an_entry_that_is_none_keeps_what_was_known(rig: Rig) -> None:
    await rig.put("client.acme.company", {"name": "Acme"})
    await rig.configurations.of("acme")
    await rig.writing.put_entry(subjects.BUCKET_CONFIG, "client.acme.company", b"{rubbish")

    rig.clock.advance(301)

    assert await rig.company_name() == "Acme"
    assert [entry.details["entry"] for entry in await rig.audited()] == ["client.acme.company"]


async def test_while_the_broker_is_away_what_was_known_holds(rig: Rig) -> None:
    await rig.put("client.acme.company", {"name": "Acme"})
    await rig.configurations.of("acme")

    rig.broker.go_down()
    rig.clock.advance(3600)
    away = (await rig.company_name(), (await rig.configurations.of("unknown")).company.name)
    rig.broker.come_back()
    await rig.put("client.acme.company", {"name": "New"}, revision=2)
    rig.clock.advance(5)

    assert away == ("Acme", "")
    assert await rig.company_name() == "New"


async def test_the_log_says_that_a_frozen_broker_did_not_answer(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(configuration_entries, "READ_SECONDS", 0.01)

    async def never(_key: str) -> None:
        await asyncio.Event().wait()

    rig.bus.before_answer = never
    await rig.configurations.of("acme")

    reasons = {vars(record)["reason"] for record in caplog.records if record.message == "configuration_unread"}
    assert reasons == {"no answer within 0.01 s"}


async def test_a_bucket_that_lost_its_entries_does_not_unset_them(rig: Rig) -> None:
    await rig.put("client.acme.company", {"name": "Acme"})
    await rig.configurations.of("acme")

    rig.broker.wipe()
    rig.clock.advance(301)
    while_lost = await rig.company_name()
    await rig.writing.put_entry(subjects.BUCKET_CONFIG, COMPLETE, b"{}")
    rig.clock.advance(5)

    assert while_lost == "Acme"
    assert await rig.company_name() == ""


async def test_a_part_that_is_unset_is_at_its_default_again(rig: Rig) -> None:
    await rig.put("client.acme.workspace.spring", {"workspace_id": "spring"}, revision=1)
    async with rig.following():
        assert (await rig.configurations.of("acme", "spring")).workspace is not None

        await rig.put("client.acme.workspace.spring", None, revision=2)

        async def is_gone() -> bool:
            return (await rig.configurations.of("acme", "spring")).workspace is None

        await eventually(is_gone)


async def test_the_audit_log_hears_once_of_each_key_whose_model_nobody_offers(rig: Rig) -> None:
    values = {"agent.structure_course.primary_model": "gpt-9", "orchestrator_fallback_model": "gpt-9"}
    await rig.put("system", {"values": values | {"agent.structure_quiz.primary_model": "gpt-9"}})
    await rig.entries.refresh_system()
    switches = ConfiguredSwitches(
        entries=rig.entries,
        configurations=rig.configurations,
        complaints=rig.complaints,
        price_book=lambda overrides: PriceBook(shipped_prices(), overrides=overrides),
    )

    switches.not_to_be_had("structure_course", "gpt-9")
    switches.not_to_be_had("structure_course", "gpt-9")

    reason = "gpt-9 is offered by no provider of this worker, or has no price there: other models serve"
    assert [(entry.action, entry.details["field"], entry.details["reason"]) for entry in await rig.audited()] == [
        ("CONFIGURATION_INVALID", "agent.structure_course.primary_model", reason),
        ("CONFIGURATION_INVALID", "orchestrator_fallback_model", reason),
    ]
