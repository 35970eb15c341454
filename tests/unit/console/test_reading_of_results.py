"""Courses, quizzes, figures and insights as somebody reads them."""

from io import StringIO

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console, RenderableType

from aif_console.reading.figures import cost_words, makers, rendered_stages, rendered_totals, token_words
from aif_console.reading.insights import rendered_insights
from aif_console.reading.outline import rendered_structure
from aif_console.reading.plain_text import dollars, milliseconds, plain
from aif_contracts.events import Totals
from aif_contracts.metering import Metrics, ResourceUsage, TimeBreakdown, Tokens
from aif_contracts.orders import ExecutionStatus, ExecutionView, StageStatus, StageView
from aif_contracts.packets import Priority
from aif_contracts.performance import Recommendation, RecommendationType, RollingFigures, WorkerInsights
from aif_contracts.research import Origin, OriginKind, Research, Subtopic
from aif_contracts.structures import Course, KeyPoint, Lesson, Module, Question, Quiz


def shown(renderable: RenderableType, width: int = 80) -> str:
    written = StringIO()
    Console(file=written, width=width, color_system=None).print(renderable)
    return written.getvalue()


def execution(*, cost_usd: str = "0.0123456", cost_is_complete: bool = True) -> ExecutionView:
    stage = StageView(
        stage_id="structure",
        worker_name="content_granulator",
        action="structure_course",
        status=StageStatus.COMPLETED,
        attempt=2,
        progress_percent=100,
        metrics=Metrics(
            tokens_used=Tokens(prompt_tokens=1000, completion_tokens=200, total_tokens=1200),
            provider="anthropic",
            model="claude-x",
            cost_usd=cost_usd,
            processing_time_ms=12_500,
        ),
        quality_score=0.871,
        reason="the first attempt was cut off",
    )
    return ExecutionView(
        execution_id="exec_1",
        client_id="local",
        request_id="req_1",
        template="content_granulation_course",
        template_version="1.0.0",
        status=ExecutionStatus.COMPLETED,
        priority=Priority.NORMAL,
        progress_percent=100,
        created_at="2026-01-01T00:00:00.000Z",
        completed_at="2026-01-01T00:00:13.000Z",
        stages=(stage,),
        totals=Totals(
            tokens_used=Tokens(prompt_tokens=1000, completion_tokens=200, total_tokens=1200, cache_read_tokens=400),
            cost_usd=cost_usd,
            cost_is_complete=cost_is_complete,
            wall_time_ms=13_000,
            busy_time_ms=12_500,
            breakdown=TimeBreakdown(ai_generation_ms=11_000, validation_ms=40, storage_ms=9),
            resource_usage=ResourceUsage(api_calls=2, kv_operations=1, r2_operations=3, cpu_time_ms=88, memory_mb=70),
            attempts=2,
        ),
        deliverables=(),
        last_sequence=7,
    )


def test_the_model_that_stepped_in_is_told_with_the_one_that_failed_and_why() -> None:
    seen = execution()
    stage = replace(
        seen.stages[0],
        metrics=replace(seen.stages[0].metrics, fallback_from="gpt-4o-mini", fallback_reason="price_unknown"),
        reason="",
    )

    assert makers([stage]) == "anthropic claude-x in place of gpt-4o-mini (price_unknown)"
    words = shown(rendered_stages(replace(seen, stages=(stage,))), width=300)
    assert words.endswith("structure_course with claude-x in place of gpt-4o-mini (price_unknown)\n")


def test_a_course_is_an_outline_of_modules_lessons_and_key_points() -> None:
    finer = Lesson(title="Eggs", summary="s", key_points=(KeyPoint(text="She lays."),), estimated_minutes=1)
    lesson = Lesson(title="The queen", summary="s", key_points=(KeyPoint(text="There is one queen."),), sections=(finer,))
    course = Course(
        title="Bees",
        description="All about bees.",
        target_audience="beginners",
        granularity_level=4,
        modules=(Module(title="The colony", summary="s", lessons=(lesson,)),),
        estimated_minutes=6,
        made_by="local_extractive",
    )

    assert shown(rendered_structure(msgspec.json.encode(course))) == (
        "Bees\n"
        "All about bees.\n"
        "For beginners. 6 minutes, granularity 4, made by local_extractive\n"
        "\n"
        "1  The colony\n"
        "   1.1  The queen  5 minutes\n"
        "      - There is one queen.\n"
        "      1.1.1  Eggs  1 minute\n"
        "         - She lays.\n"
    )


def test_a_quiz_marks_the_key_of_each_question() -> None:
    question = Question(
        question="Who lays the eggs?",
        options=("a drone", "the queen"),
        answer_index=1,
        explanation="Only she can.",
        difficulty="easy",
    )
    quiz = Quiz(title="Bees", description="d", target_audience="all", questions=(question,))

    assert shown(rendered_structure(msgspec.json.encode(quiz))) == (
        "Bees\nd\nFor all. 1 question\n\n"
        "1. Who lays the eggs?  easy\n"
        "     a) a drone\n"
        "   * b) the queen\n"
        "        Only she can.\n"
    )


def test_research_is_an_outline_that_says_what_it_rests_on() -> None:
    point = KeyPoint(text="A colony has one queen.")
    research = Research(
        topic="Bees",
        research_summary="Bees live in colonies.",
        key_points=(point,),
        subtopics=(Subtopic(title="The colony", summary="s", key_points=(point,)),),
        sources=(Origin(kind=OriginKind.MODEL_KNOWLEDGE, title="openai/gpt-5", note="Nothing was looked up."),),
        made_by="openai/gpt-5",
    )

    assert shown(rendered_structure(msgspec.json.encode(research))) == (
        "Bees\nBees live in colonies.\n1 key point, 1 subtopic, made by openai/gpt-5\n\n"
        "1  The colony\n"
        "   - A colony has one queen.\n\n"
        "From openai/gpt-5. Nothing was looked up.\n"
    )


def test_long_key_points_go_on_under_their_first_word() -> None:
    point = KeyPoint(text="word " * 12)
    lesson = Lesson(title="L", summary="s", key_points=(point,))
    module = Module(title="M", summary="s", lessons=(lesson,))
    course = Course(
        title="T", description="d", target_audience="a", granularity_level=1, modules=(module,), estimated_minutes=1
    )

    lines = shown(rendered_structure(msgspec.json.encode(course)), width=40).splitlines()

    assert lines[-2:] == ["      - word word word word word word", "        word word word word word word"]


@pytest.mark.parametrize("structure", [b'{"structure_type":"film","scenes":[1]}', b'{"structure_type":"course"}', b"[1]"])
def test_what_is_not_known_here_is_shown_as_it_is(structure: bytes) -> None:
    assert msgspec.json.decode(shown(rendered_structure(structure))) == msgspec.json.decode(structure)


def test_texts_of_documents_do_not_steer_the_terminal() -> None:
    quiz = Quiz(
        title="a\x1b]0;owned\x07b [bold]c[/bold]",
        description="d",
        target_audience="all",
        questions=(Question(question="q", options=("x", "y"), answer_index=0, explanation="e"),),
    )

    assert shown(rendered_structure(msgspec.json.encode(quiz))).splitlines()[0] == "a ]0;owned b [bold]c[/bold]"
    assert plain("tab\tline\nend") == "tab line end"


def test_the_figures_name_tokens_time_resources_and_cost() -> None:
    assert shown(rendered_totals(execution()), width=200) == (
        "Made by    anthropic claude-x\n"
        "Tokens     1200 (1000 prompt, 200 completion); of these 400 read from cache\n"
        "Time       13.0 s from order to end, 12.5 s of work: AI 11.0 s, validation 40 ms, storage 9 ms\n"
        "Resources  2 API calls, 1 key-value and 3 object operations, 88 ms CPU, 70 MB memory\n"
        "Attempts   2\n"
        "Quality    structure 0.87\n"
        "Cost       $0.012346\n"
    )


def test_a_stage_shows_its_sums_and_its_reason() -> None:
    assert shown(rendered_stages(execution()), width=200) == (
        "structure  completed, 100 %, attempt 2: 1200 tokens, 12.5 s, $0.012346, quality 0.87, "
        "by content_granulator structure_course\n"
        "  the first attempt was cut off\n"
    )


def test_a_lower_bound_is_called_one() -> None:
    assert cost_words(execution(cost_usd="0.5", cost_is_complete=False).totals) == "at least $0.50"
    assert cost_words(execution(cost_usd="0", cost_is_complete=False).totals) == "unknown"


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("0", "$0.00"),
        ("1.5", "$1.50"),
        ("0.0001875", "$0.000188"),
        ("0.000150", "$0.00015"),
        ("0.0000000001", "under $0.000001"),
        ("123456.789", "$123456.789"),
        (None, "unknown"),
    ],
)
def test_money_is_rounded_for_readers_once(amount: str | None, words: str) -> None:
    assert dollars(amount) == words


def test_short_times_stay_in_milliseconds() -> None:
    assert (milliseconds(9_999), milliseconds(10_000), milliseconds(75_250)) == ("9999 ms", "10.0 s", "75.2 s")


def test_tokens_without_finer_counts_are_three_numbers() -> None:
    assert token_words(Tokens(prompt_tokens=2, completion_tokens=1, total_tokens=3)) == "3 (2 prompt, 1 completion)"


def test_makers_are_named_once() -> None:
    assert makers((*execution().stages, *execution().stages)) == "anthropic claude-x"


def insights(*recommendations: Recommendation, score: float | None = 0.93) -> WorkerInsights:
    figures = RollingFigures(
        worker_name="content_granulator",
        action="structure_course",
        model="claude-x",
        attempts=40,
        successes=38,
        success_rate=0.95,
        success_rate_low=0.835,
        success_rate_high=0.986,
        time_ms_p50=1200,
        time_ms_p95=14_000,
        queue_ms_p50=15,
        tokens_mean=1200,
        cost_usd_mean="0.0123",
        cost_usd_total="0.492",
        quality_mean=0.88,
        failures_by_code={"timeout": 2},
    )
    return WorkerInsights(
        worker_name="content_granulator",
        analysis_period="7d",
        performance_score=score,
        figures=(figures,),
        ai_recommendations=recommendations,
        analysis_timestamp="2026-01-01T00:00:00.000Z",
    )


def test_insights_show_figures_and_what_a_recommendation_rests_on() -> None:
    recommendation = Recommendation(
        recommendation_id="rec_1",
        recommendation_type=RecommendationType.RELIABILITY,
        icon="⏱",
        description="2 of 40 attempts ran into the time limit.",
        confidence=0.951,
        parameter="timeout",
        current_value="120s",
        recommended_value="150s",
        expected_improvement="-5 % failed attempts",
        sample_size=40,
    )

    assert shown(rendered_insights(insights(recommendation)), width=100) == (
        "content_granulator, last 7d, score 0.93\n"
        "\n"
        "content_granulator structure_course claude-x\n"
        "  attempts  40, 95 % successful (95 % interval 84 % to 99 %)\n"
        "  failures  timeout 2\n"
        "  time      p50 1200 ms, p95 14.0 s, queued p50 15 ms\n"
        "  tokens    mean 1200\n"
        "  cost      mean $0.0123, sum $0.492\n"
        "  quality   mean 0.88\n"
        "\n"
        "⏱ reliability  2 of 40 attempts ran into the time limit.\n"
        "   change    timeout: 120s -> 150s\n"
        "   expect    -5 % failed attempts\n"
        "   evidence  confidence 95 % from 40 attempts; pending\n"
    )


def test_without_data_there_is_no_score_and_no_recommendation() -> None:
    words = shown(rendered_insights(insights(score=None)))

    assert "no data" in words
    assert "nothing to recommend from what was measured so far" in words
