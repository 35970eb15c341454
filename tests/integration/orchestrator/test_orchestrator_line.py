"""The orchestrator with real Postgres, over the in-memory bus: questions in, packets out, reports in, events out."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from aif_contracts import subjects
from aif_contracts.dead_letters import DeadLetter
from aif_contracts.orders import Accepted, Execute, ExecutionView, Refusal
from aif_contracts.packets import Cancelled, NotNoted, Proceed, Superseded
from aif_contracts.performance import PerformanceRecord
from aif_orchestrator.engine import relay
from aif_orchestrator.retention import Retention
from aif_orchestrator.store.batches import BatchStore, Committed, Decided
from aif_orchestrator.store.executions import ExecutionStore
from aif_orchestrator.store.outbox import packed_row
from aif_pipelines.builder import Pipeline
from aif_pipelines.definition import Refusal as TemplateRefusal
from aif_runtime.broker_rules import MAX_PAYLOAD_BYTES
from aif_runtime.bus import Broadcasts, ConsumerSpec, Outgoing
from aif_runtime.memory_blobs import MemoryBlobStore
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.postgres import Connection, Database
from aif_runtime.sql_files import load_queries
from support.execution_story import call, deliverable, pipeline, schema_of, stage
from support.orchestrator_line import Client, HandWorker, inline_ref, orchestrator_database, running_orchestrator
from support.waiting import eventually

ONE = pipeline(stage("only"), name="one_stage", outputs=(deliverable("only"),))
THREE = pipeline(
    stage("first", input={"n": "{{params.n}}"}),
    stage("second", input={"text": "{{first.text}}"}),
    stage("third", input={"text": "{{second.text}}"}),
    name="three_stages",
    parameters={"type": "object", "properties": {"n": {"type": "integer", "minimum": 1, "default": 4}}},
    outputs=(deliverable("third"),),
)
PICKY = pipeline(
    stage("only"),
    name="picky",
    parameters=schema_of("topic"),
    refusals=(
        TemplateRefusal(condition="not ('llm_generation' in capabilities)", field="topic", message="Set OPENAI_API_KEY."),
    ),
)
DOUBTFUL = pipeline(
    stage("only"),
    name="doubtful",
    parameters={"type": "object", "properties": {"level": {"type": "integer"}}},
    refusals=(TemplateRefusal(condition="params.level > 3", field="level", message="Too high."),),
)
_ANYTHING = {"type": "object", "additionalProperties": True}
HEARING = Pipeline("hearing").step("listen").capability("transcription").done().parameters(_ANYTHING).build()
FETCHING = (
    Pipeline("fetching")
    .step("fetch")
    .worker("maker", "make")
    .output_as("source")
    .done()
    .step("listen")
    .capability("transcription")
    .input_from("source")
    .done()
    .parameters(_ANYTHING)
    .build()
)
PIPELINES = (ONE, THREE, PICKY, DOUBTFUL, HEARING, FETCHING)


class Rig:
    def __init__(self, broker: MemoryBroker, database: Database) -> None:
        self.broker = broker
        self.bus = MemoryBus(broker)
        self.blobs = MemoryBlobStore()
        self.database = database
        self.client = Client(self.bus)

    @asynccontextmanager
    async def orchestrator(self, **settings: Any) -> AsyncIterator[None]:
        """One replica, on a bus of its own, gone at the end."""
        bus = MemoryBus(self.broker)
        async with running_orchestrator(bus, self.blobs, self.database, PIPELINES, **settings):
            yield
        await bus.close()

    async def count(self, query: str) -> int:
        async with self.database.connection() as connection:
            return int(await connection.fetchval(query))

    async def dead_letters(self) -> list[DeadLetter]:
        spec = ConsumerSpec(stream=subjects.STREAM_DEAD, durable="reader", filter_subject=subjects.ALL_DEAD)
        deliveries = await self.bus.open_consumer(spec)
        return [msgspec.json.decode(each.payload, type=DeadLetter) for each in await deliveries.fetch(100, 0.05)]


@pytest.fixture
async def rig(fresh_orchestrator_database: str) -> AsyncIterator[Rig]:
    async with orchestrator_database(fresh_orchestrator_database) as database:
        yield Rig(MemoryBroker(), database)


async def test_an_order_becomes_packets_and_its_reports_an_ended_execution(rig: Rig) -> None:
    worker = HandWorker(rig.bus, paid=False)
    await worker.register()
    async with rig.orchestrator():
        accepted = await rig.client.execute("exec_1", "three_stages")
        assert isinstance(accepted, Accepted)

        first = await worker.does_next({"text": "one"})
        second = await worker.does_next({"text": "two"})
        await worker.does_next({"text": "three"})
        await eventually(lambda: rig.client.has_ended("exec_1"))

        assert msgspec.json.decode(first.data_ref.inline or b"") == {"n": 4}
        assert msgspec.json.decode(second.data_ref.inline or b"") == {"text": "one"}
        view = await rig.client.get("exec_1")
        assert view.status == "completed"
        assert view.totals.busy_time_ms == 21
        assert [each.name for each in view.deliverables] == ["thing"]
        page = await rig.client.events("exec_1")
        assert page.is_final
        assert [event.sequence for event in page.events] == list(range(1, len(page.events) + 1))
        assert (await rig.client.events("exec_1", after=3)).events == page.events[3:]
    assert await rig.count("SELECT count(*) FROM stage_attempts WHERE success") == 3
    assert await rig.count("SELECT count(*) FROM outbox") == 0


async def test_the_same_order_twice_is_one_execution(rig: Rig) -> None:
    worker = HandWorker(rig.bus)
    async with rig.orchestrator():
        answers = await asyncio.gather(*(rig.client.execute("exec_1", "one_stage") for _ in range(50)))

        assert all(isinstance(answer, Accepted) for answer in answers)
        await worker.does_next({"made": True})
        await eventually(lambda: rig.client.has_ended("exec_1"))
    assert await rig.count("SELECT count(*) FROM executions") == 1
    assert await rig.count("SELECT count(*) FROM execution_journal WHERE is_final") == 1


async def test_an_order_under_the_id_of_one_whose_blobs_are_being_deleted_is_told_so_and_to_come_again(rig: Rig) -> None:
    async with rig.orchestrator():
        await rig.count("WITH gone AS (INSERT INTO deleted_executions VALUES ('exec_1', now(), now()) RETURNING 1) TABLE gone")
        refusal = await rig.client.execute("exec_1", "one_stage")
        others = await rig.client.execute("exec_2", "one_stage")
        await rig.count("WITH collected AS (DELETE FROM deleted_executions RETURNING 1) TABLE collected")
        again = await rig.client.execute("exec_1", "one_stage")

    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.retry_after_ms) == ("database_unavailable", 1_000)
    assert "the blobs of an older execution of this id are being deleted" in refusal.message
    assert isinstance(others, Accepted)
    assert isinstance(again, Accepted)


async def test_two_replicas_share_the_work_and_an_execution_id_raced_between_them_is_one(rig: Rig) -> None:
    worker = HandWorker(rig.bus, paid=False)
    await worker.register()
    async with rig.orchestrator(), rig.orchestrator():
        await asyncio.gather(*(rig.client.execute(f"exec_{n % 10}", "one_stage") for n in range(100)))

        for _ in range(10):
            await worker.does_next({"made": True})
        for n in range(10):
            await eventually(lambda n=n: rig.client.has_ended(f"exec_{n}"))  # type: ignore[misc]
    assert await rig.count("SELECT count(*) FROM executions WHERE status = 'completed'") == 10


async def test_an_order_without_an_execution_id_is_one_execution_for_each_client_and_request(rig: Rig) -> None:
    """Document 000's body; the same question goes to whichever replica."""
    body = {"request_id": "req_123", "template_name": "one_stage", "parameters": {}, "priority": "normal", "client_id": "acme"}
    bodies = [body, body | {"client_id": "globex"}, body | {"request_id": "req_124"}]
    async with rig.orchestrator(), rig.orchestrator():
        answers = await asyncio.gather(
            *(rig.bus.ask(subjects.EXECUTE, msgspec.json.encode(each), wait_seconds=10) for each in bodies * 20)
        )
        ids = [msgspec.json.decode(answer, type=Accepted).execution_id for answer in answers]

        assert len(set(ids)) == 3
        assert ids == ids[:3] * 20
        assert (await rig.client.get(ids[0])).request_id == "req_123"
    assert await rig.count("SELECT count(*) FROM executions") == 3


async def test_an_order_with_neither_an_execution_id_nor_a_request_id_is_another_execution_each_time(rig: Rig) -> None:
    async with rig.orchestrator():
        answers = [await rig.client.order(Execute(client_id="acme", template_name="one_stage")) for _ in range(2)]

    first, second = answers
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert first.execution_id < second.execution_id or first.execution_id[:15] == second.execution_id[:15]
    assert await rig.count("SELECT count(*) FROM executions") == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [("execution_id", each) for each in ("", "a b", "a.b", "*", ">", "exec_1\n", "x" * 101)]
    + [("client_id", "acme\n"), ("workspace_id", "a b"), ("request_id", "x" * 101), ("tier", "x" * 101)],
)
async def test_an_order_whose_ids_nobody_can_publish_or_store_is_refused_and_stops_nobody(
    rig: Rig, field: str, value: str
) -> None:
    worker = HandWorker(rig.bus, paid=False)
    await worker.register()
    odd = Execute(execution_id="exec_1", client_id="acme", template_name="one_stage")
    async with rig.orchestrator():
        refused = await rig.client.order(replace(odd, **{field: value}))

        assert isinstance(refused, Refusal)
        assert refused.code == "malformed_message"
        assert f"$.{field}" in refused.message
        assert isinstance(await rig.client.execute("exec_2", "one_stage"), Accepted)
        await worker.does_next({"made": True})
        await eventually(lambda: rig.client.has_ended("exec_2"))
    assert await rig.count("SELECT count(*) FROM executions") == 1


async def test_a_report_whose_event_no_broker_would_take_is_a_dead_letter_and_stops_nobody(rig: Rig) -> None:
    worker = HandWorker(rig.bus, paid=False)
    await worker.register()
    async with rig.orchestrator():
        await rig.client.execute("exec_1", "one_stage")
        delivery, packet = await worker.take()
        report = {
            **{name: getattr(packet, name) for name in ("packet_id", "execution_id", "stage_id", "attempt", "worker_name")},
            "type": "completed",
            "instance_id": "worker_a",
            "output": await rig.blobs.put("data/exec_1/only/output", b"{}"),
        }
        room = MAX_PAYLOAD_BYTES - len(msgspec.json.encode([{**report, "metrics": {"model": ""}}]))
        payload = msgspec.json.encode([{**report, "metrics": {"model": "x" * room}}])
        await rig.bus.publish([Outgoing(subject=subjects.report("maker"), payload=payload)])
        await delivery.ack()
        await eventually(rig.dead_letters)

        await rig.client.execute("exec_2", "one_stage")
        while packet.execution_id != "exec_2":
            _, packet = await worker.take()
        await worker.completes(packet, packet.attempt or await worker.granted(packet), {"made": True})
        await eventually(lambda: rig.client.has_ended("exec_2"))
        assert (await rig.client.get("exec_1")).status == "running"


async def test_what_a_worker_says_at_length_is_cut(rig: Rig) -> None:
    worker = HandWorker(rig.bus, paid=False)
    await worker.register()
    async with rig.orchestrator():
        await rig.client.execute("exec_1", "one_stage")
        _, packet = await worker.take()
        await worker.fails(packet, packet.attempt, "no", retryable=False, message="x" * 1_000_000)
        await eventually(lambda: rig.client.has_ended("exec_1"))

        assert (await rig.client.get("exec_1")).failure_message == "x" * 1999 + "…"


async def test_another_clients_execution_does_not_exist(rig: Rig) -> None:
    async with rig.orchestrator():
        await rig.client.execute("exec_1", "one_stage")
        stranger = Client(rig.bus, "stranger")

        seen = await stranger.get_or_refusal("exec_1")
        ordered = await stranger.execute("exec_1", "one_stage")

        assert isinstance(seen, Refusal)
        assert seen.code == "unknown_execution"
        assert isinstance(ordered, Refusal)
        assert ordered.code == "execution_id_taken"


async def test_wrong_orders_are_refused_with_field_and_mend_and_leave_nothing(rig: Rig) -> None:
    async with rig.orchestrator():
        unknown = await rig.client.execute("exec_1", "no_such_template")
        wrong = await rig.client.execute("exec_2", "three_stages", n="four")
        strange = await rig.client.execute("exec_3", "three_stages", m=4)
        huge = await rig.client.execute("exec_4", "three_stages", n=1, text="x" * 70_000)

        assert isinstance(unknown, Refusal)
        assert unknown.code == "unknown_template"
        assert "three_stages" in unknown.message
        assert isinstance(wrong, Refusal)
        assert wrong.code == "invalid_parameters"
        assert wrong.mistakes[0].field == "parameters.n"
        assert wrong.mistakes[0].mend
        assert isinstance(strange, Refusal)
        assert strange.mistakes[0].field == "parameters.m"
        assert isinstance(huge, Refusal)
        assert huge.code == "parameters_too_large"
    assert await rig.count("SELECT count(*) FROM executions") == 0


async def test_an_order_that_the_workers_cannot_do_is_refused_with_what_to_set(rig: Rig) -> None:
    await HandWorker(rig.bus).register()
    async with rig.orchestrator():
        refused = await rig.client.execute("exec_1", "picky")

    assert isinstance(refused, Refusal)
    assert refused.code == "order_refused"
    assert refused.message == "Set OPENAI_API_KEY."
    assert refused.mistakes[0].field == "parameters.topic"


async def test_who_has_given_what_a_template_refuses_is_not_told_to_give_it(rig: Rig) -> None:
    await HandWorker(rig.bus).register()
    async with rig.orchestrator():
        without = await rig.client.execute("exec_1", "picky")
        given = await rig.client.execute("exec_2", "picky", topic="bees")

    assert isinstance(without, Refusal)
    assert isinstance(given, Refusal)
    assert without.mistakes[0].mend == "Give topic, or have the operator change what the message names."
    assert given.mistakes[0].mend == "Change topic or leave it out, or have the operator change what the message names."


async def test_an_order_that_its_template_cannot_judge_is_refused_with_the_condition_and_its_mend(rig: Rig) -> None:
    await HandWorker(rig.bus).register()
    async with rig.orchestrator():
        refused = await rig.client.execute("exec_1", "doubtful")

    assert isinstance(refused, Refusal)
    assert refused.code == "order_refused"
    assert refused.mistakes[0].field == "parameters.level"
    assert "'params.level > 3'" in refused.mistakes[0].message
    assert "params.level is missing (null)" in refused.mistakes[0].message
    assert "coalesce(params.level, 0)" in refused.mistakes[0].mend


async def test_a_recording_that_would_have_to_be_fetched_is_refused_at_the_order_with_the_mend(rig: Rig) -> None:
    async with rig.orchestrator():
        refused = await rig.client.execute("exec_1", "hearing", audio_url="http://127.0.0.1/call.wav")
        by_a_worker_of_their_own = await rig.client.execute("exec_2", "fetching", audio_url="http://127.0.0.1/call.wav")

    assert isinstance(refused, Refusal)
    assert (refused.code, refused.message) == (
        "address_not_fetched",
        "audio_url is an address, and no recording is fetched from one",
    )
    assert [(each.field, each.mend) for each in refused.mistakes] == [
        (
            "parameters.audio_url",
            "Upload the recording to /api/kam/sources and name its source_id as source, in place of audio_url.",
        )
    ]
    assert isinstance(by_a_worker_of_their_own, Accepted)


async def test_a_row_of_which_nothing_is_left_to_do_is_deleted_along_with_later_work(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "TIDY_SECONDS", 3600.0)
    oldest_row = "SELECT min(outbox_id) FROM outbox"
    later = (f"exec_{number}" for number in itertools.count(2))
    async with rig.orchestrator():
        await rig.client.execute("exec_1", "one_stage")
        first = await rig.count(oldest_row)

        async def is_gone() -> bool:
            await rig.client.execute(next(later), "one_stage")
            return await rig.count(oldest_row) > first

        await eventually(is_gone)


async def test_a_replica_that_dies_between_commit_and_publish_is_replaced(rig: Rig) -> None:
    async with rig.orchestrator():
        await rig.client.execute("exec_1", "one_stage")
    # What a dead replica leaves: a committed row whose messages were never published.
    async with rig.database.connection() as connection:
        messages = packed_row([Outgoing(subject=subjects.event("acme", "exec_1", "TEST"), payload=b"{}")])
        await connection.execute("INSERT INTO outbox (content, created_at) VALUES ($1, now() - interval '1 minute')", messages)
    async with rig.bus.listen(subjects.events_of_execution("acme", "exec_1")) as heard, rig.orchestrator():
        broadcast = await heard.next(5)

        assert broadcast is not None
        assert broadcast.payload == b"{}"
        await eventually(lambda: rig.count("SELECT (count(*) = 0)::int FROM outbox"))


@pytest.mark.parametrize("ago", ["1 minute", "-1 day"], ids=["before", "before the clock was set back"])
async def test_events_that_a_dead_replica_has_not_told_are_told_by_another_word_for_word_each_commit_in_a_message(
    rig: Rig, ago: str
) -> None:
    worker = HandWorker(rig.bus)
    async with rig.bus.listen(subjects.events_of_execution("acme", "exec_1")) as heard, rig.orchestrator():
        # As if each commit's replica had died before it published.
        async with rig.database.connection() as connection:
            await connection.execute("CREATE RULE kept AS ON DELETE TO outbox DO INSTEAD NOTHING")
        await rig.client.execute("exec_1", "three_stages")
        for text in ("one", "two", "three"):
            await worker.does_next({"text": text})
        await eventually(lambda: rig.client.has_ended("exec_1"))
        told = await _heard_to_the_end(heard)
    rig.broker.wipe()

    async with rig.database.connection() as connection:
        await connection.execute("DROP RULE kept ON outbox")
        await connection.execute("UPDATE outbox SET created_at = now() - $1::text::interval", ago)
    async with rig.bus.listen(subjects.events_of_execution("acme", "exec_1")) as heard, rig.orchestrator():
        told_again = await _heard_to_the_end(heard)

        await eventually(lambda: rig.count("SELECT (count(*) = 0)::int FROM outbox"))
    assert len(told_again) >= 4
    assert _words(told_again) == _words(told)


async def test_attempts_of_which_a_dead_replica_has_not_told_are_told_by_another_each_commit_in_a_message(rig: Rig) -> None:
    worker = HandWorker(rig.bus)
    async with rig.bus.listen(subjects.performance("maker")) as heard, rig.orchestrator():
        # As if each commit's replica had died before it published.
        async with rig.database.connection() as connection:
            await connection.execute("CREATE RULE kept AS ON DELETE TO outbox DO INSTEAD NOTHING")
        await rig.client.execute("exec_1", "three_stages")
        for text in ("one", "two", "three"):
            await worker.does_next({"text": text})
        await eventually(lambda: rig.client.has_ended("exec_1"))
        told = await _heard_of_attempts(heard, 3)
    rig.broker.wipe()

    async with rig.database.connection() as connection:
        await connection.execute("DROP RULE kept ON outbox")
        await connection.execute("UPDATE outbox SET created_at = now() - interval '1 minute'")
    async with rig.bus.listen(subjects.performance("maker")) as heard, rig.orchestrator():
        told_again = await _heard_of_attempts(heard, 3)

        await eventually(lambda: rig.count("SELECT (count(*) = 0)::int FROM outbox"))
    assert [record.stage_id for records in told for record in records] == ["first", "second", "third"]
    assert told_again == [[record] for records in told for record in records]


@pytest.mark.parametrize("paid", [True, False])
async def test_a_packet_that_a_dead_replica_has_not_told_is_told_by_another_word_for_word(rig: Rig, paid: bool) -> None:
    worker = HandWorker(rig.bus, paid=paid)
    await worker.register()
    async with rig.orchestrator(orchestrator_unclaimed_seconds=60.0):
        await rig.client.execute("exec_1", "one_stage")
        _, packet = await worker.take()
    # As if the replica had died before it published.
    rig.broker.wipe()
    async with rig.database.connection() as connection:
        row = packed_row([Outgoing(subject="any", payload=b"", message_id=packet.packet_id)], packets=[packet])
        await connection.execute("INSERT INTO outbox (content, created_at) VALUES ($1, now() - interval '1 minute')", row)

    async with rig.orchestrator(orchestrator_unclaimed_seconds=60.0):
        _, told_again = await worker.take(wait_seconds=10)

        await eventually(lambda: rig.count("SELECT (count(*) = 0)::int FROM outbox"))
    assert told_again == packet
    assert (packet.grant is None) == paid


async def test_a_wiped_broker_loses_no_accepted_execution(rig: Rig) -> None:
    worker = HandWorker(rig.bus)
    async with rig.orchestrator():
        await rig.client.execute("exec_1", "three_stages")
        await worker.does_next({"text": "one"})
        await eventually(lambda: _has_packet(rig, "second"))

        rig.broker.wipe()
        await worker.does_next({"text": "two"})
        await worker.does_next({"text": "three"})
        await eventually(lambda: rig.client.has_ended("exec_1"))

        assert await rig.client.status("exec_1") == "completed"
        assert (await rig.client.events("exec_1")).events[0].data.__struct_config__.tag == "WORKFLOW_STARTED"


async def test_replayed_and_late_reports_change_nothing(rig: Rig) -> None:
    worker = HandWorker(rig.bus)
    async with rig.orchestrator():
        await rig.client.execute("exec_1", "one_stage")
        _, packet = await worker.take()
        attempt = await worker.granted(packet)

        for _ in range(5):
            await worker.completes(packet, attempt, {"made": True})
        await worker.completes(packet, attempt, {"made": "otherwise"})
        await eventually(lambda: rig.client.has_ended("exec_1"))
        await eventually(lambda: _no_reports_left(rig))

        assert isinstance(await worker.claim(packet), Superseded)
    assert await rig.count("SELECT count(*) FROM stage_attempts") == 1
    assert await rig.count("SELECT count(*) FROM execution_journal WHERE is_final") == 1


async def test_a_silent_worker_is_replaced_and_its_late_result_is_not_applied(rig: Rig) -> None:
    slow, quick = HandWorker(rig.bus, instance_id="slow"), HandWorker(rig.bus, instance_id="quick")
    async with rig.orchestrator(orchestrator_lease_seconds=0.5):
        await rig.client.execute("exec_1", "one_stage")
        _, first = await slow.take()
        await slow.granted(first)

        _, second = await quick.take()
        assert second.packet_id != first.packet_id
        attempt = await quick.granted(second)
        assert attempt == 2
        await slow.completes(first, 1, {"by": "slow"})
        await quick.completes(second, 2, {"by": "quick"})
        await eventually(lambda: rig.client.has_ended("exec_1"))

        deliverable_ref = (await rig.client.get("exec_1")).deliverables[0].blob
        assert deliverable_ref == inline_ref({"by": "quick"})


async def test_an_outage_longer_than_the_lease_loses_no_living_worker(rig: Rig) -> None:
    worker = HandWorker(rig.bus)
    async with rig.orchestrator(orchestrator_lease_seconds=0.5):
        await rig.client.execute("exec_1", "one_stage")
        _, packet = await worker.take()
        attempt = await worker.granted(packet)
    await eventually(lambda: rig.count("SELECT count(*) FROM executions WHERE wake_at < now()"))

    async with rig.orchestrator(orchestrator_lease_seconds=5.0, orchestrator_sweep_seconds=0.05):
        await eventually(lambda: rig.client.status("exec_1"))
        answer = await worker.beats(packet, attempt)

        assert isinstance(answer, Proceed)
        await worker.completes(packet, attempt, {"made": True})
        await eventually(lambda: rig.client.has_ended("exec_1"))
    assert await rig.count("SELECT count(*) FROM stage_attempts") == 1


async def test_what_cannot_be_committed_together_because_others_are_quicker_is_committed_in_parts(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = BatchStore.commit
    largest = 0

    async def is_overtaken_if_large(self: BatchStore, connection: Connection, decided: Decided) -> Committed:
        nonlocal largest
        ids = frozenset(revision.after.execution.execution_id for revision in decided.revisions)
        largest = max(largest, len(ids))
        if len(ids) > 3:
            return Committed(stale=ids, denied={}, outbox_id=None, at_ms=1)
        return await commit(self, connection, decided)

    monkeypatch.setattr(BatchStore, "commit", is_overtaken_if_large)
    async with rig.orchestrator():
        answers = await asyncio.gather(*(rig.client.execute(f"exec_{number}", "one_stage") for number in range(20)))

    assert largest > 3
    assert [type(answer) for answer in answers] == [Accepted] * 20
    assert await rig.count("SELECT count(*) FROM executions") == 20


async def test_signs_of_life_that_are_told_together_are_answered_each_by_itself(rig: Rig) -> None:
    worker = HandWorker(rig.bus)
    packets = []
    async with rig.orchestrator(orchestrator_lease_seconds=30.0):
        for number in (1, 2, 3):
            await rig.client.execute(f"exec_{number}", "one_stage")
            _, packet = await worker.take()
            packets.append(packet)
        attempts = [await worker.granted(packet) for packet in packets]
        await rig.client.cancel("exec_3")

        first, second, third = (worker.progress(*each, percent=40) for each in zip(packets, attempts, strict=True))
        other_attempt = msgspec.structs.replace(first, attempt=first.attempt + 1)
        unknown = msgspec.structs.replace(first, execution_id="exec_9")
        answers = await worker.tells(first, other_attempt, {"type": "nope"}, third, unknown, second)
        stages = [(await rig.client.get(execution_id)).stages[0] for execution_id in ("exec_1", "exec_2")]

    assert answers == [Proceed(), Superseded(), NotNoted(), Cancelled(), Superseded(), Proceed()]
    assert [stage.progress_percent for stage in stages] == [40, 40]


async def test_poison_reports_go_to_the_dead_letters_and_delay_nobody(rig: Rig) -> None:
    worker = HandWorker(rig.bus)
    async with rig.orchestrator():
        await rig.client.execute("exec_1", "one_stage")
        poison = [b"not json", b'[{"type":"nope"}]', b'[{"type":"completed"}]', b"\xff\xfe", b"[" * 20_000, b"[]", b"{}"]
        await rig.bus.publish([Outgoing(subject=subjects.report("maker"), payload=each) for each in poison])

        await worker.does_next({"made": True})
        await eventually(lambda: rig.client.has_ended("exec_1"))
        letters = await eventually(rig.dead_letters)

    assert [letter.payload for letter in letters] == poison
    assert "nope" in letters[1].reason


async def test_a_report_on_another_workers_attempt_is_a_dead_letter_and_ends_nothing(rig: Rig) -> None:
    worker = HandWorker(rig.bus)
    async with rig.orchestrator():
        await rig.client.execute("exec_1", "one_stage")
        _, packet = await worker.take()
        attempt = await worker.granted(packet)
        forged = msgspec.structs.replace(packet, worker_name="intruder")
        await worker.completes(forged, attempt, {"made": "up"}, cost_usd="9")
        await worker.completes(packet, attempt, {"made": True})
        await eventually(lambda: rig.client.has_ended("exec_1"))
        view = await rig.client.get("exec_1")
        [letter] = await eventually(rig.dead_letters)

    assert (view.status, view.totals.cost_usd) == ("completed", "0")
    assert "intruder reports on only, which is work of maker" in letter.reason


async def test_a_result_whose_bytes_are_missing_is_no_result(rig: Rig) -> None:
    worker = HandWorker(rig.bus)
    async with rig.orchestrator():
        await rig.client.execute("exec_1", "one_stage")
        _, packet = await worker.take()
        ref = await rig.blobs.put("data/exec_1/only/output", b'{"made": true}', inline_limit_bytes=0)
        rig.blobs.stored.clear()

        await worker.completes(packet, await worker.granted(packet), None, output=ref)

        await eventually(lambda: _stage_is(rig, "only", "retrying"))
        view = await rig.client.get("exec_1")
        assert "blob_missing" in view.stages[0].reason


async def test_large_outputs_travel_by_reference_to_the_next_stage(rig: Rig) -> None:
    worker = HandWorker(rig.bus)
    text = "long " * 10_000
    async with rig.orchestrator():
        await rig.client.execute("exec_1", "three_stages")
        _, packet = await worker.take()
        ref = await rig.blobs.put("data/exec_1/first/output", msgspec.json.encode({"text": text}))
        await worker.completes(packet, await worker.granted(packet), None, output=ref)

        _, second = await worker.take()

        assert second.data_ref.inline is None
        assert msgspec.json.decode(await rig.blobs.get(second.data_ref)) == {"text": text}


async def test_every_provider_call_is_kept_once_and_shown_at_once(rig: Rig) -> None:
    worker = HandWorker(rig.bus)
    async with rig.orchestrator():
        await rig.client.execute("exec_1", "one_stage")
        _, packet = await worker.take()
        attempt = await worker.granted(packet)

        for _ in range(3):
            await worker.books(call("only", attempt, 1, "0.00000015"))
        await eventually(lambda: _cost_is(rig, "0.00000015"))

    assert await rig.count("SELECT count(*) FROM provider_calls WHERE cost_usd = 0.00000015") == 1


async def test_cancelling_tells_the_workers(rig: Rig) -> None:
    worker = HandWorker(rig.bus)
    async with rig.bus.listen(subjects.control("maker")) as heard, rig.orchestrator():
        await rig.client.execute("exec_1", "one_stage")
        _, packet = await worker.take()
        await worker.granted(packet)

        view = await rig.client.cancel("exec_1")

        assert isinstance(view, ExecutionView)
        assert view.status == "cancelled"
        message = await heard.next(5)
        assert message is not None
        assert msgspec.json.decode(message.payload)["action"] == "cancel"


async def test_a_late_call_of_a_deleted_execution_is_booked_and_brings_nothing_back(rig: Rig) -> None:
    worker = HandWorker(rig.bus)
    async with rig.orchestrator():
        await rig.client.execute("exec_1", "one_stage")
        await worker.fails_next("bad_input")
        await eventually(lambda: rig.client.has_ended("exec_1"))
        executions = ExecutionStore(load_queries("aif_orchestrator.store"))
        async with rig.database.connection() as connection:
            await connection.execute(
                "UPDATE executions SET (created_at, ended_at) = (now() - interval '2 days', now() - interval '2 days')"
            )
        assert await Retention(database=rig.database, executions=executions, keep_days=1).delete_old() == 1

        await worker.books(call("only", 1, 1, "0.5"))

        await eventually(lambda: rig.count("SELECT (count(*) = 1)::int FROM provider_calls"))
        assert await rig.count("SELECT count(*)::int FROM execution_journal") == 0
        assert await rig.count("SELECT count(*)::int FROM executions") == 0


def _words(messages: list[tuple[str, bytes]]) -> list[bytes]:
    """Of each event."""
    return [bytes(event) for _, payload in messages for event in msgspec.json.decode(payload, type=list[msgspec.Raw])]


async def _heard_to_the_end(subscription: Broadcasts) -> list[tuple[str, bytes]]:
    heard: list[tuple[str, bytes]] = []
    while not (heard and heard[-1][0].endswith(".workflow_completed")):
        broadcast = await subscription.next(5)
        assert broadcast is not None, "it is not told to the end"
        heard.append((broadcast.subject, broadcast.payload))
    return heard


async def _heard_of_attempts(subscription: Broadcasts, count: int) -> list[list[PerformanceRecord]]:
    """The records of each message, until there are so many."""
    heard: list[list[PerformanceRecord]] = []
    while sum(map(len, heard)) < count:
        broadcast = await subscription.next(5)
        assert broadcast is not None, "too little is told"
        heard.append(msgspec.json.decode(broadcast.payload, type=list[PerformanceRecord]))
    return heard


async def _has_packet(rig: Rig, stage_id: str) -> bool:
    return await _stage_is(rig, stage_id, "queued")


async def _stage_is(rig: Rig, stage_id: str, status: str) -> bool:
    view = await rig.client.get("exec_1")
    return next(each for each in view.stages if each.stage_id == stage_id).status == status


async def _cost_is(rig: Rig, cost: str) -> bool:
    return (await rig.client.get("exec_1")).totals.cost_usd == cost


async def _no_reports_left(rig: Rig) -> bool:
    view = await rig.client.get("exec_1")
    return view.status.is_final


async def test_a_report_that_claims_a_negative_cost_is_refused(rig: Rig) -> None:
    worker = HandWorker(rig.bus)
    async with rig.orchestrator():
        await rig.client.execute("exec_1", "one_stage")
        _, packet = await worker.take()
        attempt = await worker.granted(packet)
        await worker.completes(packet, attempt, {"made": True}, cost_usd="-1")
        letters = await eventually(rig.dead_letters)

        assert "$.metrics.cost_usd" in letters[0].reason
        assert await rig.client.status("exec_1") == "running"
