"""The action `analyze_worker_performance` over a real Postgres: a client is told of its own attempts, and of nobody else's."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from aif_classifier.records import RecordReader
from aif_classifier.samples import Slice
from aif_classifier.settings import ClassifierSettings
from aif_classifier.store import PerformanceStore
from aif_classifier.wiring import worker_of
from aif_contracts.metering import Metrics
from aif_contracts.performance import PerformanceRecord, RecommendationType, WorkerInsights
from aif_runtime.assignment import Outcome, WorkFailure
from aif_runtime.clock import SystemClock
from aif_runtime.postgres import Database
from aif_runtime.settings import Secret
from aif_runtime.sql_files import load_queries
from support.performance_samples import record
from support.recording_assignment import RecordingAssignment

SETTINGS = ClassifierSettings(classifier_database_url=Secret("unused"))


async def test_figures_of_two_clients_do_not_mix(database: Database) -> None:
    await _keep(database, [record(1), record(2, success=False, failure_code="timeout")])
    await _keep(database, [record(number, client_id="globex", execution_time_ms=7000) for number in range(10, 15)])
    await _keep(database, [record(20, client_id="globex", metrics=Metrics(model="globex-own", cost_usd="5"))])

    acme, globex, nobody = [_told(await _run(database, client)) for client in ("acme", "globex", "nobody")]

    assert [(f.model, f.attempts, f.successes, f.cost_usd_total) for f in acme.figures] == [("gpt-large", 2, 1, "0.02")]
    assert [(f.model, f.attempts, f.successes, f.cost_usd_total) for f in globex.figures] == [
        ("globex-own", 1, 1, "5"),
        ("gpt-large", 5, 5, "0.05"),
    ]
    assert acme.figures[0].failures_by_code == {"timeout": 1}
    assert globex.figures[1].time_ms_p50 == 7000
    assert (nobody.figures, nobody.performance_score, nobody.ai_recommendations) == ((), None, ())


async def test_recommendations_come_from_the_clients_own_attempts(database: Database) -> None:
    await _keep(database, _wasteful(range(100), client_id="acme"))
    await _keep(database, [record(number, client_id="globex", timeout_ms=None) for number in range(200, 240)])
    await _keep(database, _wasteful(range(300, 320), client_id="initech"))

    acme, globex, initech = [_told(await _run(database, client)) for client in ("acme", "globex", "initech")]

    (advice,) = acme.ai_recommendations
    assert (advice.recommendation_type, advice.sample_size, advice.current_value) == (RecommendationType.COST, 100, "30.0 %")
    assert globex.ai_recommendations == ()
    # Too few of its own, though all together would do.
    assert initech.ai_recommendations == ()


async def test_the_same_finding_has_the_same_id_for_one_client_and_another_one_for_another(database: Database) -> None:
    await _keep(database, _wasteful(range(100), client_id="acme"))
    await _keep(database, _wasteful(range(100, 200), client_id="globex"))

    ids = [_told(await _run(database, client)).ai_recommendations[0].recommendation_id for client in ("acme", "acme", "globex")]

    assert ids[0] == ids[1]
    assert ids[0] != ids[2]


async def test_it_looks_at_one_worker_and_at_the_period_that_it_is_asked_for(database: Database) -> None:
    old = (datetime.now(UTC) - timedelta(hours=25)).isoformat()
    await _keep(database, [record(1), record(2, timestamp=old), record(3, worker_name="topic_researcher")])
    await _keep(database, _wasteful(range(10, 110), client_id="acme", worker_name="topic_researcher"))

    day = _told(await _run(database, "acme", worker_name="content_granulator", analysis_period="24h"))
    week = _told(await _run(database, "acme", worker_name="content_granulator"))

    assert [(f.worker_name, f.attempts) for f in day.figures] == [("content_granulator", 1)]
    assert [(f.worker_name, f.attempts) for f in week.figures] == [("content_granulator", 2)]
    assert (day.worker_name, day.analysis_period, week.analysis_period) == ("content_granulator", "24h", "7d")
    assert day.ai_recommendations == ()
    assert [r.sample_size for r in _told(await _run(database, "acme")).ai_recommendations] == [101]


async def test_what_an_earlier_stage_hands_on_is_passed_over_and_null_is_not_given(database: Database) -> None:
    await _keep(database, [record(1)])

    outcome = await _run(database, "acme", title="A course\x00", modules=[{}], worker_name=None, analysis_period=None)

    assert [f.attempts for f in _told(outcome).figures] == [1]
    assert (outcome.element_count, outcome.quality_score) == (1, None)
    assert outcome.summary == "1 attempts, 0 recommendations"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"analysis_period": "a week"}, "analysis_period`: give hours or days, for example 24h or 7d"),
        ({"analysis_period": "1000d"}, "analysis_period`: give hours or days"),
        ({"analysis_period": 7}, "analysis_period`: give hours or days"),
        ({"worker_name": ["granulator"]}, "worker_name`: give a worker's name, or null for all workers"),
        ({"worker_name": "a\x00b"}, "holds a NUL character"),
    ],
)
async def test_an_input_that_cannot_be_read_fails_for_good_with_the_field_and_the_mend(
    database: Database, fields: dict[str, Any], told: str
) -> None:
    with pytest.raises(WorkFailure) as failure:
        await _run(database, "acme", **fields)

    assert (failure.value.code, failure.value.retryable) == ("invalid_input", False)
    assert told in failure.value.message


async def test_without_the_database_another_attempt_may_help(database: Database) -> None:
    await database.close()

    with pytest.raises(WorkFailure) as failure:
        await _run(database, "acme")

    assert (failure.value.code, failure.value.retryable, failure.value.retry_after_ms) == ("database_unavailable", True, 2000)


async def test_of_all_slices_of_a_client_the_newest_attempts_are_looked_at(database: Database) -> None:
    now = datetime.now(UTC)
    templates = ["course", "quiz", "course", "quiz", "quiz"]
    await _keep(
        database,
        [
            record(number, template=template, timestamp=(now - timedelta(minutes=number)).isoformat())
            for number, template in enumerate(templates)
        ],
    )

    async with database.transaction() as connection:
        found = await PerformanceStore(load_queries("aif_classifier")).list_samples_of_client(
            connection, "acme", None, timedelta(days=7), 3
        )

    assert {slice_.template: len(samples) for slice_, samples in found.items()} == {"course": 2, "quiz": 1}
    assert set(found) == {
        Slice(worker_name="content_granulator", action="granulate", template=template) for template in ("course", "quiz")
    }


async def _run(database: Database, client_id: str, **fields: Any) -> Outcome:
    spec = worker_of(SETTINGS, database, SystemClock())
    assert not spec.actions["analyze_worker_performance"].paid
    assignment = RecordingAssignment(action="analyze_worker_performance", input=fields, client_id=client_id)
    return await spec.actions["analyze_worker_performance"].run(assignment)


def _told(outcome: Outcome) -> WorkerInsights:
    assert isinstance(outcome.output, WorkerInsights)
    return outcome.output


def _wasteful(numbers: Iterable[int], **changes: Any) -> list[PerformanceRecord]:
    """Three of ten fail, at the same cost."""
    bad = {"success": False, "failure_code": "output_rejected"}
    return [record(number, timeout_ms=None, **changes, **(bad if number % 10 >= 7 else {})) for number in numbers]


async def _keep(database: Database, records: Sequence[PerformanceRecord]) -> None:
    rows = RecordReader().read(msgspec.json.encode(records)).rows
    async with database.transaction() as connection:
        stored = await PerformanceStore(load_queries("aif_classifier")).insert_attempts(connection, rows)
    assert len(stored) == len(records)
