"""Executions that people steer, and that rules and failures change, with real Postgres: what is told survives the replica."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from aif_contracts import subjects
from aif_contracts.orders import Accepted, Execute, ExecutionView, Refusal, Resumed
from aif_contracts.packets import ControlAction, WorkPacket
from aif_contracts.pipelines import GetPipeline
from aif_kam.failures import Unavailable
from aif_kam.orchestrator_client import OrchestratorClient
from aif_pipelines.definition import AddStage, Approve, Compensation, RetryStage
from aif_runtime.bus import ConsumerSpec, Delivery
from aif_runtime.memory_blobs import MemoryBlobStore
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.postgres import READERS_CONNECTIONS, Database, reading
from aif_runtime.telemetry import TracingOff
from support.execution_story import deliverable, pipeline, stage
from support.orchestrator_line import Client, HandWorker, orchestrator_database, running_orchestrator
from support.waiting import eventually

UNDO = Compensation(worker="maker", action="make", input={"undo": "{{first.made}}"})
PIPELINES = (
    pipeline(stage("only", worker="null", action="null"), name="odd"),
    pipeline(stage("only"), name="plain", outputs=(deliverable("only"),)),
    pipeline(stage("first"), stage("second", input={"from": "{{first.made}}"}), name="two", outputs=(deliverable("second"),)),
    pipeline(stage("first", compensate=UNDO), stage("second", depends_on=("first",)), name="booked"),
    pipeline(
        stage(
            "draft",
            rules=(
                RetryStage(condition="{{draft.quality_score}} < 0.7", max_retries=2),
                AddStage(condition="{{draft.element_count}} > 100", stage=stage("polish", input={"it": "{{draft.made}}"})),
                Approve(condition="draft.element_count > 100", message="Look at it."),
            ),
        ),
        name="judged",
        outputs=(deliverable("draft"), deliverable("polish", "polished")),
    ),
)


@pytest.fixture
async def database(fresh_orchestrator_database: str) -> AsyncIterator[Database]:
    async with orchestrator_database(fresh_orchestrator_database) as opened:
        yield opened


@pytest.fixture
def blobs() -> MemoryBlobStore:
    return MemoryBlobStore()


@pytest.fixture
async def broker(database: Database, blobs: MemoryBlobStore) -> AsyncIterator[MemoryBroker]:
    """With one replica running over it."""
    broker = MemoryBroker()
    bus = MemoryBus(broker)
    async with running_orchestrator(bus, blobs, database, PIPELINES):
        yield broker
    await bus.close()


@pytest.fixture
def client(broker: MemoryBroker) -> Client:
    return Client(MemoryBus(broker))


@pytest.fixture
async def worker(broker: MemoryBroker) -> HandWorker:
    worker = HandWorker(MemoryBus(broker), paid=False)
    await worker.register()
    return worker


async def ended(client: Client, execution_id: str) -> ExecutionView:
    await eventually(lambda: client.has_ended(execution_id))
    return await client.get(execution_id)


async def told(client: Client, execution_id: str) -> list[str]:
    return [str(event.data.__struct_config__.tag) for event in (await client.events(execution_id)).events]


async def test_rules_better_a_result_add_a_stage_and_ask_a_person(client: Client, worker: HandWorker) -> None:
    await client.execute("exec_1", "judged")
    await worker.does_next({"made": "poor"}, quality_score=0.5, element_count=10)
    again = await worker.does_next({"made": "long"}, quality_score=0.9, element_count=101)
    await eventually(lambda: _is(client, "awaiting_approval"))

    await client.decide("exec_1", approved=True)
    polish = await worker.does_next({"made": "short"})
    view = await ended(client, "exec_1")

    assert again.previous is not None
    assert again.previous.code == "retry_rule"
    assert polish.stage_id == "polish"
    assert view.status == "completed"
    assert [(each.stage_id, each.added_by) for each in view.stages] == [("draft", None), ("polish", "draft")]
    assert [each.name for each in view.deliverables] == ["thing", "polished"]
    assert {"STEP_RETRYING", "STEP_ADDED", "APPROVAL_REQUESTED", "APPROVAL_DECIDED"} <= set(await told(client, "exec_1"))


async def test_a_page_of_events_is_read_without_the_state_of_its_execution(
    client: Client, worker: HandWorker, database: Database
) -> None:
    await client.execute("exec_1", "plain")
    await worker.does_next({"made": "one"})
    await ended(client, "exec_1")
    async with database.connection() as connection:
        await connection.execute("UPDATE execution_journal SET change = 'unreadable'")

    first, last, nothing = [await client.events("exec_1", after, limit=2) for after in (0, 2, 1000)]

    assert [event.sequence for event in first.events] == [1, 2]
    assert [event.sequence for event in last.events] == [3, 4]
    assert [page.is_final for page in (first, last, nothing)] == [False, True, True]


async def test_while_readers_have_all_the_connections_that_they_may_have_executions_are_steered(
    client: Client, worker: HandWorker, database: Database
) -> None:
    await client.execute("exec_1", "judged")
    await worker.does_next({"made": "long"}, quality_score=0.9, element_count=101)
    await eventually(lambda: _is(client, "awaiting_approval"))

    async with AsyncExitStack() as held:
        with reading():
            for _ in range(READERS_CONNECTIONS):
                await held.enter_async_context(database.connection())
        read = asyncio.create_task(client.get_or_refusal("exec_1"))
        decided = await client.decide("exec_1", approved=True)
        polish = await worker.does_next({"made": "short"})
        refusal = await read

    assert isinstance(decided, ExecutionView)
    assert polish.stage_id == "polish"
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.retry_after_ms) == ("too_many_readers", 1000)
    assert (await ended(client, "exec_1")).status == "completed"


async def test_what_an_order_or_a_resumption_waits_for_does_not_wait_for_those_who_only_read(
    broker: MemoryBroker, client: Client, database: Database
) -> None:
    await client.execute("exec_1", "plain")
    gateway = OrchestratorClient(bus=MemoryBus(broker), tracing=TracingOff())

    async with AsyncExitStack() as held:
        with reading():
            for _ in range(READERS_CONNECTIONS):
                await held.enter_async_context(database.connection())
        await gateway.be_there()
        execution = await gateway.get("exec_1", "acme", for_a_change=True)
        document = await gateway.get_pipeline(GetPipeline(client_id="acme", name="plain"), for_a_change=True)
        with pytest.raises(Unavailable) as told:
            await gateway.get("exec_1", "acme")

    assert (execution.execution_id, document.pipeline.name) == ("exec_1", "plain")
    assert (told.value.code, told.value.retry_after_seconds) == ("too_many_readers", 1)
    assert told.value.message == "too many read at once; try again in a moment"


async def test_a_failed_execution_is_undone_and_then_resumed_on_a_second_leg(
    client: Client, worker: HandWorker, database: Database
) -> None:
    await client.execute("exec_1", "booked")
    await worker.does_next({"made": "room 4"})
    await worker.fails_next("sold_out")
    undo = await worker.does_next({})
    assert (await ended(client, "exec_1")).status == "failed"

    resumed = await client.resume("exec_1")
    await worker.does_next({"made": "room 5"})
    await worker.does_next({"made": "seat"})
    view = await ended(client, "exec_1")

    assert undo.control.action is ControlAction.COMPENSATE
    assert undo.data_ref.inline == b'{"undo":"room 4"}'
    assert isinstance(resumed, Resumed)
    assert resumed.kept.stages == ()
    assert (view.status, view.leg) == ("completed", 2)
    async with database.connection() as connection:
        finals = await connection.fetch("SELECT leg FROM execution_journal WHERE is_final ORDER BY leg")
    assert [row["leg"] for row in finals] == [1, 2]


async def test_what_a_resumed_execution_keeps_is_not_done_again(client: Client, worker: HandWorker) -> None:
    await client.execute("exec_1", "two")
    await worker.does_next({"made": "paid"}, cost_usd="0.25")
    await worker.fails_next("broken")
    await ended(client, "exec_1")

    resumed = await client.resume("exec_1")
    last = await worker.does_next({"made": "rest"})
    view = await ended(client, "exec_1")

    assert isinstance(resumed, Resumed)
    assert (resumed.kept.stages, resumed.kept.cost_usd, resumed.kept.processing_time_ms) == (("first",), "0.25", 7)
    assert last.stage_id == "second"
    assert view.totals.cost_usd == "0.25"
    events = await client.events("exec_1")
    assert [event.sequence for event in events.events] == list(range(1, len(events.events) + 1))
    assert events.is_final


@pytest.mark.parametrize("size", [10_000, 600_000])
async def test_a_kept_result_that_the_blob_store_has_lost_is_made_again(
    client: Client, worker: HandWorker, blobs: MemoryBlobStore, size: int
) -> None:
    await client.execute("exec_1", "two")
    large = await blobs.put("data/exec_1/first/output", msgspec.json.encode({"made": "x" * size}))
    await worker.does_next(None, output=large)
    await worker.fails_next("broken")
    await ended(client, "exec_1")
    blobs.stored.clear()

    resumed = await client.resume("exec_1")
    again = await worker.does_next({"made": "anew"})
    await worker.does_next({"made": "rest"})
    view = await ended(client, "exec_1")

    assert isinstance(resumed, Resumed)
    assert (resumed.kept.stages, again.stage_id, view.status) == ((), "first", "completed")


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_pages_of_events_miss_nothing_and_repeat_nothing(client: Client, worker: HandWorker, limit: int) -> None:
    await client.execute("exec_1", "two")
    await worker.does_next({"made": "paid"}, cost_usd="0.25")
    await worker.fails_next("broken")
    await ended(client, "exec_1")
    whole = await client.events("exec_1")

    read: list[int] = []
    while not (page := await client.events("exec_1", after=len(read), limit=limit)).is_final:
        assert len(page.events) == limit
        read += [event.sequence for event in page.events]

    assert [*read, *(event.sequence for event in page.events)] == [event.sequence for event in whole.events]


async def test_a_paused_execution_waits_and_goes_on(client: Client, worker: HandWorker) -> None:
    await client.execute("exec_1", "two")
    delivery, packet = await worker.take()
    attempt = packet.attempt or await worker.granted(packet)
    paused = await client.pause("exec_1")
    await worker.completes(packet, attempt, {"made": "it"})
    await delivery.ack()
    await eventually(lambda: _stage_is(client, "first", "completed"))

    resumed = await client.resume("exec_1")
    await worker.does_next({"made": "rest"})

    assert isinstance(paused, ExecutionView)
    assert paused.status == "paused"
    assert isinstance(resumed, Resumed)
    assert (await ended(client, "exec_1")).status == "completed"


async def test_a_delayed_execution_starts_in_its_time(client: Client, worker: HandWorker) -> None:
    start_at = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    order = Execute(execution_id="exec_1", client_id="acme", template_name="plain", start_at=start_at)

    accepted = await client.order(order)
    await worker.does_next({"made": "it"})

    assert isinstance(accepted, Accepted)
    assert accepted.status == "scheduled"
    assert (await ended(client, "exec_1")).status == "completed"
    assert (await told(client, "exec_1"))[:2] == ["WORKFLOW_SCHEDULED", "WORKFLOW_STARTED"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"start_at": "tomorrow"}, "start_at"),
        ({"start_at": "2030-01-01T00:00:00"}, "start_at"),
        ({"start_at": "9999-12-31T23:59:59Z"}, "start_at"),
        ({"start_at": "9999-12-31T23:59:59-23:00"}, "start_at"),
        ({"max_cost_usd": "26"}, "max_cost_usd"),
    ],
)
async def test_an_order_with_an_impossible_start_or_limit_is_refused(client: Client, given: dict[str, Any], field: str) -> None:
    answer = await client.order(Execute(execution_id="exec_1", client_id="acme", template_name="plain", **given))

    assert isinstance(answer, Refusal)
    assert [mistake.field for mistake in answer.mistakes] == [field]


async def test_a_worker_may_be_called_what_means_nothing_to_a_database(
    client: Client, broker: MemoryBroker, database: Database
) -> None:
    await client.execute("exec_1", "odd")
    delivery = (await _packets(MemoryBus(broker), "null"))[0]
    packet = msgspec.json.decode(delivery.payload, type=WorkPacket)
    hand = HandWorker(MemoryBus(broker))
    await hand.completes(packet, packet.attempt or await hand.granted(packet), {"made": "it"})
    await ended(client, "exec_1")

    async with database.connection() as connection:
        assert await connection.fetchval("SELECT worker_name FROM stage_attempts") == "null"


async def test_what_cannot_be_done_now_is_refused_by_name(client: Client, worker: HandWorker) -> None:
    await client.execute("exec_1", "plain")
    running = [await client.resume("exec_1"), await client.decide("exec_1", approved=True)]
    await worker.does_next({"made": "it"})
    await ended(client, "exec_1")
    over = [
        await client.pause("exec_1"),
        await client.resume("exec_1"),
        await client.cancel("exec_1"),
        await client.resume("exec_2"),
    ]

    assert [each.code for each in running if isinstance(each, Refusal)] == ["not_resumable", "nothing_to_approve"]
    assert [each.code for each in over if isinstance(each, Refusal)] == [
        "not_pausable",
        "not_resumable",
        "already_ended",
        "unknown_execution",
    ]


async def test_another_client_steers_nothing(client: Client, worker: HandWorker, broker: MemoryBroker) -> None:
    await client.execute("exec_1", "plain")
    other = Client(MemoryBus(broker), "other")

    answers = [await other.pause("exec_1"), await other.resume("exec_1"), await other.decide("exec_1", approved=True)]

    assert [each.code for each in answers if isinstance(each, Refusal)] == ["unknown_execution"] * 3


async def _packets(bus: MemoryBus, worker: str) -> list[Delivery]:
    durable, subject = subjects.work_consumer(worker, "normal"), subjects.work(worker, "normal")
    deliveries = await bus.open_consumer(
        ConsumerSpec(stream=subjects.STREAM_WORK, durable=durable, filter_subject=subject, ack_wait_seconds=30)
    )
    return list(await deliveries.fetch(1, 5))


async def _is(client: Client, status: str) -> bool:
    return await client.status("exec_1") == status


async def _stage_is(client: Client, stage_id: str, status: str) -> bool:
    view = await client.get("exec_1")
    return any(each.stage_id == stage_id and each.status == status for each in view.stages)
