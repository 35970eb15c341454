"""Pipelines saved through any replica: whose they are, what is refused, and that every replica can run them."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec
import pytest

from aif_contracts import subjects
from aif_contracts.orders import Accepted, Refusal
from aif_contracts.pipelines import GetPipeline, ListPipelines, PipelinesChanged
from aif_contracts.workers import ActionDescription, ProviderDescription, WorkerDescription
from aif_orchestrator.engine import plan_news
from aif_orchestrator.execution.assignee import CAPABILITY_WORKER
from aif_orchestrator.store.pipelines import PipelineStore
from aif_pipelines.loading import load_pipeline
from aif_runtime.memory_blobs import MemoryBlobStore
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.postgres import Database
from aif_runtime.sql_files import load_queries
from support.execution_story import deliverable, pipeline, stage
from support.orchestrator_line import Client, HandWorker, orchestrator_database, running_orchestrator
from support.orchestrator_questions import Questions
from support.waiting import eventually

HOUSE = pipeline(stage("only"), name="house_line", outputs=(deliverable("only"),))
DOCUMENT = """
name: tea_line
version: {version}
title: Tea
parameters: {{type: object, properties: {{leaf: {{type: string, default: green}}}}}}
stages:
  - id: brew
    worker: maker
    action: make
    input: {{leaf: "{{{{params.leaf}}}}"}}
output:
  - {{name: tea, stage: brew}}
"""
TEA = DOCUMENT.format(version="1.0.0")
MANY_PIPELINES = """
INSERT INTO pipelines (owner, name, version, digest, definition)
SELECT owners.owner, 'line_' || named.name, '1.' || n || '.0', 'none',
       replace(replace(convert_from(definition, 'UTF8'), 'tea_line', 'line_' || named.name), '0.9.0', '1.' || n || '.0')::bytea
FROM pipelines, unnest(ARRAY['a_', 'a1', 'b0']) AS named (name), unnest(ARRAY['acme', 'rival']) AS owners (owner),
     generate_series(1, 10) AS n
WHERE pipelines.name = 'tea_line'
"""
"""Three names, of which two have another order in most languages than byte by byte, with ten versions of two owners each."""


class Rig:
    def __init__(self, broker: MemoryBroker, database: Database) -> None:
        self.broker = broker
        self.bus = MemoryBus(broker)
        self.blobs = MemoryBlobStore()
        self.database = database
        self.acme = Questions(self.bus, "acme")
        self.rival = Questions(self.bus, "rival")
        self.operator = Questions(self.bus, None)

    @asynccontextmanager
    async def orchestrator(self) -> AsyncIterator[None]:
        """One replica, on a bus of its own, gone at the end."""
        bus = MemoryBus(self.broker)
        async with running_orchestrator(bus, self.blobs, self.database, (HOUSE,)):
            yield
        await bus.close()

    async def stores_unheard(self, document: str, owner: str) -> None:
        """As a replica does that dies before it tells the others."""
        async with self.database.transaction() as connection:
            store = PipelineStore(load_queries("aif_orchestrator.store"))
            await store.keep(connection, load_pipeline(document), owner)

    async def stored(self) -> int:
        async with self.database.connection() as connection:
            return int(await connection.fetchval("SELECT count(*) FROM pipelines WHERE name <> 'house_line'"))


@pytest.fixture
async def rig(fresh_orchestrator_database: str) -> AsyncIterator[Rig]:
    async with orchestrator_database(fresh_orchestrator_database) as database:
        rig = Rig(MemoryBroker(), database)
        await HandWorker(rig.bus).register()
        yield rig


async def test_what_a_client_saves_it_can_order_at_once_and_nobody_else_can(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_news, "REFRESH_SECONDS", 3600.0)
    worker = HandWorker(rig.bus)
    async with rig.orchestrator(), rig.orchestrator():
        await rig.rival.saves(TEA.replace("tea_line", "coffee_line"))
        await eventually(lambda: _every_replica_offers(rig.rival, "coffee_line"))  # both are up

        saved = await rig.acme.saves(TEA)

        assert (saved.name, saved.version, saved.owner, saved.is_new, saved.notes) == ("tea_line", "1.0.0", "acme", True, ())
        await eventually(lambda: _every_replica_offers(rig.acme, "tea_line"))
        assert await rig.rival.templates() == {"coffee_line": "rival", "house_line": None}
        accepted = [await Client(rig.bus, "acme").execute(f"exec_{number}", "tea_line") for number in range(6)]
        assert all(isinstance(each, Accepted) for each in accepted), accepted
        refused = await Client(rig.bus, "rival").execute("exec_x", "tea_line")
        assert isinstance(refused, Refusal)
        assert refused.code == "unknown_template"
        assert "tea_line" not in refused.mistakes[0].mend
        packets = [await worker.does_next({"made": True}) for _ in range(6)]
        assert {packet.execution_id for packet in packets} == {f"exec_{number}" for number in range(6)}
        await eventually(lambda: _all_ended(rig, "acme", 6))


async def test_whoever_remembers_pipelines_is_told_whose_were_stored(rig: Rig) -> None:
    async with rig.orchestrator(), rig.bus.listen(subjects.PIPELINES_CHANGED) as heard:
        await rig.acme.saves(TEA)

        told = await heard.next(5)
        assert told is not None
        assert msgspec.json.decode(told.payload, type=PipelinesChanged) == PipelinesChanged(owner="acme")


async def test_what_a_replica_never_heard_of_it_finds_when_it_looks(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_news, "REFRESH_SECONDS", 0.01)
    async with rig.orchestrator():
        for name in ("tea_line", "coffee_line"):
            await rig.stores_unheard(TEA.replace("tea_line", name), "acme")
            await eventually(partial(_every_replica_offers, rig.acme, name), what=f"{name} is offered")


async def test_a_replica_runs_what_it_never_heard_of(rig: Rig) -> None:
    worker = HandWorker(rig.bus)
    async with rig.orchestrator():
        await rig.stores_unheard(TEA, "acme")

        assert isinstance(await Client(rig.bus, "acme").execute("exec_1", "tea_line"), Accepted)

        await worker.does_next({"made": True})
        await eventually(lambda: Client(rig.bus, "acme").has_ended("exec_1"))


async def test_a_running_execution_is_taken_over_by_a_replica_that_never_heard_of_its_pipeline(rig: Rig) -> None:
    worker = HandWorker(rig.bus)
    leaving = rig.orchestrator()
    await leaving.__aenter__()
    async with rig.orchestrator():
        await rig.stores_unheard(TEA, "acme")
        # Whichever of the two answers, the other one has not looked.
        assert isinstance(await Client(rig.bus, "acme").execute("exec_1", "tea_line"), Accepted)
        await leaving.__aexit__(None, None, None)

        await worker.does_next({"made": True})

        await eventually(lambda: Client(rig.bus, "acme").has_ended("exec_1"))


async def test_the_clients_own_pipeline_comes_before_a_later_one_of_the_factory(rig: Rig) -> None:
    async with rig.orchestrator():
        await rig.acme.saves(TEA)

        await rig.operator.saves(DOCUMENT.format(version="7.0.0"))

        assert (await rig.acme.pipeline("tea_line")).pipeline.version == "1.0.0"
        assert (await rig.rival.pipeline("tea_line")).pipeline.version == "7.0.0"
        accepted = await Client(rig.bus, "acme").execute("exec_1", "tea_line")
        assert isinstance(accepted, Accepted)
        assert accepted.template_version == "1.0.0"
        assert await rig.acme.templates() == {"house_line": None, "tea_line": "acme"}
        assert await rig.rival.templates() == {"house_line": None, "tea_line": None}


async def test_who_had_a_name_before_the_factory_may_go_on_saving_under_it(rig: Rig) -> None:
    async with rig.orchestrator():
        await rig.acme.saves(TEA)
        await rig.operator.saves(DOCUMENT.format(version="7.0.0"))

        saved = await rig.acme.saves(DOCUMENT.format(version="1.1.0"))

        assert (saved.owner, saved.version) == ("acme", "1.1.0")


async def test_a_name_of_the_factorys_is_not_for_clients(rig: Rig) -> None:
    async with rig.orchestrator():
        refusal = await rig.acme.refused_to_save(TEA.replace("tea_line", "house_line"))

        assert refusal.code == "pipeline_name_taken"
        assert "house_line" in refusal.message


async def test_the_same_again_is_harmless_and_a_version_never_changes(rig: Rig) -> None:
    async with rig.orchestrator():
        await rig.acme.saves(TEA)

        again = await rig.acme.saves(TEA.replace("title: Tea", 'title: "Tea"'))
        changed = await rig.acme.refused_to_save(TEA.replace("title: Tea", "title: Coffee"))
        elsewhere, elsewhere_again = [await rig.rival.saves(TEA.replace("title: Tea", "title: Coffee")) for _ in range(2)]

        assert not again.is_new
        assert changed.code == "pipeline_version_taken"
        assert (elsewhere.is_new, elsewhere_again.is_new) == (True, False)
        assert await rig.stored() == 2


async def test_every_mistake_is_named_with_its_place_and_nothing_is_stored(rig: Rig) -> None:
    wrong = TEA.replace("params.leaf", "params.leav").replace("stage: brew", "stage: brow").replace("1.0.0", "one")
    async with rig.orchestrator():
        refusal = await rig.acme.refused_to_save(wrong)

        assert refusal.code == "invalid_pipeline"
        assert [mistake.field for mistake in refusal.mistakes] == ["version", "stages[0].input.leaf", "output[0].stage"]
        assert "line 3" in refusal.mistakes[0].message
        assert "leaf" in refusal.mistakes[1].mend
        assert await rig.stored() == 0


UNSENDABLE_KEYS = TEA.replace('leaf: "{{params', '"k\\0": 1, leaf: "{{params'), '{"name\\ud800": 1, "a\\u0000": 2}'


@pytest.mark.parametrize("text", ["name: [", "{", "[]", "just words", "\t", "a: *b", *UNSENDABLE_KEYS], ids=repr)
async def test_what_is_no_document_is_refused(rig: Rig, text: str) -> None:
    async with rig.orchestrator():
        assert (await rig.acme.refused_to_save(text)).code == "invalid_pipeline"


async def test_a_worker_that_nobody_runs_is_a_mistake_unless_it_will_be_started_later(rig: Rig) -> None:
    later = TEA.replace("worker: maker", "worker: brewer")
    async with rig.orchestrator():
        refusal = await rig.acme.refused_to_save(later)
        saved = await rig.acme.saves(later, require_workers=False)

        assert [mistake.field for mistake in refusal.mistakes] == ["stages[0].worker"]
        assert saved.is_new
        assert len(saved.notes) == 1
        assert "brewer" in saved.notes[0]


async def test_an_action_and_a_capability_that_nobody_offers_are_mistakes_unless_workers_come_later(rig: Rig) -> None:
    action = TEA.replace("action: make", "action: mak")
    capability = TEA.replace("    worker: maker\n    action: make\n", "    capability: tasting\n")
    async with rig.orchestrator():
        of_action = await rig.acme.refused_to_save(action)
        of_capability = await rig.acme.refused_to_save(capability)
        later = await rig.acme.saves(capability, require_workers=False)

        assert of_action.mistakes[0].field == "stages[0].action"
        assert "make" in of_action.mistakes[0].mend
        assert of_capability.mistakes[0].field == "stages[0].capability"
        assert ["analyst, which does what is asked for by a capability, is not running" in note for note in later.notes] == [
            True
        ]


async def test_a_capability_that_another_worker_says_it_has_is_told_to_be_asked_of_the_analyst_alone(rig: Rig) -> None:
    for name, offered in ((CAPABILITY_WORKER, "tasting"), ("linguist", "translation")):
        there = WorkerDescription(
            worker_name=name,
            instance_id="a",
            version="1",
            actions=(ActionDescription(name=offered, paid=False),),
            capabilities=(offered,),
        )
        await rig.bus.put_entry(subjects.BUCKET_REGISTRY, f"{name}.a", msgspec.json.encode(there), ttl_seconds=60)
    async with rig.orchestrator():
        refused = await rig.acme.refused_to_save(
            TEA.replace("    worker: maker\n    action: make\n", "    capability: translation\n")
        )

        [mistake] = refused.mistakes
        assert mistake.message.startswith(
            "the worker analyst, which does what is asked for by a capability, does not offer translation"
        )
        assert mistake.mend == "Say `worker: linguist` and `action: translation` instead."


async def test_a_provider_that_nobody_knows_is_a_mistake_and_one_that_nobody_has_now_is_told(rig: Rig) -> None:
    preferring = "    capability: tasting\n    prefer_providers: [local_tongue, deepgram, WISHED]\n"
    tasted = TEA.replace("    worker: maker\n    action: make\n", preferring)
    tongue = ProviderDescription(name="local_tongue", is_local=True, capabilities=("tasting",), models=())
    actions = (ActionDescription(name="tasting", paid=False),)
    taster = WorkerDescription(
        worker_name=CAPABILITY_WORKER, instance_id="a", version="1", actions=actions, providers=(tongue,)
    )
    key = f"{CAPABILITY_WORKER}.a"
    await rig.bus.put_entry(subjects.BUCKET_REGISTRY, key, msgspec.json.encode(taster), ttl_seconds=60)
    async with rig.orchestrator():
        misspelt = await rig.acme.refused_to_save(tasted.replace("WISHED", "deepgarm"))
        saved = await rig.acme.saves(tasted.replace("WISHED", "openai_compatible"))

        assert [(each.field, each.mend) for each in misspelt.mistakes] == [
            ("stages[0].prefer_providers[2]", "Did you mean deepgram?")
        ]
        assert ["deepgram" in saved.notes[0], "openai_compatible" in saved.notes[1]] == [True, True]
        assert len(saved.notes) == 2


async def test_a_saved_pipeline_may_read_the_budget(rig: Rig) -> None:
    worker = HandWorker(rig.bus)
    thrifty = TEA.replace("    input:", '    when: "budget.remaining_usd > 0.5"\n    input:')
    greedy = DOCUMENT.format(version="2.0.0").replace("    input:", '    when: "budget.remaining_usd > 1000000"\n    input:')
    async with rig.orchestrator():
        await rig.acme.saves(thrifty)
        await Client(rig.bus, "acme").execute("exec_1", "tea_line")
        await worker.does_next({"made": True})
        await eventually(lambda: Client(rig.bus, "acme").has_ended("exec_1"))
        await rig.acme.saves(greedy)
        await Client(rig.bus, "acme").execute("exec_2", "tea_line")
        await eventually(lambda: Client(rig.bus, "acme").has_ended("exec_2"))

        assert (await Client(rig.bus, "acme").get("exec_1")).stages[0].status == "completed"
        assert (await Client(rig.bus, "acme").get("exec_2")).stages[0].status == "skipped"


async def test_a_dry_run_checks_and_stores_nothing(rig: Rig) -> None:
    async with rig.orchestrator():
        checked = await rig.acme.saves(TEA, dry_run=True)
        refused = await rig.acme.refused_to_save(TEA.replace("tea_line", "house_line"), dry_run=True)

        assert checked.is_new
        assert refused.code == "pipeline_name_taken"
        assert await rig.stored() == 0
        await rig.acme.saves(TEA)
        assert not (await rig.acme.saves(TEA, dry_run=True)).is_new


async def test_a_document_of_the_older_style_is_taken(rig: Rig) -> None:
    older = {
        "template_name": "older_line",
        "pipeline_stages": [
            {"stage_index": 1, "worker_name": "maker", "action": "make"},
            {"stage_index": 2, "worker_name": "maker", "action": "mistake", "depends_on": [1]},
        ],
    }
    async with rig.orchestrator():
        refusal = await rig.acme.refused_to_save(json.dumps(older))
        older["pipeline_stages"][1]["action"] = "make"  # type: ignore[index]
        saved = await rig.acme.saves(json.dumps(older))

        assert refusal.mistakes[0].field == "pipeline_stages[1].action"
        assert (saved.name, saved.version) == ("older_line", "1.0.0")


async def test_lists_show_ones_own_and_the_factorys_newest_version_first(rig: Rig) -> None:
    async with rig.orchestrator():
        for version in ("1.9.0", "1.10.0-rc.1", "1.10.0", "0.1.0"):
            await rig.acme.saves(DOCUMENT.format(version=version))
        await rig.rival.saves(DOCUMENT.format(version="5.0.0"))

        first = await rig.acme.pipelines(limit=2)
        second = await rig.acme.pipelines(limit=2, cursor=first.next_cursor)
        third = await rig.acme.pipelines(limit=2, cursor=second.next_cursor)

        shown = [(each.name, each.version, each.owner) for page in (first, second, third) for each in page.pipelines]
        assert shown == [
            ("house_line", "1.0.0", None),
            ("tea_line", "1.10.0", "acme"),
            ("tea_line", "1.10.0-rc.1", "acme"),
            ("tea_line", "1.9.0", "acme"),
            ("tea_line", "0.1.0", "acme"),
        ]
        assert third.next_cursor is None
        everything = await rig.operator.pipelines(name="tea_line")
        assert [each.owner for each in everything.pipelines] == ["acme", "acme", "acme", "acme", "rival"]
        foreign = ListPipelines(client_id="acme", cursor="99999")
        refusal = await rig.acme.refused(subjects.LIST_PIPELINES, foreign)
        assert refusal.mistakes[0].field == "cursor"


@pytest.mark.parametrize("limit", [1, 7, 50])
async def test_pages_of_pipelines_miss_nothing_and_repeat_nothing(rig: Rig, limit: int) -> None:
    async with rig.orchestrator():
        await rig.acme.saves(DOCUMENT.format(version="0.9.0"))
        async with rig.database.connection() as connection:
            await connection.execute(MANY_PIPELINES)

        shown = {"acme": await _paged(rig.acme, limit), "operator": await _paged(rig.operator, limit)}

    own = [(f"line_{name}", f"1.{10 - n}.0", "acme") for name in ("a1", "a_", "b0") for n in range(10)]
    rivals = [(f"line_{name}", f"1.{10 - n}.0", "rival") for name in ("a1", "a_", "b0") for n in range(10)]
    house, tea = ("house_line", "1.0.0", None), ("tea_line", "0.9.0", "acme")
    assert shown["acme"] == [house, *own, tea]
    assert shown["operator"] == [house, *sorted(own + rivals, key=lambda each: (each[0], each[2])), tea]


async def _paged(questions: Questions, limit: int) -> list[tuple[str, str, str | None]]:
    shown, cursor = [], None
    while True:
        page = await questions.pipelines(limit=limit, cursor=cursor)
        shown += [(each.name, each.version, each.owner) for each in page.pipelines]
        if (cursor := page.next_cursor) is None:
            return shown


@pytest.mark.parametrize(
    ("query", "values", "index"),
    [
        ("list_pipelines_behind", ("acme", "line_a", 51), "pipelines_of_owner_by_name"),
        ("list_everybodys_pipelines_behind", ("line_a", 51), "pipelines_by_name"),
        ("list_pipeline_versions", (False, "acme", "line_a1"), "pipelines_by_name"),
    ],
)
async def test_among_many_pipelines_a_page_is_found_by_an_index(
    rig: Rig, query: str, values: tuple[Any, ...], index: str
) -> None:
    await rig.stores_unheard(DOCUMENT.format(version="1.0.0"), "acme")
    async with rig.database.connection() as connection:
        await connection.execute(
            "INSERT INTO pipelines (owner, name, version, digest, definition)"
            " SELECT 'client_' || n % 20, 'line_' || n, '1.0.0', digest, ''"
            " FROM pipelines, generate_series(1, 20000) AS n WHERE name = 'tea_line'"
        )
        await connection.execute("ANALYZE pipelines")
        text = load_queries("aif_orchestrator.store")[query]
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {text}", *values))

    assert f"using {index} on" in plan or f"on {index} " in plan
    assert "Seq Scan" not in plan
    assert "Sort" not in plan


async def test_templates_that_no_message_can_hold_come_in_pages(rig: Rig) -> None:
    async with rig.orchestrator():
        for name in ("ant_line", "bee_line", "cow_line", "dog_line", "elk_line", "fox_line"):
            large = TEA.replace("name: tea_line", f"name: {name}").replace(
                "type: string", f"type: string, title: {'x' * 200_000}"
            )
            await rig.acme.saves(large)

        first = await rig.acme.template_page()
        second = await rig.acme.template_page(cursor=first.next_cursor, limit=2)
        third = await rig.acme.template_page(cursor=second.next_cursor)

        assert [each.name for each in first.templates] == ["ant_line", "bee_line", "cow_line"]
        assert [each.name for each in second.templates] == ["dog_line", "elk_line"]
        assert [each.name for each in third.templates] == ["fox_line", "house_line"]
        assert third.next_cursor is None


async def test_who_asks_what_can_be_ordered_is_told_for_how_much_at_most(rig: Rig) -> None:
    async with rig.orchestrator():
        page = await rig.acme.template_page()

        assert page.max_cost_usd == "25"


async def test_a_pipeline_comes_back_complete_and_foreign_ones_are_unknown(rig: Rig) -> None:
    async with rig.orchestrator():
        await rig.acme.saves(TEA)
        await rig.acme.saves(DOCUMENT.format(version="1.1.0"))

        newest = await rig.acme.pipeline("tea_line")
        older = await rig.acme.pipeline("tea_line", "1.0.0")

        assert newest.pipeline.version == "1.1.0"
        assert older.pipeline.stages == ("brew",)
        assert older.document["stages"][0]["retry"]["max_attempts"] >= 1
        assert load_pipeline(json.dumps(older.document)) == load_pipeline(TEA)
        for request in (
            GetPipeline(client_id="rival", name="tea_line"),
            GetPipeline(client_id="acme", name="tea_line", version="3.0.0"),
            GetPipeline(client_id=None, name="tea_line"),
        ):
            assert (await rig.acme.refused(subjects.GET_PIPELINE, request)).code == "unknown_pipeline"
        missed = await rig.acme.refused(subjects.GET_PIPELINE, GetPipeline(client_id="acme", name="tea_line", version="3.0.0"))
        assert missed.message == "there is no pipeline tea_line 3.0.0; its newest versions are 1.1.0, 1.0.0"


async def test_a_stored_version_that_this_release_cannot_run_is_refused_and_troubles_no_other_order(rig: Rig) -> None:
    async with rig.database.transaction() as connection:
        broken = pipeline(stage("only", input={"x": "{{nowhere.x}}"}), name="older_release")
        await PipelineStore(load_queries("aif_orchestrator.store")).keep(connection, broken, "acme")
    async with rig.orchestrator():
        refusal = await Client(rig.bus, "acme").execute("exec_1", "older_release")
        accepted = await Client(rig.bus, "acme").execute("exec_2", "house_line")

        assert isinstance(refusal, Refusal)
        assert refusal.code == "invalid_pipeline"
        assert "stages[0].input" in refusal.message
        assert isinstance(accepted, Accepted)


async def test_a_replica_that_starts_later_knows_what_was_saved_before(rig: Rig) -> None:
    async with rig.orchestrator():
        await rig.acme.saves(TEA)

    async with rig.orchestrator():
        assert await rig.acme.templates() == {"house_line": None, "tea_line": "acme"}


async def _all_ended(rig: Rig, client_id: str, count: int) -> bool:
    page = await Questions(rig.bus, client_id).executions(status="completed")
    return len(page.executions) == count


async def _every_replica_offers(questions: Questions, name: str) -> bool:
    """They answer by turns."""
    return all([name in await questions.templates() for _ in range(4)])


async def test_what_a_replica_does_not_know_is_found_without_comparing_each_pipeline_with_each_that_it_knows(rig: Rig) -> None:
    for number in range(3):
        await rig.stores_unheard(DOCUMENT.format(version=f"1.0.{number}"), "acme")

    async with rig.database.connection() as connection:
        store = PipelineStore(load_queries("aif_orchestrator.store"))
        first, *_, last = [each.pipeline_id for each in await store.list_unknown(connection, [])]
        unknown = [each.pipeline_id for each in await store.list_unknown(connection, [last])]
        query = load_queries("aif_orchestrator.store")["list_unknown_pipelines"]
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {query}", [first, last], 500))

    assert first in unknown
    assert last not in unknown
    assert "SetOp" in plan
    assert "Filter" not in plan
