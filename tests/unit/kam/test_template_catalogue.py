"""What each client is offered: kept for half a minute, forgotten when it changes, never mixed up."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from aif_contracts import subjects
from aif_contracts.orders import ListTemplates, TemplateList, TemplateView
from aif_contracts.pipelines import PipelinesChanged
from aif_kam.failures import InvalidInput, Unavailable
from aif_kam.loops import run_template_news
from aif_kam.orchestrator_client import OrchestratorClient
from aif_kam.template_catalogue import CLIENTS_KEPT, SETTLING_SECONDS, TemplateCatalogue
from aif_runtime.bus import Question
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.telemetry import TracingOff
from support.manual_clock import ManualClock
from support.waiting import eventually


def template(name: str, *, owner: str | None = None, version: str = "1.0.0") -> TemplateView:
    return TemplateView(
        name=name,
        version=version,
        title=name,
        description="",
        structure_type=None,
        parameters={},
        stages=(),
        owner=owner,
    )


class Offers:
    """Answers for the orchestrator, and waits at the door when the test says so."""

    def __init__(self) -> None:
        self.templates = [template("course")]
        self.asked: list[str | None] = []
        self.page_size = 100
        self.is_away = False
        self.is_held = asyncio.Event()
        self.may_go = asyncio.Event()
        self.may_go.set()

    async def answer(self, question: Question) -> bytes:
        query = msgspec.json.decode(question.payload, type=ListTemplates)
        self.asked.append(query.client_id)
        if self.is_away:
            raise ConnectionError("away")
        offered = [each for each in self.templates if each.owner in (None, query.client_id)]
        behind = sorted((each for each in offered if each.name > (query.cursor or "")), key=lambda each: each.name)
        page = tuple(behind[: self.page_size])
        answer = TemplateList(templates=page, next_cursor=page[-1].name if len(behind) > len(page) else None)
        self.is_held.set()
        await self.may_go.wait()
        return msgspec.json.encode(answer)


class Rig:
    def __init__(self, bus: MemoryBus) -> None:
        self.bus = bus
        self.offers = Offers()
        self.clock = ManualClock()
        orchestrator = OrchestratorClient(bus=bus, tracing=TracingOff())
        self.catalogue = TemplateCatalogue(orchestrator=orchestrator, clock=self.clock)

    async def names(self, client_id: str | None) -> list[str]:
        return list(await self.catalogue.all(client_id))


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[Rig]:
    bus = MemoryBus(MemoryBroker())
    made = Rig(bus)
    await bus.answer(subjects.TEMPLATES, subjects.ORCHESTRATOR_GROUP, made.offers.answer)
    yield made
    await bus.close()


async def test_each_client_is_offered_the_factorys_and_its_own(rig: Rig) -> None:
    rig.offers.templates += [template("bees", owner="alice"), template("wasps", owner="bob")]

    assert await rig.names("alice") == ["course", "bees"]
    assert await rig.names("bob") == ["course", "wasps"]
    assert await rig.names(None) == ["course"]


async def test_templates_that_no_answer_can_hold_are_fetched_page_by_page(rig: Rig) -> None:
    rig.offers.templates += [template(f"bees_{number}", owner="alice") for number in range(5)]
    rig.offers.page_size = 2

    assert await rig.names("alice") == ["course", "bees_0", "bees_1", "bees_2", "bees_3", "bees_4"]
    assert rig.offers.asked == ["alice", "alice", "alice"]


async def test_a_list_is_kept_for_half_a_minute_per_client(rig: Rig) -> None:
    for _ in range(3):
        await rig.names("alice")
    await rig.names("bob")
    rig.clock.advance(29)
    await rig.names("alice")
    assert rig.offers.asked == ["alice", "bob"]

    rig.clock.advance(2)
    await rig.names("alice")

    assert rig.offers.asked == ["alice", "bob", "alice"]


async def test_many_at_once_ask_once(rig: Rig) -> None:
    await asyncio.gather(*(rig.names("alice") for _ in range(20)))

    assert rig.offers.asked == ["alice"]


async def test_many_at_once_wait_together_for_an_orchestrator_that_is_away(rig: Rig) -> None:
    rig.offers.is_away = True

    failures = await asyncio.gather(*(rig.names("alice") for _ in range(10)), return_exceptions=True)

    assert [type(failure) for failure in failures] == [Unavailable] * 10
    assert rig.offers.asked == ["alice"]
    rig.offers.is_away = False
    assert await rig.names("alice") == ["course"]
    rig.offers.is_away = True
    rig.clock.advance(31.0)
    assert await asyncio.gather(*(rig.names("alice") for _ in range(10))) == [["course"]] * 10
    assert rig.offers.asked == ["alice"] * 3


async def test_what_changed_for_one_client_is_asked_for_again_for_it_alone(rig: Rig) -> None:
    await rig.names("alice")
    await rig.names("bob")

    rig.catalogue.forget("alice")
    await rig.names("alice")
    await rig.names("bob")

    assert rig.offers.asked == ["alice", "bob", "alice"]


async def test_what_changed_for_the_factory_is_asked_for_again_for_all(rig: Rig) -> None:
    await rig.names("alice")
    await rig.names(None)

    rig.catalogue.forget(None)
    await rig.names("alice")
    await rig.names(None)

    assert rig.offers.asked == ["alice", None, "alice", None]


@pytest.mark.parametrize("changed", ["alice", None])
async def test_nothing_is_kept_until_every_replica_of_the_orchestrator_can_have_heard_of_a_change(
    rig: Rig, changed: str | None
) -> None:
    rig.catalogue.forget(changed)
    assert await rig.names("alice") == ["course"]
    rig.offers.templates.append(template("bees", owner="alice"))
    rig.clock.advance(4)
    assert await rig.names("alice") == ["course", "bees"]
    rig.clock.advance(1.1)
    assert await rig.names("alice") == ["course", "bees"]
    assert rig.offers.asked == ["alice"] * 3

    rig.clock.advance(29)
    await rig.names("alice")

    assert rig.offers.asked == ["alice"] * 3


async def test_an_answer_that_a_change_has_overtaken_is_not_kept(rig: Rig) -> None:
    rig.offers.may_go.clear()
    first = asyncio.create_task(rig.names("alice"))
    await rig.offers.is_held.wait()

    rig.offers.templates.append(template("bees", owner="alice"))
    rig.catalogue.forget("alice")
    rig.offers.may_go.set()

    assert await first == ["course"]
    assert await rig.names("alice") == ["course", "bees"]


async def test_a_name_that_is_not_known_is_looked_for_again_but_not_more_than_once_a_second(rig: Rig) -> None:
    await rig.names("alice")
    rig.offers.templates.append(template("bees", owner="alice"))
    with pytest.raises(InvalidInput) as refused:
        await rig.catalogue.chosen("bees", "alice", field="selected_template")
    assert rig.offers.asked == ["alice"]
    assert (refused.value.code, refused.value.mistakes[0].field) == ("unknown_template", "selected_template")
    rig.clock.advance(1.1)

    found = await rig.catalogue.chosen("bees", "alice", field="selected_template")

    assert found.owner == "alice"
    assert rig.offers.asked == ["alice", "alice"]


async def test_of_two_with_one_name_the_clients_own_is_meant(rig: Rig) -> None:
    rig.offers.templates.insert(0, template("course", owner="alice", version="7.0.0"))

    assert (await rig.catalogue.get("course", "alice")).version == "7.0.0"
    assert (await rig.catalogue.get("course", "bob")).version == "1.0.0"


async def test_an_old_list_serves_while_the_orchestrator_is_away(rig: Rig) -> None:
    await rig.names("alice")
    rig.clock.advance(60)
    rig.offers.is_away = True

    assert await rig.names("alice") == ["course"]
    with pytest.raises(Unavailable):
        await rig.names("bob")


async def test_no_more_clients_are_kept_than_allowed_and_the_longest_unseen_goes_first(rig: Rig) -> None:
    for number in range(CLIENTS_KEPT):
        await rig.names(f"client{number}")
    await rig.names("client0")
    await rig.names("one_more")
    asked = len(rig.offers.asked)

    await rig.names("client0")
    assert len(rig.offers.asked) == asked

    await rig.names("client1")
    assert rig.offers.asked[asked:] == ["client1"]


async def test_what_is_stored_through_another_gateway_is_offered_at_once(rig: Rig) -> None:
    async def is_asked_again() -> bool:
        asked = len(rig.offers.asked)
        await rig.names("alice")
        return len(rig.offers.asked) > asked

    await rig.names("alice")
    stop = asyncio.Event()
    following = asyncio.create_task(run_template_news(stop, bus=rig.bus, catalogue=rig.catalogue))
    await eventually(is_asked_again, what="it listens, and looks for what it has not heard")
    rig.clock.advance(SETTLING_SECONDS + 0.1)
    await rig.names("alice")
    await rig.names("bob")
    assert not await is_asked_again()

    await rig.bus.broadcast(subjects.PIPELINES_CHANGED, msgspec.json.encode(PipelinesChanged(owner="alice")))
    rig.offers.templates.append(template("bees", owner="alice"))

    await eventually(is_asked_again, what="it has heard")
    assert await rig.names("alice") == ["course", "bees"]
    await rig.names("bob")
    assert rig.offers.asked.count("bob") == 1
    stop.set()
    await following


async def test_a_list_that_lacks_what_was_stored_refuses_nothing_while_the_orchestrator_is_away(rig: Rig) -> None:
    await rig.names("alice")
    rig.clock.advance(1)
    rig.catalogue.forget("alice")
    rig.offers.is_away = True

    waiting = await asyncio.gather(*(rig.names("alice") for _ in range(3)), return_exceptions=True)

    assert [type(each) for each in waiting] == [Unavailable] * 3
