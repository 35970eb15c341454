"""Research, a course and a quiz from the course, over all services: what rules add and repeat is seen in events and results."""

from pathlib import Path
from typing import Any

import nats
import pytest

from aif_console.factory.factory import Factory
from aif_contracts.metering import Metrics
from aif_contracts.performance import WorkerInsights
from aif_contracts.research import Research
from aif_contracts.structures import Course, Quiz
from aif_orchestrator.engine.told_attempts import performance_messages
from support.factory import running_factory
from support.factory_settings import model_settings
from support.http_client import SAMPLES, FactoryClient, client_of, decoded
from support.performance_samples import record
from support.provider_double.server import provider_double
from support.waiting import eventually

PIPELINE = "educational_content_pipeline"


@pytest.fixture
def long_document(tmp_path: Path) -> Path:
    """Two samples in one: divided most finely, more than 100 elements."""
    document = tmp_path / "two-subjects.md"
    texts = [(SAMPLES / name).read_text(encoding="utf-8") for name in ("beekeeping.md", "network-basics.txt")]
    document.write_text("\n\n".join(texts), encoding="utf-8")
    return document


@pytest.fixture
def mostly_code(tmp_path: Path) -> Path:
    """Most of it is a listing, from which nothing can be learned: research in it is poor."""
    document = tmp_path / "listing.md"
    said = "A hive is a box that bees live in. A frame is a piece of wood that holds one comb in a hive."
    listing = "\n".join(f"register_{number}(value, other_value, third_value)" for number in range(300))
    document.write_text(f"# Listing\n\n{said}\n\n```\n{listing}\n```\n", encoding="utf-8")
    return document


async def test_a_large_course_is_made_smaller_and_the_quiz_is_made_from_the_small_one(
    factory: Factory, long_document: Path
) -> None:
    async with client_of(factory) as client:
        source = await client.upload(long_document)
        accepted = await client.order(PIPELINE, {"source": source, "granularityLevel": 5, "questionCount": 12})
        events = await client.events(accepted["request_id"])
        request = await client.ended(accepted["request_id"])
        assert request["status"] == "completed", request["problem"]
        made = await deliverables(client, request)

    course, small = decoded(made["course"], Course), decoded(made["optimised_course"], Course)
    quiz, research = decoded(made["quiz"], Quiz), decoded(made["research"], Research)
    [added] = of_type(events, "STEP_ADDED")
    assert (added["step_name"], added["added_by"]) == ("optimised", "course")
    assert (added["worker_name"], added["action"]) == ("content_optimizer", "optimize_large_structure")
    assert elements(course) > 100 >= elements(small)
    assert {change.kind.value for change in small.changes} <= {"dropped", "merged", "joined", "split"}
    assert len(small.changes) > 20
    lessons = {(module.title, lesson.title) for module in small.modules for lesson in module.lessons}
    assert len(quiz.questions) == 12
    assert all(question.lesson is None or (question.module, question.lesson) in lessons for question in quiz.questions)
    assert any(question.lesson is not None for question in quiz.questions)
    assert len(research.subtopics) >= 2
    completed = [data["step_name"] for data in of_type(events, "STEP_COMPLETED")]
    assert completed == ["research", "course", "optimised", "quiz"]
    assert request["total_cost_usd"] == "0"


async def test_every_point_and_every_question_is_proved_by_the_document(factory: Factory, tmp_path: Path) -> None:
    document = tmp_path / "plain.txt"
    text = (SAMPLES / "network-basics.txt").read_text(encoding="utf-8")
    document.write_text(text, encoding="utf-8")

    async with client_of(factory) as client:
        source = await client.upload(document)
        accepted = await client.order(PIPELINE, {"source": source, "validationLevel": 3})
        request = await client.ended(accepted["request_id"])
        assert request["status"] == "completed", request["problem"]
        made = await deliverables(client, request)

    plain = " ".join(text.split())
    research, quiz = decoded(made["research"], Research), decoded(made["quiz"], Quiz)
    assert set(made) == {"course", "quiz", "research"}
    assert all(" ".join(point.text.split()) in plain for point in research.key_points)
    assert all(question.source is not None and question.module is not None for question in quiz.questions)


async def test_poor_research_is_repeated_twice_and_then_used(factory: Factory, mostly_code: Path) -> None:
    async with client_of(factory) as client:
        source = await client.upload(mostly_code)
        accepted = await client.order(PIPELINE, {"source": source, "validationEnabled": False})
        events = await client.events(accepted["request_id"])
        await client.ended(accepted["request_id"])

    retrying = [data for data in of_type(events, "STEP_RETRYING") if data["step_name"] == "research"]
    started = [data["attempt"] for data in of_type(events, "STEP_STARTED") if data["step_name"] == "research"]
    assert len(retrying) == 2
    assert started == [1, 2, 3]
    assert "course" in [data["step_name"] for data in of_type(events, "STEP_STARTED")]


async def test_a_document_of_the_older_style_runs_as_written_without_a_model(factory: Factory) -> None:
    document = Path(__file__).with_name("pipeline_documents") / "educational_content.json"
    async with client_of(factory) as client:
        saved = await client.http.post(
            "/api/kam/pipelines", content=document.read_bytes(), headers={"Content-Type": "application/json"}
        )
        assert saved.status_code == 201, saved.text
        source = await client.upload(SAMPLES / "beekeeping.md")
        accepted = await client.order(saved.json()["name"], {"source": source})
        events = await client.events(accepted["request_id"])
        request = await client.ended(accepted["request_id"])
        assert request["status"] == "completed", request["problem"]
        made = await deliverables(client, request)

    assert [data["step_name"] for data in of_type(events, "STEP_COMPLETED")] == ["stage_1", "stage_2"]
    course = decoded(made["stage_2"], Course)
    points = [point for module in course.modules for lesson in module.lessons for point in lesson.key_points]
    assert course.title.startswith("A honey bee colony is a single family")
    assert points
    assert all(point.source is not None for point in points)


async def test_a_content_classifier_in_a_document_of_the_older_style_tells_of_its_clients_work_alone(factory: Factory) -> None:
    document = Path(__file__).with_name("pipeline_documents") / "measured_content.json"
    foreign = [record(number, client_id="globex", metrics=Metrics(model="globex-own")) for number in range(40)]
    connection = await nats.connect(factory.folder.nats_url.read_text().strip())
    try:
        for message in performance_messages(foreign):
            await connection.jetstream().publish(message.subject, message.payload)
    finally:
        await connection.close()
    async with client_of(factory) as client:
        source = await client.upload(SAMPLES / "beekeeping.md")
        accepted = await client.order("content_granulation_course", {"source": source})
        await client.ended(accepted["request_id"])
        everybodys = await eventually(lambda: granulator_models(factory, client), 10, what="both clients' attempts are kept")
        saved = await client.http.post(
            "/api/kam/pipelines", content=document.read_bytes(), headers={"Content-Type": "application/json"}
        )
        assert saved.status_code == 201, saved.text
        accepted = await client.order(saved.json()["name"], {"source": source})
        events = await client.events(accepted["request_id"])
        request = await client.ended(accepted["request_id"])
        assert request["status"] == "completed", request["problem"]
        made = await deliverables(client, request)

    assert everybodys is not None
    assert "globex-own" in everybodys
    assert [data["step_name"] for data in of_type(events, "STEP_COMPLETED")] == ["stage_1", "stage_2", "stage_3"]
    of_all, of_granulator = decoded(made["stage_2"], WorkerInsights), decoded(made["stage_3"], WorkerInsights)
    assert {figure.model for figure in of_all.figures if figure.worker_name == "content_granulator"} == everybodys - {
        "globex-own"
    }
    assert {figure.worker_name for figure in of_granulator.figures} == {"content_granulator"}
    assert (of_all.analysis_period, of_granulator.analysis_period) == ("7d", "24h")
    assert request["total_cost_usd"] == "0"


async def test_with_a_model_a_topic_alone_goes_all_the_way_and_nothing_is_said_to_be_looked_up(factory_dir: Path) -> None:
    async with (
        provider_double() as provider,
        running_factory(factory_dir, model_settings(provider)) as factory,
        client_of(factory) as client,
    ):
        accepted = await client.order(PIPELINE, {"topic": "Machine Learning Fundamentals", "questionCount": 2})
        request = await client.ended(accepted["request_id"])
        assert request["status"] == "completed", request["problem"]
        made = await deliverables(client, request)

    research, quiz = decoded(made["research"], Research), decoded(made["quiz"], Quiz)
    assert [origin.kind.value for origin in research.sources] == ["model_knowledge"]
    assert "nothing was looked up" in research.sources[0].note
    assert quiz.made_by == "anthropic/claude-sonnet-5-5"
    assert all(question.module is not None for question in quiz.questions)
    assert request["totals"]["tokens_used"]["total_tokens"] == sum(
        entry.prompt_tokens + entry.output_tokens for entry in provider.bill
    )


async def test_a_reader_sees_how_far_a_model_is_at_25_points_and_more(factory_dir: Path) -> None:
    async with (
        provider_double() as provider,
        running_factory(factory_dir, model_settings(provider)) as factory,
        client_of(factory) as client,
    ):
        provider.seconds_for_an_answer = 1.5
        accepted = await client.order(PIPELINE, {"topic": "Machine Learning Fundamentals", "questionCount": 2})
        events = await client.events(accepted["request_id"])

    points = [event["progresspercent"] for _, event in events]
    assert len(points) >= 25
    assert points == sorted(points)
    assert len(set(points)) >= 15
    assert points[-1] == 100


async def test_without_a_model_the_history_tells_how_each_stage_came_on_however_quick_it_was(factory: Factory) -> None:
    async with client_of(factory) as client:
        source = await client.upload(SAMPLES / "beekeeping.md")
        accepted = await client.order(PIPELINE, {"source": source})
        events = await client.events(accepted["request_id"])

    updates = of_type(events, "PROGRESS_UPDATE")
    assert {update["step_name"] for update in updates} == {"research", "course", "quiz"}
    # One that takes longer than 200 ms on a busy machine tells less from then on.
    assert len(updates) >= 9
    points = [event["progresspercent"] for _, event in events]
    assert points == sorted(points)


async def granulator_models(factory: Factory, client: FactoryClient) -> set[str] | None:
    """Of everybody's attempts, once there are some of two models."""
    headers = {"X-API-Key": factory.keys.admin_key}
    found = await client.http.get("/worker-insights", params={"worker_name": "content_granulator"}, headers=headers)
    models = {figure["model"] for figure in found.json()["figures"]}
    return models if len(models) >= 2 else None


async def deliverables(client: FactoryClient, request: dict[str, Any]) -> dict[str, bytes]:
    """By name."""
    return {each["name"]: (await client.http.get(each["href"])).content for each in request["deliverables"]}


def of_type(events: list[tuple[int, dict[str, Any]]], event_type: str) -> list[dict[str, Any]]:
    return [event["data"] for _, event in events if event["data"]["event_type"] == event_type]


def elements(course: Course) -> int:
    lessons = [lesson for module in course.modules for lesson in module.lessons]
    return len(course.modules) + len(lessons) + sum(len(lesson.sections) for lesson in lessons)
