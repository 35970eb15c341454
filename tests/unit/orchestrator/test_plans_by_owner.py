"""Which pipeline a name means, and when the database is looked into."""

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest

from aif_orchestrator.engine import plan_news
from aif_orchestrator.engine.plan_news import PlanNews
from aif_orchestrator.engine.plans import Plans, UnknownTemplate
from aif_orchestrator.store.pipelines import FACTORY, StoredPipeline
from aif_pipelines.definition import Pipeline
from aif_pipelines.failures import PipelineInvalid
from aif_runtime.failures import DatabaseUnavailable
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from support.execution_story import pipeline, stage
from support.waiting import eventually

T = TypeVar("T")

HOUSE = pipeline(stage("only"), name="house")
HIDDEN = pipeline(stage("only"), name="hidden", offered=False)


def own(name: str, version: str = "1.0.0") -> Pipeline:
    return pipeline(stage("mine"), name=name, version=version)


class Shelf:
    """Stored pipelines, and how often somebody looked."""

    def __init__(self, *stored: tuple[str, Pipeline]) -> None:
        self.stored = list(stored)
        self.looks = 0

    async def load(self, known_ids: Sequence[int]) -> list[StoredPipeline]:
        """One at a time, as if there were many."""
        self.looks += 1
        unknown = [number for number in range(len(self.stored)) if number not in known_ids]
        return [
            StoredPipeline(
                pipeline_id=number,
                owner=self.stored[number][0],
                digest="",
                pipeline=self.stored[number][1],
                created_at=datetime(2026, 5, 1, tzinfo=UTC),
            )
            for number in unknown[:1]
        ]


async def test_a_name_means_the_clients_own_pipeline_before_the_factorys() -> None:
    plans = Plans(load=Shelf((FACTORY, own("line", "9.0.0")), ("acme", own("line")), ("acme", own("line", "1.2.0"))).load)
    await plans.refresh()

    assert (await plans.find("acme", "line", None)).owner == "acme"
    assert (await plans.find("acme", "line", None)).plan.pipeline.version == "1.2.0"
    assert (await plans.find("acme", "line", "1.0.0")).plan.pipeline.version == "1.0.0"
    assert (await plans.find("rival", "line", None)).owner == FACTORY
    assert (await plans.find("rival", "line", None)).plan.pipeline.version == "9.0.0"


async def test_other_clients_names_are_not_told() -> None:
    plans = Plans([HOUSE], load=Shelf(("acme", own("secret_line"))).load)

    with pytest.raises(UnknownTemplate) as refused:
        await plans.find("rival", "secret_lin", None)

    assert "secret_line" not in str(refused.value)
    assert "house" in str(refused.value)


async def test_of_a_version_that_nobody_has_stored_the_stored_ones_are_told_newest_first() -> None:
    others = [("acme", own("line", f"1.{number}.0")) for number in range(12)]
    plans = Plans([HOUSE], load=Shelf(*others, ("rival", own("line", "7.0.0"))).load)

    with pytest.raises(UnknownTemplate) as refused:
        await plans.find("acme", "line", "2.0.0")

    assert refused.value.field == "template_version"
    assert refused.value.mend == "The newest versions are 1.11.0, 1.10.0, 1.9.0, 1.8.0, 1.7.0."


async def test_a_miss_looks_into_the_database_once_and_a_hit_never() -> None:
    shelf = Shelf()
    plans = Plans([HOUSE], load=shelf.load)
    plans.hears_news = True

    await plans.find("acme", "house", None)
    assert shelf.looks == 0

    shelf.stored = [("acme", own("one")), ("acme", own("two"))]
    assert (await plans.find("acme", "two", None)).owner == "acme"
    looks = shelf.looks
    await plans.find("acme", "one", "1.0.0")
    assert shelf.looks == looks


async def of_turns(coroutine: Coroutine[Any, Any, T]) -> tuple[T, int]:
    """Its outcome, and how often others got their turn meanwhile."""
    task, turns = asyncio.create_task(coroutine), 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    return task.result(), turns


async def test_others_go_on_while_a_pipeline_is_compiled_for_its_first_order() -> None:
    plans = Plans([HOUSE])

    first, turns = await of_turns(plans.find("acme", "house", None))
    again, later_turns = await of_turns(plans.find("acme", "house", None))

    assert turns > later_turns == 1
    assert again.plan is first.plan


async def test_others_go_on_while_a_running_executions_pipeline_is_compiled() -> None:
    _, turns = await of_turns(Plans([HOUSE]).ensure([("", "house", "1.0.0")]))

    assert turns > 1


async def test_orders_that_come_together_have_their_pipeline_compiled_once() -> None:
    plans = Plans([HOUSE])

    found = await asyncio.gather(*(plans.find("acme", "house", None) for _ in range(10)))

    assert len({id(each.plan) for each in found}) == 1


async def test_a_running_executions_plan_that_this_release_cannot_run_is_refused_when_it_is_looked_for() -> None:
    plans = Plans([pipeline(stage("only", input={"x": "{{nowhere.x}}"}), name="broken"), HOUSE])

    await plans.ensure([("", "broken", "1.0.0"), ("", "house", "1.0.0")])

    assert plans.of_execution("", "house", "1.0.0").order == ("only",)
    with pytest.raises(PipelineInvalid):
        plans.of_execution("", "broken", "1.0.0")


async def test_a_running_executions_plan_is_fetched_when_another_replica_has_stored_it() -> None:
    shelf = Shelf()
    plans = Plans([HOUSE], load=shelf.load)
    shelf.stored = [("acme", own("line"))]

    await plans.ensure([("", "house", "1.0.0"), ("acme", "line", "1.0.0")])

    assert plans.of_execution("acme", "line", "1.0.0").pipeline.name == "line"
    looks = shelf.looks
    await plans.ensure([("", "house", "1.0.0"), ("acme", "line", "1.0.0")])
    assert shelf.looks == looks


async def test_an_execution_runs_by_the_very_pipeline_it_started_with() -> None:
    plans = Plans([HOUSE], load=Shelf(("acme", own("house"))).load)
    await plans.refresh()

    assert plans.of_execution("", "house", "1.0.0").order == ("only",)
    assert plans.of_execution("acme", "house", "1.0.0").order == ("mine",)
    with pytest.raises(UnknownTemplate):
        plans.of_execution("rival", "house", "1.0.0")


async def test_templates_are_the_newest_that_are_offered_with_their_owners() -> None:
    plans = Plans([HOUSE, HIDDEN], load=Shelf(("acme", own("line")), ("acme", own("line", "2.0.0")), ("b", own("x"))).load)
    await plans.refresh()

    assert [(each.name, each.version, each.owner) for each in plans.templates("acme")] == [
        ("house", "1.0.0", None),
        ("line", "2.0.0", "acme"),
    ]
    assert [each.name for each in plans.templates(None)] == ["house"]


async def test_a_stored_version_that_this_release_cannot_run_troubles_nobody_else() -> None:
    broken = pipeline(stage("only", input={"x": "{{nowhere.x}}"}), name="broken")
    plans = Plans([HOUSE], load=Shelf(("acme", broken)).load)
    await plans.refresh()

    assert (await plans.find("acme", "house", None)).owner == FACTORY
    with pytest.raises(PipelineInvalid):
        await plans.find("acme", "broken", None)


class AwayAtFirst(Shelf):
    """Stored pipelines in a database that is away when it is first asked."""

    async def load(self, known_ids: Sequence[int]) -> list[StoredPipeline]:
        if not self.looks:
            self.looks += 1
            raise DatabaseUnavailable("away")
        return await super().load(known_ids)


async def test_what_was_stored_while_the_database_was_away_or_nobody_told_of_it_is_found_by_looking_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan_news, "REFRESH_SECONDS", 0.001)
    shelf = AwayAtFirst((FACTORY, own("line")))
    plans = Plans(load=shelf.load)
    async with MemoryBus(MemoryBroker()) as bus:
        following = asyncio.create_task(PlanNews(bus=bus, plans=plans).run())

        await eventually(lambda: len(plans.templates(None)) == 1, what="the one is found after the outage")
        shelf.stored.append((FACTORY, own("later")))
        await eventually(lambda: len(plans.templates(None)) == 2, what="what nobody told of is found")
        following.cancel()
        await asyncio.wait([following])


class HeldShelf(Shelf):
    """Read as long as the test says."""

    def __init__(self, *stored: tuple[str, Pipeline]) -> None:
        super().__init__(*stored)
        self.may_go = asyncio.Event()
        self.is_read = asyncio.Event()

    async def load(self, known_ids: Sequence[int]) -> list[StoredPipeline]:
        self.is_read.set()
        await self.may_go.wait()
        return await super().load(known_ids)


async def test_the_newest_version_is_one_that_was_told_of_and_is_still_being_read() -> None:
    shelf = HeldShelf((FACTORY, own("line", "1.1.0")))
    plans = Plans([own("line")], load=shelf.load)
    reading = asyncio.create_task(plans.refresh())
    await shelf.is_read.wait()

    finding = asyncio.create_task(plans.find("acme", "line", None))
    catching_up = asyncio.create_task(plans.caught_up())
    done_early, _ = await asyncio.wait([finding, catching_up], timeout=0)
    shelf.may_go.set()

    assert done_early == set()
    assert (await finding).plan.pipeline.version == "1.1.0"
    await catching_up
    await reading


async def test_a_replica_that_does_not_listen_yet_knows_the_newest_version_all_the_same() -> None:
    shelf = Shelf((FACTORY, own("line")))
    plans = Plans(load=shelf.load)
    await plans.refresh()
    shelf.stored.append((FACTORY, own("line", "1.1.0")))

    assert (await plans.find("acme", "line", None)).plan.pipeline.version == "1.1.0"

    async with MemoryBus(MemoryBroker()) as bus:
        following = asyncio.create_task(PlanNews(bus=bus, plans=plans).run())
        await eventually(lambda: plans.hears_news, what="it listens")
        looks = shelf.looks
        await plans.find("acme", "line", None)
        assert shelf.looks == looks
        following.cancel()
        await asyncio.wait([following])
    assert not plans.hears_news
