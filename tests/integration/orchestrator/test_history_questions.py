"""What an execution's attempts and calls were, asked while it runs and after it has ended; and who is there to work."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from aif_contracts import subjects
from aif_contracts.history import AttemptOutcome, AttemptView, ListAttempts, ListCalls
from aif_contracts.metering import CallOutcome, CostLines, Metrics, ResourceUsage, TimeBreakdown, Tokens
from aif_contracts.reports import Completed
from aif_orchestrator import pages
from aif_runtime.bus import Bus
from aif_runtime.memory_blobs import MemoryBlobStore
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.postgres import Database
from support.execution_story import call, pipeline, stage
from support.orchestrator_line import Client, HandWorker, inline_ref, orchestrator_database, running_orchestrator
from support.orchestrator_questions import Questions
from support.waiting import eventually

WIDE = pipeline(stage("one"), stage("two"), stage("three"), stage("four"), name="wide")
METRICS = Metrics(
    tokens_used=Tokens(
        prompt_tokens=10, completion_tokens=5, total_tokens=15, cache_read_tokens=4, cache_write_tokens=2, reasoning_tokens=1
    ),
    provider="openai",
    model="gpt-4o-mini",
    cost_usd="0.0001875",
    cost_lines=CostLines(ai_generation_usd="0.0001875"),
    processing_time_ms=7,
    breakdown=TimeBreakdown(ai_generation_ms=6, storage_ms=1),
    resource_usage=ResourceUsage(api_calls=1, kv_operations=2, cpu_time_ms=3, memory_mb=40),
)


class Rig:
    def __init__(self, bus: Bus, database: Database) -> None:
        self.bus = bus
        self.database = database
        self.worker = HandWorker(bus)
        self.client = Client(bus)
        self.asks = Questions(bus)


@pytest.fixture
async def rig(fresh_orchestrator_database: str) -> AsyncIterator[Rig]:
    async with orchestrator_database(fresh_orchestrator_database) as database:
        bus = MemoryBus(MemoryBroker())
        await HandWorker(bus).register()
        # Long patience: nothing here is late.
        settings: dict[str, Any] = {"orchestrator_unclaimed_seconds": 60.0, "orchestrator_lease_seconds": 60.0}
        async with running_orchestrator(bus, MemoryBlobStore(), database, (WIDE,), **settings):
            yield Rig(bus, database)
        await bus.close()


async def test_an_attempt_comes_back_with_its_packet_its_grant_its_figures_and_the_reports_words(rig: Rig) -> None:
    await rig.client.execute("exec_1", "wide")
    _, packet = await rig.worker.take()
    attempt = await rig.worker.granted(packet)

    await rig.worker.report(
        Completed(
            packet_id=packet.packet_id,
            execution_id="exec_1",
            stage_id=packet.stage_id,
            attempt=attempt,
            worker_name="maker",
            instance_id="worker_a",
            output=inline_ref({"made": True}),
            metrics=METRICS,
            quality_score=0.75,
            element_count=12,
            output_summary="twelve things",
        )
    )

    ended = await eventually(lambda: _ended(rig, 1))
    found = ended[0]
    assert (found.stage_id, found.attempt, found.outcome) == ("one", 1, AttemptOutcome.COMPLETED)
    assert (found.worker_name, found.action, found.instance_id) == ("maker", "make", "worker_a")
    assert found.packet_id == packet.packet_id
    assert found.metrics == METRICS
    assert (found.quality_score, found.element_count, found.message) == (0.75, 12, "twelve things")
    assert found.grant is not None
    assert found.grant.max_cost_usd == "1"
    assert found.output is not None
    assert found.output.inline is None
    assert found.started_at is not None
    assert found.ended_at is not None
    assert found.started_at <= found.ended_at


async def test_a_failed_attempt_says_why_and_its_successor_is_listed_after_it(rig: Rig) -> None:
    await rig.client.execute("exec_1", "wide")
    _, packet = await rig.worker.take()
    await rig.worker.fails(packet, await rig.worker.granted(packet), "refused_by_provider", retryable=False)

    found = (await eventually(lambda: _ended(rig, 1)))[0]

    assert found.outcome is AttemptOutcome.FAILED
    assert (found.failure_code, found.message) == ("refused_by_provider", "it did not work")
    assert found.output is None


async def test_attempts_under_way_are_listed_last_with_what_they_have_spent_so_far(rig: Rig) -> None:
    await rig.client.execute("exec_1", "wide")
    _, first = await rig.worker.take()
    _, second = await rig.worker.take()
    await rig.worker.granted(first)
    await rig.worker.completes(second, await rig.worker.granted(second), {"made": True})
    await eventually(lambda: _ended(rig, 1))
    await rig.worker.books(call("one", 1, 1, "0.25"))
    await eventually(lambda: _call_count(rig, 1))

    attempts = (await rig.asks.attempts("exec_1")).attempts

    assert [(each.stage_id, each.outcome) for each in attempts] == [
        ("two", AttemptOutcome.COMPLETED),
        ("one", AttemptOutcome.RUNNING),
    ]
    running = attempts[1]
    assert (running.instance_id, running.packet_id, running.ended_at) == ("worker_a", first.packet_id, None)
    assert running.metrics.cost_usd == "0.25"
    assert running.started_at is not None
    assert running.grant is not None
    assert 0 <= running.queue_time_ms < 60_000
    assert 0 <= running.execution_time_ms < 60_000


async def test_an_attempt_that_was_cut_off_by_a_cancel_stays_in_the_history(rig: Rig) -> None:
    await rig.client.execute("exec_1", "wide")
    _, packet = await rig.worker.take()
    await rig.worker.granted(packet)

    await rig.client.cancel("exec_1")

    attempts = (await rig.asks.attempts("exec_1")).attempts
    assert [(each.stage_id, each.outcome, each.failure_code) for each in attempts] == [
        ("one", AttemptOutcome.FAILED, "cancelled")
    ]
    assert attempts[0].ended_at is not None


async def test_an_attempt_that_was_cut_off_stays_in_the_history_of_a_resumed_execution(rig: Rig) -> None:
    await rig.client.execute("exec_1", "wide")
    _, packet = await rig.worker.take()
    await rig.worker.granted(packet)
    await rig.client.cancel("exec_1")

    await rig.client.resume("exec_1")

    attempts = (await rig.asks.attempts("exec_1")).attempts
    assert [(each.stage_id, each.attempt, each.failure_code) for each in attempts] == [("one", 1, "cancelled")]


async def test_an_attempt_that_never_reported_is_listed_with_what_its_calls_have_cost(rig: Rig) -> None:
    await rig.client.execute("exec_1", "wide")
    _, packet = await rig.worker.take()
    attempt = await rig.worker.granted(packet)
    tokens = Tokens(prompt_tokens=8, completion_tokens=2, total_tokens=10)
    await rig.worker.books(call("one", attempt, 1, "0.25", tokens=tokens))
    await eventually(lambda: _call_count(rig, 1))

    await rig.client.cancel("exec_1")

    [known] = (await rig.asks.attempts("exec_1")).attempts
    assert (known.metrics.cost_usd, known.metrics.cost_lines.ai_generation_usd) == ("0.25", "0.25")
    assert (known.metrics.tokens_used, known.metrics.model) == (tokens, "gpt-4o-mini")

    await rig.worker.books(call("one", attempt, 2, None, outcome=CallOutcome.STARTED, upper_bound_usd="0.5"))
    await eventually(lambda: _call_count(rig, 2))

    [in_doubt] = (await rig.asks.attempts("exec_1")).attempts
    assert (in_doubt.metrics.cost_usd, in_doubt.metrics.cost_lines.ai_generation_usd) == (None, "0.25")
    assert in_doubt.metrics.unanswered == {"exec_1.one.1.2": "0.5"}


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
async def test_pages_of_attempts_miss_nothing_and_repeat_nothing(rig: Rig, limit: int) -> None:
    await rig.client.execute("exec_1", "wide")
    packets = [(await rig.worker.take())[1] for _ in range(4)]
    for packet in packets[:2]:
        await rig.worker.fails(packet, await rig.worker.granted(packet), "broken", retryable=True)
    await eventually(lambda: _ended(rig, 2))
    for packet in packets[2:]:
        await rig.worker.granted(packet)
    whole = [(each.stage_id, each.outcome) for each in (await rig.asks.attempts("exec_1")).attempts]

    shown: list[tuple[str, AttemptOutcome]] = []
    cursor: str | None = None
    for _ in range(5):
        page = await rig.asks.attempts("exec_1", limit=limit, cursor=cursor)
        shown += [(each.stage_id, each.outcome) for each in page.attempts]
        assert len(page.attempts) <= limit
        cursor = page.next_cursor
        if cursor is None:
            break

    assert [outcome.value for _, outcome in whole] == ["failed", "failed", "running", "running"]
    assert shown == whole


async def test_provider_calls_come_page_by_page_as_they_were_booked(rig: Rig) -> None:
    await rig.client.execute("exec_1", "wide")
    _, packet = await rig.worker.take()
    await rig.worker.granted(packet)
    booked = [call("one", 1, number, "0.00000015" if number < 3 else None, upper_bound_usd="0.5") for number in (1, 2, 3)]
    for each in booked:
        await rig.worker.books(each)
    await eventually(lambda: _call_count(rig, 3))

    first = await rig.asks.calls("exec_1", limit=2)
    second = await rig.asks.calls("exec_1", limit=2, cursor=first.next_cursor)

    assert [*first.calls, *second.calls] == booked
    assert second.next_cursor is None


async def test_pages_that_are_cut_short_to_fit_into_a_message_go_on_where_they_were_cut(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_BYTES", 1)  # No item fits, and each page has one all the same.
    await rig.client.execute("exec_1", "wide")
    packets = [(await rig.worker.take())[1] for _ in range(3)]
    for packet in packets:
        attempt = await rig.worker.granted(packet)
        await rig.worker.books(call(packet.stage_id, attempt, 1, "0"))
        if packet is packets[0]:
            await rig.worker.completes(packet, attempt, {"made": True})

    async def all_attempts() -> list[str]:
        shown, cursor = [], None
        while True:
            page = await rig.asks.attempts("exec_1", limit=100, cursor=cursor)
            shown += [f"{each.stage_id} {each.outcome}" for each in page.attempts]
            if (cursor := page.next_cursor) is None:
                return shown

    async def all_calls() -> list[str]:
        shown, cursor = [], None
        while True:
            page = await rig.asks.calls("exec_1", limit=100, cursor=cursor)
            shown += [each.stage_id for each in page.calls]
            if (cursor := page.next_cursor) is None:
                return shown

    ended, *running = (packet.stage_id for packet in packets)
    told = [f"{ended} completed", *(f"{stage_id} running" for stage_id in sorted(running))]

    async def is_told() -> bool:
        return await all_attempts() == told and sorted(await all_calls()) == sorted([ended, *running])

    await eventually(is_told)


async def test_the_history_of_a_foreign_execution_is_unknown_and_the_operator_sees_it(rig: Rig) -> None:
    await rig.client.execute("exec_1", "wide")

    for subject, request in (
        (subjects.ATTEMPTS, ListAttempts(execution_id="exec_1", client_id="rival")),
        (subjects.CALLS, ListCalls(execution_id="exec_1", client_id="rival")),
        (subjects.ATTEMPTS, ListAttempts(execution_id="exec_2", client_id=None)),
    ):
        assert (await rig.asks.refused(subject, request)).code == "unknown_execution"
    assert (await Questions(rig.bus, None).attempts("exec_1")).attempts == ()


@pytest.mark.parametrize("cursor", ["", "nonsense", "open/", "2026-13-01T00:00:00.000Z/one/1", "2026-05-01T00:00:00.000Z/one"])
async def test_a_cursor_that_no_page_gave_is_refused(rig: Rig, cursor: str) -> None:
    request = ListAttempts(execution_id="exec_1", client_id="acme", cursor=cursor)

    refusal = await rig.asks.refused(subjects.ATTEMPTS, request)

    assert refusal.code == "invalid_cursor"
    assert refusal.mistakes[0].field == "cursor"


@pytest.mark.parametrize("cursor", ["", "nonsense", "exec_2.one.1.1", "exec_10.one.1.1"])
async def test_a_cursor_of_calls_that_no_page_gave_is_refused_rather_than_the_end(rig: Rig, cursor: str) -> None:
    await rig.client.execute("exec_1", "wide")

    refusal = await rig.asks.refused(subjects.CALLS, ListCalls(execution_id="exec_1", client_id="acme", cursor=cursor))

    assert refusal.code == "invalid_cursor"
    assert refusal.mistakes[0].field == "cursor"


async def test_the_live_workers_are_listed_by_name_and_instance(rig: Rig) -> None:
    await HandWorker(rig.bus, instance_id="worker_b").register()

    async def both() -> bool:
        return len((await rig.asks.workers()).workers) == 2

    await eventually(both)
    workers = (await rig.asks.workers()).workers
    assert [(each.worker_name, each.instance_id) for each in workers] == [("maker", "worker_a"), ("maker", "worker_b")]
    assert workers[0].actions[0].name == "make"


async def _ended(rig: Rig, count: int) -> list[AttemptView]:
    found = [each for each in (await rig.asks.attempts("exec_1")).attempts if each.ended_at is not None]
    return found if len(found) == count else []


async def _call_count(rig: Rig, count: int) -> bool:
    return len((await rig.asks.calls("exec_1")).calls) == count
