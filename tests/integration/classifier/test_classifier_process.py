"""The classifier as its own process, with a real NATS server and a real Postgres."""

import asyncio

import asyncpg
import msgspec
from msgspec.structs import replace

from aif_contracts import subjects
from aif_contracts.performance import InsightsQuery, WorkerInsights
from aif_orchestrator.engine.told_attempts import performance_messages
from aif_runtime.bus import Outgoing
from aif_runtime.failures import NoAnswer
from aif_runtime.nats_bus import NatsBus
from support.classifier_processes import Start
from support.performance_samples import record
from support.waiting import eventually


async def test_records_on_nats_become_insights_and_poison_a_dead_letter(start: Start, bus: NatsBus) -> None:
    process = await start()
    async with bus.listen(subjects.ALL_DEAD) as buried:
        await _publish(bus, range(70), success=True)
        await bus.publish([Outgoing(subject=subjects.performance("content_granulator"), payload=b"poison")])
        await _publish(bus, range(70, 100), success=False)
        await _publish(bus, range(50), success=True)

        insights = await eventually(lambda: _insights_with_recommendation(bus), 10, what="a recommendation")

        assert insights is not None
        assert [(f.attempts, f.successes) for f in insights.figures] == [(100, 70)]
        assert [r.current_value for r in insights.ai_recommendations] == ["30.0 %"]
        assert await buried.next(5) is not None
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 60) == 0


async def test_a_classifier_killed_in_the_middle_counts_every_attempt_once_after_its_restart(
    start: Start, bus: NatsBus, fresh_database: str
) -> None:
    first = await start()
    await _publish(bus, range(2000), success=True)
    await eventually(lambda: _stored(fresh_database), 10, what="the first rows")
    first.kill()
    await first.wait()
    await _publish(bus, range(1500, 3000), success=True)

    await start()

    async def all_stored() -> bool:
        return await _stored(fresh_database) == 3000

    await eventually(all_stored, 45, what="3000 rows")


async def _publish(bus: NatsBus, numbers: range, *, success: bool) -> None:
    records = [
        record(number, success=success, failure_code=None if success else "output_rejected", timeout_ms=None)
        for number in numbers
    ]
    # The broker is to know no message again.
    await bus.publish([replace(message, message_id=None) for message in performance_messages(records)])


async def _insights_with_recommendation(bus: NatsBus) -> WorkerInsights | None:
    try:
        reply = await bus.ask(subjects.INSIGHTS, msgspec.json.encode(InsightsQuery()), wait_seconds=5)
    except NoAnswer:
        return None
    insights = msgspec.json.decode(reply, type=WorkerInsights)
    found = insights.ai_recommendations
    return insights if found and found[0].sample_size == 100 else None


async def _stored(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        rows: int = await connection.fetchval("SELECT count(*) FROM classifier.worker_performance_log")
        return rows
    finally:
        await connection.close()
